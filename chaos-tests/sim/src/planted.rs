//! The planted bugs: what each breaks, and the name under which the product hides it (`trireme_types::planted`). Each breaks one
//! rule and leaves the others that might cover for it as they are.

/// A bug.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// What it breaks.
    pub what: &'static str,
}

const fn bug(name: &'static str, what: &'static str) -> Planted {
    Planted { name, what }
}

/// All of them.
pub const ALL: &[Planted] = &[
    bug("append-without-sync", "log entries count as durable before their sync"),
    bug("vote-without-sync", "a vote is answered before it is durable"),
    bug("failed-sync-ignored", "after a failed fsync the node goes on"),
    bug("mark-before-the-sync", "what is durable is marked before it is"),
    bug("cut-log-keeps-its-end", "a truncated log keeps its end on the disk"),
    bug("purge-one-entry-more", "a purge takes the first entry that is still needed"),
    bug(
        "snapshot-before-the-log-is-synced",
        "the write-ahead log is not flushed before a snapshot replaces it",
    ),
    bug("snapshot-one-entry-off", "a snapshot holds the state before the entry that it names"),
    bug("installed-snapshot-not-kept", "a snapshot from the leader is applied, not stored"),
    bug("requests-lost-in-a-snapshot", "a snapshot forgets the idempotency keys"),
    bug("history-gap-stays", "what a snapshot jumped over is not fetched"),
    bug("append-answered-before-it-is-written", "a follower acknowledges entries before it has them"),
    bug("refused-proposal-keeps-the-head", "a refused proposal does not poison the head"),
    bug("base-not-checked", "entries are applied whatever they were decided on"),
    bug("rejection-answered-early", "a rejection leaves before what it was decided on is applied"),
    bug("answered-before-it-is-committed", "success is answered when Raft takes the entry"),
    bug("office-before-all-is-applied", "a new leader decides on a state that lags behind its log"),
    bug("ids-drawn-twice", "ids start again when the head is rebuilt"),
    bug("lease-a-second-too-long", "a leader answers reads a second beyond its lease"),
    bug("retry-decided-twice", "a repeated write is decided anew"),
    // That `decide` counts a service's tasks is not tried here: a plan on an old view that outlives its leader's office would show
    // it, and no run has made one so far. The unit tests of `decide` hold it.
    // Reports of a session that is over do no harm by themselves: when its instance was lost its tasks are STOPPED, when it has a
    // newer session both speak of the same containers, and in either case a status only goes forward.
    bug("lost-instance-keeps-its-epoch", "losing an instance does not fence its agent"),
    // That an agent follows assignments older than it has seen is not here: a session sends nothing before its node has applied the
    // session's own opening, which lies behind all that the agent was sent before. Only a control plane that was restored from a
    // backup sends older ones, and that is another incarnation.
    bug("agent-adopts-nothing", "a restarted agent does not know its containers"),
    bug("image-pinned-again", "what a tag means is pinned anew by each agent that says so"),
    bug("any-image-is-the-pinned-one", "an agent takes what it found for what is pinned"),
    bug("heartbeats-not-relayed", "followers keep what they hear to themselves"),
    bug("lost-address-is-free", "the address of a lost task is given away at once"),
    // That a schedule's step names the time at which the state stands is not tried here: a leader plans on no view that lacks what it has
    // done, and one that has lost its office reaches the next one too late. The unit tests of `decide` hold it.
    bug("late-time-starts-nothing", "a time that a new leader sees to late starts nothing"),
    bug("scaled-beyond-the-maximum", "autoscaling adds tasks beyond the maximum"),
    bug("unknown-use-is-none", "of a task whose use is not known nothing is taken to be used"),
    bug("fargate-on-any-machine", "tasks of FARGATE are placed on the cluster's own machines"),
];
