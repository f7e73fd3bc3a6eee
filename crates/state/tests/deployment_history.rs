//! A service's deployments as records: what they come to, how they turn back, what is forgotten, told as short stories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use support::*;
use trireme_state::command::{Command, ServiceChange, ServiceProgress};
use trireme_state::object::*;
use trireme_state::*;

fn at_latest_level() -> Node {
    let mut node = Node::at_latest_level();
    node.open("agent-1", "us-east-1a");
    for _ in 0..3 {
        node.propose(register("web", None)).unwrap();
    }
    node
}

fn update(revision: u32) -> Command {
    let change =
        ServiceChange { task_definition: Some(definition("web", revision)), ..ServiceChange::default() };
    Command::UpdateService { key: service("web"), change }
}

/// The service's primary deployment comes to this.
fn rollout(node: &mut Node, rollout: RolloutState) {
    let found = node.state.service(&service("web")).unwrap();
    let (version, primary) = (found.version, found.deployments[0].id);
    let progress = ServiceProgress { rollouts: vec![(primary, rollout)], ..ServiceProgress::default() };
    let command = Command::RecordProgress { service: service("web"), version, progress: Box::new(progress) };
    node.propose(command).unwrap();
}

fn history(node: &Node) -> Arc<DeploymentHistory> {
    node.state.deployment_history(&service("web"))
}

fn statuses(node: &Node) -> Vec<ServiceDeploymentStatus> {
    history(node).deployments.iter().map(|one| one.status).collect()
}

fn roll_back(node: &mut Node) -> Result<Outcome, Rejection> {
    let deployment = history(node).deployments[0].id;
    let reason = "because".to_owned();
    node.propose(Command::RollBackDeployment { service: service("web"), deployment, reason })
}

#[test]
fn each_deployment_has_a_record_and_a_revision() {
    use ServiceDeploymentStatus::{InProgress, Stopped, Successful};
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    assert_eq!(statuses(&node), [InProgress]);
    rollout(&mut node, RolloutState::Completed);
    assert_eq!(statuses(&node), [Successful]);
    let scale = ServiceChange { desired_count: Some(3), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: service("web"), change: scale }).unwrap();
    assert_eq!(statuses(&node), [Successful], "a new number is no deployment");

    node.propose(update(2)).unwrap();
    node.propose(update(3)).unwrap();
    assert_eq!(statuses(&node), [InProgress, Stopped, Successful]);
    let kept = history(&node);
    let (newest, oldest) = (&kept.deployments[0], &kept.deployments[2]);
    assert_eq!(newest.sources, [kept.deployments[1].target, oldest.target], "what ran before");
    assert_eq!(kept.revision(newest.target).unwrap().spec.task_definition, definition("web", 3));
    assert_eq!(kept.revision(oldest.target).unwrap().spec.task_definition, definition("web", 1));

    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    assert_eq!(statuses(&node), [Stopped, Stopped, Successful]);
}

#[test]
fn a_deployment_turns_back_to_the_last_that_was_successful() {
    use ServiceDeploymentStatus::{InProgress, RollbackInProgress, RollbackSuccessful, Successful};
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    assert_eq!(roll_back(&mut node), Err(Rejection::NothingToRollBackTo));
    rollout(&mut node, RolloutState::Completed);
    assert_eq!(roll_back(&mut node), Err(Rejection::ServiceDeploymentOver));

    node.propose(update(2)).unwrap();
    let scale = ServiceChange { desired_count: Some(5), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: service("web"), change: scale }).unwrap();
    roll_back(&mut node).unwrap();
    assert_eq!(statuses(&node), [RollbackInProgress, Successful]);
    let found = node.state.service(&service("web")).unwrap().clone();
    assert_eq!(found.spec.task_definition, definition("web", 1));
    assert_eq!(found.spec.desired_count, 5, "the number of tasks was not rolled out");
    let position = node.state.position();
    roll_back(&mut node).unwrap();
    assert_eq!(node.state.position(), position, "it is on its way already");
    rollout(&mut node, RolloutState::Completed);
    assert_eq!(statuses(&node), [RollbackSuccessful, Successful]);

    node.propose(update(3)).unwrap();
    assert_eq!(statuses(&node), [InProgress, RollbackSuccessful, Successful]);
    roll_back(&mut node).unwrap();
    let back = history(&node).deployments[0].rollback.clone().unwrap();
    let to = history(&node).revision(back.revision).unwrap().spec.task_definition.clone();
    assert_eq!(to, definition("web", 1), "what the rollback before came to");
}

#[test]
fn old_records_are_forgotten_and_their_revisions_with_them() {
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    for number in 0..50 {
        node.propose(update(1 + number % 2 + 1)).unwrap();
        let found = node.state.service(&service("web")).unwrap();
        let retired = found.deployments[1..].iter().map(|one| one.id).collect();
        let (version, progress) = (found.version, ServiceProgress { retired, ..Default::default() });
        let progress = Box::new(progress);
        node.propose(Command::RecordProgress { service: service("web"), version, progress }).unwrap();
        invariant::check_state(&node.state).unwrap();
    }
    let kept = history(&node);
    assert_eq!(kept.deployments.len(), 20);
    assert!(kept.revisions.len() <= 21, "{}", kept.revisions.len());
}

#[test]
fn the_way_back_is_kept_however_many_deployments_fail_after_it() {
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    rollout(&mut node, RolloutState::Completed);
    for number in 0..40 {
        node.propose(update(2 + number % 2)).unwrap();
        invariant::check_state(&node.state).unwrap();
    }
    let limits = DeploymentConfiguration { maximum_percent: 150, minimum_healthy_percent: 50 };
    let change = ServiceChange { deployment_configuration: Some(limits), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: service("web"), change }).unwrap();
    assert_eq!(history(&node).deployments.len(), 20);
    roll_back(&mut node).unwrap();
    let found = node.state.service(&service("web")).unwrap();
    assert_eq!(found.spec.task_definition, definition("web", 1));
    assert_eq!(found.spec.deployment_configuration, limits, "no deployment rolled them out");
}

#[test]
fn of_a_service_that_is_gone_the_last_deployment_is_left() {
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    node.propose(update(2)).unwrap();
    node.propose(Command::DeleteService { key: service("web"), force: true }).unwrap();
    let version = node.state.service(&service("web")).unwrap().version;
    let progress = Box::new(ServiceProgress { inactive: true, ..Default::default() });
    node.propose(Command::RecordProgress { service: service("web"), version, progress }).unwrap();
    let kept = history(&node);
    assert_eq!((kept.deployments.len(), statuses(&node)[0]), (1, ServiceDeploymentStatus::Stopped));
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn what_is_described_of_a_service_has_a_bound() {
    let mut node = at_latest_level();
    node.propose(create_service("web", definition("web", 1), 0)).unwrap();
    let described = [("loadBalancers".to_owned(), Some("x".repeat(65_536)))].into();
    let change = ServiceChange { described, ..ServiceChange::default() };
    let large = node.propose(Command::UpdateService { key: service("web"), change });
    assert!(matches!(large, Err(Rejection::LimitExceeded { .. })));
}

#[test]
fn a_service_from_before_has_a_history_from_its_next_deployment_on() {
    let mut node = Node::new();
    node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 2)).unwrap();
    assert_eq!(history(&node).deployments.len(), 0);
    node.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST }).unwrap();
    rollout(&mut node, RolloutState::Completed);
    node.propose(update(2)).unwrap();
    assert_eq!(statuses(&node), [ServiceDeploymentStatus::InProgress]);
    assert!(history(&node).deployments[0].sources.is_empty(), "what ran before has no record");
    assert_eq!(roll_back(&mut node), Err(Rejection::NothingToRollBackTo));
}
