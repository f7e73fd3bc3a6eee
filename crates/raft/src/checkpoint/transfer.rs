//! Checkpoints on their way from one node to another: in parts of at most 1 MiB, announced by their place, checked at the
//! end. A slow link may take its time, a silent one may not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use control::checkpoint_part::Part;
use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use trireme_rpc::control;
use trireme_state::Position;
use trireme_types::Sequence;

use super::Checkpoints;
use crate::history;
use crate::network::peers::Peers;
use crate::outflow::Outflow;
use crate::snapshot::blocking;
use crate::snapshot::file::{CHUNK, Header, read_part};
use crate::storage::Blob;
use crate::store::within;

/// The longest silence within a checkpoint.
const PART_LIMIT: Duration = Duration::from_secs(10);
/// Parts that wait for whoever asked.
const AHEAD: usize = 2;

type Sent = Result<control::CheckpointPart, Status>;

/// The oldest checkpoint from which kept records are replayed, in parts, unless it lies behind `last`. Whether there is one is
/// known without reading it; whether it is sound is found out while it is sent. Whoever takes no part within `limit` is given up.
///
/// # Errors
/// There is none, or none before `last`; another one is being sent; storage that fails.
pub(crate) async fn send(
    checkpoints: Arc<Checkpoints>,
    start: Sequence,
    last: Sequence,
    limit: Duration,
) -> Result<impl Stream<Item = Sent> + Send, Status> {
    let Some(position) = checkpoints.oldest(start) else {
        return Err(Status::not_found("there is no checkpoint here"));
    };
    if position.sequence > last {
        let text = format!("the checkpoint here lies at {}, and only {last} may go", position.sequence);
        return Err(Status::failed_precondition(text));
    }
    let turn = Arc::clone(&checkpoints.sending).try_acquire_owned();
    let turn = turn.map_err(|_| Status::resource_exhausted("another checkpoint is being sent"))?;
    let opened = {
        let checkpoints = Arc::clone(&checkpoints);
        blocking(move || {
            let blob = checkpoints.open_file(position)?;
            let header = Header::read(checkpoints.cluster, &blob);
            if header.is_err() {
                checkpoints.check(position)?;
            }
            header.map(|header| (blob, header))
        })
        .await
    };
    let failed = |error: io::Error| Status::internal(format!("cannot read the checkpoint: {error}"));
    let (blob, header) = opened.map_err(failed)?;
    let (outflow, parts) = Outflow::new(AHEAD, limit);
    let sending = Sending { checkpoints, position, blob, header, offset: 0, whole: 0, state: 0, _turn: turn };
    tokio::spawn(async move {
        let sent = tokio::select! {
            sent = sending.run(&outflow) => sent,
            () = outflow.closed() => Ok(()),
        };
        // It is the next one's turn by now.
        if let Err(status) = sent {
            outflow.fail(status);
        }
    });
    Ok(ReceiverStream::new(parts))
}

/// A checkpoint on its way out.
struct Sending {
    checkpoints: Arc<Checkpoints>,
    position: Position,
    blob: Blob,
    header: Header,
    offset: u64,
    /// The checksum of what was sent.
    whole: u32,
    /// The checksum of what was sent of the state.
    state: u32,
    /// Others wait until this one is sent or given up.
    _turn: OwnedSemaphorePermit,
}

impl Sending {
    async fn run(mut self, to: &Outflow<control::CheckpointPart, Status>) -> Result<(), Status> {
        let start = control::CheckpointStart {
            position: Some(history::position_to_wire(self.position)),
            length: self.blob.length(),
        };
        let mut next = Part::Start(start);
        loop {
            let end = matches!(next, Part::End(_));
            let sent = to.send(control::CheckpointPart { part: Some(next) }).await;
            sent.map_err(|ended| Status::deadline_exceeded(ended.to_string()))?;
            if end {
                return Ok(());
            }
            next = self.part().await?;
        }
    }

    async fn part(&mut self) -> Result<Part, Status> {
        let (blob, offset) = (Arc::clone(&self.blob), self.offset);
        if offset < blob.length() {
            let bytes = blocking(move || read_part(&blob, offset)).await;
            let bytes = bytes.map_err(|error| Status::data_loss(error.to_string()))?;
            self.offset = offset.saturating_add(bytes.len() as u64);
            self.whole = crc32c::crc32c_append(self.whole, &bytes);
            let before = usize::try_from(self.header.start().saturating_sub(offset)).unwrap_or(usize::MAX);
            self.state = crc32c::crc32c_append(self.state, bytes.get(before..).unwrap_or_default());
            return Ok(Part::Chunk(bytes));
        }
        if self.state != self.header.state_checksum() {
            // What was damaged between then and now is not offered again.
            let (checkpoints, position) = (Arc::clone(&self.checkpoints), self.position);
            let checked = blocking(move || checkpoints.check(position)).await;
            checked.map_err(|error| Status::data_loss(error.to_string()))?;
            return Err(Status::data_loss("the checkpoint here is damaged"));
        }
        Ok(Part::End(control::CheckpointEnd { crc32c: self.whole }))
    }
}

/// Takes over the oldest checkpoint of a peer, unless it is here already or lies after `last`. It may take as long as parts
/// come.
///
/// # Errors
/// The peer has none, breaks off, or sends what is not as it was announced.
pub(crate) async fn fetch(
    checkpoints: &Arc<Checkpoints>,
    peers: &Peers,
    address: &str,
    last: Sequence,
) -> Result<Position, String> {
    let mut client = peers.control(address).map_err(|error| error.to_string())?;
    let cluster_id = peers.life();
    let request = control::CheckpointRequest { cluster_id, last: last.get() };
    let answer = within(PART_LIMIT, client.checkpoint(request)).await;
    let answer = answer.ok_or_else(|| format!("{address} did not answer in time"))?;
    let parts = answer.map_err(|status| status.message().to_owned())?;
    receive(checkpoints, parts.into_inner(), last).await
}

async fn receive(
    checkpoints: &Arc<Checkpoints>,
    mut parts: Streaming<control::CheckpointPart>,
    last: Sequence,
) -> Result<Position, String> {
    let Part::Start(start) = next(&mut parts).await? else {
        return Err("the checkpoint was not announced".to_owned());
    };
    let position = start.position.ok_or("the checkpoint has no place")?;
    let position = history::position_from_wire(&position).map_err(|error| error.to_string())?;
    if position.sequence > last {
        return Err(format!("its checkpoint lies at {}, and only {last} may go", position.sequence));
    }
    if checkpoints.positions().contains(&position) {
        return Ok(position);
    }
    let failed = |error: io::Error| format!("cannot store the checkpoint: {error}");
    let mut writer = checkpoints.receive().map_err(failed)?;
    let (mut length, mut sum) = (0u64, 0u32);
    let end = loop {
        let bytes = match next(&mut parts).await? {
            Part::Chunk(bytes) => bytes,
            Part::End(end) => break end,
            Part::Start(_) => return Err("a checkpoint starts only once".to_owned()),
        };
        length = length.saturating_add(bytes.len() as u64);
        if bytes.len() > CHUNK || length > start.length {
            return Err("the checkpoint is longer than was announced".to_owned());
        }
        sum = crc32c::crc32c_append(sum, &bytes);
        let write = move || writer.write(&bytes).map(|()| writer);
        writer = blocking(write).await.map_err(failed)?;
    };
    if length != start.length || sum != end.crc32c {
        return Err("the checkpoint did not come whole".to_owned());
    }
    let checkpoints = Arc::clone(checkpoints);
    let admit = move || checkpoints.admit(position, &writer.finish()?);
    blocking(admit).await.map_err(|error| format!("the checkpoint is refused: {error}"))?;
    Ok(position)
}

async fn next(parts: &mut Streaming<control::CheckpointPart>) -> Result<Part, String> {
    let next = within(PART_LIMIT, parts.message()).await.ok_or("the checkpoint stopped coming")?;
    let next = next.map_err(|status| status.message().to_owned())?;
    next.and_then(|next| next.part).ok_or_else(|| "the checkpoint ended too early".to_owned())
}

#[cfg(test)]
mod tests;
