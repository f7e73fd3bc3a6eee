//! [`Kv`] on RocksDB: one database, one column family per [`Family`], one write-ahead log that orders all.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Direction, ErrorKind, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::{Family, Kv, Op};
use crate::error::Error;

const MIB: usize = 1024 * 1024;

/// The database.
pub struct RocksKv {
    db: DB,
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
        Ok(Self { db, path: path.to_owned() })
    }

    fn family(&self, family: Family) -> io::Result<&ColumnFamily> {
        self.db.cf_handle(family.name()).ok_or_else(|| {
            let text = format!("{} has no column family {}", self.path.display(), family.name());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// How long writers are held back now, in percent of their speed; for the metric.
    pub fn is_stalled(&self) -> bool {
        let delayed = self.db.property_int_value("rocksdb.actual-delayed-write-rate").ok().flatten();
        let stopped = self.db.property_int_value("rocksdb.is-write-stopped").ok().flatten();
        delayed.is_some_and(|rate| rate > 0) || stopped.is_some_and(|flag| flag > 0)
    }
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
        let mut batch = WriteBatch::default();
        for op in &ops {
            match op {
                Op::Put(family, key, value) => batch.put_cf(self.family(*family)?, key, value),
                Op::Delete(family, key) => batch.delete_cf(self.family(*family)?, key),
                Op::DeleteRange(family, from, to) => {
                    batch.delete_range_cf(self.family(*family)?, from.as_slice(), to.as_slice());
                }
            }
        }
        self.db.write_opt(batch, &WriteOptions::default()).map_err(|error| to_io(&error))
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush_wal(true).map_err(|error| to_io(&error))
    }

    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Bytes>> {
        let value = self.db.get_pinned_cf(self.family(family)?, key).map_err(|error| to_io(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> io::Result<bool>,
    ) -> io::Result<()> {
        let mode = IteratorMode::From(from, Direction::Forward);
        for item in self.db.iterator_cf_opt(self.family(family)?, bounded(from, Some(to)), mode) {
            let (key, value) = item.map_err(|error| to_io(&error))?;
            if !more(&key, Bytes::from(value))? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(Bytes, Bytes)>> {
        let mut found = self.db.iterator_cf_opt(self.family(family)?, bounded(from, None), IteratorMode::End);
        match found.next() {
            None => Ok(None),
            Some(Ok((key, value))) => Ok(Some((Bytes::from(key), Bytes::from(value)))),
            Some(Err(error)) => Err(to_io(&error)),
        }
    }
}
