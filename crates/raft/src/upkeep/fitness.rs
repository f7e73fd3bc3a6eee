//! A look at the voters' clocks before a node decides: what it decides carries its time, and time in the log never goes back.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use trireme_rpc::control;

use super::{DISAGREED, PAUSE};
use crate::clock::Clock;
use crate::config::{Raft, Settings};
use crate::decider::Fitness;
use crate::membership::{Keeper, Refused};
use crate::network::peers::Peers;
use crate::store::within;
use crate::vitals::is_of;
use crate::voters_clock::{self, Judgement, Offsets};

/// The limit for looking at a peer's clock.
const CLOCK_LIMIT: Duration = Duration::from_millis(250);

/// How far each voter's clock is ahead of this node's, in milliseconds; its own among them.
struct Clocks {
    voters: usize,
    ahead: Vec<(u64, i64)>,
}

impl Clocks {
    fn judge(&self, tolerance: Duration) -> Judgement {
        let millis = self.ahead.iter().map(|(_, millis)| *millis).collect();
        Offsets { voters: self.voters, millis }.judge(tolerance)
    }

    /// Voters whose clocks are right while this node's is so far ahead of the median.
    fn right(&self, ahead: i64, tolerance: Duration) -> Vec<u64> {
        let off = |millis: i64| Duration::from_millis(millis.saturating_add(ahead).unsigned_abs());
        self.ahead.iter().filter(|(_, millis)| off(*millis) <= tolerance).map(|(id, _)| *id).collect()
    }

    /// How far this node's clock is ahead of the earliest. Where nobody can tell who is right, the earliest does the least harm:
    /// a time that is too late would stay in the log for ever.
    fn ahead_of_earliest(&self) -> Duration {
        let earliest = self.ahead.iter().map(|(_, millis)| *millis).min().unwrap_or(0).min(0);
        Duration::from_millis(earliest.unsigned_abs())
    }
}

/// Looks at the voters' clocks before this node decides. One that is too far off hands leadership on, to a voter whose clock is
/// right.
pub(crate) fn fitness(
    raft: Raft,
    node_id: u64,
    peers: Peers,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    settings: Settings,
) -> Fitness {
    Arc::new(move || {
        let (raft, peers, keeper) = (raft.clone(), peers.clone(), keeper.clone());
        let (clock, tolerance) = (Arc::clone(&clock), settings.clock_tolerance);
        Box::pin(async move {
            let clocks = look(&raft, node_id, &peers, &*clock).await;
            let offset = match clocks.judge(tolerance) {
                Judgement::Ahead(offset) => offset,
                Judgement::Disagreed(spread_millis) => {
                    tracing::error!(spread_millis, "{DISAGREED}");
                    return Some(clocks.ahead_of_earliest());
                }
                Judgement::Agreed | Judgement::TooFew => return Some(Duration::ZERO),
            };
            if Duration::from_millis(offset.unsigned_abs()) <= tolerance {
                return Some(Duration::ZERO);
            }
            tracing::error!(offset_millis = offset, "this node's clock is wrong; it hands leadership on");
            match keeper.handover_to_one_of(&clocks.right(offset, tolerance)).await {
                Ok(_) | Err(Refused::NotLeader) => {}
                Err(Refused::Because(reason)) => tracing::error!(%reason, "and nobody takes it"),
            }
            tokio::time::sleep(PAUSE).await;
            None
        })
    })
}

async fn look(raft: &Raft, node_id: u64, peers: &Peers, clock: &dyn Clock) -> Clocks {
    let voters: Vec<(u64, String)> = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters = membership
            .voter_ids()
            .filter_map(|id| membership.get_node(&id).map(|member| (id, member.peer_address.clone())));
        voters.collect()
    };
    let others = voters.iter().filter(|(id, _)| *id != node_id).map(|(id, address)| async move {
        let mut client = peers.control(address).ok()?;
        let before = clock.wall();
        let answer = within(CLOCK_LIMIT, client.status(control::StatusRequest {})).await?.ok()?;
        let answer = answer.into_inner();
        let ours = is_of(&answer, peers.fence().identity());
        ours.then(|| (*id, voters_clock::ahead(answer.now_millis, before, clock.wall())))
    });
    let mut ahead: Vec<(u64, i64)> =
        futures_util::future::join_all(others).await.into_iter().flatten().collect();
    ahead.push((node_id, 0));
    Clocks { voters: voters.len(), ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(1);

    #[test]
    fn a_wrong_clock_hands_over_to_a_right_one_and_never_to_another_that_is_wrong() {
        // Seen from node 5 of five, which is two seconds ahead, and so is node 4.
        let ahead = vec![(1, -2_000), (2, -1_990), (3, -2_010), (4, 10), (5, 0)];
        let clocks = Clocks { voters: 5, ahead };
        let Judgement::Ahead(offset) = clocks.judge(TOLERANCE) else { panic!("five clocks have a median") };
        assert_eq!(clocks.right(offset, TOLERANCE), [1, 2, 3]);
        // One too early, one too late.
        let clocks = Clocks { voters: 3, ahead: vec![(1, 2_000), (2, 4_000), (3, 0)] };
        let Judgement::Ahead(offset) = clocks.judge(TOLERANCE) else { panic!("three clocks have a median") };
        assert_eq!(clocks.right(offset, TOLERANCE), [1]);
    }

    #[test]
    fn of_two_clocks_the_earlier_counts() {
        let clocks = |other| Clocks { voters: 3, ahead: vec![(1, other), (2, 0)] };
        assert!(matches!(clocks(-90_000).judge(TOLERANCE), Judgement::Disagreed(_)));
        assert_eq!(clocks(-90_000).ahead_of_earliest(), Duration::from_secs(90));
        assert_eq!(clocks(90_000).ahead_of_earliest(), Duration::ZERO, "this one is the earlier");
    }
}
