//! Whose data a folder holds: cluster, node, incarnation. A folder that is damaged or belongs to someone else is
//! refused.
//!
//! ```text
//! FOLDER/identity     which node of which cluster this is
//! FOLDER/founding     the same while it is being made; renamed at the end
//! FOLDER/token        drawn before a join, so that a repeated join is the same join
//! FOLDER/durable      what of the database is durable at least (log::mark)
//! FOLDER/db/          RocksDB: log, votes, history
//! FOLDER/snapshots/   snapshot files
//! FOLDER/checkpoints/ states in the history (checkpoint)
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use trireme_types::ClusterUuid;

use crate::error::Error;
use crate::log::keys;
use crate::log::mark::Durable;
use crate::storage::disk::{DiskFiles, DiskMark, DiskSpace, replace, sync_folder};
use crate::storage::rocks::RocksKv;
use crate::storage::{Family, Kv, Op, Storage};

/// The file of [`crate::log::mark`].
const MARK: &str = "durable";
/// The identity of a node that is being made.
const FOUNDING: &str = "founding";
const TITLE: &str = "trireme control node, format 1";

/// Which control node of which cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, drawn once by `server init`.
    pub cluster: ClusterUuid,
    /// Rises when a cluster is restored from what is left of it; agents refuse lower ones.
    pub incarnation: u64,
    /// The node's id; never used twice.
    pub node_id: u64,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} of cluster {}", self.node_id, self.cluster)?;
        if self.incarnation > 1 { write!(f, ", incarnation {}", self.incarnation) } else { Ok(()) }
    }
}

impl Identity {
    pub(crate) fn to_text(self) -> String {
        let body = format!(
            "{TITLE}\ncluster {}\nincarnation {}\nnode {}\n",
            self.cluster, self.incarnation, self.node_id
        );
        format!("{body}checksum {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        field("trireme").filter(|rest| TITLE.strip_prefix("trireme ") == Some(*rest))?;
        let found = Self {
            cluster: field("cluster")?.parse().ok()?,
            incarnation: field("incarnation")?.parse().ok()?,
            node_id: field("node")?.parse().ok()?,
        };
        // The checksum covers the rest, so equal texts are equal in it too.
        (found.to_text() == text).then_some(found)
    }
}

/// A control node's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`; it need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Folder { path, source }
    }

    /// The identity in the folder, if there is one.
    pub fn identity(&self) -> Result<Option<Identity>, Error> {
        let path = self.path.join("identity");
        match fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).unwrap_or_default();
                let damaged = || Error::Damaged {
                    path: path.clone(),
                    reason: "it is not an identity file, or its checksum is wrong".to_owned(),
                };
                Identity::from_text(&text).map(Some).ok_or_else(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // One that was being made when its process died is made anew.
                let founding = self.path.join(FOUNDING).exists();
                if !founding && self.path.join("db/CURRENT").exists() {
                    return Err(Error::Damaged {
                        path: self.path.clone(),
                        reason: "there is a database, but no identity file".to_owned(),
                    });
                }
                Ok(None)
            }
            Err(error) => Err(self.failed(&path)(error)),
        }
    }

    /// The identity, which must be there.
    pub fn require_identity(&self) -> Result<Identity, Error> {
        self.identity()?.ok_or_else(|| Error::NotInitialised { path: self.path.clone() })
    }

    /// Refuses a folder that holds a node already.
    pub fn require_empty(&self) -> Result<(), Error> {
        match self.identity()? {
            None => Ok(()),
            Some(found) => {
                Err(Error::AlreadyInitialised { path: self.path.clone(), found: found.to_string() })
            }
        }
    }

    /// Makes the folder that of `identity`.
    pub fn create(&self, identity: Identity) -> Result<(), Error> {
        self.begin(identity)?;
        self.finish()
    }

    /// Makes everything but the identity file, which only [`Folder::finish`] makes: until then the folder holds no node,
    /// and what is there may be made anew. Nobody has been told of it.
    pub(crate) fn begin(&self, identity: Identity) -> Result<(), Error> {
        self.require_empty()?;
        fs::create_dir_all(&self.path).map_err(self.failed(&self.path))?;
        for left in ["db", "snapshots", "checkpoints"].map(|name| self.path.join(name)) {
            absent(fs::remove_dir_all(&left)).map_err(self.failed(&left))?;
        }
        self.write(FOUNDING, identity.to_text().as_bytes())?;
        let kv = RocksKv::open(&self.path.join("db"))?;
        let mark = Bytes::from(identity.to_text());
        let marked = kv.write(vec![Op::Put(Family::Meta, keys::IDENTITY.to_vec(), mark)]);
        marked.and_then(|()| kv.sync()).map_err(Error::Storage)?;
        self.write(MARK, &Durable::nothing())
    }

    /// The node is made.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let path = self.path.join("identity");
        let renamed = fs::rename(self.path.join(FOUNDING), &path).and_then(|()| sync_folder(&self.path));
        renamed.map_err(self.failed(&path))
    }

    /// The token of a join, drawn by `draw` when there is none yet.
    pub fn token(&self, draw: impl FnOnce() -> Bytes) -> Result<Bytes, Error> {
        let path = self.path.join("token");
        match fs::read(&path) {
            Ok(bytes) if bytes.len() == 16 => Ok(bytes.into()),
            Ok(_) => Err(Error::Damaged { path, reason: "it is not 16 bytes long".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.path).map_err(self.failed(&self.path))?;
                let token = draw();
                self.write("token", &token)?;
                Ok(token)
            }
            Err(error) => Err(self.failed(&path)(error)),
        }
    }

    /// Removes what [`Folder::begin`] and those after it made, if they did not come to [`Folder::finish`].
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.require_empty()?;
        for name in ["db", "snapshots", "checkpoints"] {
            absent(fs::remove_dir_all(self.path.join(name))).map_err(self.failed(&self.path))?;
        }
        for name in [FOUNDING, MARK] {
            absent(fs::remove_file(self.path.join(name))).map_err(self.failed(&self.path))?;
        }
        Ok(())
    }

    /// Puts another identity in the place of the one that is there.
    pub(crate) fn replace_identity(&self, identity: Identity) -> Result<(), Error> {
        self.write("identity", identity.to_text().as_bytes())
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        replace(&path, content).map_err(self.failed(&path))
    }

    /// Opens the storage of `identity`, which must be whole and its own.
    pub fn open(&self, identity: Identity) -> Result<Storage, Error> {
        let database = self.path.join("db");
        if !database.join("CURRENT").exists() {
            return Err(Error::Damaged {
                path: database,
                reason: "the database is gone; remove the folder and join anew".to_owned(),
            });
        }
        let kv = RocksKv::open(&database)?;
        check_owner(&kv, identity, &database)?;
        let files = DiskFiles::open(&self.path.join("snapshots"))?;
        let checkpoints = DiskFiles::open(&self.path.join("checkpoints"))?;
        Ok(self.storage(kv, files, checkpoints))
    }

    /// Opens the storage of `identity` to look at it: nothing is written, and nobody else may have it open.
    pub fn look(&self, identity: Identity) -> Result<Storage, Error> {
        let database = self.path.join("db");
        if !database.join("CURRENT").exists() {
            return Err(Error::Damaged { path: database, reason: "the database is gone".to_owned() });
        }
        let kv = RocksKv::look(&database)?;
        check_owner(&kv, identity, &database)?;
        let files = DiskFiles::look(&self.path.join("snapshots"));
        let checkpoints = DiskFiles::look(&self.path.join("checkpoints"));
        Ok(self.storage(kv, files, checkpoints))
    }

    fn storage(&self, kv: RocksKv, files: DiskFiles, checkpoints: DiskFiles) -> Storage {
        Storage {
            kv: Arc::new(kv),
            files: Arc::new(files),
            checkpoints: Arc::new(checkpoints),
            mark: Arc::new(DiskMark(self.path.join(MARK))),
            space: Arc::new(DiskSpace(self.path.clone())),
        }
    }
}

/// What is not there need not be removed.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whose data a database says that it holds.
pub(crate) fn owner(kv: &dyn Kv) -> Result<Option<Identity>, Error> {
    let mark = kv.get(Family::Meta, keys::IDENTITY).map_err(Error::Storage)?;
    Ok(mark.and_then(|bytes| Identity::from_text(&String::from_utf8_lossy(&bytes))))
}

fn check_owner(kv: &dyn Kv, identity: Identity, database: &Path) -> Result<(), Error> {
    match owner(kv)? {
        Some(found) if found == identity => Ok(()),
        Some(found) => Err(Error::WrongData {
            path: database.to_owned(),
            found: found.to_string(),
            expected: identity.to_string(),
        }),
        None => Err(Error::Damaged {
            path: database.to_owned(),
            reason: "it does not say whose it is; remove the folder and join anew".to_owned(),
        }),
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node_id: u64) -> Identity {
        Identity { cluster: ClusterUuid::from_bits(7), incarnation: 1, node_id }
    }

    #[test]
    fn a_folder_is_its_owners_and_only_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("raft"));
        assert!(matches!(folder.require_identity(), Err(Error::NotInitialised { .. })));
        folder.create(identity(1)).unwrap();
        assert_eq!(folder.identity().unwrap(), Some(identity(1)));
        assert!(matches!(folder.create(identity(2)), Err(Error::AlreadyInitialised { .. })));
        folder.open(identity(1)).unwrap();
        assert!(matches!(folder.open(identity(2)), Err(Error::WrongData { .. })));
    }

    #[test]
    fn what_was_cut_short_is_made_anew() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        folder.begin(identity(1)).unwrap();
        assert!(matches!(folder.require_identity(), Err(Error::NotInitialised { .. })));
        folder.begin(identity(2)).unwrap();
        folder.finish().unwrap();
        assert!(matches!(folder.begin(identity(3)), Err(Error::AlreadyInitialised { .. })));
        folder.open(identity(2)).unwrap();
    }

    #[test]
    fn damage_is_told() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        folder.create(identity(1)).unwrap();
        let file = place.path().join("identity");
        let text = fs::read_to_string(&file).unwrap().replace("node 1", "node 2");
        fs::write(&file, text).unwrap();
        assert!(matches!(folder.identity(), Err(Error::Damaged { .. })));
        fs::remove_file(&file).unwrap();
        assert!(matches!(folder.identity(), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_lost_database_is_told() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        folder.create(identity(1)).unwrap();
        fs::remove_dir_all(place.path().join("db")).unwrap();
        assert!(matches!(folder.open(identity(1)), Err(Error::Damaged { .. })));
        fs::create_dir(place.path().join("db")).unwrap();
        assert!(matches!(folder.open(identity(1)), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_token_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("new"));
        let first = folder.token(|| Bytes::from_static(&[1; 16])).unwrap();
        assert_eq!(folder.token(|| Bytes::from_static(&[2; 16])).unwrap(), first);
    }
}
