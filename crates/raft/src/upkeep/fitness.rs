//! A look at the voters' clocks before a node decides: what it decides carries its time, and time in the log never goes back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use trireme_rpc::control;
use trireme_types::Timestamp;

use super::{DISAGREED, PAUSE};
use crate::clock::Clock;
use crate::config::{Raft, Settings};
use crate::decider::Fitness;
use crate::machine::View;
use crate::membership::{Keeper, Refused};
use crate::network::peers::Peers;
use crate::store::within;
use crate::vitals::is_of;
use crate::voters_clock::{self, Judgement, Offsets};

/// How often the clocks are looked at while too few answer.
const LOOKS: usize = 3;

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

    /// Whether a majority of all voters, this node among them, agrees with its clock.
    fn settled(&self, tolerance: Duration) -> bool {
        let agrees = |millis: i64| Duration::from_millis(millis.unsigned_abs()) <= tolerance / 2;
        self.ahead.iter().filter(|(_, millis)| agrees(*millis)).count() > self.voters / 2
    }

    /// Voters whose clocks are right while this node's is so far ahead of the median.
    fn right(&self, ahead: i64, tolerance: Duration) -> Vec<u64> {
        let off = |millis: i64| Duration::from_millis(millis.saturating_add(ahead).unsigned_abs());
        self.ahead.iter().filter(|(_, millis)| off(*millis) <= tolerance).map(|(id, _)| *id).collect()
    }

    /// How far this node's clock is ahead of the earliest that may be right. Where nobody can tell who is, the earliest does the
    /// least harm: a time that is too late would stay in the log for ever. One that is before what the log says was then is
    /// wrong for certain, if it is so by more than entries of a moment ago can be.
    fn ahead_of_earliest(&self, wall: Timestamp, log: Timestamp, tolerance: Duration) -> Duration {
        let signed = |time: Timestamp| i64::try_from(time.millis()).unwrap_or(i64::MAX);
        let before_log = signed(wall).saturating_sub(signed(log));
        let tolerance = i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX);
        let may_be_right = |millis: &i64| millis.saturating_add(before_log).saturating_add(tolerance) >= 0;
        let all = self.ahead.iter().map(|(_, millis)| *millis).filter(may_be_right);
        Duration::from_millis(all.min().unwrap_or(0).min(0).unsigned_abs())
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
    view: watch::Receiver<Arc<View>>,
) -> Fitness {
    Arc::new(move || {
        let (raft, peers, keeper) = (raft.clone(), peers.clone(), keeper.clone());
        let (clock, view) = (Arc::clone(&clock), view.clone());
        let (tolerance, settings) = (settings.clock_tolerance, settings.clone());
        Box::pin(async move {
            let limits = (tolerance, settings.answer_limit());
            let mut clocks = look(&raft, node_id, &peers, &*clock, limits).await;
            for _ in 1..LOOKS {
                // A quorum has just confirmed this leader: whoever does not answer is slow, not gone.
                if !matches!(clocks.judge(tolerance), Judgement::TooFew) {
                    break;
                }
                clocks = look(&raft, node_id, &peers, &*clock, limits).await;
            }
            let offset = match clocks.judge(tolerance) {
                Judgement::Ahead(offset) => offset,
                Judgement::Disagreed(spread_millis) => {
                    tracing::error!(spread_millis, "{DISAGREED}");
                    let log = view.borrow().state.clock();
                    return Some(clocks.ahead_of_earliest(clock.wall(), log, tolerance));
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

/// Asks the voters. Once a majority agrees with this node the others can say nothing else, and are not waited for.
async fn look(
    raft: &Raft,
    node_id: u64,
    peers: &Peers,
    clock: &dyn Clock,
    (tolerance, limit): (Duration, Duration),
) -> Clocks {
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
        let answer = within(limit, client.status(control::StatusRequest {})).await?.ok()?;
        let answer = answer.into_inner();
        let ours = is_of(&answer, peers.fence().identity());
        ours.then(|| (*id, voters_clock::ahead(answer.now_millis, before, clock.wall())))
    });
    let mut others: FuturesUnordered<_> = others.collect();
    let mut clocks = Clocks { voters: voters.len(), ahead: vec![(node_id, 0)] };
    while !clocks.settled(tolerance)
        && let Some(answer) = others.next().await
    {
        clocks.ahead.extend(answer);
    }
    clocks
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
    fn who_agrees_with_a_majority_waits_for_nobody() {
        let settled = |voters, ahead: &[i64]| {
            let ahead = ahead.iter().enumerate().map(|(id, millis)| (id as u64, *millis)).collect();
            Clocks { voters, ahead }.settled(TOLERANCE)
        };
        assert!(settled(1, &[0]) && settled(3, &[0, 40]) && settled(5, &[0, -40, 90_000, 300]));
        assert!(!settled(3, &[0]) && !settled(3, &[0, 90_000]) && !settled(5, &[0, 40, 90_000, 80_000]));
    }

    #[test]
    fn of_two_clocks_the_earlier_counts() {
        let clocks = |other| Clocks { voters: 3, ahead: vec![(1, other), (2, 0)] };
        assert!(matches!(clocks(-90_000).judge(TOLERANCE), Judgement::Disagreed(_)));
        let (wall, log) = (Timestamp::from_millis(1_000_000), Timestamp::from_millis(900_000));
        let earliest = |other| clocks(other).ahead_of_earliest(wall, log, TOLERANCE);
        assert_eq!(earliest(-90_000), Duration::from_secs(90));
        assert_eq!(earliest(90_000), Duration::ZERO, "this one is the earlier");
        assert_eq!(earliest(-100_500), Duration::from_millis(100_500), "the log is of just now");
        assert_eq!(earliest(-102_000), Duration::ZERO, "the log says that it was later than that already");
    }
}
