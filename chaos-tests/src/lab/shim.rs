//! A control node's clock, disk and death, by a library that is preloaded into it (`chaos-tests/shim/node.c`). It does nothing until
//! it is told to, and is compiled at the start of a run; without a C compiler the faults that need it are skipped.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::net::run;

const SOURCE: &str = include_str!("../../shim/node.c");
const SIZE: usize = 32;

/// The library, and a page for each control node.
#[derive(Debug, Clone)]
pub struct Shim {
    library: PathBuf,
    folder: PathBuf,
}

/// What is done to a control node. All zero is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disturbance {
    /// So much is added to its wall clock.
    pub clock_offset_ms: i64,
    /// So long each sync of its disk takes longer.
    pub sync_delay_ms: i32,
    /// Its syncs fail with this number.
    pub sync_errno: i32,
    /// It dies at a chosen call, counted from the start of its process.
    pub dies: Option<Death>,
}

/// The call at which a control node dies.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// Which.
    pub call: Call,
    /// The how many of them, from 1.
    pub at: i32,
    /// After it is done, not before.
    pub after: bool,
}

/// A call of the kernel that makes something durable, or visible, or removes it.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// `fsync` and `fdatasync`.
    Sync = 1,
    /// `rename`.
    Rename = 2,
    /// `unlink`.
    Unlink = 3,
}

/// "Input/output error".
pub const EIO: i32 = 5;

impl Shim {
    /// Compiles it.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn build(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("node.c"), folder.join("node.so"));
        std::fs::write(&source, SOURCE)?;
        let (from, to) = (source.display().to_string(), library.display().to_string());
        run("cc", &["-shared", "-fPIC", "-O2", "-o", &to, &from, "-ldl"])?;
        Ok(Self { library, folder: folder.to_owned() })
    }

    /// The variables under which a zone's control node has it.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn variables(&self, zone: u8) -> Result<[(&'static str, PathBuf); 2]> {
        self.set(zone, Disturbance::default())?;
        Ok([("LD_PRELOAD", self.library.clone()), ("TRIREME_CHAOS_PAGE", self.page(zone))])
    }

    fn page(&self, zone: u8) -> PathBuf {
        self.folder.join(format!("page-{zone}"))
    }

    /// Tells a zone's control node what to suffer from now on.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn set(&self, zone: u8, what: Disturbance) -> Result<()> {
        let mut bytes = [0_u8; SIZE];
        bytes[..8].copy_from_slice(&(what.clock_offset_ms * 1_000_000).to_ne_bytes());
        bytes[8..12].copy_from_slice(&what.sync_delay_ms.to_ne_bytes());
        bytes[12..16].copy_from_slice(&what.sync_errno.to_ne_bytes());
        if let Some(death) = what.dies {
            bytes[16..20].copy_from_slice(&(death.call as i32).to_ne_bytes());
            bytes[20..24].copy_from_slice(&death.at.to_ne_bytes());
            bytes[24..28].copy_from_slice(&i32::from(death.after).to_ne_bytes());
        }
        let path = self.page(zone);
        // In place: the file stays the one that is mapped.
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path);
        let written = file.and_then(|file| file.write_all_at(&bytes, 0));
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}
