//! The ledger: what an agent must know after a restart. Its identity, and how far it has followed the control plane, so that
//! a stale control node revives nothing.
//!
//! The file is replaced as a whole, and synced before it is and after. Only its first lines, the identity, are needed to go on:
//! a later write that fails is a warning, and what it should have kept is written with the next one.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// Drawn once, so that a registration whose answer got lost is not made twice.
    pub registration_token: String,
    /// The container instance's id; empty before the first session.
    pub instance: String,
    /// The control plane that gave the id.
    pub cluster_uuid: String,
    /// The highest incarnation of it that was seen. Ledgers of older agents know the first only.
    #[serde(default = "first_incarnation")]
    pub incarnation: u64,
    /// The highest sequence of an assignment that was accepted in that incarnation.
    pub sequence: u64,
    /// The highest epoch of an assignment that was accepted in that incarnation.
    pub epoch: u64,
    /// Where the control plane's nodes listened when one of them last said so (`host:port`).
    #[serde(default)]
    pub control_nodes: Vec<String>,
    /// The machine's boot in which it was written, in the system's own words; empty when nobody knows.
    #[serde(default)]
    pub boot_id: String,
}

fn first_incarnation() -> u64 {
    1
}

/// Why assignments are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// They come from another control plane.
    #[error("assignments of another control plane")]
    OtherControlPlane,
    /// They come from the control plane as it was before it was restored.
    #[error(
        "assignments of incarnation {incarnation} of the control plane, which lives on as incarnation {known}"
    )]
    EarlierIncarnation {
        /// Theirs.
        incarnation: u64,
        /// The highest that was seen.
        known: u64,
    },
    /// They are older than what was accepted already.
    #[error("assignments of sequence {sequence}, epoch {epoch} are older than what is known")]
    Older {
        /// Their sequence.
        sequence: u64,
        /// Their epoch.
        epoch: u64,
    },
}

/// The ledger of one agent.
#[derive(Debug)]
pub struct Ledger {
    path: Option<PathBuf>,
    entries: Entries,
    synced: bool,
    rebooted: bool,
    /// Kept as long as the ledger is open: two agents under one identity would take each other's sessions for ever.
    _lock: Option<File>,
}

impl Ledger {
    /// Opens the ledger in `folder`, or begins one. Without a folder it lives in memory. Not `synced`, it need not outlive the
    /// machine: for thousands of simulated agents on one disk.
    ///
    /// # Errors
    /// Another agent uses the folder, the ledger cannot be read, or none can be begun.
    pub fn open(folder: Option<&Path>, synced: bool) -> Result<Self, Error> {
        let lock = folder.map(lock).transpose()?;
        let known = folder.map(read).transpose()?.flatten();
        let mut entries = known.unwrap_or_default();
        // It is kept with the next write: until then the restart of the machine is still to be told of.
        let before = std::mem::replace(&mut entries.boot_id, boot_id());
        let rebooted = !before.is_empty() && before != entries.boot_id;
        let mut ledger = Self { path: folder.map(path_in), entries, synced, rebooted, _lock: lock };
        if ledger.entries.registration_token.is_empty() {
            ledger.entries.registration_token = format!("{:032x}", rand::random::<u128>());
            ledger.write()?;
        }
        Ok(ledger)
    }

    /// What is kept.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Whether the machine was started again since an agent last wrote the ledger.
    pub fn rebooted(&self) -> bool {
        self.rebooted
    }

    /// The agent was given an identity.
    ///
    /// # Errors
    /// It cannot be kept: after a restart the agent would not know its containers.
    pub fn identify(&mut self, instance: &str, cluster_uuid: &str, incarnation: u64) -> Result<(), Error> {
        let known = &mut self.entries;
        if known.instance == instance
            && known.cluster_uuid == cluster_uuid
            && known.incarnation == incarnation
        {
            return Ok(());
        }
        if known.incarnation != incarnation {
            // A restored control plane knows fewer events, and gives epochs again.
            (known.incarnation, known.sequence, known.epoch) = (incarnation, 0, 0);
        }
        instance.clone_into(&mut known.instance);
        cluster_uuid.clone_into(&mut known.cluster_uuid);
        self.write()
    }

    /// Accepts assignments, or refuses them because something newer was accepted before.
    pub fn accept(
        &mut self,
        cluster_uuid: &str,
        incarnation: u64,
        sequence: u64,
        epoch: u64,
    ) -> Result<(), Fenced> {
        let known = &mut self.entries;
        // A session's Welcome comes first, and raises what is known.
        if known.cluster_uuid != cluster_uuid || known.incarnation < incarnation {
            return Err(Fenced::OtherControlPlane);
        }
        if incarnation < known.incarnation {
            return Err(Fenced::EarlierIncarnation { incarnation, known: known.incarnation });
        }
        if sequence < known.sequence || epoch < known.epoch {
            return Err(Fenced::Older { sequence, epoch });
        }
        if (known.sequence, known.epoch) == (sequence, epoch) {
            return Ok(());
        }
        (known.sequence, known.epoch) = (sequence, epoch);
        if let Err(error) = self.write() {
            // It still fences while the agent lives. An agent that ended here would leave its containers to run beside
            // those that replace them.
            metrics::counter!("trireme_agent_ledger_errors_total").increment(1);
            tracing::warn!(error = crate::error::describe(&error), sequence, epoch, "not kept in the ledger");
        }
        Ok(())
    }

    /// The control nodes are these now. That they are not kept does no harm while the agent lives.
    pub fn remember(&mut self, control_nodes: Vec<String>) {
        if self.entries.control_nodes == control_nodes {
            return;
        }
        self.entries.control_nodes = control_nodes;
        if let Err(error) = self.write() {
            metrics::counter!("trireme_agent_ledger_errors_total").increment(1);
            tracing::warn!(
                error = crate::error::describe(&error),
                "the control nodes are not kept in the ledger"
            );
        }
    }

    /// The control plane does not know the agent any more: its next start registers anew.
    ///
    /// # Errors
    /// It cannot be kept: the next start would find out once more.
    pub fn forget(&mut self) -> Result<(), Error> {
        self.entries = Entries {
            registration_token: format!("{:032x}", rand::random::<u128>()),
            control_nodes: std::mem::take(&mut self.entries.control_nodes),
            boot_id: std::mem::take(&mut self.entries.boot_id),
            ..Entries::default()
        };
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |source| Error::Ledger { path: path.clone(), source };
        let text = serde_json::to_vec_pretty(&self.entries).map_err(|error| failed(error.into()))?;
        replace(path, &text, self.synced).map_err(failed)
    }
}

/// Replaces a file. If `synced` by one that is wholly on the disk: after a power loss there is the old one or the new one.
fn replace(path: &Path, text: &[u8], synced: bool) -> std::io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    if synced {
        file.sync_all()?;
    }
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) if synced => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// What the system calls the time since the machine was started.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("ledger.json")
}

/// Takes the folder for this agent alone. The system gives it back when the file is closed, however the agent ends.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = |source| Error::Ledger { path: path.clone(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::FolderInUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// What the ledger in `folder` says, if there is one. Somebody else may hold it open.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn read(folder: &Path) -> Result<Option<Entries>, Error> {
    let path = path_in(folder);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Ledger { path, source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| Error::LedgerDamaged { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_of_the_machine_is_told_until_something_is_written_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let opened = || Ledger::open(Some(folder.path()), true).unwrap();
        assert!(!opened().rebooted(), "it is new");
        assert!(!opened().rebooted());
        let path = path_in(folder.path());
        let text = std::fs::read_to_string(&path).unwrap().replace(&boot_id(), "another-boot");
        std::fs::write(&path, text).unwrap();
        assert!(opened().rebooted());
        let mut ledger = opened();
        assert!(ledger.rebooted());
        ledger.identify("i", "c", 1).unwrap();
        drop(ledger);
        assert!(!opened().rebooted());
    }

    #[test]
    fn what_is_older_is_refused_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(Some(folder.path()), true).unwrap();
        ledger.identify("i", "c", 1).unwrap();
        assert_eq!(ledger.accept("c", 1, 10, 2), Ok(()));
        assert_eq!(ledger.accept("c", 1, 10, 2), Ok(()), "the same again");
        let token = ledger.entries().registration_token.clone();
        drop(ledger);
        let mut ledger = Ledger::open(Some(folder.path()), true).unwrap();
        assert_eq!(ledger.entries().registration_token, token);
        let older = |sequence, epoch| Err(Fenced::Older { sequence, epoch });
        assert_eq!(ledger.accept("c", 1, 9, 2), older(9, 2));
        assert_eq!(ledger.accept("c", 1, 11, 1), older(11, 1));
        assert_eq!(ledger.accept("d", 1, 99, 9), Err(Fenced::OtherControlPlane));
        assert_eq!(ledger.accept("c", 1, 11, 3), Ok(()));
    }

    #[test]
    fn a_restored_control_plane_begins_anew_and_the_one_before_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(Some(folder.path()), true).unwrap();
        ledger.identify("i", "c", 1).unwrap();
        assert_eq!(ledger.accept("c", 1, 10, 2), Ok(()));
        ledger.identify("i", "c", 2).unwrap();
        assert_eq!(ledger.accept("c", 2, 4, 1), Ok(()), "fewer events, and its epochs are its own");
        let earlier = Err(Fenced::EarlierIncarnation { incarnation: 1, known: 2 });
        assert_eq!(ledger.accept("c", 1, 99, 9), earlier);
        drop(ledger);
        let mut ledger = Ledger::open(Some(folder.path()), true).unwrap();
        assert_eq!(ledger.accept("c", 1, 99, 9), earlier, "also after a restart");
    }

    #[test]
    fn a_ledger_without_an_incarnation_is_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let old = r#"{"registration_token":"t","instance":"i","cluster_uuid":"c","sequence":7,"epoch":2}"#;
        std::fs::write(folder.path().join("ledger.json"), old).unwrap();
        let mut ledger = Ledger::open(Some(folder.path()), true).unwrap();
        assert_eq!(ledger.accept("c", 1, 6, 2), Err(Fenced::Older { sequence: 6, epoch: 2 }));
        assert_eq!(ledger.accept("c", 1, 8, 2), Ok(()));
    }

    #[test]
    fn a_damaged_ledger_is_an_error_and_not_a_new_agent() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ledger.json"), "{").unwrap();
        assert!(matches!(Ledger::open(Some(folder.path()), true), Err(Error::LedgerDamaged { .. })));
    }

    #[test]
    fn a_write_that_fails_costs_nothing_but_a_restart() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let mut ledger = Ledger::open(Some(&folder), true).unwrap();
        ledger.identify("i", "c", 1).unwrap();
        // Root may write where it must not: the folder itself goes.
        let away = parent.path().join("away");
        std::fs::rename(&folder, &away).unwrap();
        assert_eq!(ledger.accept("c", 1, 10, 2), Ok(()));
        assert_eq!(ledger.accept("c", 1, 9, 2), Err(Fenced::Older { sequence: 9, epoch: 2 }), "it fences");
        assert_eq!(read(&away).unwrap().unwrap().sequence, 0);
        std::fs::rename(&away, &folder).unwrap();
        assert_eq!(ledger.accept("c", 1, 11, 2), Ok(()));
        assert_eq!(read(&folder).unwrap().as_ref(), Some(ledger.entries()), "kept with the next write");
    }

    #[test]
    fn an_identity_that_cannot_be_kept_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let mut ledger = Ledger::open(Some(&folder), true).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(ledger.identify("i", "c", 1), Err(Error::Ledger { .. })));
    }

    #[test]
    fn one_agent_uses_a_folder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(Some(folder.path()), true).unwrap();
        let error = Ledger::open(Some(folder.path()), true).unwrap_err();
        assert_eq!(error.to_string(), format!("another agent uses {}", folder.path().display()));
        drop(ledger);
        Ledger::open(Some(folder.path()), true).unwrap();
    }
}
