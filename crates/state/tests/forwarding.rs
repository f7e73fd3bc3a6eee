//! Proposals go to the leader as bytes in which a command is a number. Nodes of two versions must mean the same by it: a new command
//! comes last.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::*;
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

/// Before the command: the envelope, and an actor, a request id and a key that take a byte each.
const BEFORE: usize = 10 + 3;

fn number(command: Command) -> u8 {
    let proposal =
        Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(0), key: None, command };
    codec::encode_proposal(&proposal)[BEFORE]
}

fn log_group() -> LogGroupKey {
    LogGroupKey { scope: Scope::development(), name: "/web".to_owned() }
}

#[test]
fn commands_keep_their_numbers() {
    let instance = ContainerInstanceId::from_bits(1);
    let epoch = SessionEpoch::new(1);
    let (set, attributes) = (DeploymentId::from_random(1), Vec::new());
    let numbers = [
        number(Command::CreateCluster { cluster: cluster("default"), tags: Tags::new() }),
        number(Command::ReportTasks { instance, epoch, reports: Vec::new() }),
        number(Command::LoseInstance { instance, epoch, reason: String::new() }),
        number(Command::ReapTasks { tasks: Vec::new() }),
        number(Command::PutAttributes { cluster: cluster("default"), attributes }),
        number(Command::ScaleTaskSet { service: service("web"), id: set, scale: Scale::default() }),
        number(Command::DeleteTaskSet { service: service("web"), id: set, force: true }),
        number(Command::ReportTaskHealth { instance, epoch, reports: Vec::new() }),
        number(Command::PinImages { instance, epoch, images: Vec::new() }),
        number(Command::AnnounceAbsence { instance, epoch, millis: 0 }),
        number(Command::SetLostAfter { cluster: cluster("default"), millis: None }),
        number(Command::DeleteLogGroup { key: log_group() }),
        number(Command::ChangeLogGroup { key: log_group(), change: LogGroupChange::Retention(None) }),
    ];
    assert_eq!(numbers, [0, 14, 15, 19, 35, 41, 42, 45, 46, 50, 51, 53, 54]);
}

#[test]
fn a_definition_that_older_nodes_would_run_otherwise_waits_for_all_to_know_it() {
    let with = |member: &str, json: &str| {
        let Command::RegisterTaskDefinition { scope, family, spec, tags, registered_by } =
            register("web", None)
        else {
            unreachable!("it registers");
        };
        let mut spec = (*spec).clone();
        spec.containers[0].described.insert(member.to_owned(), json.to_owned());
        Command::RegisterTaskDefinition { scope, family, spec: spec.into(), tags, registered_by }.level()
    };
    for (member, json) in [
        ("privileged", "false"),
        ("links", "[]"),
        ("linuxParameters", "{}"),
        ("logConfiguration", r#"{"logDriver":"json-file","options":{}}"#),
        ("credentialSpecs", r#"["a"]"#),
    ] {
        assert_eq!(with(member, json), FeatureLevel::FIRST, "{member} {json} changes nothing");
    }
    for (member, json) in [
        ("privileged", "true"),
        ("links", r#"["db"]"#),
        ("secrets", r#"[{"name":"A","valueFrom":"b"}]"#),
        ("logConfiguration", r#"{"logDriver":"json-file","options":{"max-size":"1m"}}"#),
        ("logConfiguration", r#"{"logDriver":"json-file","secretOptions":[{"name":"A","valueFrom":"b"}]}"#),
    ] {
        assert_eq!(with(member, json), FeatureLevel::CONTAINERS, "{member} {json}");
    }
}
