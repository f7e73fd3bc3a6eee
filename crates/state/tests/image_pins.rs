//! Pins of images: the first one that is said is right, for all tasks of a revision and as long as it has any.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::{ServiceChange, ServiceProgress, TaskImages};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn main_is(byte: u8) -> Images {
    let pin = ImagePin::Manifest(ContentDigest::from_bytes([byte; 32]));
    Images::from([(ContainerName::new("main").unwrap(), pin)])
}

fn say(at: &Placement, task: TaskId, images: Images) -> Command {
    Command::PinImages { instance: at.instance, epoch: at.epoch, images: vec![TaskImages { task, images }] }
}

fn start(node: &mut Node, at: &Placement) -> TaskId {
    let found = node.state.service(&service("web")).unwrap().clone();
    let start = Command::StartServiceTasks {
        service: service("web"),
        version: found.version,
        deployment: found.deployments[0].id,
        placements: vec![at.clone()],
    };
    let Outcome::Tasks(tasks) = node.propose(start).unwrap() else { panic!("no tasks") };
    tasks[0]
}

/// A service of one container with a task on each of two instances.
fn ready() -> (Node, [(Placement, TaskId); 2]) {
    let mut node = Node::at_latest_level();
    let places = [node.open("agent-1", "us-east-1a"), node.open("agent-2", "us-east-1b")];
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    let tasks = places.map(|at| {
        let task = start(&mut node, &at);
        (at, task)
    });
    (node, tasks)
}

fn pin(node: &Node, task: TaskId) -> Option<u8> {
    let task = node.state.task(task).unwrap();
    let pin = node.state.image_pin(task, &ContainerName::new("main").unwrap())?;
    (0..=255).find(|byte| pin == ImagePin::Manifest(ContentDigest::from_bytes([*byte; 32])))
}

fn change(node: &mut Node, change: ServiceChange) {
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
}

fn progress(node: &mut Node, progress: ServiceProgress) {
    let version = node.state.service(&service("web")).unwrap().version;
    let progress = Box::new(progress);
    node.propose(Command::RecordProgress { service: service("web"), version, progress }).unwrap();
}

#[test]
fn the_first_to_say_what_an_image_is_is_right() {
    let (mut node, [(here, first), (there, second)]) = ready();
    assert_eq!((pin(&node, first), pin(&node, second)), (None, None));
    node.propose(say(&there, second, main_is(2))).unwrap();
    node.propose(say(&here, first, main_is(1))).unwrap();
    assert_eq!((pin(&node, first), pin(&node, second)), (Some(2), Some(2)));
    let before = node.state.position();
    node.propose(say(&there, second, main_is(2))).unwrap();
    assert_eq!(node.state.position(), before, "what is known is no news");
}

#[test]
fn only_its_agent_says_it_of_what_is_there() {
    let (mut node, [(here, first), (there, _)]) = ready();
    let nobody =
        Images::from([(ContainerName::new("nobody").unwrap(), main_is(1).into_values().next().unwrap())]);
    for command in [say(&there, first, main_is(1)), say(&here, first, nobody)] {
        node.propose(command).unwrap();
        assert_eq!(pin(&node, first), None);
    }
    let stale = Placement { epoch: here.epoch.next(), ..here };
    assert_eq!(node.propose(say(&stale, first, main_is(1))), Err(Rejection::StaleEpoch));
}

#[test]
fn a_task_of_its_own_has_no_pin() {
    let (mut node, [(here, _), _]) = ready();
    let ran = node.propose(run_tasks(definition("web", 1), vec![here.clone()])).unwrap();
    let Outcome::Tasks(tasks) = ran else { panic!("{ran:?}") };
    node.propose(say(&here, tasks[0], main_is(1))).unwrap();
    assert_eq!(pin(&node, tasks[0]), None);
}

#[test]
fn a_new_deployment_looks_again_and_the_old_one_keeps_what_it_has() {
    let (mut node, [(here, first), (there, second)]) = ready();
    node.propose(say(&here, first, main_is(1))).unwrap();
    change(&mut node, ServiceChange { force_new_deployment: true, ..ServiceChange::default() });
    let new = start(&mut node, &here);
    assert_eq!(pin(&node, new), None);
    node.propose(say(&here, new, main_is(2))).unwrap();
    assert_eq!((pin(&node, new), pin(&node, second)), (Some(2), Some(1)));
    // Another number of tasks is no new deployment.
    change(&mut node, ServiceChange { desired_count: Some(3), ..ServiceChange::default() });
    let another = start(&mut node, &there);
    assert_eq!(pin(&node, another), Some(2));
}

#[test]
fn a_rollback_goes_back_to_the_images_too() {
    let (mut node, [(here, first), _]) = ready();
    node.propose(say(&here, first, main_is(1))).unwrap();
    let id = node.state.service(&service("web")).unwrap().deployments[0].id;
    let rollouts = vec![(id, RolloutState::Completed)];
    progress(&mut node, ServiceProgress { rollouts, ..ServiceProgress::default() });
    change(&mut node, ServiceChange { force_new_deployment: true, ..ServiceChange::default() });
    let new = start(&mut node, &here);
    node.propose(say(&here, new, main_is(2))).unwrap();
    let deployment = node.state.service(&service("web")).unwrap().deployments[0].id;
    let reason = "as before".to_owned();
    node.propose(Command::RollBackDeployment { service: service("web"), deployment, reason }).unwrap();
    let back = start(&mut node, &here);
    assert_eq!(pin(&node, back), Some(1));
}

#[test]
fn pins_go_with_the_service() {
    let (mut node, [(here, first), (there, _)]) = ready();
    node.propose(say(&here, first, main_is(1))).unwrap();
    let revision = node.state.deployment_history(&service("web")).revisions[0].id;
    assert_eq!(node.state.images_of_revision(&service("web"), revision), main_is(1));
    let again = codec::decode_snapshot(&codec::encode_snapshot(&node.state)).unwrap();
    assert_eq!(again, node.state);
    let hash = |state| StateHasher::default().advance(state);
    assert_eq!(hash(&again), hash(&node.state));
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    for at in [here, there] {
        let reason = "silent".to_owned();
        node.propose(Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason }).unwrap();
    }
    progress(&mut node, ServiceProgress { inactive: true, ..ServiceProgress::default() });
    // It is still described, and so is what it ran.
    assert_eq!(node.state.images_of_revision(&service("web"), revision), main_is(1));
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    assert!(node.state.image_pins(&service("web")).revisions.is_empty());
}

#[test]
fn what_the_user_does_not_want_pinned_is_not() {
    let mut container = container("main", None);
    assert!(is_pinned(&container));
    container.described.insert("versionConsistency".to_owned(), "\"enabled\"".to_owned());
    assert!(is_pinned(&container));
    container.described.insert("versionConsistency".to_owned(), "\"disabled\"".to_owned());
    assert!(!is_pinned(&container));
    container.described.clear();
    container.image = format!("busybox@sha256:{}", "0".repeat(64));
    assert!(!is_pinned(&container), "a digest says it already");
}

#[test]
fn below_its_level_it_is_refused() {
    let mut node = Node::new();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let task = start(&mut node, &at);
    let needs = Rejection::FeatureLevel { needed: FeatureLevel::NODE_SERVICES, level: FeatureLevel::FIRST };
    assert_eq!(node.propose(say(&at, task, main_is(1))), Err(needs));
}
