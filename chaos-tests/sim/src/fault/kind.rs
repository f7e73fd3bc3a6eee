//! The kinds of fault.

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Hosts fall into two halves that do not hear each other.
    Partition,
    /// Some hosts are not heard by some others, but hear them.
    OneWay,
    /// One control node, often the leader, is cut off, sometimes only one way.
    Isolate,
    /// The leader is cut off from the other control nodes, not from its clients, until another one leads and cuts its log; it may
    /// end at just that moment.
    Depose,
    /// Two halves, and one host between them that hears both.
    Bridge,
    /// All links between control nodes are clogged, and cleared one by one in another order.
    Swizzle,
    /// What one control node sends and is sent waits, as when its machine stands still.
    Pause,
    /// Messages take long.
    Latency,
    /// Links break at random.
    Loss,
    /// A control node's process is killed: what it had written stays written.
    Kill,
    /// A control node's machine loses power: what was not synced is gone, or a part of it.
    PowerLoss,
    /// All control nodes lose power, at any time or at a bad moment.
    Blackout,
    /// A control node loses power at an exact call to its disk.
    PowerLossAtCall,
    /// A control node is stopped in order.
    Stop,
    /// An agent's process is killed; its containers run on.
    AgentKill,
    /// An agent is told to stop, and says that it is away for a while; its containers run on.
    AgentStop,
    /// An agent's machine is lost, its containers with it.
    MachineLoss,
    /// A zone is cut off or loses power.
    ZoneLoss,
    /// A control node's syncs take long.
    SlowDisk,
    /// A control node's syncs fail: it must stop.
    FailedSync,
    /// A control node is slow to apply what is committed.
    SlowApply,
    /// A leader's Raft refuses proposals now and then, and stays leader.
    Refusals,
    /// A control node's time of day jumps.
    ClockJump,
    /// A machine's clocks and timers go too fast or too slow.
    ClockDrift,
    /// A control node is asked to give leadership away.
    Handover,
    /// Control nodes join and leave.
    Membership,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Partition,
        Self::OneWay,
        Self::Isolate,
        Self::Depose,
        Self::Bridge,
        Self::Swizzle,
        Self::Pause,
        Self::Latency,
        Self::Loss,
        Self::Kill,
        Self::PowerLoss,
        Self::Blackout,
        Self::PowerLossAtCall,
        Self::Stop,
        Self::AgentKill,
        Self::AgentStop,
        Self::MachineLoss,
        Self::ZoneLoss,
        Self::SlowDisk,
        Self::FailedSync,
        Self::SlowApply,
        Self::Refusals,
        Self::ClockJump,
        Self::ClockDrift,
        Self::Handover,
        Self::Membership,
    ];
}
