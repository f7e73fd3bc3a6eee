//! Asking control nodes why, what if and what was: the leader first, then the others, until one answers. A refusal is an answer.

use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use trireme_rpc::explain::Moment;
use trireme_rpc::explain::explainer_client::ExplainerClient;
use trireme_rpc::explain::moment::At;

use crate::Error;
use crate::client::{self, Tried};
use crate::logs::since;
use crate::target::Target;

/// What asks one node.
pub type Client = ExplainerClient<Channel>;

/// A state of long ago may have to be made again from a checkpoint.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Asks until a node answers.
///
/// # Errors
/// All refuse, or nobody answers.
pub async fn ask<T, F>(target: &Target, call: impl Fn(Client) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut tried = Tried::default();
    for address in client::leader_then_others(target).await? {
        let client = match client::channel(&address).await {
            Ok(channel) => ExplainerClient::new(channel).max_decoding_message_size(64 << 20),
            Err(failure) => {
                tried.note(&address, failure)?;
                continue;
            }
        };
        match tokio::time::timeout(ANSWER_LIMIT, call(client)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            // No other node has to keep it either.
            Ok(Err(status)) if status.code() == Code::OutOfRange => {
                return Err(Error::Gone { reason: status.message().to_owned() });
            }
            Ok(Err(status)) => tried.note(&address, status.into())?,
            Err(_) => tried.note(&address, client::Failure::Here("no answer in time".to_owned()))?,
        }
    }
    Err(tried.unreachable())
}

/// A moment as people write it: the number of an event, a time as RFC 3339 has it, or how long ago, such as `5m`.
///
/// # Errors
/// It is no such moment; the text says what is.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Moment { at: Some(At::Sequence(sequence)) });
    }
    let nanos = since::parse(text).map_err(|error| format!("{error}, nor the number of an event"))?;
    let millis = nanos / 1_000_000;
    Ok(Moment { at: Some(At::Millis(millis)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_number_a_time_or_how_long_ago() {
        let at = |text: &str| moment(text).map(|moment| moment.at);
        assert_eq!(at("1234"), Ok(Some(At::Sequence(1234))));
        assert_eq!(at("2026-11-29T04:14:49.5Z"), Ok(Some(At::Millis(1_795_925_689_500))));
        assert_eq!(at("2026-11-29T04:14:49+01:00"), at("2026-11-29T03:14:49Z"));
        let Ok(Some(At::Millis(ago))) = at("5m") else { panic!("{:?}", at("5m")) };
        let now = jiff::Timestamp::now().as_millisecond() as u64;
        assert!((now - 330_000..=now - 300_000).contains(&ago), "{ago}");
        for wrong in ["", "yesterday", "1969-01-01T00:00:00Z", "5y", "-3"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
