//! Doing it: make the fault, hold it, undo it whatever happened, and wait until the cluster is whole.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use tokio::time::{sleep, timeout};
use trireme_cli::target::Target;

use super::fault::Fault;
use super::guard::{self, Absence, View};
use super::switch::Switch;
use super::{PAUSE, look, tell};

/// For a fault that is being made to end by itself, when it is to be undone already. Undone earlier it might come after the undo.
const MAKING_LIMIT: Duration = Duration::from_secs(2);
/// For the undo to end, beyond the time in which the cluster should have healed.
const UNDO_LIMIT: Duration = Duration::from_secs(180);

/// One fault, and its limits.
pub struct Strike<'a> {
    pub fault: &'a Fault,
    pub target: &'a Target,
    /// How long it is held.
    pub hold: Duration,
    /// How long undo and healing may take.
    pub heal: Duration,
    /// How long nobody may lead.
    pub leaderless: Duration,
}

/// How making and holding it ended.
#[derive(Debug)]
enum Ended {
    /// Its time was over.
    Held,
    /// Somebody wanted it.
    Pulled,
    /// Nobody led for too long.
    Leaderless,
    /// It could not be made, or half of it only.
    Failed(Error),
}

impl Strike<'_> {
    /// All of it. An error says that it was not made, not undone, cut short, or that the cluster did not heal in time.
    pub async fn run(&self, before: &View, mut switch: Switch) -> Result<()> {
        let mut absence = Absence::default();
        let ended = self.make_and_hold(&mut switch, &mut absence).await;
        let began = Instant::now();
        // Whatever happened: what was begun is undone.
        let undone = self.undo().await;
        if let Ended::Failed(error) = ended {
            return Err(match undone {
                Ok(()) => error,
                Err(other) => anyhow!("{error:#}; and {other:#}"),
            });
        }
        undone?;
        let healed = tokio::select! {
            healed = self.healed(before, began) => healed?,
            signal = switch.signalled() => bail!("{signal}: the fault is undone; whether the cluster is whole is not known"),
        };
        tell(&format!(
            "without a leader for about {:.1} s; whole again {:.1} s after the undo began",
            absence.total.as_secs_f64(),
            healed.as_secs_f64()
        ));
        match ended {
            Ended::Leaderless => bail!("nobody led for {} s, so it was cut short", self.leaderless.as_secs()),
            _ => Ok(()),
        }
    }

    async fn make_and_hold(&self, switch: &mut Switch, absence: &mut Absence) -> Ended {
        let mut early = pin!(async {
            tokio::select! {
                how = switch.pulled() => {
                    tell(&format!("{how}: undoing"));
                    Ended::Pulled
                }
                () = self.watch(absence) => {
                    tell(&format!("nobody led for {} s: undoing", self.leaderless.as_secs()));
                    Ended::Leaderless
                }
            }
        });
        let mut making = pin!(self.fault.make());
        tokio::select! {
            biased;
            early = &mut early => {
                if timeout(MAKING_LIMIT, making).await.is_err() {
                    tell("the fault is still being made; it is ended before it is undone");
                }
                return early;
            }
            made = &mut making => {
                if let Err(error) = made {
                    return Ended::Failed(error);
                }
            }
        }
        tokio::select! {
            biased;
            early = early => early,
            () = sleep(self.hold) => Ended::Held,
        }
    }

    /// Returns when nobody led for too long.
    async fn watch(&self, absence: &mut Absence) {
        let mut looked = Instant::now();
        loop {
            let quorum = look(self.target).await.report.quorum;
            absence.note(quorum, looked.elapsed());
            looked = Instant::now();
            if absence.lasting > self.leaderless {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Undoes it. That it is late is no reason to leave it half done; that it never ends is.
    async fn undo(&self) -> Result<()> {
        let mut undoing = pin!(self.fault.undo());
        let undone = if let Ok(undone) = timeout(self.heal, &mut undoing).await {
            undone
        } else {
            tell(&format!("the undo is not done after {} s; it goes on", self.heal.as_secs()));
            timeout(UNDO_LIMIT, undoing).await.unwrap_or_else(|_| Err(anyhow!("it does not end")))
        };
        undone.with_context(|| {
            format!("the undo failed, and has to be done by hand ({})", self.fault.undoing())
        })
    }

    /// Waits until the cluster is whole; says how long after `began` that was.
    async fn healed(&self, before: &View, began: Instant) -> Result<Duration> {
        loop {
            let missing = guard::whole(&look(self.target).await, before).err();
            let took = began.elapsed();
            match missing {
                None if took <= self.heal => return Ok(took),
                None => bail!("the cluster was whole only {:.1} s after the undo began", took.as_secs_f64()),
                Some(missing) if took > self.heal => {
                    bail!(
                        "the cluster is not whole {:.1} s after the undo began: {missing}",
                        took.as_secs_f64()
                    )
                }
                Some(_) => sleep(PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};
    use trireme_cli::target::KnownNode;

    use super::*;

    /// A fault that leaves files in a folder. Nobody is at the target's address.
    struct Play {
        folder: tempfile::TempDir,
        fault: Fault,
        target: Target,
    }

    impl Play {
        fn of(inject: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name).display().to_string();
            let inject = inject.replace("MADE", &at("made")).replace("STOP", &at("chaos-stop"));
            let undo = format!("touch {}", at("undone"));
            let fault = Fault::Command { inject, undo, takes: 1 };
            let node = KnownNode { address: "127.0.0.1:1".to_owned(), zone: None };
            Self { folder, fault, target: Target { nodes: vec![node], cluster: None } }
        }

        fn strike(&self, leaderless: Duration) -> Strike<'_> {
            let (fault, target) = (&self.fault, &self.target);
            Strike { fault, target, hold: Duration::from_secs(600), heal: Duration::ZERO, leaderless }
        }

        fn has(&self, name: &str) -> bool {
            self.folder.path().join(name).exists()
        }

        fn switch(&self) -> Switch {
            Switch::new(self.folder.path().join("chaos-stop")).unwrap()
        }

        /// The run's error; it always ends in one, for nobody answers. Everything is over long before the fault's time.
        async fn run(&self, leaderless: Duration, switch: Switch) -> String {
            let strike = self.strike(leaderless);
            let before = View::of(&[], None);
            let run = timeout(Duration::from_secs(60), strike.run(&before, switch)).await;
            format!("{:#}", run.unwrap().unwrap_err())
        }
    }

    const PATIENT: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn what_fails_half_way_is_undone() {
        let play = Play::of("touch MADE; exit 3");
        let error = play.run(PATIENT, play.switch()).await;
        assert!(error.contains("failed: exit status: 3"), "{error}");
        assert!(play.has("made") && play.has("undone"));
    }

    #[tokio::test]
    async fn every_signal_that_asks_to_end_undoes() {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let play = Play::of("touch MADE");
            let switch = play.switch();
            raise(signal).unwrap();
            let error = play.run(PATIENT, switch).await;
            assert!(error.starts_with("the cluster is not whole"), "{signal}: {error}");
            assert!(play.has("undone"), "{signal}");
        }
    }

    #[tokio::test]
    async fn the_file_counts_while_the_fault_is_being_made() {
        let play = Play::of("touch MADE; touch STOP; exec tail -f /dev/null");
        let error = play.run(PATIENT, play.switch()).await;
        assert!(error.starts_with("the cluster is not whole"), "{error}");
        assert!(play.has("made") && play.has("undone"));
    }

    #[tokio::test]
    async fn nothing_of_it_comes_after_the_undo() {
        let play = Play::of("touch STOP; (tail -F MADE; :); touch MADE");
        play.run(PATIENT, play.switch()).await;
        let folder = play.folder.path().display().to_string();
        let left = || {
            let listed = std::process::Command::new("pgrep").args(["-f", &folder]).output().unwrap();
            String::from_utf8_lossy(&listed.stdout).into_owned()
        };
        trireme_testkit::wait_for("all of it has ended", PATIENT, || async {
            let left = left();
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        assert!(!play.has("made") && play.has("undone"));
    }

    #[tokio::test]
    async fn a_leader_that_is_away_too_long_ends_it() {
        let play = Play::of("touch MADE");
        let began = Instant::now();
        let mut absence = Absence::default();
        let strike = play.strike(Duration::from_millis(300));
        let ended = strike.make_and_hold(&mut play.switch(), &mut absence).await;
        assert!(matches!(ended, Ended::Leaderless), "{ended:?}");
        assert!(absence.total > Duration::from_millis(300) && absence.total <= began.elapsed());
    }
}
