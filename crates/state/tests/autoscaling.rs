//! Scalable targets: bounds, policies, cool-downs, scheduled actions, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::command::{AutoscalingCommand as C, ScalableTargetChange, ServiceChange, ServiceProgress};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn web() -> ServiceKey {
    service("web")
}

fn propose(node: &mut Node, command: C) -> Result<Outcome, Rejection> {
    node.propose(Command::Autoscaling(Box::new(command)))
}

fn bounds(min: u32, max: u32) -> C {
    let change = ScalableTargetChange { min: Some(min), max: Some(max), ..ScalableTargetChange::default() };
    C::Register { service: web(), change, tags: Tags::new() }
}

fn tracking(target: f64) -> ScalingPolicySpec {
    ScalingPolicySpec::TargetTracking(TargetTracking {
        target: Real::new(target).unwrap(),
        metric: TrackedMetric::Cpu { high_resolution: false },
        scale_out_cooldown: Some(60),
        scale_in_cooldown: None,
        disable_scale_in: false,
    })
}

fn put(name: &str, spec: ScalingPolicySpec) -> C {
    C::PutPolicy { service: web(), name: name.to_owned(), spec }
}

/// A service of one task that is deployed, with a target of 1 to 5 and a policy.
fn ready() -> Node {
    let mut node = Node::at_latest_level();
    node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    propose(&mut node, bounds(1, 5)).unwrap();
    propose(&mut node, put("cpu", tracking(50.0))).unwrap();
    node
}

fn pass(node: &mut Node, time: Duration) {
    node.now = node.now.plus(time);
}

/// Its deployment completes.
fn deployed(node: &mut Node) {
    let known = node.state.service(&web()).unwrap();
    let rollouts = vec![(known.deployments[0].id, RolloutState::Completed)];
    let (version, progress) = (known.version, ServiceProgress { rollouts, ..ServiceProgress::default() });
    node.propose(Command::RecordProgress { service: web(), version, progress: Box::new(progress) }).unwrap();
}

fn desired(node: &Node) -> u32 {
    node.state.service(&web()).unwrap().spec.desired_count
}

fn target(node: &Node) -> ScalableTarget {
    (**node.state.scalable_target(&web()).unwrap()).clone()
}

fn scale(node: &Node, to: u32) -> C {
    C::Scale {
        service: web(),
        version: target(node).version,
        from: desired(node),
        to,
        policy: "cpu".to_owned(),
        cause: "a test".to_owned(),
    }
}

fn causes(node: &Node) -> Vec<String> {
    let activities = node.state.scaling_activities(&web());
    activities
        .iter()
        .map(|activity| format!("{}-{} {}", activity.from, activity.to, activity.cause))
        .collect()
}

fn is_invalid(refused: &Rejection) -> bool {
    matches!(refused, Rejection::Invalid { .. })
}

#[test]
fn new_bounds_bring_a_service_within_them_and_leave_it_alone_afterwards() {
    let mut node = ready();
    propose(&mut node, bounds(2, 5)).unwrap();
    assert_eq!(desired(&node), 2);
    propose(&mut node, bounds(1, 1)).unwrap();
    assert_eq!(desired(&node), 1);
    assert_eq!(causes(&node), ["2-1 maximum capacity was set to 1", "1-2 minimum capacity was set to 2"]);
    // Whoever sets the desired count beyond the bounds meant it, until the target is registered again.
    let change = ServiceChange { desired_count: Some(4), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: web(), change }).unwrap();
    assert_eq!(desired(&node), 4);
    propose(&mut node, bounds(1, 1)).unwrap();
    assert_eq!(desired(&node), 1);
}

#[test]
fn what_is_wrong_is_refused() {
    let mut node = Node::at_latest_level();
    node.open("agent-1", "us-east-1a");
    assert_eq!(propose(&mut node, bounds(1, 2)).unwrap_err(), Rejection::ServiceNotFound);
    node.propose(register("web", None)).unwrap();
    node.propose(create_service("web", definition("web", 1), 1)).unwrap();
    let one_bound = ScalableTargetChange { min: Some(1), ..ScalableTargetChange::default() };
    let half = C::Register { service: web(), change: one_bound, tags: Tags::new() };
    assert!(is_invalid(&propose(&mut node, half.clone()).unwrap_err()), "a new target needs both bounds");
    assert!(is_invalid(&propose(&mut node, bounds(3, 2)).unwrap_err()));
    assert!(is_invalid(&propose(&mut node, bounds(0, 5_001)).unwrap_err()));
    let missing = propose(&mut node, put("cpu", tracking(50.0))).unwrap_err();
    assert!(matches!(missing, Rejection::ScalingObjectNotFound { .. }), "{missing}");
    propose(&mut node, bounds(1, 2)).unwrap();
    propose(&mut node, half).unwrap();
    assert!(is_invalid(&propose(&mut node, put("cpu", tracking(0.0))).unwrap_err()));
    let step = |lower: Option<f64>, upper: Option<f64>| StepAdjustment {
        lower: lower.and_then(Real::new),
        upper: upper.and_then(Real::new),
        adjustment: 1,
    };
    let steps = |steps| {
        ScalingPolicySpec::Step(StepScaling {
            adjustment: AdjustmentType::ChangeInCapacity,
            steps,
            min_magnitude: None,
            cooldown: None,
            aggregation: None,
        })
    };
    for wrong in [
        vec![],
        vec![step(Some(0.0), None), step(Some(10.0), None)],
        vec![step(Some(0.0), Some(20.0)), step(Some(10.0), None)],
        vec![step(Some(5.0), Some(5.0))],
    ] {
        assert!(is_invalid(&propose(&mut node, put("step", steps(wrong.clone()))).unwrap_err()), "{wrong:?}");
    }
    propose(&mut node, put("step", steps(vec![step(None, Some(0.0)), step(Some(10.0), None)]))).unwrap();
}

#[test]
fn a_plan_on_an_older_state_is_stale() {
    let mut node = ready();
    deployed(&mut node);
    let plan = scale(&node, 3);
    propose(&mut node, plan.clone()).unwrap();
    assert!(matches!(propose(&mut node, plan).unwrap_err(), Rejection::Stale { .. }), "twice");
    let plan = scale(&node, 4);
    propose(&mut node, bounds(1, 3)).unwrap();
    assert!(matches!(propose(&mut node, plan).unwrap_err(), Rejection::Stale { .. }), "other bounds");
    let plan = scale(&node, 2);
    let change = ServiceChange { desired_count: Some(1), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: web(), change }).unwrap();
    assert!(
        matches!(propose(&mut node, plan).unwrap_err(), Rejection::Stale { .. }),
        "someone else scaled it"
    );
    let beyond = scale(&node, 4);
    assert!(
        matches!(propose(&mut node, beyond).unwrap_err(), Rejection::Stale { .. }),
        "never outside the bounds"
    );
}

#[test]
fn what_is_added_in_a_cool_down_is_counted_from_its_beginning() {
    let mut node = ready();
    deployed(&mut node);
    let plan = scale(&node, 2);
    propose(&mut node, plan).unwrap();
    let policy = |node: &Node| target(node).policies["cpu"].clone();
    let first = policy(&node).scaled_out.unwrap();
    assert_eq!(first.from, 1);
    pass(&mut node, Duration::from_secs(30));
    let plan = scale(&node, 3);
    propose(&mut node, plan).unwrap();
    let second = policy(&node).scaled_out.unwrap();
    assert_eq!(second, first, "it ends when it would have ended");
    pass(&mut node, Duration::from_secs(31));
    let plan = scale(&node, 4);
    propose(&mut node, plan).unwrap();
    assert_eq!(policy(&node).scaled_out.unwrap().from, 3, "a new one");
    let plan = scale(&node, 1);
    propose(&mut node, plan).unwrap();
    assert!(policy(&node).scaled_in.is_some() && policy(&node).scaled_out.is_none());
}

#[test]
fn while_a_deployment_runs_tasks_are_added_and_none_is_taken_away() {
    let mut node = ready();
    assert!(node.state.is_deploying(&web()));
    let plan = scale(&node, 3);
    propose(&mut node, plan).unwrap();
    let plan = scale(&node, 2);
    assert!(matches!(propose(&mut node, plan).unwrap_err(), Rejection::Stale { .. }));
    deployed(&mut node);
    let plan = scale(&node, 2);
    propose(&mut node, plan).unwrap();
    assert_eq!(desired(&node), 2);
}

#[test]
fn a_scheduled_action_is_taken_once_when_it_is_due() {
    let mut node = ready();
    let due = node.now.plus(Duration::from_secs(60));
    let later = due.plus(Duration::from_secs(3_600));
    let spec = ScheduledActionSpec {
        schedule: "rate(1 hour)".to_owned(),
        timezone: None,
        start: None,
        end: None,
        min: Some(7),
        max: None,
    };
    let put = C::PutAction { service: web(), name: "noon".to_owned(), spec, next: Some(due) };
    propose(&mut node, put).unwrap();
    let take = |due, next| C::TakeAction { service: web(), name: "noon".to_owned(), due, next };
    assert!(
        matches!(propose(&mut node, take(due, Some(later))).unwrap_err(), Rejection::Stale { .. }),
        "early"
    );
    pass(&mut node, Duration::from_secs(60));
    propose(&mut node, take(due, Some(later))).unwrap();
    assert!(
        matches!(propose(&mut node, take(due, Some(later))).unwrap_err(), Rejection::Stale { .. }),
        "twice"
    );
    let spec = target(&node).spec;
    assert_eq!((spec.min, spec.max, desired(&node)), (7, 7, 7), "the maximum gives way");
    assert_eq!(causes(&node)[0], "1-7 minimum capacity was set to 7 by scheduled action noon");
    let suspended = SuspendedScaling { scheduled: true, ..SuspendedScaling::default() };
    let change =
        ScalableTargetChange { min: Some(1), suspended: Some(suspended), ..ScalableTargetChange::default() };
    propose(&mut node, C::Register { service: web(), change, tags: Tags::new() }).unwrap();
    pass(&mut node, Duration::from_secs(3_600));
    propose(&mut node, take(later, None)).unwrap();
    assert_eq!(target(&node).spec.min, 1, "passed over while such actions are suspended");
    assert_eq!(target(&node).actions["noon"].next, None);
}

#[test]
fn an_action_that_is_put_again_is_due_when_it_was() {
    let mut node = ready();
    let spec = ScheduledActionSpec {
        schedule: "rate(1 hour)".to_owned(),
        timezone: None,
        start: None,
        end: None,
        min: Some(2),
        max: None,
    };
    let put = |spec: &ScheduledActionSpec, next| C::PutAction {
        service: web(),
        name: "hourly".to_owned(),
        spec: spec.clone(),
        next: Some(next),
    };
    let (due, later) = (node.now.plus(Duration::from_secs(1)), node.now.plus(Duration::from_secs(3_600)));
    let next = |node: &Node| target(node).actions["hourly"].next;
    propose(&mut node, put(&spec, due)).unwrap();
    propose(&mut node, put(&ScheduledActionSpec { min: Some(3), ..spec.clone() }, later)).unwrap();
    assert_eq!(next(&node), Some(due), "it would have been passed over");
    pass(&mut node, Duration::from_secs(1));
    let taken = C::TakeAction { service: web(), name: "hourly".to_owned(), due, next: Some(later) };
    propose(&mut node, taken).unwrap();
    propose(&mut node, put(&spec, due)).unwrap();
    assert_eq!(next(&node), Some(later), "it would have been taken twice");
    let other = ScheduledActionSpec { schedule: "rate(2 hours)".to_owned(), ..spec };
    propose(&mut node, put(&other, due)).unwrap();
    assert_eq!(next(&node), Some(due));
}

#[test]
fn a_target_goes_with_its_service_and_a_reason_is_recorded_once() {
    let mut node = ready();
    let hold = |node: &Node| C::Hold {
        service: web(),
        version: target(node).version,
        held: HeldScaling::AtMaximum,
        cause: "no more".to_owned(),
    };
    for _ in 0..3 {
        let plan = hold(&node);
        propose(&mut node, plan).unwrap();
    }
    assert_eq!(causes(&node), ["1-1 no more"]);
    node.propose(Command::DeleteService { key: web(), force: true }).unwrap();
    assert!(node.state.scalable_target(&web()).is_none());
    assert_eq!(causes(&node), ["1-1 no more"], "what was done is still told");
    let gone = propose(&mut node, bounds(1, 2)).unwrap_err();
    assert_eq!(gone, Rejection::ServiceNotActive);
}
