//! What a seed makes of a run: how large, how fast, and which faults. Each run has only some of the kinds of fault, at rates of
//! its own, so that no kind drowns the others; and most runs look closely at one part of the system, by their [`Profile`].

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use trireme_raft::Settings;

use crate::fault::Kind;

/// What a run looks at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Anything.
    Mixed,
    /// Disks that are slow, fail, or lose power.
    Disks,
    /// Leaders that come and go under many clients who want the same things and have no patience.
    Leaders,
    /// Snapshots after a few entries, and nodes that need them.
    Snapshots,
    /// Machines with agents.
    Agents,
}

impl Profile {
    fn of(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..30 => Self::Mixed,
            30..48 => Self::Disks,
            48..70 => Self::Leaders,
            70..85 => Self::Snapshots,
            _ => Self::Agents,
        }
    }

    /// The kinds of fault that it is about.
    fn kinds(self) -> &'static [Kind] {
        use Kind as K;
        match self {
            Self::Mixed => &K::ALL,
            Self::Disks => &[
                K::PowerLossAtCall,
                K::PowerLossAtCall,
                K::PowerLoss,
                K::Blackout,
                K::Kill,
                K::SlowDisk,
                K::FailedSync,
                K::Depose,
            ],
            Self::Leaders => &[
                K::Depose,
                K::Depose,
                K::Isolate,
                K::Partition,
                K::OneWay,
                K::Bridge,
                K::Swizzle,
                K::Pause,
                K::Handover,
                K::Kill,
                K::SlowDisk,
                K::SlowApply,
                K::Refusals,
                K::Refusals,
                K::ClockDrift,
            ],
            Self::Snapshots => &[
                K::PowerLossAtCall,
                K::Blackout,
                K::Kill,
                K::PowerLoss,
                K::Isolate,
                K::SlowDisk,
                K::ZoneLoss,
                K::Membership,
            ],
            Self::Agents => &[
                K::AgentKill,
                K::AgentStop,
                K::MachineLoss,
                K::ZoneLoss,
                K::Partition,
                K::OneWay,
                K::Handover,
                K::Isolate,
                K::ClockDrift,
                K::SlowApply,
                K::Kill,
            ],
        }
    }

    /// Some of them, each with its weight, and now and then any other.
    fn choose(self, rng: &mut StdRng) -> Vec<(Kind, u32)> {
        let mut own = self.kinds().to_vec();
        own.shuffle(rng);
        own.truncate(rng.random_range(2..=6));
        if self != Self::Mixed {
            own.extend(Kind::ALL.choose(rng));
        }
        // Only who was away needs a snapshot.
        if self == Self::Snapshots {
            own.push(Kind::Kill);
        }
        let chosen: BTreeMap<Kind, u32> =
            own.into_iter().map(|kind| (kind, rng.random_range(1..=4))).collect();
        chosen.into_iter().collect()
    }
}

/// The parameters of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What it looks at.
    pub profile: Profile,
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
    /// The kinds of fault of this run, and how often each comes beside the others.
    pub kinds: Vec<(Kind, u32)>,
    /// The longest way of a message when all is well.
    pub latency: Duration,
    /// How long a sync takes when all is well.
    pub sync: Duration,
    /// How long applying takes at most when all is well.
    pub apply: Duration,
    /// Tasks that a machine has room for.
    pub slots: u32,
    /// Services that the clients share.
    pub services: u64,
    /// Clusters that they make and remove.
    pub clusters: u64,
    /// Clients give up on an answer soon, and ask again at once.
    pub impatient: bool,
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
    /// Tasks have networks of their own.
    pub networks: bool,
    /// Machines of the managed pool.
    pub managed: u64,
    /// Clients have services scaled, by what their tasks use, by metrics of their own, and at times. It takes more than a minute before
    /// a task is taken away, so that these runs take long.
    pub scales: bool,
    /// Clients make schedules and rules. Some of these runs are so long that a minute's schedule comes again.
    pub schedules: bool,
}

/// In runs with autoscaling: the 40 seconds after which new tasks are healthy, the minute after which some are taken away, and a while in
/// which a service is idle.
const CALM: Duration = Duration::from_secs(135);

/// Zones, in order.
pub const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7472_6972_656d_6521);
        let rng = &mut rng;
        let profile = Profile::of(rng);
        let kinds = profile.choose(rng);
        let controls = if rng.random_bool(0.85) { 3 } else { 5 };
        let spares = if kinds.iter().any(|(kind, _)| *kind == Kind::Membership) { 2 } else { 0 };
        // Now and then so many at once that much is in flight together, and about the same things.
        let crowd = rng.random_bool(match profile {
            Profile::Leaders => 0.8,
            Profile::Snapshots => 0.6,
            _ => 0.2,
        });
        let slow = profile == Profile::Disks && rng.random_bool(0.5);
        let busy = rng.random_bool(if profile == Profile::Leaders { 0.5 } else { 0.1 });
        let plan = Self {
            seed,
            profile,
            controls,
            spares,
            agents: rng.random_range(3..=4),
            clients: rng.random_range(if crowd { 5..=9 } else { 2..=4 }),
            faults_for: Duration::from_secs(rng.random_range(if crowd { 5..=10 } else { 8..=20 })),
            pause: Duration::from_millis(rng.random_range(300..=2500)),
            kinds,
            latency: Duration::from_millis(rng.random_range(1..=8)),
            sync: Duration::from_micros(rng.random_range(if slow { 3_000..=30_000 } else { 200..=3000 })),
            apply: Duration::from_millis(if busy { rng.random_range(2..=120) } else { 0 }),
            slots: if profile == Profile::Agents { 12 } else { 32 },
            services: if crowd { rng.random_range(1..=2) } else { 4 },
            clusters: if crowd { rng.random_range(1..=2) } else { 3 },
            impatient: crowd && rng.random_bool(0.6),
            settings: settings(profile, rng),
            calm: rng.random_bool(0.2).then_some(Duration::from_secs(8)),
            tick: Duration::from_millis(*[1, 2, 2, 3].choose(rng).unwrap_or(&2)),
            deploys: rng.random_bool(0.1),
            think: Duration::from_millis(rng.random_range(if crowd { 25..=120 } else { 20..=250 })),
            networks: rng.random_bool(if profile == Profile::Agents { 0.5 } else { 0.2 }),
            managed: 0,
            scales: false,
            schedules: false,
        };
        plan.with_more(rng)
    }

    /// What only a part of the runs has beside. It is drawn last: what was drawn before is the same with it and without it.
    fn with_more(mut self, rng: &mut StdRng) -> Self {
        if self.networks && rng.random_bool(0.6) {
            self.managed = rng.random_range(2..=3);
        }
        self.scales = rng.random_bool(0.12);
        self.schedules = rng.random_bool(0.25);
        if self.scales || (self.schedules && rng.random_bool(0.3)) {
            self.faults_for = Duration::from_secs(rng.random_range(70..=110));
            // Not many more faults and requests than others have.
            self.pause *= 4;
            self.think = self.think * 4 + Duration::from_millis(200);
        }
        if self.scales {
            // Tasks come and go with faults and requests, and are taken away only after a minute with the same.
            self.calm = Some(CALM);
        }
        self
    }
}

fn settings(profile: Profile, rng: &mut StdRng) -> Settings {
    let few = profile == Profile::Snapshots;
    let after: &[u64] = if few { &[8, 8, 14] } else { &[8, 20, 60, 400] };
    let snapshot_after = after.choose(rng).copied().unwrap_or(60);
    Settings {
        heartbeat: Duration::from_millis(60),
        heartbeat_limit: Duration::from_millis(160),
        election_min: Duration::from_millis(200),
        election_max: Duration::from_millis(350),
        snapshot_after,
        snapshot_events: snapshot_after * 2,
        keep_entries: rng.random_range(1..=if few { 3 } else { snapshot_after / 2 }),
        connect_limit: Duration::from_millis(300),
        call_limit: Duration::from_secs(5),
        propose_limit: Duration::from_secs(10),
        ..Settings::default()
    }
}
