//! The seeded simulation: a whole cluster on one thread, over a simulated network and simulated time. Control nodes run the real
//! openraft, decider, machine, history, snapshots, dispatcher, controllers and ECS API, agents the real agent; only the disks, the
//! containers, the wires and the clocks are in memory. One seed decides everything: the same seed is the same run, byte for byte.
//!
//! ```text
//! make sim SEEDS=1000            so many fresh seeds
//! make sim SEEDS=1 SEED=42       one seed; TRACE=file writes down everything that happened
//! make sim-planted               every planted bug, and how many seeds it took to find it
//! ```
//!
//! A run: the cluster comes up; clients work while faults come and go; the faults end, and everything must heal; every node must
//! serve. After each step of a millisecond all invariants are checked over all nodes, and each answer, refusals among them, against
//! the states that were applied between the call and the answer; at the end the clients' histories must be linearizable. A failure
//! prints the invariant, the last lines of the trace, and the command that repeats it.
//!
//! Most seeds look closely at one part, by a profile: disks, leaders, snapshots, agents. Each has a few kinds of fault of its own
//! with rates of its own, and each fault waits for a bad moment when it can: power fails at an exact call to the disk, a leader is
//! heard by one follower only, a proposal is refused while the next one is taken.
//!
//! A part of the seeds has more beside: services that are scaled by what their tasks use ([`load`]), by alarms and at times; schedules and
//! rules; a managed pool with tasks of FARGATE. Runs with autoscaling are long, for it takes a minute before a task is taken away.
//!
//! How it is deterministic: [`shim`] takes over randomness and clocks of the thread that simulates, tokio's and std's own
//! included; each seed runs in a process of its own, so that nothing is left over from the one before.
//!
//! Reading order: [`plan`] (what a seed makes) · [`run`](mod@run) (the phases) · [`control`], [`agent`], [`load`], [`client`] (the hosts) · [`net`], [`network`], [`clock`],
//! [`shim`] (their world) · [`fault`] · [`invariant`] · [`record`] · [`trace`] · [`planted`] (the bugs) · [`many`] (many seeds).

pub mod agent;
pub mod client;
pub mod clock;
pub mod control;
pub mod fault;
pub mod invariant;
pub mod load;
pub mod many;
pub mod net;
pub mod network;
pub mod panics;
pub mod plan;
pub mod planted;
pub mod record;
pub mod run;
pub mod shared;
pub mod shim;
pub mod trace;
