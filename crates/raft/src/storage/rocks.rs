//! [`Kv`] on RocksDB: one database, one column family per [`Family`], one write-ahead log that orders all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, DBCompressionType,
    DBRecoveryMode, Direction, ErrorKind, FlushOptions, InfoLogger, IteratorMode, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use super::{Family, Kv, Op};
use crate::error::Error;

const MIB: usize = 1024 * 1024;

/// The database.
pub struct RocksKv {
    /// `None` once it is closed.
    db: RwLock<Option<DB>>,
    /// Nobody starts anything long any more.
    closing: AtomicBool,
    path: PathBuf,
}

impl RocksKv {
    /// Opens or creates the database in `path`. A damaged one is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(|source| Error::Folder { path: path.to_owned(), source })?;
        let cache = Cache::new_lru_cache(64 * MIB);
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { db: RwLock::new(Some(db)), closing: AtomicBool::new(false), path: path.to_owned() })
    }

    /// Opens the database in `path` to read it. What is only in its write-ahead log is read from there; nothing is written.
    pub fn look(path: &Path) -> Result<Self, Error> {
        let mut options = database_options();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        // RocksDB would write its own remarks beside the data.
        options.set_info_logger(InfoLogger::new_stderr_logger(LogLevel::Fatal, None::<&str>));
        let cache = Cache::new_lru_cache(64 * MIB);
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache)));
        let db = DB::open_cf_descriptors_read_only(&options, path, families, false)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { db: RwLock::new(Some(db)), closing: AtomicBool::new(false), path: path.to_owned() })
    }

    fn check_open(&self) -> io::Result<()> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(io::Error::other(format!("{} is closed", self.path.display())));
        }
        Ok(())
    }

    /// Runs `work` on the database, unless it is closed.
    fn with<T>(&self, work: impl FnOnce(&DB) -> io::Result<T>) -> io::Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(|| io::Error::other(format!("{} is closed", self.path.display())))?;
        work(db)
    }

    /// Whether writers are held back now; for the metric.
    pub fn is_stalled(&self) -> bool {
        let stalled = self.with(|db| {
            let delayed = db.property_int_value("rocksdb.actual-delayed-write-rate").ok().flatten();
            let stopped = db.property_int_value("rocksdb.is-write-stopped").ok().flatten();
            Ok(delayed.is_some_and(|rate| rate > 0) || stopped.is_some_and(|flag| flag > 0))
        });
        stalled.unwrap_or(false)
    }
}

fn column(db: &DB, family: Family) -> io::Result<&ColumnFamily> {
    let missing =
        || io::Error::new(io::ErrorKind::InvalidData, format!("there is no family {}", family.name()));
    db.cf_handle(family.name()).ok_or_else(missing)
}

fn open_error(path: &Path, error: &rocksdb::Error) -> Error {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::NotFound | ErrorKind::InvalidArgument => {
            Error::Damaged { path: path.to_owned(), reason: error.to_string() }
        }
        _ => Error::Folder { path: path.to_owned(), source: to_io(error) },
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // The default mode stops at the first damaged record and silently forgets acknowledged entries behind it.
    // This one forgives only a torn tail, which nobody was told about.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A whole file of the write-ahead log that is gone or cut is noticed; what this leaves out, `log::mark` sees.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(512 * MIB as u64);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(MIB as u64);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_max_open_files(256);
    // Compaction of the history must not keep the log's fsync waiting.
    options.set_ratelimiter(32 * MIB as i64, 100_000, 10);
    options
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    let buffer = match family {
        Family::Log => 32 * MIB,
        Family::History => 16 * MIB,
        Family::Meta | Family::Snapshots => MIB,
    };
    options.set_write_buffer_size(buffer);
    options.set_max_write_buffer_number(4);
    options
}

fn to_io(error: &rocksdb::Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Corruption => io::ErrorKind::InvalidData,
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        _ if error.as_ref().contains("No space left") => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

fn bounded(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    // Without bounds an iterator walks through the tombstones of all that was purged.
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    options.set_verify_checksums(true);
    options
}

impl Kv for RocksKv {
    fn write(&self, ops: Vec<Op>) -> io::Result<()> {
        self.with(|db| {
            let mut batch = WriteBatch::default();
            for op in &ops {
                match op {
                    Op::Put(family, key, value) => batch.put_cf(column(db, *family)?, key, value),
                    Op::Delete(family, key) => batch.delete_cf(column(db, *family)?, key),
                    Op::DeleteRange(family, from, to) => {
                        batch.delete_range_cf(column(db, *family)?, from.as_slice(), to.as_slice());
                    }
                }
            }
            db.write_opt(batch, &WriteOptions::default()).map_err(|error| to_io(&error))
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|db| db.flush_wal(true).map_err(|error| to_io(&error)))
    }

    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.with(|db| {
            let value = db.get_pinned_cf(column(db, family)?, key).map_err(|error| to_io(&error))?;
            Ok(value.map(|value| Bytes::copy_from_slice(&value)))
        })
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.with(|db| {
            let mode = IteratorMode::From(from, Direction::Forward);
            for item in db.iterator_cf_opt(column(db, family)?, bounded(from, Some(to)), mode) {
                let (key, value) = item.map_err(|error| to_io(&error))?;
                if !more(&key, Bytes::from(value))? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(Bytes, Bytes)>> {
        self.with(|db| {
            let mut found = db.iterator_cf_opt(column(db, family)?, bounded(from, None), IteratorMode::End);
            match found.next() {
                None => Ok(None),
                Some(Ok((key, value))) => Ok(Some((Bytes::from(key), Bytes::from(value)))),
                Some(Err(error)) => Err(to_io(&error)),
            }
        })
    }

    fn reclaim(&self, family: Family, from: &[u8], last: &[u8]) -> io::Result<()> {
        self.with(|db| {
            self.check_open()?;
            let target = column(db, family)?;
            // The write-ahead log keeps what any family has in memory only.
            let all: Vec<&ColumnFamily> =
                Family::ALL.iter().map(|family| column(db, *family)).collect::<io::Result<_>>()?;
            db.flush_cfs_opt(&all, &FlushOptions::default()).map_err(|error| to_io(&error))?;
            // Whole old files go at once. What is left, in the memtable, in the newest files and at the edge, goes by
            // compaction; others may go on meanwhile, and the rate limiter holds it back.
            db.delete_file_in_range_cf(target, from, last).map_err(|error| to_io(&error))?;
            self.check_open()?;
            let mut options = CompactOptions::default();
            options.set_exclusive_manual_compaction(false);
            db.compact_range_cf_opt(target, Some(from), Some(last), &options);
            // A close cuts it short.
            self.check_open()
        })
    }

    fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        // A compaction takes long, and whoever asked for it holds the lock until it is over.
        if let Some(db) = self.db.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            db.cancel_all_background_work(false);
        }
        // RocksDB's threads must end before the process does.
        let db = self.db.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(db);
    }
}

#[cfg(test)]
mod tests;
