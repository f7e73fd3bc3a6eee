//! One file of a stream: records, each framed by its length and its checksum, in the order in which they came. A file that is full is
//! never written again, and what is to be known of it lies beside it.
//!
//! The end of the newest file may be torn, by a crash: it is cut off at the last record that is whole. A damaged record in the middle of a
//! full file costs that file's rest, never an answer.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use prost::Message;
use serde::{Deserialize, Serialize};
use trireme_rpc::logs::Record;

/// Length and checksum.
const HEAD: usize = 8;
/// A longer record is none: the file is damaged there.
const LONGEST: u32 = 4 << 20;

/// What is known of a segment without reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) first_at: u64,
    pub(super) last_at: u64,
    pub(super) last_number: u64,
    pub(super) last_ingested: u64,
}

impl Summary {
    fn note(&mut self, record: &Record, bytes: u64) {
        self.first_at = if self.records == 0 { record.at } else { self.first_at.min(record.at) };
        self.last_at = self.last_at.max(record.at);
        self.last_number = self.last_number.max(record.number);
        self.last_ingested = self.last_ingested.max(record.ingested_at);
        self.records += 1;
        self.bytes += bytes;
    }
}

/// A segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) summary: Summary,
}

impl Segment {
    pub(super) fn new(folder: &Path, number: u64) -> Self {
        Self { path: folder.join(format!("{number:012}.log")), number, summary: Summary::default() }
    }

    /// Finds out what is in the file. `newest`: it may be torn, and is cut.
    pub(super) fn open(folder: &Path, number: u64, newest: bool) -> io::Result<Self> {
        let mut segment = Self::new(folder, number);
        let length = std::fs::metadata(&segment.path)?.len();
        // What was noted need not be read again: after a crash only the end is looked at.
        let mut summary = segment.known().filter(|known| known.bytes <= length).unwrap_or_default();
        segment.scan(summary.bytes, length, |record, bytes| {
            summary.note(&record, bytes);
            true
        })?;
        segment.summary = summary;
        if newest && segment.summary.bytes < length {
            tracing::warn!(path = %segment.path.display(), "the end of a log is torn, and cut off");
            File::options().write(true).open(&segment.path)?.set_len(segment.summary.bytes)?;
        }
        Ok(segment)
    }

    fn known(&self) -> Option<Summary> {
        let text = std::fs::read(self.beside()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// Adds records in one write.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut summary = self.summary.clone();
        for record in records {
            let payload = record.encode_to_vec();
            let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
            frames.extend_from_slice(&length.to_le_bytes());
            frames.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
            frames.extend_from_slice(&payload);
            summary.note(record, u64::from(length) + HEAD as u64);
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        if let Err(error) = file.write_all(&frames) {
            // Part of it may be there: the next record must not come after that.
            file.set_len(self.summary.bytes)?;
            return Err(error);
        }
        self.summary = summary;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// It is full.
    pub(super) fn seal(&self) -> io::Result<()> {
        self.sync()?;
        self.note()
    }

    /// Keeps what is known of what is on the disk.
    pub(super) fn note(&self) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec(&self.summary)?)?;
        std::fs::rename(temporary, self.beside())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        let beside = std::fs::remove_file(self.beside());
        std::fs::remove_file(&self.path)?;
        match beside {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives each record that was whole when this was taken, until told to stop.
    pub(super) fn read(&self, each: impl FnMut(Record, u64) -> bool) -> io::Result<()> {
        match self.scan(0, self.summary.bytes, each) {
            // Deleted meanwhile, for lack of room.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Gives the whole records between two places, until told to stop or one is damaged.
    fn scan(&self, from: u64, to: u64, mut each: impl FnMut(Record, u64) -> bool) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut file = BufReader::with_capacity(64 << 10, file.take(to.saturating_sub(from)));
        let mut payload = Vec::new();
        loop {
            let mut head = [0; HEAD];
            let (length, sum) = match file.read_exact(&mut head) {
                Ok(()) => {
                    let [a, b, c, d, e, f, g, h] = head;
                    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            if length > LONGEST {
                return Ok(());
            }
            payload.resize(length as usize, 0);
            match file.read_exact(&mut payload) {
                Ok(()) if crc32c::crc32c(&payload) == sum => {}
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => return Ok(()),
            }
            let Ok(record) = Record::decode(payload.as_slice()) else { return Ok(()) };
            if !each(record, u64::from(length) + HEAD as u64) {
                return Ok(());
            }
        }
    }
}
