//! `server init`, `server join`: how a control node becomes one.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trireme_iam::{NewAccessKey, SealingKey};
use trireme_raft::{Folder, Member, Node};
use trireme_state::object::{AccessKeyId, SealedSecret};
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Proposal, command};
use trireme_types::{AccountId, RequestId};

use crate::{Error, ServerConfig};

/// The cluster key's file in a control node's data folder.
pub const CLUSTER_KEY_FILE: &str = "cluster.key";
/// The file in a data folder that says which control node it is; there once `init` or `join` is done.
pub const IDENTITY_FILE: &str = "identity";

/// An access key as its holder keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyFile {
    /// The public id.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
}

impl AccessKeyFile {
    /// Reads the file that `server init --access-key-file` wrote.
    ///
    /// # Errors
    /// It is not there or holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|error| failed(error.into()))
    }

    /// Writes a new file that only its owner may read, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let draft = path.with_extension("new");
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        };
        write().map_err(failed)
    }
}

/// Makes the data folder the first control node of a new cluster, and the cluster's first access key. Once: a folder that
/// holds a node already is refused. One that was cut short may be repeated; it starts anew.
///
/// # Errors
/// A folder in use, a disk that fails.
pub async fn init(config: &ServerConfig) -> Result<AccessKeyFile, Error> {
    let folder = Folder::new(&config.data);
    folder.require_empty()?;
    make_folder(&config.data)?;
    let sealing_key = own_key(&key_path(config))?;
    let settings = config.raft_settings();
    let first = async |node: &Node| store_access_key(node, &sealing_key).await;
    trireme_raft::init_with(&folder, member(config), &settings, first).await
}

/// The cluster key in a folder that holds no node yet: a new one, or that of an attempt that was cut short.
fn own_key(path: &Path) -> Result<SealingKey, Error> {
    if path.exists() {
        match SealingKey::read(path) {
            // Cut short while it was written: nothing is sealed with it yet.
            Err(trireme_iam::Error::KeyFileContent { .. }) => {}
            found => return Ok(found?),
        }
        std::fs::remove_file(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    }
    Ok(SealingKey::create(path)?)
}

async fn store_access_key(node: &Node, sealing_key: &SealingKey) -> Result<AccessKeyFile, Error> {
    let key = NewAccessKey::generate();
    let account = AccountId::development();
    let sealed = sealing_key.seal(&key.id, &account, &key.secret)?;
    let proposal = Proposal {
        actor: Actor::Operator,
        request_id: RequestId::from_bits(rand::random()),
        key: None,
        command: Command::CreateAccessKey(Box::new(command::NewAccessKey {
            id: AccessKeyId::new(&key.id),
            principal: format!("arn:aws:iam::{}:root", account.as_str()),
            account,
            secret: SealedSecret { nonce: sealed.nonce, ciphertext: sealed.ciphertext },
        })),
    };
    let proposed = node.store().propose(proposal).await;
    proposed.map_err(|error| Error::AccessKey { reason: error.to_string() })?;
    Ok(AccessKeyFile { access_key_id: key.id, secret_access_key: key.secret })
}

/// Joins the data folder to the cluster of the control nodes at `peers`. `cluster_key` is a copy of the cluster's key: it is
/// not sent over the wire. A join that was cut short may be repeated.
///
/// # Errors
/// A folder in use, a key that is none, a cluster that refuses or does not answer.
pub async fn join(config: &ServerConfig, peers: &[String], cluster_key: &Path) -> Result<u64, Error> {
    let folder = Folder::new(&config.data);
    folder.require_empty()?;
    SealingKey::read(cluster_key)?;
    make_folder(&config.data)?;
    if !holds_key(&key_path(config), cluster_key)? {
        copy_key(cluster_key, &key_path(config))?;
    }
    let identity = trireme_raft::join(&folder, member(config), peers, &config.raft_settings()).await?;
    Ok(identity.node_id)
}

pub(crate) fn member(config: &ServerConfig) -> Member {
    Member {
        zone: config.zone.clone(),
        peer_address: config.listen_grpc.to_string(),
        api_address: config.listen_api.to_string(),
        ..Member::default()
    }
}

/// The cluster key of a control node.
pub(crate) fn key_path(config: &ServerConfig) -> PathBuf {
    config.data.join(CLUSTER_KEY_FILE)
}

/// Makes a data folder that only its owner may enter, unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(data: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|source| Error::Io { path: data.to_owned(), source })
}

/// Whether the cluster's key is in the data folder already. Another one there may be the only copy of what opens another cluster's
/// secrets: it is not overwritten.
pub(crate) fn holds_key(own_key: &Path, cluster_key: &Path) -> Result<bool, Error> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source });
    if std::fs::symlink_metadata(own_key).is_err() {
        return Ok(false);
    }
    if read(own_key)? == read(cluster_key)? {
        return Ok(true);
    }
    Err(Error::Setting {
        setting: "--data",
        reason: format!(
            "{} is another cluster's key: move it away, or take another folder",
            own_key.display()
        ),
    })
}

pub(crate) fn copy_key(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let text = std::fs::read(from).map_err(failed(from))?;
    // Whole or not at all: half a key would be taken for another cluster's.
    let draft = to.with_extension("key.new");
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&draft, to)
    };
    write().map_err(|error| {
        let _left = std::fs::remove_file(&draft);
        failed(to)(error)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Auth, config::Timing};

    pub(crate) fn config(data: PathBuf) -> ServerConfig {
        ServerConfig {
            data,
            zone: "us-east-1a".to_owned(),
            listen_api: ([127, 0, 0, 1], 1).into(),
            listen_grpc: ([127, 0, 0, 1], 2).into(),
            auth: Auth::Sigv4,
            timing: Timing::Local,
            disk_reserve_mib: None,
            snapshot_entries: None,
            drain: Duration::ZERO,
            scaling_hook: None,
            deliver_to_loopback: false,
        }
    }

    #[tokio::test]
    async fn neither_init_nor_join_destroys_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path().join("n"));
        make_folder(&config.data).unwrap();
        SealingKey::create(&key_path(&config)).unwrap();
        let kept = std::fs::read(key_path(&config)).unwrap();
        let readable = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(key_path(&config), readable).unwrap();
        assert!(init(&config).await.is_err(), "others may read it: that is to be mended first");
        assert_eq!(std::fs::read(key_path(&config)).unwrap(), kept);
        let other = place.path().join("other.key");
        SealingKey::create(&other).unwrap();
        let refused = join(&config, &["127.0.0.1:1".to_owned()], &other).await.unwrap_err();
        assert!(refused.to_string().contains("another cluster's key"), "{refused}");
        assert_eq!(std::fs::read(key_path(&config)).unwrap(), kept);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_init_that_was_cut_short_may_be_repeated() {
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path().join("n"));
        // As the process left it that died before the first access key was stored.
        make_folder(&config.data).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut key = options.write(true).create_new(true).mode(0o600).open(key_path(&config)).unwrap();
        key.write_all(b"half a k").unwrap();
        let settings = config.raft_settings();
        let folder = Folder::new(&config.data);
        let died: Result<(), Error> =
            trireme_raft::init_with(&folder, member(&config), &settings, async |_: &Node| {
                Err(Error::AccessKey { reason: "it died here".to_owned() })
            })
            .await;
        assert!(died.is_err());
        assert!(!config.data.join(IDENTITY_FILE).exists());
        let key = init(&config).await.unwrap();
        assert!(matches!(init(&config).await, Err(Error::Raft(_))), "only once");
        let node = Node::open(&folder, settings).await.unwrap();
        let state = node.store().read().await.unwrap();
        assert!(state.access_key(&AccessKeyId::new(&key.access_key_id)).is_some());
        node.halt().await;
    }
}
