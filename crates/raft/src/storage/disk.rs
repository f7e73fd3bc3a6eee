//! [`Files`] in a folder: temporary file, fsync, rename, fsync of the folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use super::{Blob, File, FileWriter, Files, MarkFile, Space};
use crate::error::Error;

const TEMPORARY: &str = "tmp";

/// The folder.
pub struct DiskFiles {
    folder: PathBuf,
    counter: AtomicU64,
}

impl DiskFiles {
    /// The files of a folder that is only looked at: nothing is made, nothing is removed.
    pub(crate) fn look(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), counter: AtomicU64::new(0) }
    }

    /// Opens or makes the folder, and removes the temporary files of an earlier process.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let wrap = |source| Error::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(wrap)?;
        for entry in fs::read_dir(folder).map_err(wrap)? {
            let path = entry.map_err(wrap)?.path();
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                fs::remove_file(&path).map_err(wrap)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), counter: AtomicU64::new(0) })
    }
}

/// The room on the file system of a folder.
pub struct DiskSpace(pub PathBuf);

impl Space for DiskSpace {
    fn free(&self) -> io::Result<u64> {
        let found = nix::sys::statvfs::statvfs(&self.0)?;
        Ok(found.blocks_available().saturating_mul(found.fragment_size()))
    }
}

/// Makes a folder's list of names durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Replaces a file durably: temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_added_extension(TEMPORARY);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// A [`MarkFile`] on disk.
pub struct DiskMark(pub PathBuf);

impl MarkFile for DiskMark {
    fn read(&self) -> io::Result<Option<Bytes>> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        replace(&self.0, content)
    }
}

struct DiskFile {
    file: fs::File,
    length: u64,
    folder: PathBuf,
    place: Mutex<Place>,
}

struct Place {
    path: PathBuf,
    committed: Option<String>,
}

impl File for DiskFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let left = self.length.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        let mut bytes = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.freeze())
    }

    fn name(&self) -> Option<String> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).committed.clone()
    }

    fn commit(&self, name: &str) -> io::Result<()> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(name);
        fs::rename(&place.path, &path)?;
        place.path = path;
        place.committed = Some(name.to_owned());
        sync_folder(&self.folder)
    }

    fn link(&self, path: &Path) -> io::Result<bool> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        fs::hard_link(&place.path, path).map(|()| true)
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        if place.committed.is_none() {
            // What is left is removed at the next start.
            let _left = fs::remove_file(&place.path);
        }
    }
}

/// A temporary file's name; the file goes with it. What a killed process leaves is removed at the next start.
struct Temporary(Option<PathBuf>);

impl Temporary {
    /// Hands the file over.
    fn keep(mut self) -> Option<PathBuf> {
        self.0.take()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "an unfinished file stays until the next start");
        }
    }
}

struct DiskWriter {
    file: io::BufWriter<fs::File>,
    temporary: Temporary,
    folder: PathBuf,
    length: u64,
}

impl FileWriter for DiskWriter {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.length = self.length.saturating_add(part.len() as u64);
        self.file.write_all(part)
    }

    fn finish(self: Box<Self>) -> io::Result<Blob> {
        let Self { file, temporary, folder, length } = *self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let path = temporary.keep().ok_or_else(|| io::Error::other("the temporary file has no name"))?;
        let place = Mutex::new(Place { path, committed: None });
        Ok(Arc::new(DiskFile { file, length, folder, place }))
    }
}

impl DiskFiles {
    fn temporary(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{}-{number}.{TEMPORARY}", std::process::id()))
    }
}

impl Files for DiskFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let temporary = path.extension().is_some_and(|extension| extension == TEMPORARY);
            if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| !temporary) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Blob> {
        let path = self.folder.join(name);
        let file = fs::File::open(&path)?;
        let length = file.metadata()?.len();
        let place = Mutex::new(Place { path, committed: Some(name.to_owned()) });
        Ok(Arc::new(DiskFile { file, length, folder: self.folder.clone(), place }))
    }

    fn create(&self) -> io::Result<Box<dyn FileWriter>> {
        let path = self.temporary();
        let file = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        let file = io::BufWriter::with_capacity(1 << 20, file);
        let temporary = Temporary(Some(path));
        Ok(Box::new(DiskWriter { file, temporary, folder: self.folder.clone(), length: 0 }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))?;
        sync_folder(&self.folder)
    }

    fn adopt(&self, source: &Blob) -> io::Result<Option<Blob>> {
        let path = self.temporary();
        if !source.link(&path)? {
            return Ok(None);
        }
        let place = Mutex::new(Place { path: path.clone(), committed: None });
        let file = fs::File::open(&path)?;
        let length = file.metadata()?.len();
        Ok(Some(Arc::new(DiskFile { file, length, folder: self.folder.clone(), place })))
    }
}

#[cfg(test)]
mod tests;
