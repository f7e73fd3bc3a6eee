//! An append over two connections: a link that loses packets makes a connection stand still for seconds, and rarely two at once.

use std::time::Duration;

use futures_util::future::{self, Either};
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Response, Status};
use trireme_rpc::raft::raft_client::RaftClient;
use trireme_rpc::raft::{AppendRequest, AppendResponse};

/// Larger appends go once, in bytes: on a narrow link the second would only take the first one's room, and on one that loses packets
/// neither would be through in time.
const LARGEST: usize = 64 * 1024;
/// Appends that went twice, by what was answered first.
pub(crate) const REPEATED: &str = "trireme_raft_appends_repeated_total";

type Answer = Result<Response<AppendResponse>, Status>;

/// How it goes over the second connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    /// When the first one is not answered for so long.
    pub after: Duration,
    /// And for no longer than this.
    pub limit: Duration,
}

/// Sends an append, and the same again over `second` when `first` stands still. Whichever is answered first counts; a follower that
/// gets it twice does it once. Says whether that was the second.
///
/// A failure of the first is a failure: its connection is gone, and whoever asks again gets another. One of the second is not.
pub(super) async fn append(
    mut first: RaftClient<Channel>,
    mut second: RaftClient<Channel>,
    message: AppendRequest,
    again: Again,
) -> (Answer, bool) {
    if message.encoded_len() > LARGEST {
        return (first.append(message).await, false);
    }
    let copy = message.clone();
    let first = Box::pin(async move { first.append(message).await });
    let first = match future::select(first, Box::pin(tokio::time::sleep(again.after))).await {
        Either::Left((answer, _)) => return (answer, false),
        Either::Right(((), first)) => first,
    };
    // On its own: a connection that is half made when the first one is answered is made all the same, and is there the next time.
    let second = tokio::spawn(tokio::time::timeout(again.limit, async move { second.append(copy).await }));
    let (answer, by_second) = match future::select(first, second).await {
        Either::Left((answer, _)) => (answer, false),
        Either::Right((Ok(Ok(Ok(answer))), _)) => (Ok(answer), true),
        Either::Right((_, first)) => (first.await, false),
    };
    let answered = match (&answer, by_second) {
        (Err(_), _) => "neither",
        (Ok(_), true) => "second",
        (Ok(_), false) => "first",
    };
    metrics::counter!(REPEATED, "answered" => answered).increment(1);
    (answer, by_second)
}
