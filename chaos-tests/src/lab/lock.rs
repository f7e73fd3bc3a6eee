//! One laboratory on a machine at a time: its namespaces and addresses have fixed names.

use std::fs::File;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

const PATH: &str = "/run/lock/trireme-chaos.lock";

/// Held for as long as the laboratory is there.
pub struct Held(#[expect(dead_code, reason = "held, never read")] Flock<File>);

/// Takes the machine's laboratory.
///
/// # Errors
/// Another runner has it.
pub fn take() -> Result<Held> {
    let file = File::options().create(true).truncate(false).write(true).open(PATH);
    match Flock::lock(file.with_context(|| format!("cannot open {PATH}"))?, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Held(held)),
        Err((_, Errno::EWOULDBLOCK)) => {
            bail!("another run of the chaos tests holds {PATH}; wait for its end")
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {PATH}")),
    }
}
