//! Backups: made for an operator while the node runs, checked, and restored to an empty data folder.

use std::path::Path;

use futures_util::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use trireme_iam::{Sealed, SealingKey};
use trireme_raft::backup::{self, Part, Restored, Summary};
use trireme_raft::{Folder, Node};
use trireme_rpc::operator::{BackupDone, BackupPart, BackupRequest, backup_part};
use trireme_state::State;

use crate::founding::{copy_key, key_path, make_folder, member};
use crate::{Error, ServerConfig};

/// A backup on its way to an operator.
pub(crate) type Sent = Result<BackupPart, Status>;

/// Makes a backup of what this node knows.
pub(crate) fn make(
    node: &Node,
    version: &'static str,
    request: BackupRequest,
) -> Result<impl Stream<Item = Sent> + Send + use<>, Status> {
    let parts = node.backup(version, !request.without_history).map_err(|error| refusal(&error))?;
    Ok(ReceiverStream::new(parts).map(|part| part.map(to_wire).map_err(|error| refusal(&error))))
}

fn to_wire(part: Part) -> BackupPart {
    let part = match part {
        Part::Chunk(bytes) => backup_part::Part::Chunk(bytes),
        Part::Done { length, sha256, summary } => backup_part::Part::Done(BackupDone {
            length,
            sha256: sha256.to_vec().into(),
            sequence: summary.position.sequence.get(),
            first_sequence: summary.first().get(),
            cluster_uuid: summary.cluster.to_string(),
            incarnation: summary.incarnation,
            node_id: summary.node_id,
        }),
    };
    BackupPart { part: Some(part) }
}

/// How an operator is told why nothing comes.
pub(crate) fn refusal(error: &trireme_raft::Error) -> Status {
    let text = error.to_string();
    match error {
        trireme_raft::Error::Busy { .. } => Status::resource_exhausted(text),
        // It was deleted while it was read: there is a later beginning now.
        trireme_raft::Error::Trimmed { .. } => Status::aborted(text),
        trireme_raft::Error::History { .. } => Status::data_loss(text),
        _ => Status::unavailable(text),
    }
}

/// Checks a whole backup: every part, the hash of all, and that a replay of its history comes to its state.
///
/// # Errors
/// It is no backup, damaged, cut short, or of a later format.
pub fn check_backup(path: &Path) -> Result<Summary, Error> {
    Ok(backup::check(path)?)
}

/// Makes the data folder, which holds no control node, the first one of the next incarnation of the backup's cluster.
/// `cluster_key` is a copy of the cluster's key, which a backup does not hold.
///
/// # Errors
/// A folder in use, another cluster's key, a backup that cannot be used. Nothing is left behind then.
pub async fn restore(
    config: &ServerConfig,
    file: &Path,
    cluster_key: &Path,
    incarnation: Option<u64>,
) -> Result<Restored, Error> {
    let folder = Folder::new(&config.data);
    folder.require_empty()?;
    let key = SealingKey::read(cluster_key)?;
    let (existed, own_key) = (config.data.exists(), key_path(config));
    make_folder(&config.data)?;
    let kept = own_key.exists().then(|| std::fs::canonicalize(&own_key).ok()).flatten();
    if kept != std::fs::canonicalize(cluster_key).ok() {
        copy_key(cluster_key, &own_key)?;
    }
    let (settings, member) = (config.raft_settings(), member(config));
    let vet = move |state: &State| opens(&key, state);
    let restored = backup::restore(&folder, file, member, incarnation, &settings, vet).await;
    if restored.is_err() {
        clear(config, existed, kept.is_some());
    }
    Ok(restored?)
}

/// Removes what a restore that failed has made.
fn clear(config: &ServerConfig, existed: bool, key_existed: bool) {
    let removed = match (existed, key_existed) {
        (false, _) => std::fs::remove_dir_all(&config.data),
        (true, false) => std::fs::remove_file(key_path(config)),
        (true, true) => Ok(()),
    };
    if let Err(error) = removed {
        tracing::warn!(%error, data = %config.data.display(), "something is left of a restore that failed");
    }
}

/// Whether this is the key with which the state's secrets are sealed.
fn opens(key: &SealingKey, state: &State) -> Result<(), String> {
    for known in state.access_keys() {
        let sealed = Sealed { nonce: known.secret.nonce, ciphertext: known.secret.ciphertext.clone() };
        if key.unseal(known.id.as_str(), &known.account, &sealed).is_err() {
            return Err(
                "its secrets are not sealed with this cluster key: give the cluster.key of its cluster"
                    .to_owned(),
            );
        }
    }
    Ok(())
}
