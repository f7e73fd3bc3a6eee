//! One run at a time for each cluster, on this machine. The lock is a name among the machine's sockets: it needs no folder that
//! all users share, and it ends with the process in whatever way that ends.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result, bail};

/// The lock, held until it is dropped.
pub struct Lock(#[expect(dead_code, reason = "held, never read")] UnixListener);

/// Takes a cluster for this run alone.
pub fn take(cluster: &str) -> Result<Lock> {
    let name = SocketAddr::from_abstract_name(format!("trireme-chaos-{cluster}"))
        .context("cannot lock the cluster")?;
    match UnixListener::bind_addr(&name) {
        Ok(held) => Ok(Lock(held)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("another `trireme chaos run` from this machine is under way on this cluster")
        }
        Err(error) => Err(error).context("cannot lock the cluster"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_one_run_at_a_time() {
        let one = format!("one-{}", std::process::id());
        let held = take(&one).unwrap();
        assert!(take(&one).err().unwrap().to_string().contains("another"));
        assert!(take(&format!("other-{}", std::process::id())).is_ok());
        drop(held);
        assert!(take(&one).is_ok());
    }
}
