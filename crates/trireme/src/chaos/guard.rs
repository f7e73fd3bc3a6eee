//! Whether a fault may be made: only on a cluster that is whole, and only when what is left of it has a quorum.
//!
//! A follower that is cut off from the others and not from here goes on saying whom it followed, for it asks before it begins an
//! election. So the leader is asked when it heard each of them.

use std::time::Duration;

use anyhow::{Result, bail};
use trireme_cli::client::{self, NodeAnswer};
use trireme_cli::cluster_file::ClusterFile;
use trireme_cli::report::Report;

use super::fault::Fault;

/// A voter that is further behind than so many events would take long to be of use.
const NEAR: u64 = 1_000;
/// A voter that its leader has not heard for so many milliseconds is cut off: heartbeats come several times a second.
const SILENT: u64 = 2_000;

/// The cluster at one moment.
#[derive(Debug)]
pub struct View {
    /// What the nodes said.
    pub report: Report,
    /// The voters that the leader counts.
    voters: Vec<Voter>,
}

/// One voter, and why a quorum cannot count on it. That it answers is not enough: it may be cut off from the others.
#[derive(Debug)]
struct Voter {
    zone: String,
    lacks: Option<String>,
}

/// What a control node says of itself.
#[derive(Debug, Clone)]
struct Said {
    id: u64,
    role: String,
    leader: u64,
    term: u64,
    applied: u64,
    differs: bool,
}

impl View {
    /// Puts the answers together.
    pub fn of(answers: &[NodeAnswer], cluster: Option<&ClusterFile>) -> Self {
        let said: Vec<Said> = answers
            .iter()
            .filter_map(|answer| answer.answer.as_ref().ok()?.node.as_ref())
            .map(|node| Said {
                id: node.id,
                role: node.role.clone(),
                leader: node.leader_id,
                term: node.term,
                applied: node.applied_sequence,
                differs: node.state_differs,
            })
            .collect();
        let leading = client::leader(answers).map(|(_, view)| view);
        let leader = leading.and_then(|view| view.node.as_ref()).map_or(0, |node| node.id);
        let members = leading.iter().flat_map(|view| &view.members).filter(|member| member.voter);
        let members: Vec<Named<'_>> = members
            .map(|member| Named { id: member.id, zone: &member.zone, heard: member.heard_millis_ago })
            .collect();
        Self { report: Report::of(answers, cluster), voters: voters(leader, &members, &said) }
    }
}

/// A voter as the leader names it.
struct Named<'a> {
    id: u64,
    zone: &'a str,
    /// Milliseconds since the leader heard it.
    heard: Option<u64>,
}

fn voters(leader: u64, members: &[Named<'_>], said: &[Said]) -> Vec<Voter> {
    let of = |id: u64| said.iter().find(|said| said.id == id);
    let voter = |named: &Named<'_>| {
        let unheard = named.id != leader && named.heard.is_none_or(|ago| ago > SILENT);
        let unheard = unheard.then(|| "is not heard by the leader".to_owned());
        Voter { zone: named.zone.to_owned(), lacks: lacks(of(named.id), of(leader)).or(unheard) }
    };
    members.iter().map(voter).collect()
}

/// What keeps a node from standing in for another one.
fn lacks(node: Option<&Said>, leader: Option<&Said>) -> Option<String> {
    let (Some(node), Some(leader)) = (node, leader) else { return Some("does not answer".to_owned()) };
    if node.differs {
        return Some("holds another state than the others".to_owned());
    }
    let follows = node.role == "follower" && node.leader == leader.id && node.term == leader.term;
    if node.id != leader.id && !follows {
        return Some("does not follow the leader".to_owned());
    }
    let behind = leader.applied.saturating_sub(node.applied);
    (behind > NEAR).then(|| format!("is {behind} events behind"))
}

/// Refuses what could take the last quorum, or would hit a cluster that is hit already.
pub fn check(view: &View, fault: &Fault) -> Result<()> {
    if let Err(missing) = whole(view, view) {
        bail!("the cluster is not whole, so nothing is done to it: {missing}");
    }
    let all = view.voters.len();
    let fit = view.voters.iter().filter(|voter| voter.lacks.is_none()).count();
    let left = fit.saturating_sub(fault.takes());
    if left * 2 <= all {
        bail!("{fault} would leave {left} of {all} voters, which is no quorum");
    }
    let zones = view.report.zones.iter().filter(|zone| zone.agents > 0);
    if fault.takes_agents() && zones.count() < 2 {
        bail!("{fault} would leave no agent");
    }
    Ok(())
}

/// Whether all control nodes answer, one leads and the voters are with it, and agents and services are as they were; the error
/// says what is missing.
pub fn whole(view: &View, before: &View) -> Result<(), String> {
    let report = &view.report;
    if !report.quorum {
        return Err("no control node leads".to_owned());
    }
    if report.membership_changing {
        return Err("the membership is changing".to_owned());
    }
    if let Some(node) = report.nodes.iter().find(|node| node.error.is_some()) {
        return Err(format!("{}'s control node does not answer", node.zone));
    }
    let unfit = view.voters.iter().find_map(|voter| Some((&voter.zone, voter.lacks.as_ref()?)));
    if let Some((zone, lacks)) = unfit {
        return Err(format!("{zone}'s control node {lacks}"));
    }
    let connected = |report: &Report| report.agents.iter().filter(|agent| agent.connected).count();
    if connected(report) < connected(&before.report) {
        return Err(format!("{} of {} agents are connected", connected(report), connected(&before.report)));
    }
    let short = report.services.iter().find(|service| service.running < service.desired);
    short.map_or(Ok(()), |it| {
        Err(format!("service {}: {} of {} tasks RUNNING", it.name, it.running, it.desired))
    })
}

/// How long nobody led, as far as was seen.
#[derive(Debug, Default)]
pub struct Absence {
    /// This time.
    pub lasting: Duration,
    /// Altogether.
    pub total: Duration,
}

impl Absence {
    /// Notes a look, and the time since the one before.
    pub fn note(&mut self, quorum: bool, since: Duration) {
        if quorum {
            self.lasting = Duration::ZERO;
        } else {
            self.lasting += since;
            self.total += since;
        }
    }
}

#[cfg(test)]
mod tests {
    use trireme_cli::report::LeaderReport;

    use super::*;

    /// What the control nodes 1, 2, … say; 1 leads.
    fn said(voters: u64) -> Vec<Said> {
        let said = |id: u64| Said {
            id,
            role: if id == 1 { "leader" } else { "follower" }.to_owned(),
            leader: 1,
            term: 7,
            applied: 5_000,
            differs: false,
        };
        (1..=voters).map(said).collect()
    }

    /// A cluster of so many voters, of which these say something.
    fn view(count: u64, said: &[Said]) -> View {
        heard(count, said, |_| Some(100))
    }

    /// The same, when the leader heard each so long ago.
    fn heard(count: u64, said: &[Said], ago: impl Fn(u64) -> Option<u64>) -> View {
        let zones: Vec<String> = (1..=count).map(|id| format!("zone-{id}")).collect();
        let members = (1..).zip(&zones).map(|(id, zone)| Named { id, zone, heard: ago(id) });
        let members: Vec<Named<'_>> = members.collect();
        let report = Report {
            quorum: true,
            leader: Some(LeaderReport { node: 1, zone: "zone-1".to_owned() }),
            ..Report::of(&[], None)
        };
        View { report, voters: voters(1, &members, said) }
    }

    fn cluster(count: u64) -> View {
        view(count, &said(count))
    }

    /// A cluster of three whose third is not as it should be.
    fn with_third(change: impl Fn(&mut Said)) -> View {
        let mut said = said(3);
        change(&mut said[2]);
        view(3, &said)
    }

    fn taking(takes: usize) -> Fault {
        Fault::Command { inject: "true".to_owned(), undo: "true".to_owned(), takes }
    }

    #[track_caller]
    fn refused(view: &View, why: &str) {
        let error = check(view, &taking(0)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn the_last_quorum_is_never_taken() {
        assert!(check(&cluster(3), &taking(1)).is_ok());
        assert!(check(&cluster(3), &taking(2)).is_err());
        assert!(check(&cluster(5), &taking(2)).is_ok());
        assert!(check(&cluster(2), &taking(1)).is_err());
        assert!(check(&cluster(1), &taking(1)).is_err());
    }

    #[test]
    fn a_cluster_that_is_hit_already_is_left_alone() {
        refused(&view(5, &said(4)), "zone-5's control node does not answer");
        let mut leaderless = cluster(3);
        leaderless.report.quorum = false;
        refused(&leaderless, "no control node leads");
        refused(&View::of(&[], None), "no control node leads");
    }

    #[test]
    fn a_voter_that_answers_and_is_cut_off_is_not_counted() {
        let cut = "zone-3's control node does not follow the leader";
        refused(&with_third(|node| (node.role, node.leader) = ("candidate".to_owned(), 0)), cut);
        refused(&with_third(|node| node.term = 6), cut);
        refused(&with_third(|node| node.leader = 2), cut);
        // Nothing is written, and it still says whom it followed.
        let unheard = "zone-3's control node is not heard by the leader";
        for ago in [None, Some(SILENT + 1)] {
            refused(&heard(3, &said(3), |id| if id == 3 { ago } else { Some(50) }), unheard);
        }
    }

    #[test]
    fn a_voter_that_is_far_behind_or_differs_is_not_counted() {
        refused(&with_third(|node| node.applied -= NEAR + 1), "is 1001 events behind");
        refused(&with_third(|node| node.differs = true), "holds another state");
        assert!(check(&with_third(|node| node.applied -= NEAR), &taking(1)).is_ok());
        // It answered after the leader did.
        assert!(check(&with_third(|node| node.applied += 10), &taking(1)).is_ok());
    }

    #[test]
    fn only_an_absence_without_a_pause_lasts() {
        let second = Duration::from_secs(1);
        let mut absence = Absence::default();
        for quorum in [true, false, false, true, false] {
            absence.note(quorum, second);
        }
        assert_eq!((absence.lasting, absence.total), (second, 3 * second));
    }
}
