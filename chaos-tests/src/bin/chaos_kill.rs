//! `make chaos-kill`: kills everything in turn and at random under load, and Docker Swarm's parts beside it.

#![allow(clippy::print_stdout, reason = "it tells what happens")]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use chaos_tests::busy;
use chaos_tests::kill::compare::{Outcome, audits, differences, findings, lines, table, wrong};
use chaos_tests::kill::measure::death;
use chaos_tests::kill::side::{Audit, Side};
use chaos_tests::kill::swarm::Swarm;
use chaos_tests::kill::trireme::Trireme;
use chaos_tests::kill::{Death, plan};
use chaos_tests::lab::{Lab, Runtime};
use chaos_tests::program::{exit, on_ground};
use chaos_tests::report::{self, Run};
use chaos_tests::watch::{Sample, Watch};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Kills under load, and the same for Docker Swarm.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long Trireme's parts are killed; Swarm's die as often.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What all chance comes from. Default: the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave Swarm out.
    #[arg(long)]
    alone: bool,
}

const INTERRUPTED: &str = "interrupted";

fn main() -> ExitCode {
    exit(start(&Arguments::parse()))
}

fn start(arguments: &Arguments) -> Result<bool> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = arguments.seed.unwrap_or(started);
    let command = format!("make chaos-kill MINUTES={} SEED={seed}", arguments.minutes);
    println!("{command}");
    let mut samples = Vec::new();
    let time = Duration::from_secs_f64(arguments.minutes * 60.0);
    let ours = on_ground(async |ground| {
        let lab = Lab::start(ground, Runtime::Docker).await?;
        let watch = Watch::start(lab.file(), Instant::now());
        let mut side = Trireme::start(lab).await?;
        let outcome = many(&mut side, seed, |_, began| began.elapsed() > time).await;
        samples.extend::<Vec<Sample>>(watch.samples());
        let (outcome, ended) = outcome?;
        ended.map_or(Ok(outcome), Err)
    })?
    .context(INTERRUPTED)?;
    let count = ours.deaths.len();
    let theirs = match arguments.alone {
        true => None,
        false => Some(
            on_ground(async |ground| {
                let mut side = Swarm::start(ground).await?;
                let (mut outcome, ended) = many(&mut side, seed, |number, _| number >= count).await?;
                // What the other side cannot do ends its part, not the comparison.
                let left = count - outcome.deaths.len();
                outcome.audit.notes.extend(ended.map(|error| {
                    format!("it was given up with {left} of {count} deaths to come: {error:#}")
                }));
                Ok(outcome)
            })?
            .context(INTERRUPTED)?,
        ),
    };
    let deaths = table(&ours, theirs.as_ref());
    let sides: Vec<&Outcome> = std::iter::once(&ours).chain(&theirs).collect();
    let tables = [
        ("Median (worst); ratio: how many times longer Swarm took", deaths),
        ("Where the two differ", differences(&sides)),
        ("What became of the writes", audits(&sides)),
        ("What must hold besides", findings(&sides)),
    ];
    tables.iter().for_each(|(title, rows)| println!("\n{title}\n{}", lines(rows)));
    let wrong = wrong(&ours);
    wrong.iter().for_each(|text| println!("WRONG {text}"));
    let run = Run {
        title: "Trireme: node kill under load, beside Docker Swarm".to_owned(),
        command,
        started,
        machine: report::machine(),
        verdicts: Vec::new(),
        samples,
        tables: tables.map(|(title, rows)| (title.to_owned(), rows)).to_vec(),
    };
    let folder = report::folder("chaos-kill", started);
    println!("{}", run.write(&folder)?.display());
    std::fs::write(folder.join("deaths.json"), serde_json::to_string_pretty(&sides)?)?;
    Ok(wrong.is_empty())
}

/// What came of a side, and what ended it early.
async fn many<S: Side>(
    side: &mut S,
    seed: u64,
    enough: impl Fn(usize, Instant) -> bool,
) -> Result<(Outcome, Option<anyhow::Error>)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut deaths, began): (Vec<Death>, _) = (Vec::new(), Instant::now());
    let mut ended = None;
    while !enough(deaths.len(), began) {
        let (victim, zones) = plan::next(deaths.len(), &mut rng);
        let death = match death(side, victim, &zones).await {
            Ok(death) => death,
            Err(error) => {
                println!("{:>7}: {victim}: {error:#}", side.name());
                ended = Some(error);
                break;
            }
        };
        let desired = death.desired_after.map_or("never".to_owned(), |it| format!("{it:.2} s"));
        println!(
            "{:>7}: {:<14} writes away {:.2} s, desired count after {desired} (machine load per processor {:.1})",
            side.name(),
            victim.to_string(),
            death.writes_away,
            busy::load()
        );
        deaths.push(death);
    }
    let audit = match (side.audit().await, &ended) {
        (Ok(audit), _) => audit,
        // Who was given up need not answer.
        (Err(error), Some(_)) => Audit { notes: vec![format!("its writes: {error:#}")], ..Audit::default() },
        (Err(error), None) => return Err(error),
    };
    audit.notes.iter().for_each(|note| println!("         {note}"));
    Ok((Outcome { name: side.name().to_owned(), deaths, audit }, ended))
}
