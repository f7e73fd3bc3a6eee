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

use crate::founding::{copy_key, holds_key, key_path, make_folder, member};
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

/// Makes the data folder, which holds no control node, the first one of a later incarnation of the backup's cluster.
/// `cluster_key` is a copy of the cluster's key, which a backup does not hold. Nobody else may use the folder meanwhile.
///
/// # Errors
/// A folder in use, another cluster's key, a backup that cannot be used. Nothing is left behind then, and a key that was there
/// before is as it was.
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
    let kept = holds_key(&own_key, cluster_key)?;
    let making = async {
        make_folder(&config.data)?;
        if !kept {
            copy_key(cluster_key, &own_key)?;
        }
        let (settings, member) = (config.raft_settings(), member(config));
        let vet = move |state: &State| opens(&key, state);
        // It holds a whole state, which is large.
        Ok(Box::pin(backup::restore(&folder, file, member, incarnation, &settings, vet)).await?)
    };
    let restored = making.await;
    if restored.is_err() {
        clear(config, existed, kept);
    }
    restored
}

/// Removes what a restore that failed has made, and what is nobody else's.
fn clear(config: &ServerConfig, existed: bool, key_existed: bool) {
    let key = if key_existed { Ok(()) } else { absent(std::fs::remove_file(key_path(config))) };
    let removed = key.and_then(|()| if existed { Ok(()) } else { absent(std::fs::remove_dir(&config.data)) });
    if let Err(error) = removed {
        tracing::warn!(%error, data = %config.data.display(), "something is left of a restore that failed");
    }
}

/// What is not there need not be removed.
fn absent(removed: std::io::Result<()>) -> std::io::Result<()> {
    removed.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use trireme_raft::Node;

    use super::*;
    use crate::founding;
    use crate::founding::tests::config;

    /// A backup of a new cluster, and its key.
    async fn backed_up(place: &Path) -> (PathBuf, PathBuf) {
        let config = config(place.join("first"));
        founding::init(&config).await.unwrap();
        let node = Node::open(&Folder::new(&config.data), config.raft_settings()).await.unwrap();
        let file = place.join("backup");
        let mut parts = node.backup("0.0.0-test", true).unwrap();
        let mut bytes = Vec::new();
        while let Some(part) = parts.recv().await {
            if let Part::Chunk(chunk) = part.unwrap() {
                bytes.extend_from_slice(&chunk);
            }
        }
        node.halt().await;
        std::fs::write(&file, bytes).unwrap();
        (file, key_path(&config))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_restore_leaves_nothing_and_spares_the_key_that_is_there() {
        let place = tempfile::tempdir().unwrap();
        let (file, key) = Box::pin(backed_up(place.path())).await;
        let damaged = place.path().join("damaged");
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&damaged, bytes).unwrap();

        let config = config(place.path().join("new"));
        assert!(restore(&config, &damaged, &key, None).await.is_err());
        assert!(!config.data.exists(), "the folder was not there before");
        make_folder(&config.data).unwrap();
        assert!(restore(&config, &damaged, &key, None).await.is_err());
        assert_eq!(names(&config.data), [""; 0]);

        // Another cluster's key, perhaps its only copy; then this cluster's own.
        let own_key = key_path(&config);
        SealingKey::create(&own_key).unwrap();
        let before = std::fs::read(&own_key).unwrap();
        let error = restore(&config, &file, &key, None).await.unwrap_err();
        assert!(error.to_string().contains("another cluster's key"), "{error}");
        assert_eq!(std::fs::read(&own_key).unwrap(), before);
        std::fs::copy(&key, &own_key).unwrap();
        assert!(restore(&config, &damaged, &own_key, None).await.is_err());
        assert_eq!(names(&config.data), ["cluster.key"], "the operator put it there");
        assert_eq!(std::fs::read(&own_key).unwrap(), std::fs::read(&key).unwrap());

        let restored = restore(&config, &file, &own_key, None).await.unwrap();
        assert_eq!(restored.identity.node_id, 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_that_cannot_be_copied_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (file, key) = Box::pin(backed_up(place.path())).await;
        let config = config(place.path().join("new"));
        make_folder(&config.data).unwrap();
        // The draft's name is taken by a folder.
        std::fs::create_dir(key_path(&config).with_extension("key.new")).unwrap();
        assert!(matches!(restore(&config, &file, &key, None).await, Err(Error::Io { .. })));
        assert_eq!(names(&config.data), ["cluster.key.new"]);
    }
}
