//! The mark: what of the log and of the vote is known to be durable, in a small file beside the database. A database that
//! is behind its mark at the start was shortened, by a lost file, a cut one, or a copy of old ones: RocksDB cannot
//! tell that from an orderly end.
//!
//! The mark lags behind the log by a little, never the other way: it is written after the sync of what it names, and
//! lowered before the log is cut.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use trireme_rpc::log;

use crate::config::{LogId, Vote};
use crate::error::{Error, corrupt};
use crate::storage::MarkFile;
use crate::wire;

/// What is durable at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durable {
    /// The vote.
    pub vote: Option<Vote>,
    /// The last log entry, purged or not.
    pub last: Option<LogId>,
    /// The last purged log entry.
    pub purged: Option<LogId>,
}

impl Durable {
    fn to_bytes(self) -> Bytes {
        let message = log::DurableMark {
            vote: self.vote.as_ref().map(wire::vote_to_wire),
            last: self.last.map(wire::log_id_to_wire),
            purged: self.purged.map(wire::log_id_to_wire),
        };
        let body = message.encode_to_vec();
        let mut bytes = crc32c::crc32c(&body).to_be_bytes().to_vec();
        bytes.extend(body);
        bytes.into()
    }

    fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let Some((sum, body)) = bytes.split_first_chunk::<4>() else {
            return Err(corrupt("the mark of what is durable is cut short"));
        };
        if crc32c::crc32c(body).to_be_bytes() != *sum {
            return Err(corrupt("the checksum of the mark of what is durable is wrong"));
        }
        let message = log::DurableMark::decode(body).map_err(corrupt)?;
        Ok(Self {
            vote: message.vote.map(|vote| wire::vote_from_wire(Some(vote))).transpose()?,
            last: wire::some_log_id(message.last)?,
            purged: wire::some_log_id(message.purged)?,
        })
    }

    /// The first mark of a new folder: nothing.
    pub(crate) fn nothing() -> Bytes {
        Self::default().to_bytes()
    }
}

#[derive(Default)]
struct Place {
    written: Durable,
    /// How often the log was cut. What was looked up before a cut must not be written after it.
    cuts: u64,
}

/// Keeps the mark.
#[derive(Clone)]
pub struct Mark {
    file: Arc<dyn MarkFile>,
    place: Arc<Mutex<Place>>,
}

impl Mark {
    /// The mark in `file`. One that is missing is told apart from one that says nothing.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is not there.
    pub fn open(file: Arc<dyn MarkFile>) -> io::Result<Self> {
        let bytes = file.read()?.ok_or_else(|| corrupt("the mark of what is durable is gone"))?;
        let place = Place { written: Durable::from_bytes(&bytes)?, cuts: 0 };
        Ok(Self { file, place: Arc::new(Mutex::new(place)) })
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is behind the mark.
    ///
    /// # Errors
    /// [`Error::Shortened`].
    pub fn check(&self, found: Durable) -> Result<(), Error> {
        let marked = self.lock().written;
        let show = |id: Option<LogId>| id.map_or("nothing".to_owned(), |id| id.to_string());
        if found.last < marked.last {
            return Err(Error::Shortened {
                found: format!("the log ends at {}", show(found.last)),
                durable: show(marked.last),
            });
        }
        if found.purged < marked.purged {
            return Err(Error::Shortened {
                found: format!("the log is purged up to {}", show(found.purged)),
                durable: show(marked.purged),
            });
        }
        let behind = match (&found.vote, &marked.vote) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(found), Some(marked)) => !matches!(
                found.partial_cmp(marked),
                Some(std::cmp::Ordering::Equal | std::cmp::Ordering::Greater)
            ),
        };
        if behind {
            let show = |vote: Option<Vote>| vote.map_or("nothing".to_owned(), |vote| vote.to_string());
            return Err(Error::Shortened {
                found: format!("the vote is {}", show(found.vote)),
                durable: show(marked.vote),
            });
        }
        Ok(())
    }

    /// The number of cuts, to be asked before what is to be marked is looked up.
    pub(super) fn cuts(&self) -> u64 {
        self.lock().cuts
    }

    /// Whether there is more to mark.
    pub(super) fn is_behind(&self, written: Durable) -> bool {
        self.lock().written != written
    }

    /// Marks what a sync has made durable, unless the log was cut since it was looked up.
    pub(super) fn raise(&self, durable: Durable, cuts: u64) -> io::Result<()> {
        let mut place = self.lock();
        if place.cuts != cuts || place.written == durable {
            return Ok(());
        }
        self.file.write(&durable.to_bytes())?;
        place.written = durable;
        Ok(())
    }

    /// Lowers the mark before the log is cut behind `last`.
    pub(super) fn lower(&self, last: Option<LogId>) -> io::Result<()> {
        let mut place = self.lock();
        place.cuts = place.cuts.wrapping_add(1);
        if place.written.last <= last {
            return Ok(());
        }
        let next = Durable { last, ..place.written };
        self.file.write(&next.to_bytes())?;
        place.written = next;
        Ok(())
    }
}
