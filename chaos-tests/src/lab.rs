//! A laboratory: a real cluster on one machine whose parts can be cut off, starved, stopped and killed one by one.
//!
//! Every zone has two machines, and each is a network namespace with a link to one bridge: `c1` runs zone 1's control node,
//! `a1` its agent and a Docker Engine of its own. The client's place is a namespace too, `op`. gRPC binds loopback
//! addresses only, so that is what the machines have: 127.1.<zone>.1 and .2, routed over the bridge because each namespace's
//! `lo` keeps 127.0.0.1 alone. The bridge lies in a namespace of its own, where no rule of the machine's firewall applies.
//!
//! Reading order: [`host`] (who there is) · [`net`] (namespaces and links) · [`rule`] (what can be done to a link) ·
//! [`proc`] (a process in a namespace) · [`engine`] (Docker in a zone) ·
//! [`shim`] (clock and disk of a control node) · [`cluster`] (all of it together) · [`verbs`] (what scenarios do to it) ·
//! [`members`] (other binaries, further control nodes and agents) ·
//! [`sweep`] (nothing is left behind, whatever happened) · [`lock`] (one at a time).

pub mod cluster;
pub mod engine;
pub mod host;
pub mod lock;
pub mod members;
pub mod net;
pub mod rule;
pub mod shim;
pub mod sweep;
pub mod verbs;

pub use cluster::{Lab, Runtime};
pub use host::Host;
pub use trireme_testkit::proc;
