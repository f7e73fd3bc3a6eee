//! 20: wall clocks jump by an hour. Elections, and the times that are written down, do not care.

use super::{Installed, Stage, Step};
use crate::lab::shim::Disturbance;

const HOUR_MS: i64 = 3_600_000;

/// The leader's clock jumps an hour ahead, a follower's an hour back.
pub fn jumped(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let (leader, follower) = (stage.lab.leader().await?, stage.follower().await?);
        let offset = |clock_offset_ms| Disturbance { clock_offset_ms, ..Disturbance::default() };
        if let Err(error) = stage.lab.disturb(leader, offset(HOUR_MS)) {
            return Ok(Installed::No(format!("{error:#}")));
        }
        stage.lab.disturb(follower, offset(-HOUR_MS))?;
        stage.fault(format!("the leader's clock (zone {leader}) +1 h, zone {follower}'s -1 h, for 15 s"));
        let before = stage.history.count();
        stage.hold(15.0).await;
        let events = stage.history.since(before);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
        let farthest = events.iter().map(|event| (event.at - now).abs()).fold(0.0, f64::max);
        let back = events.windows(2).filter(|pair| pair[1].at < pair[0].at).count();
        let text = format!(
            "{} events meanwhile, at most {farthest:.0} s from true time; {back} go back",
            events.len()
        );
        match events.is_empty() {
            true => stage.open("time", text),
            false => stage.expect("time", farthest < 60.0 && back == 0, text),
        }
        Ok(Installed::Yes)
    })
}
