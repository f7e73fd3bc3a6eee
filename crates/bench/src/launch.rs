//! The start of tasks beside Docker's own start of containers and Docker Swarm's, in the same run and in turn.
//!
//! All sides use one Docker Engine of this run's own, in a network namespace of its own: Docker itself by `docker run` and by
//! its API, Trireme by one agent of a cluster of three control nodes, Swarm as its one manager and worker. All run the same image,
//! which is there, and the same command. Trireme's times end when a client sees RUNNING in an answer; Swarm's end with the
//! time that Swarm itself notes. Each figure is the median of all its samples; rounds take turns, so that noise of the machine
//! meets all sides.
//!
//! Reading order: [`figures`] · [`machine`] (the engine, and Docker's side) · [`ours`] · [`swarm`].

mod figures;
mod machine;
mod ours;
mod swarm;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use figures::{Kind, Samples, Table};
use machine::Machine;
use ours::Ours;
use swarm::Swarm;

/// Measures the start of tasks beside Docker's own and Swarm's. Needs root, dockerd and the image that `make` makes.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// The release binary of trireme.
    #[arg(long, env = "TRIREME_BIN")]
    trireme: PathBuf,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [What::One, What::Killed, What::Burst, What::Service])]
    what: Vec<What>,
    /// Rounds, in which the sides take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Tasks that are started one by one in a round.
    #[arg(long, default_value_t = 10)]
    singles: usize,
    /// Containers that are killed in a round, of a service of ten tasks.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=10))]
    kills: u8,
    /// Tasks that are started at once.
    #[arg(long, default_value_t = 50)]
    burst: usize,
    /// Tasks of a service.
    #[arg(long, default_value_t = 100)]
    tasks: usize,
    /// Write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// One task at a time.
    One,
    /// A service's container is killed.
    Killed,
    /// Many tasks at once.
    Burst,
    /// A service of many tasks, on a bridge and on the host network.
    Service,
}

/// Tasks of the service whose containers are killed.
const KILLED_OF: usize = 10;

/// Measures, and prints the table.
///
/// # Errors
/// A side does not start, or a task does not run.
pub async fn run(args: &Args) -> Result<()> {
    let place = tempfile::Builder::new().prefix("bench-launch").tempdir().context("no temporary folder")?;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("no signals")?;
    let machine = Machine::start(&place.path().join("docker")).await?;
    let measured = tokio::select! {
        measured = measure(args, &machine, place.path()) => measured,
        // The engine and all that it runs go with it.
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    let table = Table::of(&measured?, args.burst, args.tasks);
    println!("{table}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&table.json()).context("figures as JSON")?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(args: &Args, machine: &Machine, place: &std::path::Path) -> Result<Samples> {
    let sides = Sides {
        args,
        machine,
        ours: Ours::start(&args.trireme, &place.join("trireme"), machine).await?,
        swarm: Swarm::start(machine)?,
    };
    sides.warm_up().await?;
    let mut samples = Samples::default();
    for round in 1..=args.rounds {
        for what in &args.what {
            eprintln!("round {round} of {}: {what:?}", args.rounds);
            match what {
                What::One => sides.one_by_one(&mut samples).await?,
                What::Killed => sides.killed(&mut samples).await?,
                What::Burst => sides.at_once(&mut samples).await?,
                What::Service => sides.services(&mut samples).await?,
            }
        }
    }
    Ok(samples)
}

struct Sides<'a> {
    args: &'a Args,
    machine: &'a Machine,
    ours: Ours,
    swarm: Swarm<'a>,
}

impl Sides<'_> {
    /// The first of everything is not counted.
    async fn warm_up(&self) -> Result<()> {
        self.machine.run(1).await?;
        self.machine.create_and_start().await?;
        self.ours.run_until_running("bridge", 1).await?;
        self.clear().await
    }

    /// What runs is killed, and waited for until nobody runs anything.
    async fn clear(&self) -> Result<()> {
        loop {
            self.machine.clear().await?;
            if self.ours.is_idle().await? && self.machine.is_empty().await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn one_by_one(&self, samples: &mut Samples) -> Result<()> {
        for _ in 0..self.args.singles {
            samples.add(Kind::DockerRun, self.machine.run(1).await?);
            samples.add(Kind::RunTask, self.ours.run_until_running("bridge", 1).await?);
            samples.add(Kind::DockerApi, self.machine.create_and_start().await?);
        }
        self.clear().await
    }

    async fn at_once(&self, samples: &mut Samples) -> Result<()> {
        samples.add(Kind::DockerBurst, self.machine.run(self.args.burst).await?);
        self.clear().await?;
        samples.add(Kind::Burst, self.ours.run_until_running("bridge", self.args.burst).await?);
        self.clear().await
    }

    async fn killed(&self, samples: &mut Samples) -> Result<()> {
        self.ours.create_service("bridge", KILLED_OF).await?;
        for victim in self.ours.proven_tasks().await?.iter().take(self.args.kills.into()) {
            samples.add(Kind::Killed, self.ours.replaced(victim, self.machine).await?);
            samples.add(Kind::DockerRun, self.machine.run(1).await?);
        }
        self.ours.delete_service().await?;
        self.clear().await?;
        self.swarm.create_service(false, KILLED_OF).await?;
        for _ in 0..self.args.kills {
            samples.add(Kind::SwarmKilled, self.swarm.replaced().await?);
        }
        self.swarm.delete_service().await?;
        self.clear().await
    }

    async fn services(&self, samples: &mut Samples) -> Result<()> {
        let networks = [
            ("bridge", Kind::ServiceBridge, Kind::SwarmBridge),
            ("host", Kind::ServiceHost, Kind::SwarmHost),
        ];
        for (network, ours, theirs) in networks {
            samples.add(ours, self.ours.create_service(network, self.args.tasks).await?);
            self.ours.delete_service().await?;
            self.clear().await?;
            samples.add(theirs, self.swarm.create_service(network == "host", self.args.tasks).await?);
            self.swarm.delete_service().await?;
            self.clear().await?;
        }
        Ok(())
    }
}

/// Looks every so often until `look` finds something; its time is limited.
async fn until<T>(
    what: &str,
    pause: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    const LIMIT: Duration = Duration::from_secs(180);
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > LIMIT {
            bail!("waited {} s in vain for {what}", LIMIT.as_secs());
        }
        tokio::time::sleep(pause).await;
    }
}
