//! `make chaos`: plays the scenarios on a cluster in a laboratory of network namespaces, and reports.

#![allow(clippy::print_stdout, reason = "it tells what happens")]

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use chaos_tests::lab::cluster::Ground;
use chaos_tests::lab::{Lab, Runtime};
use chaos_tests::program::{exit, on_ground};
use chaos_tests::report::{self, Run};
use chaos_tests::run;
use chaos_tests::scenario::table::{SCENARIOS, chosen};
use chaos_tests::scenario::{Means, Scenario, Stage};
use chaos_tests::verdict::{Outcome, Verdict};
use chaos_tests::watch::{Sample, Watch};
use clap::Parser;

/// Faults against a real cluster in three zones.
#[derive(Debug, Parser)]
struct Arguments {
    /// A scenario's name or number, several with commas, or `all`.
    #[arg(long, default_value = "all")]
    scenario: String,
    /// What all chance comes from. Default: the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Only list the scenarios.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    exit(start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<bool> {
    if arguments.list {
        for scenario in SCENARIOS {
            println!("{:>3} {:<17} {}", scenario.number, scenario.name, scenario.title);
        }
        return Ok(true);
    }
    let scenarios = chosen(&arguments.scenario);
    if scenarios.is_empty() {
        bail!("no scenario {}; --list shows all", arguments.scenario);
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = arguments.seed.unwrap_or(started);
    let command = format!("make chaos SCENARIO={} SEED={seed}", arguments.scenario);
    println!("{command}");
    let mut run = Run {
        title: "Trireme chaos report".to_owned(),
        command,
        started,
        machine: report::machine(),
        verdicts: Vec::new(),
        samples: Vec::new(),
        tables: Vec::new(),
    };
    let folder = report::folder("chaos", started);
    let zero = Instant::now();
    let mut left = scenarios.as_slice();
    // Each round has a cluster of its own: one that does not heal is not used again.
    while !left.is_empty() {
        let before = run.verdicts.len();
        let ended = round(left, seed, zero, &mut run)?;
        left = &left[run.verdicts.len() - before..];
        let page = run.write(&folder)?;
        if ended || left.is_empty() {
            println!("{}\n{}", run.summary(), page.display());
            return Ok(run.passed() && !ended);
        }
    }
    Ok(false)
}

/// Plays scenarios on one cluster until all are played, or it is broken. Gives whether somebody wants it to end.
fn round(scenarios: &[Scenario], seed: u64, zero: Instant, run: &mut Run) -> Result<bool> {
    if scenarios.iter().all(|scenario| matches!(scenario.means, Means::Skip(_))) {
        return skip_all(scenarios, zero, run);
    }
    Ok(on_ground(async |ground| play(ground, scenarios, seed, zero, run).await)?.is_none())
}

fn skip_all(scenarios: &[Scenario], zero: Instant, run: &mut Run) -> Result<bool> {
    for scenario in scenarios {
        let mut verdict = Verdict::of(scenario, chaos_tests::watch::millis(zero, Instant::now()));
        if let Means::Skip(why) = scenario.means {
            verdict.skip(why);
        }
        println!("{}", report::text(&verdict));
        run.verdicts.push(verdict);
    }
    Ok(false)
}

async fn play(ground: Ground, scenarios: &[Scenario], seed: u64, zero: Instant, run: &mut Run) -> Result<()> {
    println!("starting a cluster of three zones");
    let lab = Lab::start(ground, Runtime::Docker).await.context("the cluster does not start")?;
    let watch = Watch::start(lab.file(), zero);
    let mut stage = Stage::set(lab, seed, 1.0).await?;
    for scenario in scenarios {
        if matches!(scenario.means, Means::Run(_)) {
            println!("--- {} {}: {}", scenario.number, scenario.name, scenario.title);
        }
        let verdict = run::play(&mut stage, scenario, zero).await;
        println!("{}", report::text(&verdict));
        let broken = verdict.outcome == Outcome::Failed;
        run.verdicts.push(verdict);
        if broken {
            keep_logs(&stage, scenario);
        }
        if broken || scenario.spends {
            println!("    what follows has a cluster of its own");
            break;
        }
    }
    run.samples.extend::<Vec<Sample>>(watch.samples());
    Ok(())
}

/// After a failure the logs are all that is left to look at.
fn keep_logs(stage: &Stage, scenario: &Scenario) {
    let to = std::env::temp_dir().join("trireme-chaos-logs").join(scenario.name);
    let _old = std::fs::remove_dir_all(&to);
    for zone in chaos_tests::lab::host::ZONES {
        for name in ["server.log", "agent.log", "docker/log"] {
            let from = stage.lab.folder().join(zone.to_string()).join(name);
            let target = to.join(format!("{zone}-{}", name.replace('/', "-")));
            let _kept = std::fs::create_dir_all(&to).and_then(|()| std::fs::copy(from, target));
        }
    }
    println!("    logs: {}", to.display());
}
