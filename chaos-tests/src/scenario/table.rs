//! All forty faults: how each is made here, or why it is not.

use super::{
    Means, Scenario, agent, clock, data, disk, engine, failpoint, flood, herd, image, leader, links, member,
    quorum, retry, service, upgrade, zone,
};
use crate::invariant::api_gap::Gap;

const USUAL: Gap = Gap::Within(5.0);
const AFTER: Gap = Gap::AfterFault(5.0);
const OVERLOAD: Gap = Gap::Overload(5.0);

const fn row(number: u32, name: &'static str, title: &'static str, means: Means) -> Scenario {
    Scenario { number, name, title, gap: USUAL, heal: 30, keeps: false, spends: false, means }
}

/// The control plane's own business: no container may notice.
const fn quiet(scenario: Scenario) -> Scenario {
    Scenario { keeps: true, ..scenario }
}

/// It changes the cluster for good.
const fn spending(scenario: Scenario) -> Scenario {
    Scenario { spends: true, ..scenario }
}

/// A zone's loss takes longer to make good.
const fn zonal(scenario: Scenario) -> Scenario {
    Scenario { heal: 60, ..scenario }
}

/// There is no quorum while the fault lasts, or no room: nothing that grows is taken while any voter's disk is nearly full.
const fn writeless(scenario: Scenario) -> Scenario {
    Scenario { gap: AFTER, ..scenario }
}

/// Callers are turned away as long as it lasts, but not all of them for long.
const fn overload(scenario: Scenario) -> Scenario {
    Scenario { gap: OVERLOAD, keeps: true, ..scenario }
}

const fn skip(number: u32, name: &'static str, title: &'static str, why: &'static str) -> Scenario {
    row(number, name, title, Means::Skip(why))
}

/// Every fault, the most important first.
pub const SCENARIOS: &[Scenario] = &[
    quiet(row(1, "leader-killed", "kill -9 of the leader under writes", Means::Run(leader::killed))),
    quiet(row(
        2,
        "follower-killed",
        "kill -9 of a follower, and its restart",
        Means::Run(quorum::follower_killed),
    )),
    writeless(quiet(row(
        3,
        "all-killed",
        "kill -9 of all control nodes, cold start",
        Means::Run(quorum::all_killed),
    ))),
    quiet(row(
        4,
        "leader-paused",
        "SIGSTOP of the leader for 30 s, then SIGCONT",
        Means::Run(leader::paused),
    )),
    quiet(row(5, "leader-isolated", "the leader cut from all but the clients", Means::Run(leader::isolated))),
    quiet(row(6, "leader-unheard", "one-way drop of what the leader sends", Means::Run(leader::unheard))),
    quiet(row(7, "bridge", "leader and a follower cut, the third sees both", Means::Run(leader::bridged))),
    writeless(quiet(row(
        8,
        "majority-lost",
        "two of three control nodes killed",
        Means::Run(quorum::majority_lost),
    ))),
    quiet(row(9, "loss", "30 % packet loss between control nodes", Means::Run(links::lossy))),
    quiet(row(10, "latency", "200 ms and jitter between control nodes", Means::Run(links::slow))),
    row(11, "swizzle", "all links cut and healed in random orders", Means::Run(links::swizzled)),
    quiet(row(
        12,
        "answer-lost",
        "the reply lost after the commit, same token again",
        Means::Run(retry::answer_lost),
    )),
    quiet(row(13, "members-replaced", "control nodes leave and new ones join", Means::Run(member::replaced))),
    quiet(row(
        13,
        "five-members",
        "two more control nodes; leadership moved; dead ones replaced",
        Means::Run(member::five),
    )),
    quiet(row(14, "laggard", "a laggard killed while it gets a snapshot", Means::Run(failpoint::laggard))),
    quiet(row(15, "failpoints", "kill at syncs, renames and removals of files", Means::Run(failpoint::died))),
    quiet(row(16, "torn-log", "the tail of a write-ahead log torn off", Means::Run(disk::torn))),
    quiet(row(17, "bit-flip", "bit flips in log and snapshot", Means::Run(data::bit_flips))),
    writeless(quiet(row(
        18,
        "disk-full",
        "ENOSPC on a follower (tmpfs): nothing grows, all else goes on",
        Means::Run(disk::full),
    ))),
    quiet(row(18, "disk-failing", "EIO of the leader's fsync", Means::Run(disk::failing))),
    quiet(row(19, "disk-slow", "the leader's fsync 1 s slower", Means::Run(disk::slow))),
    quiet(row(20, "clock", "wall clocks 1 h ahead and 1 h back", Means::Run(clock::jumped))),
    spending(quiet(row(
        21,
        "upgrade",
        "mixed versions: control nodes and agents replaced one by one",
        Means::Run(upgrade::rolling),
    ))),
    writeless(quiet(row(
        22,
        "restore",
        "the quorum lost for good: force-new-cluster, and a backup",
        Means::Run(data::restored),
    ))),
    quiet(row(23, "agent-killed", "kill -9 of an agent, and its restart", Means::Run(agent::killed))),
    row(24, "agent-cut", "an agent cut past the lost time-out", Means::Run(agent::cut)),
    row(25, "agent-flaps", "an agent 5 s away, 5 s back", Means::Run(agent::flapping)),
    zonal(row(26, "zone-cut", "the leader's zone cut off", Means::Run(zone::cut))),
    zonal(row(27, "zone-returns", "a zone dies and returns", Means::Run(zone::returns))),
    writeless(quiet(row(28, "two-zones-cut", "two zones cut off", Means::Run(zone::two_cut)))),
    zonal(row(
        29,
        "deployment",
        "the leader's zone dies in a deployment",
        Means::Run(zone::dies_in_deployment),
    )),
    row(30, "docker-socket", "docker.sock: 500, hang, slow", Means::Run(engine::socket)),
    row(31, "docker-restart", "kill -9 of dockerd, and its restart", Means::Run(engine::restarted)),
    row(32, "crash-loop", "a service whose tasks crash", Means::Run(service::crash_loop)),
    row(33, "behind-its-back", "docker rm -f; a rogue container", Means::Run(engine::behind_its_back)),
    quiet(row(
        34,
        "image-pull",
        "a registry that answers 404, stalls, sends other bytes",
        Means::Run(image::unpullable),
    )),
    quiet(row(35, "agent-disk-full", "an agent's disk full (tmpfs)", Means::Run(disk::agent_full))),
    row(36, "port-taken", "a host port taken", Means::Run(service::port_taken)),
    skip(37, "load-balancer", "load balancer killed, stale targets", "comes with the load balancer"),
    skip(38, "certificates", "certificates expire while cut", "comes with mTLS"),
    overload(row(39, "flood", "2,700 connections write without a pause", Means::Run(flood::api_flood))),
    overload(row(39, "mass-loss", "200 tasks lost at once", Means::Run(herd::mass_loss))),
    overload(row(32, "crash-loop-herd", "a service of 1,000 tasks that crash", Means::Run(herd::crash_loop))),
    overload(row(
        39,
        "huge-definitions",
        "definitions as large as they may be, and larger",
        Means::Run(herd::huge_definitions),
    )),
    writeless(quiet(row(39, "reconnect", "5,000 agents reconnect at once", Means::Run(herd::reconnect)))),
    quiet(row(40, "history-edited", "one logged event edited offline", Means::Run(data::history_edited))),
];

/// The scenarios of that name or number; all for `all`.
pub fn chosen(choice: &str) -> Vec<Scenario> {
    let is = |it: &&Scenario| {
        choice == "all" || choice.split(',').any(|one| one == it.name || one == it.number.to_string())
    };
    SCENARIOS.iter().filter(is).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_forty_is_there_and_names_are_unique() {
        for number in 1..=40 {
            assert!(SCENARIOS.iter().any(|scenario| scenario.number == number), "{number}");
        }
        let mut names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
        assert_eq!(chosen("1,zone-cut").len(), 2);
        assert_eq!(chosen("18").len(), 2);
    }
}
