//! GPUs: counted on each machine, for what a task's containers ask for together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::world::{add_task, cluster, give_gpus, state_of};
use support::*;
use trireme_scheduler::{Group, Nodes, Placed, Refusal, Request, Wanted, check, place_on, seats};
use trireme_state::State;
use trireme_state::object::*;
use trireme_types::*;

/// A task that wants so many GPUs and little else.
fn wanted(gpus: u32) -> Wanted {
    Wanted { gpus, ..reservation(10, 10, &[]).into() }
}

fn request(gpus: u32, count: usize) -> Request {
    let (group, rules) = (Group::among_all(""), PlacementRules::default());
    Request { wanted: wanted(gpus), group, rules, count }
}

/// Machines with none, two and three GPUs; of the last a task has one.
fn fleet() -> State {
    let made = |number: u128, gpus| with_gpus(node(number, ZONES[number as usize], 1_000, 1_000), gpus);
    let nodes = [made(0, 0), made(1, 2), made(2, 3)];
    let mut state = state_of(nodes.iter());
    let held = task(100, ZONES[2], 2, TaskStatus::Running, 0);
    let id = held.id;
    add_task(&mut state, held);
    give_gpus(&mut state, id, 1);
    state
}

fn on(placed: &Placed) -> Vec<u128> {
    let mut on: Vec<u128> = placed.placements.iter().map(|one| one.instance.bits()).collect();
    on.sort_unstable();
    on
}

#[test]
fn a_task_goes_where_so_many_are_free() {
    let state = fleet();
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let placed = place_on(&mut nodes, &request(1, 5));
    assert_eq!(on(&placed), [1, 1, 2, 2]);
    let why = placed.unplaced.unwrap();
    assert_eq!(why.unplaced, 1);
    assert_eq!(why.reasons["RESOURCE:GPU"], 3);
    assert_eq!(why.refusals[0].refusal, Refusal::Gpu { wanted: 1, free: 0 });
    let again = place_on(&mut nodes, &request(0, 1));
    assert_eq!(again.placements.len(), 1, "who wants none is not in need of any");
}

#[test]
fn the_copy_counts_what_was_placed_on_it_before() {
    let state = fleet();
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    assert_eq!(on(&place_on(&mut nodes, &request(2, 1))).len(), 1);
    assert_eq!(on(&place_on(&mut nodes, &request(2, 9))).len(), 1);
    assert!(on(&place_on(&mut nodes, &request(1, 1))).is_empty());
}

#[test]
fn the_closest_is_who_misses_fewest() {
    let state = fleet();
    let placed = place_on(&mut Nodes::of_cluster(&state, &cluster()), &request(3, 1));
    let why = placed.unplaced.unwrap();
    let closest = why.closest().unwrap();
    assert_eq!(closest.refusal, Refusal::Gpu { wanted: 3, free: 2 });
    assert!(why.event_text().ends_with("encountered error \"RESOURCE:GPU\"."), "{}", why.event_text());
    assert_eq!(closest.refusal.to_string(), "GPUs: wants 3, 2 free");
    let answer = check(&state, id(2), &wanted(3)).unwrap().unwrap_err();
    assert_eq!((answer.ecs_reason(), answer.shortfall()), ("RESOURCE:GPU", 1));
    check(&state, id(2), &wanted(2)).unwrap().unwrap();
}

#[test]
fn containers_ask_together() {
    let container = |name: &str, json: Option<&str>| ContainerDefinition {
        name: ContainerName::new(name).unwrap(),
        image: "busybox".to_owned(),
        cpu: CpuUnits::ZERO,
        memory: None,
        memory_reservation: None,
        essential: true,
        port_mappings: Vec::new(),
        entry_point: None,
        command: None,
        environment: Vec::new(),
        working_directory: None,
        user: None,
        hostname: None,
        docker_labels: Default::default(),
        stop_timeout: None,
        readonly_root_filesystem: None,
        interactive: None,
        pseudo_terminal: None,
        described: json
            .map(|json| ("resourceRequirements".to_owned(), json.to_owned()))
            .into_iter()
            .collect(),
    };
    let two = container("a", Some(r#"[{"type":"GPU","value":"2"}]"#));
    let one = container("c", Some(r#"[{"type":"GPU","value":"1"}]"#));
    let spec = TaskDefinitionSpec {
        containers: vec![two, container("b", None), one],
        network_mode: None,
        cpu: None,
        memory: None,
        requires_compatibilities: Vec::new(),
        task_role_arn: None,
        execution_role_arn: None,
        described: Described::new(),
    };
    assert_eq!(Wanted::of(&spec, &TaskOverrides::default()).gpus, 3);
}

#[test]
fn a_daemon_is_to_run_where_it_could_if_nobody_held_any() {
    let state = fleet();
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let mut of = |gpus| -> Vec<u128> {
        let all = seats(&state, &mut nodes, &request(gpus, 1), &[]);
        all.iter().map(|id| id.bits()).collect()
    };
    assert_eq!(of(3), [2], "one of the three is held");
    assert_eq!((of(1), of(0), of(4)), (vec![1, 2], vec![0, 1, 2], vec![]));
}

#[test]
fn an_agent_that_says_nothing_of_gpus_is_given_no_such_task() {
    let mut old = node(0, ZONES[0], 1_000, 1_000);
    let says = capability::OF_AGENT.iter().map(|name| ((*name).to_owned(), String::new()));
    old.registration.attributes = says.collect();
    let placed = place_on(&mut nodes(&[old]), &request(1, 1));
    assert_eq!(placed.unplaced.unwrap().reasons["RESOURCE:GPU"], 1);
}
