//! The ledger: what an agent must know after a restart. Its identity, and how far it has followed the control plane, so that
//! a stale control node revives nothing.
//!
//! The file is replaced as a whole and not synced: it must outlive the agent, not the machine, which takes the containers with
//! it.

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
    /// The highest sequence of an assignment that was accepted.
    pub sequence: u64,
    /// The highest epoch of an assignment that was accepted.
    pub epoch: u64,
}

/// Why assignments are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// They come from another control plane.
    #[error("assignments of another control plane")]
    OtherControlPlane,
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
}

impl Ledger {
    /// Opens the ledger in `folder`, or begins one. Without a folder it lives in memory.
    pub fn open(folder: Option<&Path>) -> Result<Self, Error> {
        let path = folder.map(|folder| folder.join("ledger.json"));
        let known = match &path {
            Some(path) => read(path)?,
            None => None,
        };
        let mut ledger = Self { path, entries: known.unwrap_or_default() };
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

    /// The agent was given an identity.
    pub fn identify(&mut self, instance: &str, cluster_uuid: &str) -> Result<(), Error> {
        if self.entries.instance == instance && self.entries.cluster_uuid == cluster_uuid {
            return Ok(());
        }
        instance.clone_into(&mut self.entries.instance);
        cluster_uuid.clone_into(&mut self.entries.cluster_uuid);
        self.write()
    }

    /// Accepts assignments, or refuses them because something newer was accepted before.
    pub fn accept(
        &mut self,
        cluster_uuid: &str,
        sequence: u64,
        epoch: u64,
    ) -> Result<Result<(), Fenced>, Error> {
        let known = &mut self.entries;
        if known.cluster_uuid != cluster_uuid {
            return Ok(Err(Fenced::OtherControlPlane));
        }
        if sequence < known.sequence || epoch < known.epoch {
            return Ok(Err(Fenced::Older { sequence, epoch }));
        }
        (known.sequence, known.epoch) = (sequence, epoch);
        self.write()?;
        Ok(Ok(()))
    }

    /// The control plane does not know the agent any more: its next start registers anew.
    pub fn forget(&mut self) -> Result<(), Error> {
        self.entries =
            Entries { registration_token: format!("{:032x}", rand::random::<u128>()), ..Entries::default() };
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |source| Error::Ledger { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(&self.entries).map_err(|error| failed(error.into()))?;
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, text).map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    }
}

fn read(path: &Path) -> Result<Option<Entries>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Ledger { path: path.to_owned(), source }),
    };
    let damaged = |source| Error::LedgerDamaged { path: path.to_owned(), source };
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_refused_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(Some(folder.path())).unwrap();
        ledger.identify("i", "c").unwrap();
        assert_eq!(ledger.accept("c", 10, 2).unwrap(), Ok(()));
        assert_eq!(ledger.accept("c", 10, 2).unwrap(), Ok(()), "the same again");
        let token = ledger.entries().registration_token.clone();
        drop(ledger);
        let mut ledger = Ledger::open(Some(folder.path())).unwrap();
        assert_eq!(ledger.entries().registration_token, token);
        let older = |sequence, epoch| Err(Fenced::Older { sequence, epoch });
        assert_eq!(ledger.accept("c", 9, 2).unwrap(), older(9, 2));
        assert_eq!(ledger.accept("c", 11, 1).unwrap(), older(11, 1));
        assert_eq!(ledger.accept("d", 99, 9).unwrap(), Err(Fenced::OtherControlPlane));
        assert_eq!(ledger.accept("c", 11, 3).unwrap(), Ok(()));
    }

    #[test]
    fn a_damaged_ledger_is_an_error_and_not_a_new_agent() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ledger.json"), "{").unwrap();
        assert!(matches!(Ledger::open(Some(folder.path())), Err(Error::LedgerDamaged { .. })));
    }
}
