//! Placement constraints and strategies.

use aws_sdk_ecs::types::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType,
    TaskDefinitionPlacementConstraint, TaskDefinitionPlacementConstraintType,
};
use trireme_state::object::{self, PlacementRules, SpreadField};
use trireme_state::store::Store;
use trireme_types::ContainerInstanceId;

use crate::server::{Server, pair, refused};
use crate::task_definitions::{app, register};

fn strategy(kind: PlacementStrategyType, field: Option<&str>) -> PlacementStrategy {
    PlacementStrategy::builder().r#type(kind).set_field(field.map(str::to_owned)).build()
}

fn spread(field: &str) -> PlacementStrategy {
    strategy(PlacementStrategyType::Spread, Some(field))
}

fn distinct() -> PlacementConstraint {
    PlacementConstraint::builder().r#type(PlacementConstraintType::DistinctInstance).build()
}

fn member(expression: &str) -> PlacementConstraint {
    PlacementConstraint::builder().r#type(PlacementConstraintType::MemberOf).expression(expression).build()
}

fn bound(kind: &str, expression: &str) -> TaskDefinitionPlacementConstraint {
    let kind = TaskDefinitionPlacementConstraintType::from(kind);
    TaskDefinitionPlacementConstraint::builder().r#type(kind).expression(expression).build()
}

async fn ready() -> (Server, aws_sdk_ecs::Client, [ContainerInstanceId; 2]) {
    let server = Server::start().await;
    let client = server.client();
    let nodes = ["us-east-1a", "us-east-1b"].map(|zone| server.add_instance(zone, 4_096, 4_096));
    register(&client, "web").await;
    (server, client, nodes)
}

#[tokio::test]
async fn a_services_rules_are_described_as_ecs_describes_them() {
    let (_server, client, _) = ready().await;
    let made = client
        .create_service()
        .service_name("web")
        .task_definition("web")
        .desired_count(1)
        .placement_constraints(distinct())
        .placement_constraints(member("attribute:ecs.os-type == linux"))
        .placement_strategy(spread("attribute:rack"))
        .placement_strategy(spread("host"))
        .placement_strategy(strategy(PlacementStrategyType::Binpack, Some("memory")))
        .placement_strategy(strategy(PlacementStrategyType::Random, Some("")))
        .send()
        .await
        .unwrap();
    let described = client.describe_services().services("web").send().await.unwrap();
    for service in [made.service().unwrap(), &described.services()[0]] {
        assert_eq!(service.placement_constraints(), [distinct(), member("attribute:ecs.os-type == linux")]);
        let answered = [
            spread("attribute:rack"),
            spread("instanceId"),
            strategy(PlacementStrategyType::Binpack, Some("MEMORY")),
            strategy(PlacementStrategyType::Random, None),
        ];
        assert_eq!(service.placement_strategy(), answered);
    }
    let update = || client.update_service().service("web");
    let changed = update().placement_constraints(member("attribute:rack exists")).send().await.unwrap();
    let service = changed.service().unwrap();
    assert_eq!(service.placement_constraints(), [member("attribute:rack exists")]);
    assert_eq!(service.placement_strategy().len(), 4, "what is not given stays");
    let none = update().set_placement_constraints(Some(Vec::new())).set_placement_strategy(Some(Vec::new()));
    let none = none.send().await.unwrap();
    let service = none.service().unwrap();
    assert!(service.placement_constraints().is_empty() && service.placement_strategy().is_empty());
    assert_eq!(service.deployments().len(), 1, "none of it begins a deployment");
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused() {
    let (server, client, _) = ready().await;
    let create = || client.create_service().service_name("web").task_definition("web").desired_count(1);
    client
        .register_task_definition()
        .family("bound")
        .container_definitions(app())
        .set_placement_constraints(Some(vec![bound("memberOf", "attribute:a exists"); 6]))
        .send()
        .await
        .unwrap();
    let before = server.events();
    let with = async |constraint: PlacementConstraint| {
        let (code, message) = refused(create().placement_constraints(constraint).send().await);
        assert_eq!(code, "InvalidParameterException");
        message
    };
    let both = PlacementConstraint::builder()
        .r#type(PlacementConstraintType::DistinctInstance)
        .expression("attribute:a exists")
        .build();
    assert!(with(both).await.contains("distinctInstance"));
    assert!(with(member("")).await.contains("must not be empty"));
    assert!(with(member("attribute:a ==")).await.starts_with("Invalid placement constraint expression: "));
    let long = format!("attribute:a == {}", "x".repeat(2_000));
    assert!(with(member(&long)).await.contains("at most 2000 characters"));
    assert!(with(PlacementConstraint::builder().build()).await.contains("type"));
    let other = PlacementConstraint::builder().r#type("nearby".into()).build();
    assert!(with(other).await.contains("enum value set: [distinctInstance, memberOf]"));

    let many = vec![distinct(); 11];
    let many = refused(create().set_placement_constraints(Some(many)).send().await);
    assert_eq!(many, pair("InvalidParameterException", "placementConstraints can have at most 10 items."));
    let together = create().task_definition("bound").set_placement_constraints(Some(vec![distinct(); 5]));
    assert!(refused(together.send().await).1.contains("those of the task definition among them"));

    for wrong in [
        spread("zone"),
        spread("attribute:"),
        strategy(PlacementStrategyType::Binpack, Some("disk")),
        strategy(PlacementStrategyType::Binpack, None),
        PlacementStrategy::builder().field("cpu").build(),
    ] {
        let refused = refused(create().placement_strategy(wrong).send().await);
        assert_eq!(refused.0, "InvalidParameterException");
    }
    let six = create().set_placement_strategy(Some(vec![spread("host"); 6])).send().await;
    let few = "placementStrategy can have at most 5 items.";
    assert_eq!(refused(six), pair("InvalidParameterException", few));

    let define = |constraint| {
        let define = client.register_task_definition().family("x").container_definitions(app());
        define.placement_constraints(constraint).send()
    };
    let apart = refused(define(bound("distinctInstance", "")).await);
    assert!(apart.1.contains("enum value set: [memberOf]"), "{apart:?}");
    assert_eq!(refused(define(bound("memberOf", "((")).await).0, "ClientException");
    let run = client.run_task().task_definition("web").placement_constraints(member("((")).send().await;
    assert_eq!(refused(run).0, "InvalidParameterException");
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn tasks_go_where_their_rules_let_them_and_the_rules_are_kept() {
    let (server, client, [a, b]) = ready().await;
    let run = || client.run_task().task_definition("web");
    let ran = run().count(3).placement_constraints(distinct()).send().await.unwrap();
    assert_eq!(ran.tasks().len(), 2);
    assert_eq!(ran.failures().len(), 2, "each instance says why");
    let apart = "DistinctInstance placement constraint unsatisfied.";
    assert!(ran.failures().iter().all(|one| one.reason() == Some(apart)));

    let attribute =
        aws_sdk_ecs::types::Attribute::builder().name("disk").value("ssd").target_id(b.to_string());
    client.put_attributes().attributes(attribute.build().unwrap()).send().await.unwrap();
    let ssd = member("attribute:disk == ssd");
    let ran = run().placement_constraints(ssd.clone()).placement_strategy(spread("instanceId"));
    let ran = ran.send().await.unwrap();
    assert!(ran.tasks()[0].container_instance_arn().unwrap().ends_with(&b.to_string()));
    let id = ran.tasks()[0].task_arn().unwrap().rsplit('/').next().unwrap().parse().unwrap();
    let kept = PlacementRules {
        constraints: vec![object::PlacementConstraint::MemberOf("attribute:disk == ssd".to_owned())],
        strategy: vec![object::PlacementStrategy::Spread(SpreadField::InstanceId)],
    };
    assert_eq!(*server.store.view().placement_rules(id), kept);

    let nowhere = run().placement_constraints(member("attribute:disk == tape")).send().await.unwrap();
    assert!(nowhere.tasks().is_empty());
    let member_of = "MemberOf placement constraint unsatisfied.";
    assert!(nowhere.failures().iter().all(|one| one.reason() == Some(member_of)));
    let detail = nowhere.failures()[0].detail().unwrap();
    assert_eq!(detail, "is not a member of attribute:disk == tape");

    // The group's tasks are spread against each other, whoever else is there.
    let group = || run().group("batch").placement_strategy(spread("instanceId"));
    let mut used = Vec::new();
    for _ in 0..2 {
        let ran = group().send().await.unwrap();
        used.push(ran.tasks()[0].container_instance_arn().unwrap().to_owned());
    }
    used.sort();
    used.dedup();
    assert_eq!(used.len(), 2);
    assert!(used.iter().any(|arn| arn.ends_with(&a.to_string())));
}

#[tokio::test]
async fn a_definitions_constraint_binds_what_is_placed_and_not_what_its_caller_places() {
    let (_server, client, [a, b]) = ready().await;
    let define = client.register_task_definition().family("near").container_definitions(app());
    let near = bound("memberOf", "attribute:ecs.availability-zone == us-east-1b");
    let made = define.placement_constraints(near.clone()).send().await.unwrap();
    let described = client.describe_task_definition().task_definition("near").send().await.unwrap();
    for definition in [made.task_definition().unwrap(), described.task_definition().unwrap()] {
        assert_eq!(definition.placement_constraints(), std::slice::from_ref(&near));
    }
    let ran = client.run_task().task_definition("near").count(3).send().await.unwrap();
    let arns = || ran.tasks().iter().map(|task| task.container_instance_arn().unwrap());
    assert!(ran.tasks().len() == 3 && arns().all(|arn| arn.ends_with(&b.to_string())));
    let started = client.start_task().task_definition("near").container_instances(a.to_string());
    assert_eq!(started.send().await.unwrap().tasks().len(), 1);
}
