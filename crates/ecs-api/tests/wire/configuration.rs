//! What is configured: clusters, capacity providers, account settings, attributes, task protection.

use aws_sdk_ecs::types::{
    Attribute, AutoScalingGroupProvider, AutoScalingGroupProviderUpdate, CapacityProviderStatus,
    CapacityProviderStrategyItem, CapacityProviderUpdateStatus, ClusterConfiguration, ClusterField,
    ClusterServiceConnectDefaultsRequest, ClusterSetting, ClusterSettingName, ExecuteCommandConfiguration,
    ExecuteCommandLogging, ManagedDraining, ManagedScaling, ManagedScalingStatus, SettingName, Tag,
    TargetType,
};

use crate::server::{Server, pair, refused};

fn insights(value: &str) -> ClusterSetting {
    ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value(value).build()
}

fn item(provider: &str, weight: i32) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder().capacity_provider(provider).weight(weight).build().unwrap()
}

fn group() -> AutoScalingGroupProvider {
    AutoScalingGroupProvider::builder().auto_scaling_group_arn("group-1").build().unwrap()
}

#[tokio::test]
async fn a_cluster_is_described_as_it_was_configured() {
    let server = Server::start().await;
    let client = server.client();
    let made = client.create_cluster().cluster_name("a").settings(insights("enabled")).send().await.unwrap();
    assert_eq!(made.cluster().unwrap().settings(), [insights("enabled")]);
    client.create_cluster().cluster_name("b").send().await.unwrap();
    let described = client.describe_clusters().clusters("b").include(ClusterField::Settings);
    let described = described.send().await.unwrap();
    assert_eq!(described.clusters()[0].settings(), [insights("disabled")], "what ECS has by default");

    let execute = ExecuteCommandConfiguration::builder().logging(ExecuteCommandLogging::None).build();
    let configuration = ClusterConfiguration::builder().execute_command_configuration(execute).build();
    let defaults = |namespace: &str| {
        ClusterServiceConnectDefaultsRequest::builder().namespace(namespace).build().unwrap()
    };
    let updated = client
        .update_cluster()
        .cluster("a")
        .configuration(configuration.clone())
        .service_connect_defaults(defaults("web"))
        .send()
        .await
        .unwrap();
    let cluster = updated.cluster().unwrap();
    assert_eq!(cluster.configuration(), Some(&configuration));
    assert_eq!(cluster.service_connect_defaults().unwrap().namespace(), Some("web"));
    assert_eq!(cluster.settings(), [insights("enabled")], "what is not said stays");

    client.update_cluster_settings().cluster("a").settings(insights("enhanced")).send().await.unwrap();
    client.update_cluster().cluster("a").service_connect_defaults(defaults("")).send().await.unwrap();
    let described = client
        .describe_clusters()
        .clusters("a")
        .include(ClusterField::Settings)
        .include(ClusterField::Configurations)
        .send()
        .await
        .unwrap();
    let cluster = &described.clusters()[0];
    assert_eq!(cluster.settings(), [insights("enhanced")]);
    assert_eq!(cluster.configuration(), Some(&configuration));
    assert!(cluster.service_connect_defaults().is_none(), "an empty namespace takes them away");
    let described = client.describe_clusters().clusters("a").send().await.unwrap();
    assert!(described.clusters()[0].configuration().is_none(), "only if asked for");
}

#[tokio::test]
async fn a_capacity_providers_life() {
    let server = Server::start().await;
    let client = server.client();
    client.create_cluster().send().await.unwrap();
    let tag = Tag::builder().key("team").value("a").build();
    let create = || client.create_capacity_provider().name("machines").auto_scaling_group_provider(group());
    let made = create().tags(tag.clone()).send().await.unwrap();
    let provider = made.capacity_provider().unwrap();
    let arn = "arn:aws:ecs:us-east-1:123456789012:capacity-provider/machines";
    assert_eq!(provider.capacity_provider_arn(), Some(arn));
    assert_eq!(provider.status(), Some(&CapacityProviderStatus::Active));
    let filled = provider.auto_scaling_group_provider().unwrap();
    let scaling = filled.managed_scaling().unwrap();
    assert_eq!(scaling.status(), Some(&ManagedScalingStatus::Disabled));
    assert_eq!((scaling.target_capacity(), scaling.instance_warmup_period()), (Some(100), Some(300)));
    let steps = (scaling.minimum_scaling_step_size(), scaling.maximum_scaling_step_size());
    assert_eq!(steps, (Some(1), Some(10_000)));
    assert_eq!(filled.managed_draining(), Some(&ManagedDraining::Enabled));
    let twice = refused(create().send().await);
    assert_eq!(twice.0, "ClientException");
    assert!(twice.1.starts_with("The specified capacity provider already exists."));

    let scaling = ManagedScaling::builder().status(ManagedScalingStatus::Enabled).target_capacity(80).build();
    let update = AutoScalingGroupProviderUpdate::builder().managed_scaling(scaling).build();
    let updated =
        client.update_capacity_provider().name("machines").auto_scaling_group_provider(update).send().await;
    let updated = updated.unwrap().capacity_provider.unwrap();
    assert_eq!(updated.update_status(), Some(&CapacityProviderUpdateStatus::UpdateComplete));
    let scaling = updated.auto_scaling_group_provider().unwrap().managed_scaling().unwrap();
    assert_eq!((scaling.target_capacity(), scaling.instance_warmup_period()), (Some(80), Some(300)));

    let put = client
        .put_cluster_capacity_providers()
        .cluster("default")
        .capacity_providers(arn)
        .capacity_providers("FARGATE")
        .default_capacity_provider_strategy(item("machines", 1))
        .send()
        .await
        .unwrap();
    let cluster = put.cluster().unwrap();
    assert_eq!(cluster.capacity_providers(), ["machines", "FARGATE"]);
    assert_eq!(cluster.default_capacity_provider_strategy(), [item("machines", 1)]);
    assert_eq!(cluster.attachments_status(), Some("UPDATE_COMPLETE"));

    let delete = || client.delete_capacity_provider().capacity_provider("machines");
    let in_use = refused(delete().send().await);
    assert!(in_use.1.contains("because it is associated with cluster: default."), "{in_use:?}");
    let put = client.put_cluster_capacity_providers().cluster("default");
    put.set_capacity_providers(Some(Vec::new()))
        .set_default_capacity_provider_strategy(Some(Vec::new()))
        .send()
        .await
        .unwrap();
    client.untag_resource().resource_arn(arn).tag_keys("team").send().await.unwrap();
    client.tag_resource().resource_arn(arn).tags(tag.clone()).send().await.unwrap();
    let listed = client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(listed.tags(), [tag]);
    let deleted = delete().send().await.unwrap().capacity_provider.unwrap();
    assert_eq!(deleted.status(), Some(&CapacityProviderStatus::Inactive));
    let described = client.describe_capacity_providers().capacity_providers("machines").send().await.unwrap();
    assert_eq!(described.failures()[0].reason(), Some("MISSING"));
    assert_eq!(described.failures()[0].arn(), Some(arn));
}

#[tokio::test]
async fn capacity_providers_come_in_pages_ecss_own_first() {
    let server = Server::start().await;
    let client = server.client();
    for name in ["b", "a"] {
        let group = AutoScalingGroupProvider::builder().auto_scaling_group_arn(name).build().unwrap();
        let create = client.create_capacity_provider().name(name).auto_scaling_group_provider(group);
        create.send().await.unwrap();
    }
    let (mut names, mut token) = (Vec::new(), None);
    loop {
        let page = client.describe_capacity_providers().max_results(3).set_next_token(token);
        let page = page.send().await.unwrap();
        names.extend(page.capacity_providers().iter().map(|one| one.name().unwrap().to_owned()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, ["FARGATE", "FARGATE_SPOT", "a", "b"]);
}

#[tokio::test]
async fn account_settings_have_three_levels() {
    let server = Server::start().await;
    let client = server.client();
    let name = || SettingName::ContainerInsights;
    let user = "arn:aws:iam::123456789012:user/ada";
    let root = "arn:aws:iam::123456789012:root";
    let effective = || client.list_account_settings().name(name()).effective_settings(true);
    let value = |listed: aws_sdk_ecs::operation::list_account_settings::ListAccountSettingsOutput| {
        let setting = &listed.settings()[0];
        (setting.value().unwrap().to_owned(), setting.principal_arn().unwrap().to_owned())
    };
    let of_user = || async { value(effective().principal_arn(user).send().await.unwrap()) };
    assert_eq!(of_user().await, pair("disabled", root));

    client.put_account_setting_default().name(name()).value("enabled").send().await.unwrap();
    assert_eq!(of_user().await, pair("enabled", root));
    let put = client.put_account_setting().name(name()).value("enhanced").principal_arn(user);
    assert_eq!(put.send().await.unwrap().setting().unwrap().principal_arn(), Some(user));
    assert_eq!(of_user().await, pair("enhanced", user));
    let own = client.list_account_settings().principal_arn(user).send().await.unwrap();
    assert_eq!(own.settings().len(), 1, "only what was set");
    let all = client.list_account_settings().effective_settings(true).send().await.unwrap();
    assert_eq!(all.settings().len(), 11);

    let made = client.create_cluster().cluster_name("a").send().await.unwrap();
    assert_eq!(made.cluster().unwrap().settings(), [insights("enabled")], "as the account has it");
    let made = client.create_cluster().cluster_name("b").settings(insights("disabled")).send().await.unwrap();
    assert_eq!(made.cluster().unwrap().settings(), [insights("disabled")], "as it was asked for");

    let deleted = client.delete_account_setting().name(name()).principal_arn(user).send().await.unwrap();
    assert_eq!(deleted.setting().unwrap().value(), Some("enabled"), "what counts then");
    assert_eq!(of_user().await, pair("enabled", root));
    client.delete_account_setting().name(name()).send().await.unwrap();
    assert_eq!(of_user().await, pair("disabled", root));
}

#[tokio::test]
async fn custom_attributes_of_an_instance() {
    let server = Server::start().await;
    let client = server.client();
    let id = server.add_instance("us-east-1a", 1024, 1024).to_string();
    server.add_instance("us-east-1b", 1024, 1024);
    let arn = format!("arn:aws:ecs:us-east-1:123456789012:container-instance/default/{id}");
    let attribute = |name: &str, value: Option<&str>, target: &str| {
        Attribute::builder().name(name).set_value(value.map(str::to_owned)).target_id(target).build().unwrap()
    };
    let put = client
        .put_attributes()
        .attributes(attribute("stack", Some("prod"), &id))
        .attributes(attribute("ssd", None, &arn))
        .send()
        .await
        .unwrap();
    assert_eq!(put.attributes()[0].target_id(), Some(arn.as_str()));
    assert_eq!(put.attributes()[0].target_type(), Some(&TargetType::ContainerInstance));
    let described = client.describe_container_instances().container_instances(&id).send().await.unwrap();
    let attributes = described.container_instances()[0].attributes();
    let stack = attributes.iter().find(|one| one.name() == "stack").unwrap();
    assert_eq!(stack.value(), Some("prod"));
    assert!(attributes.iter().any(|one| one.name() == "ssd" && one.value().is_none()));

    let list = || client.list_attributes().target_type(TargetType::ContainerInstance);
    let listed = list().attribute_name("stack").attribute_value("prod").send().await.unwrap();
    assert_eq!(listed.attributes().len(), 1);
    let zones = list().attribute_name("ecs.availability-zone").send().await.unwrap();
    assert_eq!(zones.attributes().len(), 2, "the agents' are listed too");
    let pages: Vec<_> =
        list().max_results(2).into_paginator().send().collect::<Result<_, _>>().await.unwrap();
    let all: Vec<(String, String)> = pages
        .iter()
        .flat_map(|page| page.attributes())
        .map(|one| pair(one.target_id().unwrap(), one.name()))
        .collect();
    assert_eq!((pages.len(), all.len()), (3, 6));
    assert!(all.is_sorted(), "{all:?}");

    let found = |filter: &str| client.list_container_instances().filter(filter).send();
    let of_stack = found("attribute:stack == prod and agentConnected == true").await.unwrap();
    assert_eq!(of_stack.container_instance_arns(), std::slice::from_ref(&arn));
    assert_eq!(found("attribute:ssd !exists").await.unwrap().container_instance_arns().len(), 1);
    let wrong = refused(found("attribute:stack ==").await);
    let message = "Invalid filter expression: an argument is missing, at character 19.";
    assert_eq!(wrong, pair("InvalidParameterException", message));

    let before = server.events();
    let many = (0..10).map(|number| attribute(&format!("a{number}"), None, &id)).collect();
    let many = refused(client.put_attributes().set_attributes(Some(many)).send().await);
    assert_eq!(many.0, "AttributeLimitExceededException");
    assert_eq!(server.events(), before);
    let deleted = client
        .delete_attributes()
        .attributes(attribute("stack", None, &id))
        .attributes(attribute("nope", None, &id))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.attributes().len(), 1, "what was there");
    assert_eq!(list().attribute_name("stack").send().await.unwrap().attributes().len(), 0);
}

#[tokio::test]
async fn an_agent_is_its_operators_to_update() {
    let server = Server::start().await;
    let client = server.client();
    let id = server.add_instance("us-east-1a", 1024, 1024).to_string();
    let refusal = refused(client.update_container_agent().container_instance(&id).send().await);
    assert_eq!(refusal.0, "NoUpdateAvailableException");
}

#[tokio::test]
async fn an_instance_that_registers_through_the_api_is_described_and_never_connected() {
    use aws_sdk_ecs::types::Resource;
    let server = Server::start().await;
    let client = server.client();
    let cpu = Resource::builder().name("CPU").r#type("INTEGER").integer_value(1024).build();
    let document = r#"{"instanceId": "i-1", "availabilityZone": "us-east-1b"}"#;
    let register = || {
        let register = client.register_container_instance().instance_identity_document(document);
        register.total_resources(cpu.clone())
    };
    let made = register().send().await.unwrap().container_instance.unwrap();
    assert_eq!((made.ec2_instance_id(), made.status()), (Some("i-1"), Some("ACTIVE")));
    assert!(!made.agent_connected());
    let arn = made.container_instance_arn().unwrap();
    let events = server.events();
    let again = register().container_instance_arn(arn).send().await.unwrap().container_instance.unwrap();
    assert_eq!(again.container_instance_arn(), Some(arn));
    assert_eq!(server.events(), events + 1, "only the request is recorded");
    client.deregister_container_instance().container_instance(arn).send().await.unwrap();
}
