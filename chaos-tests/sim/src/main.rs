//! `sim`: runs seeds of the simulation. See the crate's own words.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use trireme_sim::many::{self, Job};
use trireme_sim::plan::Plan;
use trireme_sim::run::{self, Outcome};
use trireme_sim::{panics, planted, shim, trace};

#[derive(Parser)]
#[command(about = "Runs seeds of the simulation.")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// One seed, in this process.
    One {
        seed: u64,
        /// Writes the whole trace to this file.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// A planted bug.
        #[arg(long)]
        plant: Option<String>,
        /// Shows the product's log up to this level in the trace.
        #[arg(long, default_value = "info,openraft=error,h2=off")]
        log: String,
        /// Lines of the trace that a failure prints.
        #[arg(long, default_value_t = 60)]
        tail: usize,
    },
    /// Many seeds, each in a process of its own.
    Many {
        /// The first one; drawn when it is not given.
        #[arg(long)]
        first: Option<u64>,
        /// How many.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// Processes at once.
        #[arg(long)]
        jobs: Option<usize>,
        /// A planted bug.
        #[arg(long)]
        plant: Option<String>,
        /// Goes on after a failure.
        #[arg(long)]
        all: bool,
    },
    /// Every planted bug, or these, and the seeds that it took to find it.
    Planted {
        names: Vec<String>,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Seeds that are tried at most for each.
        #[arg(long, default_value_t = 1000)]
        limit: u64,
        /// Processes at once.
        #[arg(long)]
        jobs: Option<usize>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    shim::check().map_err(anyhow::Error::msg)?;
    Ok(match Arguments::parse().verb {
        Verb::One { seed, trace, plant, log, tail } => one(seed, trace, plant, &log, tail)?,
        Verb::Many { first, seeds, jobs, plant, all } => {
            let first = first.unwrap_or_else(|| rand::random_range(1..u64::from(u32::MAX)));
            many_seeds(first, seeds, width(jobs), plant, all)?
        }
        Verb::Planted { names, first, limit, jobs } => find_planted(&names, first, limit, width(jobs))?,
    })
}

fn width(jobs: Option<usize>) -> usize {
    jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Chooses the planted bug, if this build has them.
fn plant(name: Option<String>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    anyhow::ensure!(planted::ALL.iter().any(|bug| bug.name == name), "no planted bug is called {name}");
    #[cfg(feature = "planted")]
    trireme_types::planted::choose(&name);
    #[cfg(not(feature = "planted"))]
    anyhow::bail!("this build has no planted bugs; build it with --features planted");
    #[cfg(feature = "planted")]
    Ok(())
}

fn one(
    seed: u64,
    file: Option<PathBuf>,
    bug: Option<String>,
    log: &str,
    tail: usize,
) -> anyhow::Result<ExitCode> {
    let repeat = bug.as_ref().map_or(String::new(), |bug| format!(" --plant {bug}"));
    plant(bug)?;
    let logging = tracing_subscriber::fmt()
        .with_env_filter(format!("{log},turmoil=off"))
        .with_ansi(false)
        .without_time()
        .with_writer(|| trace::LogWriter);
    logging.init();
    panics::watch();
    let folder = std::env::temp_dir().join(format!("trireme-sim-agents-{}", std::process::id()));
    // Another process of this number may have been ended before it could tidy up.
    let _none = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let began = Instant::now();
    let outcome = run::run(Plan::of(seed), &folder, file.as_deref());
    let _best_effort = std::fs::remove_dir_all(&folder);
    let took = began.elapsed();
    let Outcome {
        violation,
        trace,
        elapsed,
        faults,
        events,
        answered,
        absences,
        images,
        addresses,
        scalings,
        fewer,
        runs,
        launched,
        healed_in,
    } = outcome;
    if let Some(violation) = violation {
        for line in trace.tail.iter().skip(trace.tail.len().saturating_sub(tail)) {
            println!("{line}");
        }
        println!("seed {seed}: FAILED after {elapsed:?} of simulated time\n{violation}");
        println!("repeat it with: make sim SEEDS=1 SEED={seed}   or: sim one {seed}{repeat} --trace FILE");
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "seed {seed}: ok, {:.1} s simulated in {:.1} s, {faults} faults, {events} events, {answered} answers, \
         {absences} absences, {images} images, {addresses} addresses, {scalings} scalings, {fewer} by use to fewer, {runs} runs, {launched} launched, healed in {:.1} s, {} lines, {} bytes on the wire, trace {}",
        elapsed.as_secs_f64(),
        took.as_secs_f64(),
        healed_in.as_secs_f64(),
        trace.lines,
        trace.wire,
        &trace.hash[..16]
    );
    Ok(ExitCode::SUCCESS)
}

fn many_seeds(
    first: u64,
    seeds: u64,
    width: usize,
    plant: Option<String>,
    all: bool,
) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (mut good, mut bad) = (0_u64, Vec::new());
    println!("{seeds} seeds from {first} on, {width} at a time");
    let jobs = (0..seeds).map(|offset| Job { seed: first.wrapping_add(offset), plant: plant.clone() });
    many::run(jobs, width, |done| {
        if done.ok {
            good += 1;
            println!("{}", done.text.lines().last().unwrap_or_default());
        } else {
            println!("{}", done.text);
            bad.push(done.seed);
        }
        all || bad.is_empty()
    })?;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let rate = (good as f64 + bad.len() as f64) / minutes;
    println!("{good} seeds are clean, {} are not {bad:?}; {rate:.0} seeds a minute", bad.len());
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn find_planted(names: &[String], first: u64, limit: u64, width: usize) -> anyhow::Result<ExitCode> {
    let mut missed = 0;
    println!("{:34} {:>6}  {:44} what it breaks", "planted bug", "seeds", "found by");
    let wanted =
        planted::ALL.iter().filter(|bug| names.is_empty() || names.iter().any(|name| name == bug.name));
    for bug in wanted {
        let (found, tried) = find(bug.name, first, limit, width)?;
        match found {
            Some((seed, by)) => {
                let by = format!("{by} (seed {seed})");
                println!("{:34} {tried:>6}  {by:44} {}", bug.name, bug.what);
            }
            None => {
                missed += 1;
                println!("{:34} {:>6}  {:44} {}", bug.name, format!(">{tried}"), "NOT FOUND", bug.what);
            }
        }
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The seed that finds a bug and the invariant that tells it, and how many seeds were tried. A run that fails without the bug
/// too, or whose process ends in any other way, has found nothing.
fn find(bug: &str, first: u64, limit: u64, width: usize) -> anyhow::Result<(Option<(u64, String)>, u64)> {
    let mut tried = 0_u64;
    while tried < limit {
        let (mut failed, from) = (None, first + tried);
        let jobs = (from..first + limit).map(|seed| Job { seed, plant: Some(bug.to_owned()) });
        many::run(jobs, width, |done| {
            if !done.ok {
                failed = Some((done.seed, violation_of(&done.text)));
            }
            done.ok
        })?;
        let Some((seed, by)) = failed else { return Ok((None, limit)) };
        tried = seed - first + 1;
        let mut sound = false;
        many::run([Job { seed, plant: None }], 1, |done| {
            sound = done.ok;
            true
        })?;
        match by {
            Some(by) if sound => return Ok((Some((seed, by)), tried)),
            Some(by) => println!("  seed {seed} breaks {by} without {bug} too"),
            None => println!("  seed {seed} with {bug} did not run to a verdict"),
        }
    }
    Ok((None, tried))
}

/// The invariant that a failed run names.
fn violation_of(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let failed = lines.iter().position(|line| line.contains(": FAILED after"))?;
    Some(lines.get(failed + 1)?.split(':').next()?.to_owned())
}
