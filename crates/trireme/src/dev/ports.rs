//! Ports for the cluster's processes: fixed for its life, because the control nodes' membership holds them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Result, bail};

/// Hands out free ports from a first one upwards.
///
/// They stay below the range from which the system takes outgoing ports (32768 and up on Linux): a dead zone's port could be
/// taken there before the zone comes back, even by a connection attempt to itself.
pub struct Ports {
    next: u16,
}

const END: u16 = 32_768;

impl Ports {
    /// From the port after the front door's two.
    pub fn after(front_door: u16) -> Self {
        let next = front_door.saturating_add(2);
        Self { next: if next < END - 1_000 { next } else { 20_000 } }
    }

    /// The next free one on loopback.
    pub fn take(&mut self) -> Result<String> {
        while self.next < END {
            let port = self.next;
            self.next += 1;
            let address = loopback(port);
            if TcpListener::bind(address).is_ok() {
                return Ok(address.to_string());
            }
        }
        bail!("no free port is left below {END}")
    }
}

/// `127.0.0.1:port`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let mut ports = Ports { next: 21_000 };
        let first = ports.take().unwrap();
        let _held = TcpListener::bind(&first).unwrap();
        let mut again = Ports { next: 21_000 };
        assert_ne!(again.take().unwrap(), first);
        assert!(Ports::after(60_000).next < END);
    }
}
