//! Checkpoints on their way from one node to another: in parts of at most 1 MiB, announced by their place, checked at the
//! end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Status, Streaming};
use trireme_rpc::{control, convert};
use trireme_state::Position;
use trireme_types::Sequence;

use super::Checkpoints;
use crate::history;
use crate::network::peers::Peers;
use crate::snapshot::blocking;
use crate::snapshot::file::{CHUNK, checksum, read_part};
use crate::storage::Blob;

/// The longest silence within a checkpoint.
const PART_LIMIT: Duration = Duration::from_secs(10);

/// The oldest checkpoint from which kept records are replayed, in parts.
///
/// # Errors
/// There is none; storage that fails.
pub(crate) async fn send(
    checkpoints: Arc<Checkpoints>,
    start: Sequence,
) -> Result<impl Stream<Item = Result<control::CheckpointPart, Status>> + Send, Status> {
    let failed = |error: io::Error| Status::internal(format!("cannot read the checkpoint: {error}"));
    let look = move || -> io::Result<Option<(Position, Blob, u32)>> {
        let Some((position, blob)) = checkpoints.oldest_sound(start)? else { return Ok(None) };
        let sum = checksum(&blob, 0)?;
        Ok(Some((position, blob, sum)))
    };
    let found = blocking(look).await.map_err(failed)?;
    let (position, blob, sum) = found.ok_or_else(|| Status::not_found("there is no checkpoint here"))?;
    Ok(parts(position, blob, sum))
}

fn parts(
    position: Position,
    blob: Blob,
    crc32c: u32,
) -> impl Stream<Item = Result<control::CheckpointPart, Status>> + Send {
    use control::checkpoint_part::Part;
    let start = control::CheckpointStart {
        position: Some(history::position_to_wire(position)),
        length: blob.length(),
        crc32c,
    };
    let first = Ok(control::CheckpointPart { part: Some(Part::Start(start)) });
    let rest = stream::unfold(0u64, move |offset| {
        let blob = Arc::clone(&blob);
        async move {
            if offset >= blob.length() {
                return None;
            }
            let bytes = match blocking(move || read_part(&blob, offset)).await {
                Ok(bytes) => bytes,
                Err(error) => return Some((Err(Status::data_loss(error.to_string())), u64::MAX)),
            };
            let next = offset.saturating_add(bytes.len() as u64);
            Some((Ok(control::CheckpointPart { part: Some(Part::Chunk(bytes)) }), next))
        }
    });
    stream::iter([first]).chain(rest)
}

/// Takes over the oldest checkpoint of a peer, unless it is here already or lies after `last`.
///
/// # Errors
/// The peer has none, breaks off, or sends what is not as it was announced.
pub(crate) async fn fetch(
    checkpoints: &Arc<Checkpoints>,
    peers: &Peers,
    address: &str,
    last: Sequence,
    limit: Duration,
) -> Result<Position, String> {
    let fetching = async {
        let mut client = peers.control(address).map_err(|error| error.to_string())?;
        let request = control::CheckpointRequest { cluster_id: convert::cluster_to_bytes(peers.cluster()) };
        let answer = client.checkpoint(request).await.map_err(|status| status.message().to_owned())?;
        receive(checkpoints, answer.into_inner(), last).await
    };
    tokio::time::timeout(limit, fetching)
        .await
        .unwrap_or_else(|_| Err(format!("{address} did not send its checkpoint in time")))
}

async fn receive(
    checkpoints: &Arc<Checkpoints>,
    mut parts: Streaming<control::CheckpointPart>,
    last: Sequence,
) -> Result<Position, String> {
    use control::checkpoint_part::Part;
    let Some(Part::Start(start)) = next(&mut parts).await? else {
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
    while let Some(part) = next(&mut parts).await? {
        let Part::Chunk(bytes) = part else { return Err("a checkpoint starts only once".to_owned()) };
        length = length.saturating_add(bytes.len() as u64);
        if bytes.len() > CHUNK || length > start.length {
            return Err("the checkpoint is longer than announced".to_owned());
        }
        sum = crc32c::crc32c_append(sum, &bytes);
        let write = move || writer.write(&bytes).map(|()| writer);
        writer = blocking(write).await.map_err(failed)?;
    }
    if length != start.length || sum != start.crc32c {
        return Err("the checkpoint did not come whole".to_owned());
    }
    let checkpoints = Arc::clone(checkpoints);
    let admit = move || checkpoints.admit(position, &writer.finish()?);
    blocking(admit).await.map_err(|error| format!("the checkpoint is refused: {error}"))?;
    Ok(position)
}

async fn next(
    parts: &mut Streaming<control::CheckpointPart>,
) -> Result<Option<control::checkpoint_part::Part>, String> {
    let part = tokio::time::timeout(PART_LIMIT, parts.message()).await;
    let part = part.map_err(|_| "the checkpoint stopped coming".to_owned())?;
    Ok(part.map_err(|status| status.message().to_owned())?.and_then(|part| part.part))
}
