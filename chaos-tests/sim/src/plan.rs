//! What a seed makes of a run: how large, how fast, and which faults. Each run has only some of the kinds of fault, so that no
//! kind drowns the others.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use trireme_raft::Settings;

use crate::fault::Kind;

/// The parameters of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Control nodes at the start.
    pub controls: u64,
    /// Control nodes that may join later.
    pub spares: u64,
    /// Machines with an agent.
    pub agents: u64,
    /// Clients of the API.
    pub clients: u64,
    /// How long faults go on.
    pub faults_for: Duration,
    /// The pause between two faults, on average.
    pub pause: Duration,
    /// The kinds of fault of this run.
    pub kinds: Vec<Kind>,
    /// The longest way of a message when all is well.
    pub latency: Duration,
    /// How long a sync takes when all is well.
    pub sync: Duration,
    /// Raft's settings.
    pub settings: Settings,
    /// A while without faults at the end, in which nobody may be lost.
    pub calm: Option<Duration>,
    /// One step.
    pub tick: Duration,
    /// Clients begin new deployments. A task counts as healthy only after 40 s, so that these runs take long.
    pub deploys: bool,
    /// The pause of a client between two operations, on average.
    pub think: Duration,
}

/// Zones, in order.
pub const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7472_6972_656d_6521);
        let controls = if rng.random_bool(0.85) { 3 } else { 5 };
        let mut kinds = Kind::ALL.to_vec();
        kinds.shuffle(&mut rng);
        let count = rng.random_range(2..=6);
        let chosen: BTreeSet<Kind> = kinds.into_iter().take(count).collect();
        let spares = if chosen.contains(&Kind::Membership) { 2 } else { 0 };
        let snapshot_after = *[8, 20, 60, 400].get(rng.random_range(0..4)).unwrap_or(&60);
        let settings = Settings {
            heartbeat: Duration::from_millis(60),
            election_min: Duration::from_millis(200),
            election_max: Duration::from_millis(350),
            snapshot_after,
            keep_entries: rng.random_range(1..=snapshot_after / 2),
            connect_limit: Duration::from_millis(300),
            call_limit: Duration::from_secs(5),
            propose_limit: Duration::from_secs(10),
            ..Settings::default()
        };
        // Now and then so many at once that much is in flight together.
        let crowd = rng.random_bool(0.25);
        let clients = if crowd { rng.random_range(8..=14) } else { rng.random_range(2..=4) };
        let think = if crowd { rng.random_range(5..=60) } else { rng.random_range(20..=250) };
        Self {
            seed,
            controls,
            spares,
            agents: rng.random_range(3..=4),
            clients,
            faults_for: Duration::from_secs(rng.random_range(8..=20)),
            pause: Duration::from_millis(rng.random_range(300..=2500)),
            kinds: chosen.into_iter().collect(),
            latency: Duration::from_millis(rng.random_range(1..=8)),
            sync: Duration::from_micros(rng.random_range(200..=3000)),
            settings,
            calm: rng.random_bool(0.2).then_some(Duration::from_secs(8)),
            tick: Duration::from_millis(*[1, 2, 2, 3].get(rng.random_range(0..4)).unwrap_or(&2)),
            deploys: rng.random_bool(0.1),
            think: Duration::from_millis(think),
        }
    }
}
