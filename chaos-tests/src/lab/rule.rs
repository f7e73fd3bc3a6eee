//! What can be done to the links between machines. Each is a rule where the packets arrive or leave, and gone with [`clear`].

use anyhow::{Context, Result};

use super::host::Host;
use super::net::{run, run_on};

/// Debian's iptables speaks nftables, which some kernels lack.
fn iptables(host: Host, arguments: &[&str]) -> Result<String> {
    match run_on(host, "iptables", arguments) {
        Err(first) => run_on(host, "iptables-legacy", arguments).map_err(|_| first),
        done => done,
    }
}

/// Drops what comes from one machine to another; the other way stays open.
///
/// # Errors
/// The kernel takes no such rule.
pub fn drop_one_way(from: Host, to: Host) -> Result<()> {
    iptables(to, &["-A", "INPUT", "-s", &from.address(), "-j", "DROP"])?;
    iptables(to, &["-A", "INPUT", "-s", &super::net::plain_address(from), "-j", "DROP"]).map(drop)
}

/// Cuts two machines from each other.
///
/// # Errors
/// The kernel takes no such rule.
pub fn cut(a: Host, b: Host) -> Result<()> {
    drop_one_way(a, b)?;
    drop_one_way(b, a)
}

/// Undoes a cut between two machines.
///
/// # Errors
/// There was none.
pub fn join(a: Host, b: Host) -> Result<()> {
    for (from, to) in [(a, b), (b, a)] {
        for address in [from.address(), super::net::plain_address(from)] {
            iptables(to, &["-D", "INPUT", "-s", &address, "-j", "DROP"])?;
        }
    }
    Ok(())
}

/// Loses this share of the packets that come from one machine to another.
///
/// # Errors
/// The kernel takes no such rule.
pub fn lose(from: Host, to: Host, share: f64) -> Result<()> {
    let probability = share.to_string();
    let random = ["-m", "statistic", "--mode", "random", "--probability", &probability];
    let mut arguments = vec!["-A", "INPUT", "-s"];
    let address = from.address();
    arguments.push(&address);
    arguments.extend(random);
    arguments.extend(["-j", "DROP"]);
    iptables(to, &arguments).map(drop)
}

/// Resets the connections from one machine to a port of another, those that stand too.
///
/// # Errors
/// The kernel takes no such rule.
pub fn reset(from: Host, to: Host, port: u16) -> Result<()> {
    let (address, port) = (from.address(), port.to_string());
    let which = ["-A", "INPUT", "-p", "tcp", "-s", &address, "--dport", &port];
    iptables(to, &[which.as_slice(), &["-j", "REJECT", "--reject-with", "tcp-reset"]].concat()).map(drop)
}

/// Takes a [`reset`] back.
///
/// # Errors
/// There was none.
pub fn unreset(from: Host, to: Host, port: u16) -> Result<()> {
    let (address, port) = (from.address(), port.to_string());
    let which = ["-D", "INPUT", "-p", "tcp", "-s", &address, "--dport", &port];
    iptables(to, &[which.as_slice(), &["-j", "REJECT", "--reject-with", "tcp-reset"]].concat()).map(drop)
}

/// Lets a machine send no faster than this, with what waits in a queue of at most so many milliseconds.
///
/// # Errors
/// The kernel has no token bucket.
pub fn throttle(host: Host, kbit: u32, queue_ms: u32) -> Result<()> {
    let (rate, latency) = (format!("{kbit}kbit"), format!("{queue_ms}ms"));
    let bucket = ["rate", &rate, "burst", "8kb", "latency", &latency];
    let root = ["qdisc", "replace", "dev", "eth0", "root", "tbf"];
    run_on(host, "tc", &[root.as_slice(), &bucket].concat()).map(drop)
}

/// Sends what a machine opens to `to` at this port to a port of its own instead, save what carries the mark.
///
/// # Errors
/// The kernel has no address translation.
pub fn divert(from: Host, to: Host, port: u16, own_port: u16, mark: u32) -> Result<()> {
    let (address, port, mark) = (to.address(), port.to_string(), mark.to_string());
    let target = format!("127.0.0.1:{own_port}");
    let which = ["-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", &address, "--dport", &port];
    let how = ["-m", "mark", "!", "--mark", &mark, "-j", "DNAT", "--to-destination", &target];
    iptables(from, &[which.as_slice(), &how].concat()).map(drop)
}

/// The packets that rules of machines have dropped or refused since they were made.
///
/// # Errors
/// A machine is gone.
pub fn dropped() -> Result<u64> {
    let mut all = 0;
    for host in Host::all() {
        all += counted(&iptables(host, &["-L", "INPUT", "-n", "-v", "-x"])?);
    }
    Ok(all)
}

/// The first column of the rules that let nothing through.
fn counted(listed: &str) -> u64 {
    let rules = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let packets = words.next()?.parse::<u64>().ok()?;
        words.nth(1).filter(|target| matches!(*target, "DROP" | "REJECT")).map(|_| packets)
    });
    rules.sum()
}

/// Removes every rule of every machine.
///
/// # Errors
/// A machine is gone.
pub fn clear() -> Result<()> {
    for host in Host::all() {
        iptables(host, &["-F", "INPUT"]).context("the rules stay")?;
        // Without the table there was nothing in it; without a bucket, none to remove.
        let _none = iptables(host, &["-t", "nat", "-F", "OUTPUT"]);
        let place = format!("--net=/run/netns/{}", super::net::namespace(host));
        let _none = run("nsenter", &[&place, "tc", "qdisc", "del", "dev", "eth0", "root"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_what_was_stopped_is_counted() {
        let listed = "Chain INPUT (policy ACCEPT 9 packets, 900 bytes)
    pkts      bytes target     prot opt in     out     source               destination
      12      720 DROP       all  --  *      *       127.1.1.1            0.0.0.0/0
       3      180 REJECT     tcp  --  *      *       127.1.2.1            0.0.0.0/0    tcp dpt:8001 reject-with tcp-reset
       7      420 ACCEPT     all  --  *      *       127.1.3.1            0.0.0.0/0
";
        assert_eq!(counted(listed), 15);
        assert_eq!(counted("Chain INPUT (policy ACCEPT)\n"), 0);
    }
}
