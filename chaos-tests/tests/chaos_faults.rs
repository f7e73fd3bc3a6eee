//! A short and fixed part of the chaos tests: on a cluster with simulated containers the leader is isolated, is not heard, and
//! loses its zone. All else is in `make chaos`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, which tells a story")]

use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use chaos_tests::lab::cluster::Ground;
use chaos_tests::lab::{Lab, Runtime};
use chaos_tests::report;
use chaos_tests::run::play;
use chaos_tests::scenario::Stage;
use chaos_tests::scenario::table::chosen;
use chaos_tests::verdict::Outcome;

const SCENARIOS: &str = "leader-isolated,leader-unheard,zone-cut";
const SEED: u64 = 20;
/// Faults are held for a part of their time: long enough for elections, and for an agent to be lost.
const PACE: f64 = 0.4;

#[test]
fn the_leader_is_cut_off_in_three_ways() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: network namespaces need root");
        return;
    }
    let ground = Ground::take().unwrap();
    // Built here, so that its threads are among the machines.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let verdicts = runtime.block_on(async {
        let zero = Instant::now();
        let lab = Lab::start(ground, Runtime::Fake).await.unwrap();
        let mut stage = Stage::set(lab, SEED, PACE).await.unwrap();
        let mut verdicts = Vec::new();
        for scenario in chosen(SCENARIOS) {
            let verdict = play(&mut stage, &scenario, zero).await;
            println!("{}", report::text(&verdict));
            verdicts.push(verdict);
        }
        verdicts
    });
    // A wall-clock time over its budget is told above, and is no failure here: those are for `make chaos`.
    let failed = verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Failed);
    let bad: Vec<_> = failed.filter(|verdict| !verdict.only_late()).collect();
    assert!(bad.is_empty(), "{:?}", bad.iter().map(|it| (&it.name, &it.reasons)).collect::<Vec<_>>());
    assert!(verdicts.iter().all(|verdict| verdict.outcome != Outcome::Skipped), "each fault was there");
    let open: Vec<_> = verdicts.iter().map(|verdict| (&verdict.name, verdict.unjudged())).collect();
    assert!(open.iter().all(|(_, names)| names.is_empty()), "judged, not only looked at: {open:?}");
}
