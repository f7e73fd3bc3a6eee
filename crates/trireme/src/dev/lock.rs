//! One `trireme dev` for each data folder: the one that holds `DIR/lock`. And one verb at a time that starts or ends processes
//! of a zone: the one that holds `DIR/<zone>.lock`.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::layout::Layout;

/// The lock, held until it is dropped or the process ends in whatever way.
pub struct Lock(#[expect(dead_code, reason = "held, never read")] Flock<File>);

/// For another verb to be done with a zone.
const ZONE_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Takes the lock, or says who has it.
pub fn take(layout: &Layout) -> Result<Lock> {
    match Flock::lock(open(&layout.lock())?, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())?;
            Ok(Lock(lock))
        }
        Err((file, Errno::EWOULDBLOCK)) => {
            let root = layout.root().display();
            bail!(
                "another `trireme dev`{} uses {root}; stop it with `trireme dev stop --data {root}` or choose another folder with --data",
                read_pid(file).map_or_else(String::new, |pid| format!(" (process {pid})")),
            )
        }
        Err((_, error)) => Err(error).context("cannot lock the data folder"),
    }
}

/// The process that holds the lock, if one does.
pub fn holder(layout: &Layout) -> Result<Option<i32>> {
    match Flock::lock(open(&layout.lock())?, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((file, Errno::EWOULDBLOCK)) => {
            read_pid(file).map(Some).context("the lock is held, but not by a `trireme dev`")
        }
        Err((_, error)) => Err(error).context("cannot look at the lock"),
    }
}

/// Takes a zone's lock, once nobody else has it. A process that is being started has it too until it is one that can be found:
/// it inherits the lock, and loses it when it becomes the binary.
pub async fn zone(layout: &Layout, zone: &str) -> Result<Lock> {
    let mut file = open(&layout.zone_lock(zone))?;
    let until = Instant::now() + ZONE_LIMIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Lock(lock)),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() > until => {
                bail!("another `trireme dev` is still busy with {zone} after {} s", ZONE_LIMIT.as_secs())
            }
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, error)) => return Err(error).with_context(|| format!("cannot lock {zone}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn read_pid(mut file: File) -> Option<i32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        assert_eq!(holder(&layout).unwrap(), None);
        let held = take(&layout).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holder(&layout).unwrap(), Some(me));
        let refused = take(&layout).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {me}")), "{refused}");
        drop(held);
        assert!(take(&layout).is_ok());
    }
}
