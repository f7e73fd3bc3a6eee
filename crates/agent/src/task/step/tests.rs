use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use trireme_rpc::agent::TaskNetwork;

use super::*;
use crate::runtime::{Exit, Failure, FailureKind, Image, Run, Started};

#[path = "tests/again.rs"]
mod again;
#[path = "tests/images.rs"]
mod images;
#[path = "tests/late.rs"]
mod late;
#[path = "tests/sandbox.rs"]
mod sandbox;
#[path = "tests/together.rs"]
mod together;

/// What each container needs: another's index, and the condition.
type Needs = Vec<Vec<(usize, &'static str)>>;

/// A container that may come again does so after this time, unless it exits with 0.
const PERIOD: Duration = Duration::from_secs(60);

fn spec(essential: &[bool], needs: &Needs, again: &[bool], network: bool) -> Arc<AssignedTask> {
    let containers = essential.iter().enumerate().map(|(index, essential)| {
        let needs = needs.get(index).into_iter().flatten();
        let needs =
            needs.map(|(on, condition)| json!({"containerName": format!("c{on}"), "condition": condition}));
        let depends = json!(needs.collect::<Vec<_>>()).to_string();
        let again = again.get(index).copied().unwrap_or_default();
        let policy =
            json!({"enabled": again, "ignoredExitCodes": [0], "restartAttemptPeriod": PERIOD.as_secs()});
        let settings =
            [("dependsOn", depends), ("startTimeout", "5".to_owned()), ("restartPolicy", policy.to_string())];
        Container {
            name: format!("c{index}"),
            essential: *essential,
            settings: settings.map(|(member, json)| (member.to_owned(), json)).into(),
            ..Container::default()
        }
    });
    Arc::new(AssignedTask {
        task_id: format!("{:032x}", 1),
        desired_running: true,
        containers: containers.collect(),
        settings: [("volumes".to_owned(), "[]".to_owned())].into(),
        known_status: TaskStatus::Pending.into(),
        network_mode: if network { "awsvpc" } else { "bridge" }.to_owned(),
        network: network.then(TaskNetwork::default),
        ..AssignedTask::default()
    })
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "said the runtime")
}

const SANDBOX_ID: &str = "id-sandbox";

/// An engine that does what it is told, unless the script says otherwise.
#[derive(Default)]
struct Engine {
    /// Containers by id: whether they run.
    containers: BTreeMap<String, bool>,
    starts: BTreeMap<String, u32>,
    /// How long each was up in its last run.
    up: BTreeMap<String, Duration>,
    codes: BTreeMap<String, i32>,
    /// The task has a volume.
    volume: bool,
    /// What holds its network namespace is there, and runs or does not.
    sandbox: Option<bool>,
    /// It was there once.
    opened: bool,
}

/// What the world does next.
#[derive(Debug, Clone)]
enum Turn {
    /// The oldest open move succeeds.
    Succeed(usize),
    /// It fails; with true after it was done all the same.
    Fail(usize, bool),
    /// A running container ends by itself, and the agent hears of it or not.
    Exit(usize, bool),
    /// What holds the network namespace ends by itself or is removed, and the agent hears of it or not.
    SandboxEnds(bool, bool),
    /// Somebody else removes a container, unheard.
    Vanish(usize),
    /// The full list comes in.
    List,
    /// So many seconds go by.
    Pass(u64),
    /// An end that was heard before is heard again.
    HearAgain(usize),
    /// A container had time enough to be what others need.
    Ring(usize),
    Want(Wanted),
    Acknowledge,
    /// The agent is restarted: all that is left is the engine, and what the control plane was told.
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => any::<usize>().prop_map(Turn::Succeed),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, done)| Turn::Fail(at, done)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, heard)| Turn::Exit(at, heard)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(gone, heard)| Turn::SandboxEnds(gone, heard)),
        1 => any::<usize>().prop_map(Turn::Vanish),
        1 => Just(Turn::List),
        3 => prop_oneof![Just(7), Just(60)].prop_map(Turn::Pass),
        1 => any::<usize>().prop_map(Turn::HearAgain),
        1 => (0_usize..4).prop_map(Turn::Ring),
        1 => Just(Turn::Want(Wanted::Stopped)),
        1 => Just(Turn::Want(Wanted::Gone)),
        1 => Just(Turn::Acknowledge),
        1 => Just(Turn::Restart),
    ]
}

struct World {
    machine: Machine,
    engine: Engine,
    open: Vec<(Operation, usize, String)>,
    /// What the control plane was told last.
    told: TaskStatus,
    highest: TaskStatus,
    tick: u64,
    done: bool,
    needs: Needs,
    again: Vec<bool>,
    clock: Duration,
    /// What was heard of ends.
    heard: Vec<(String, Exit, Run)>,
    /// Runs that came after the first: each was due.
    restarts: u32,
}

impl World {
    fn new(essential: &[bool]) -> Self {
        Self::with(essential, Needs::new(), false)
    }

    fn with(essential: &[bool], needs: Needs, network: bool) -> Self {
        Self::again(essential, needs, &[], network)
    }

    fn again(essential: &[bool], needs: Needs, again: &[bool], network: bool) -> Self {
        Self {
            machine: Machine::new(spec(essential, &needs, again, network), &[]),
            needs,
            again: again.to_vec(),
            clock: Duration::ZERO,
            heard: Vec::new(),
            restarts: 0,
            engine: Engine::default(),
            open: Vec::new(),
            told: TaskStatus::Pending,
            highest: TaskStatus::Pending,
            tick: 1,
            done: false,
        }
    }

    fn name(&self, index: usize) -> String {
        format!("id-c{index}")
    }

    fn run(&self, id: &str) -> Run {
        let started = self.engine.starts.get(id).map(u32::to_string);
        Run { started, lasted: self.engine.up.get(id).copied() }
    }

    fn found(&self) -> Vec<Found> {
        let found = self.engine.containers.iter().map(|(id, runs)| Found {
            id: id.clone(),
            task: None,
            name: id.trim_start_matches("id-").to_owned(),
            digest: String::new(),
            state: match (runs, self.engine.starts.get(id)) {
                (true, _) => FoundState::Running(Started::default()),
                (false, None) => FoundState::Created,
                (false, Some(_)) => {
                    FoundState::Exited(Exit { code: self.engine.codes.get(id).copied(), reason: None })
                }
            },
            run: self.run(id),
        });
        let sandbox = self.engine.sandbox.map(|runs| Found {
            id: SANDBOX_ID.to_owned(),
            task: None,
            name: SANDBOX.to_owned(),
            digest: String::new(),
            state: match runs {
                true => FoundState::Running(Started::default()),
                false => FoundState::Exited(Exit::default()),
            },
            run: Run::default(),
        });
        found.chain(sandbox).collect()
    }

    fn advance(&mut self) {
        while !self.done {
            self.tick += 1;
            match self.machine.step(self.tick, self.tick) {
                Move::Do(operation, index) => {
                    let id = self.machine.id_for(operation, index).unwrap_or_default().to_owned();
                    if operation == Operation::Restart {
                        let wanted = self.machine.wanted() == Wanted::Running;
                        assert!(
                            wanted && self.highest <= TaskStatus::Running,
                            "comes again while the task ends"
                        );
                        assert!(self.again[index], "comes again without a policy");
                    }
                    self.open.push((operation, index, id));
                }
                Move::Wait => break,
                Move::Done => self.done = true,
            }
        }
        if let Some(report) = self.machine.take_news() {
            assert!(report.status() >= self.told, "a report went back");
            self.told = report.status();
        }
        assert!(self.machine.status() >= self.highest, "the status went back");
        self.highest = self.machine.status();
    }

    fn needs_of(&self, index: usize) -> impl Iterator<Item = &(usize, &'static str)> {
        self.needs.get(index).into_iter().flatten()
    }

    /// As the engine knows it.
    fn is_met(&self, (on, condition): &(usize, &'static str)) -> bool {
        let id = self.name(*on);
        let ended = self.engine.containers.get(&id) != Some(&true);
        let met = match *condition {
            "COMPLETE" => ended,
            "SUCCESS" => ended && self.engine.codes.get(&id) == Some(&0),
            _ => true,
        };
        met && self.engine.starts.contains_key(&id)
    }

    fn start(&mut self, id: &str) {
        if let Some(runs) = self.engine.containers.get_mut(id) {
            *runs = true;
            *self.engine.starts.entry(id.to_owned()).or_default() += 1;
            self.engine.up.insert(id.to_owned(), Duration::ZERO);
        }
    }

    /// The engine does it, and says what it was.
    fn perform(&mut self, operation: Operation, index: usize, id: &str) -> Answer {
        let name = self.name(index);
        match operation {
            Operation::Pull => Answer::Pulled(Ok(Image::default())),
            Operation::Create => {
                let there = |(on, _): &(usize, &str)| self.engine.containers.contains_key(&self.name(*on));
                let late = !self.machine.rising();
                assert!(late || self.needs_of(index).all(there), "made before what it refers to");
                let network = self.machine.spec().network.is_some();
                assert!(late || !network || self.engine.opened, "made before its network");
                self.engine.containers.insert(name.clone(), false);
                self.engine.volume = true;
                Answer::Created { result: Ok(name.clone()), fallback_id: name }
            }
            Operation::Start => {
                // What was asked for before the task was given up may be done after it.
                let late = !self.machine.rising();
                assert!(
                    late || self.needs_of(index).all(|need| self.is_met(need)),
                    "started before what it needs"
                );
                self.start(id);
                Answer::Started(Ok(Started::default()))
            }
            Operation::Restart => {
                if self.engine.containers.get(id) == Some(&false) {
                    let up = self.engine.up.get(id).copied().unwrap_or_default();
                    assert!(
                        up >= PERIOD && self.engine.codes.get(id) != Some(&0),
                        "came again, not due: {up:?}"
                    );
                    self.restarts += 1;
                    self.start(id);
                }
                Answer::Restarted(Ok(Started::default()))
            }
            Operation::Stop => {
                let needed = self
                    .needs
                    .iter()
                    .enumerate()
                    .filter(|(_, needs)| needs.iter().any(|need| need.0 == index));
                let runs = |other: usize| self.engine.containers.get(&self.name(other)) == Some(&true);
                assert!(!needed.map(|(other, _)| other).any(runs), "stopped before what needs it");
                if let Some(runs) = self.engine.containers.get_mut(id) {
                    *runs = false;
                    self.engine.codes.insert(id.to_owned(), 143);
                }
                Answer::Stopped(Ok(Exit { code: Some(143), reason: None }))
            }
            Operation::Remove => {
                self.engine.containers.remove(id);
                Answer::Removed(Ok(()))
            }
            Operation::Release => {
                assert!(self.engine.containers.is_empty(), "released while a container is there");
                assert_eq!(self.engine.sandbox, None, "released before its network is");
                self.engine.volume = false;
                Answer::Released(Ok(()))
            }
            Operation::Open => {
                self.engine.sandbox.get_or_insert(true);
                self.engine.opened = true;
                Answer::Opened { result: Ok(SANDBOX_ID.to_owned()), fallback_id: SANDBOX_ID.to_owned() }
            }
            Operation::Close => {
                let runs = self.engine.containers.values().any(|runs| *runs);
                // One that ends unheard is thought to be dead, and one that is started late is found by the list.
                assert!(!runs || self.machine.members().iter().all(|one| one.phase() != Phase::Running));
                self.engine.sandbox = None;
                Answer::Closed(Ok(()))
            }
        }
    }

    fn refuse(operation: Operation, kind: FailureKind, name: String) -> Answer {
        let failure = failure(kind);
        match operation {
            Operation::Pull => Answer::Pulled(Err(failure)),
            Operation::Create => Answer::Created { result: Err(failure), fallback_id: name },
            Operation::Start => Answer::Started(Err(failure)),
            Operation::Restart => Answer::Restarted(Err(failure)),
            Operation::Stop => Answer::Stopped(Err(failure)),
            Operation::Remove => Answer::Removed(Err(failure)),
            Operation::Release => Answer::Released(Err(failure)),
            Operation::Open => Answer::Opened { result: Err(failure), fallback_id: SANDBOX_ID.to_owned() },
            Operation::Close => Answer::Closed(Err(failure)),
        }
    }

    /// A running container ends by itself.
    fn exit(&mut self, at: usize, heard: bool) {
        let running = self.engine.containers.iter().filter(|(_, runs)| **runs);
        let running: Vec<String> = running.map(|(id, _)| id.clone()).collect();
        let Some(id) = running.get(at % running.len().max(1)) else { return };
        let code = i32::from(at.is_multiple_of(2));
        self.engine.containers.insert(id.clone(), false);
        self.engine.codes.insert(id.clone(), code);
        if heard {
            let (exit, run) = (Exit { code: Some(code), reason: None }, self.run(id));
            self.heard.push((id.clone(), exit.clone(), run.clone()));
            self.machine.sight_exit(id, exit, &run);
        }
    }

    fn pass(&mut self, passed: Duration) {
        self.clock += passed;
        for (id, up) in &mut self.engine.up {
            *up += if self.engine.containers.get(id) == Some(&true) { passed } else { Duration::ZERO };
        }
        self.machine.tell_time(self.clock);
    }

    fn take(&mut self, turn: Turn) {
        self.tick += 1;
        self.machine.tell_time(self.clock);
        match turn {
            Turn::Succeed(at) if !self.open.is_empty() => {
                let (operation, index, id) = self.open.remove(at % self.open.len());
                let answer = self.perform(operation, index, &id);
                self.machine.answer(index, answer, self.tick, self.tick);
            }
            Turn::Fail(at, done) if !self.open.is_empty() => {
                let (operation, index, id) = self.open.remove(at % self.open.len());
                let kind = if done {
                    self.perform(operation, index, &id);
                    FailureKind::Timeout
                } else {
                    FailureKind::CannotCreate
                };
                let answer = Self::refuse(operation, kind, self.name(index));
                self.machine.answer(index, answer, self.tick, self.tick);
            }
            Turn::Exit(at, heard) => self.exit(at, heard),
            Turn::SandboxEnds(gone, heard) if self.engine.sandbox == Some(true) => {
                self.engine.sandbox = (!gone).then_some(false);
                if heard {
                    self.machine.sight_exit(SANDBOX_ID, Exit::default(), &Run::default());
                }
            }
            // Before the control plane was told, nobody could know of it after a restart.
            Turn::Vanish(at) if self.told >= TaskStatus::Running => {
                let ids: Vec<String> = self.engine.containers.keys().cloned().collect();
                if let Some(id) = ids.get(at % ids.len().max(1)) {
                    self.engine.containers.remove(id);
                }
            }
            Turn::List => {
                self.tick += 1;
                let found = self.found();
                self.machine.sight(&found, self.tick, Duration::ZERO);
            }
            Turn::Want(wanted) => self.machine.want(wanted),
            Turn::Acknowledge if self.told == TaskStatus::Stopped => self.machine.acknowledge_stop(),
            Turn::Restart if self.machine.wanted() == Wanted::Running && self.told < TaskStatus::Stopped => {
                // What was under way in the engine ends one way or the other.
                self.open.clear();
                let mut assigned = (**self.machine.spec()).clone();
                assigned.known_status = self.told.into();
                self.machine = Machine::new(Arc::new(assigned), &self.found());
                self.machine.tell_time(self.clock);
                self.heard.clear();
                self.highest = self.told;
            }
            Turn::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            // The runtime looks again before it says anything: it says nothing of a run that is not the last.
            Turn::HearAgain(at) if !self.heard.is_empty() => {
                let (id, exit, run) = self.heard[at % self.heard.len()].clone();
                if self.engine.containers.get(&id) == Some(&false) && run == self.run(&id) {
                    self.machine.sight_exit(&id, exit, &run);
                }
            }
            Turn::Ring(index) => self.machine.ring(index),
            _ => {}
        }
        self.advance();
    }
}

/// Containers need only those before them: no ring.
fn needs() -> impl Strategy<Value = Needs> {
    let conditions = prop_oneof![Just("START"), Just("COMPLETE"), Just("SUCCESS")];
    let some = proptest::collection::vec((any::<usize>(), conditions), 0..2);
    proptest::collection::vec(some, 3).prop_map(|all| {
        let before = |(index, some): (usize, Vec<(usize, &'static str)>)| match index {
            0 => Vec::new(),
            _ => some.into_iter().map(|(on, condition)| (on % index, condition)).collect(),
        };
        all.into_iter().enumerate().map(before).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_goes_back_nothing_starts_unasked_and_nothing_is_left_behind(
        essential in proptest::collection::vec(any::<bool>(), 1..4),
        needs in needs(),
        network in any::<bool>(),
        again in proptest::collection::vec(any::<bool>(), 3),
        turns in proptest::collection::vec(turn(), 0..60),
    ) {
        let mut world = World::again(&essential, needs, &again, network);
        world.advance();
        for turn in turns {
            let before: Vec<Phase> = world.machine.members().iter().map(Member::phase).collect();
            let restart = matches!(turn, Turn::Restart);
            world.take(turn);
            let after = world.machine.members().iter().map(Member::phase);
            if !restart {
                prop_assert!(before.into_iter().zip(after).all(|(before, after)| before <= after));
            }
            let starts: u32 = world.engine.starts.values().map(|starts| starts - 1).sum();
            prop_assert_eq!(starts, world.restarts, "a container was started again that was not to be");
            if world.told == TaskStatus::Stopped {
                prop_assert!(!world.engine.containers.values().any(|runs| *runs), "STOPPED, but one runs");
                prop_assert_ne!(world.engine.sandbox, Some(true), "STOPPED, but its address is in use");
            }
            if world.done {
                break;
            }
        }
        // From here on everything works, and the task is not wanted any more.
        world.take(Turn::Want(Wanted::Gone));
        for _ in 0..100 {
            world.take(Turn::Succeed(0));
        }
        prop_assert!(world.done);
        prop_assert!(world.engine.containers.is_empty(), "left behind: {:?}", world.engine.containers);
        prop_assert!(!world.engine.volume, "a volume is left behind");
        prop_assert_eq!(world.engine.sandbox, None, "a network namespace is left behind");
    }

    #[test]
    fn what_works_comes_up_and_what_is_stopped_goes_down(count in 1_usize..5, pick in any::<usize>()) {
        let mut world = World::new(&vec![true; count]);
        world.advance();
        for at in 0..count * 3 {
            world.take(Turn::Succeed(pick.wrapping_add(at)));
        }
        prop_assert_eq!(world.told, TaskStatus::Running);
        world.take(Turn::Want(Wanted::Stopped));
        for at in 0..count {
            world.take(Turn::Succeed(pick.wrapping_add(at)));
        }
        prop_assert_eq!(world.told, TaskStatus::Stopped);
        prop_assert_eq!(world.engine.containers.len(), count, "kept until it is acknowledged");
        world.take(Turn::Acknowledge);
        for _ in 0..=count {
            world.take(Turn::Succeed(0));
        }
        prop_assert!(world.done);
    }
}

#[test]
fn an_exit_that_is_heard_before_the_answer_to_the_start_counts_as_having_run() {
    let mut world = World::new(&[true]);
    world.advance();
    world.take(Turn::Succeed(0));
    world.take(Turn::Succeed(0));
    world.machine.sight_exit("id-c0", Exit { code: Some(7), reason: None }, &Run::default());
    world.take(Turn::Succeed(0));
    let report = world.machine.report();
    assert_eq!(report.stop_code(), StopCode::EssentialContainerExited);
    assert_eq!(report.containers[0].exit_code, Some(7));
}

#[test]
fn a_list_begun_before_a_change_does_not_judge_it() {
    let mut world = World::new(&[true]);
    world.advance();
    let begun = world.tick;
    for _ in 0..3 {
        world.take(Turn::Succeed(0));
    }
    world.machine.sight(&[], begun, Duration::ZERO);
    assert_eq!(world.machine.status(), TaskStatus::Running);
    world.tick += 1;
    world.machine.sight(&[], world.tick, Duration::ZERO);
    world.advance();
    assert_eq!(world.machine.status(), TaskStatus::Stopped);
}
