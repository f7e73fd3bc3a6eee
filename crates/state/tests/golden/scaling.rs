//! Samples of what came with the eighth feature level: as many as needed.

use trireme_state::event::{AlarmEvent, AutoscalingEvent, DeliveryEvent, ScheduleEvent};

use super::*;

fn scaling_policy() -> ScalingPolicySpec {
    let cluster = ClusterKey { scope: Scope::development(), name: ClusterName::new("default").unwrap() };
    ScalingPolicySpec::TargetTracking(TargetTracking {
        target: Real::new(62.5).unwrap(),
        metric: TrackedMetric::Customized {
            metric: MetricKey {
                scope: cluster.scope,
                namespace: text("Shop"),
                name: text("Waiting"),
                dimensions: BTreeMap::from([(text("Queue"), text("orders"))]),
            },
            statistic: Statistic::Average,
            unit: Some(text("Count")),
        },
        scale_out_cooldown: Some(30),
        scale_in_cooldown: None,
        disable_scale_in: true,
    })
}

pub fn autoscaling_events() -> Vec<Event> {
    let (key, name, at) = (|| service("web"), || text("cpu"), Timestamp::from_millis);
    let spec = ScalableTargetSpec {
        min: 1,
        max: 9,
        suspended: SuspendedScaling { scale_in: true, scale_out: false, scheduled: true },
        role_arn: Some(text("role")),
    };
    let action = ScheduledActionSpec {
        schedule: text("rate(1 hour)"),
        timezone: Some(text("Europe/Berlin")),
        start: Some(at(5)),
        end: None,
        min: Some(2),
        max: None,
    };
    let activity = ScalingActivity {
        id: 9,
        at: at(7),
        from: 1,
        to: 3,
        cause: text("much to do"),
        held: Some(HeldScaling::AtMaximum),
    };
    let policy = CoolingPolicy {
        name: name(),
        scaled_out: Some(ScaledOut { at: at(7), from: 1 }),
        scaled_in: Some(at(6)),
    };
    let events = vec![
        AutoscalingEvent::ScalableTargetRegistered { key: key(), id: 7, spec },
        AutoscalingEvent::ScalableTargetDeregistered { key: key() },
        AutoscalingEvent::ScalableTargetTagged { key: key(), tags: Tags::from([(text("k"), text("v"))]) },
        AutoscalingEvent::ScalingPolicyPut {
            key: key(),
            name: name(),
            id: 8,
            spec: Box::new(scaling_policy()),
        },
        AutoscalingEvent::ScalingPolicyDeleted { key: key(), name: name() },
        AutoscalingEvent::ScheduledActionPut {
            key: key(),
            name: name(),
            id: 10,
            spec: Box::new(action),
            next: Some(at(8)),
        },
        AutoscalingEvent::ScheduledActionDeleted { key: key(), name: name() },
        AutoscalingEvent::ScheduledActionTaken { key: key(), name: name(), next: None },
        AutoscalingEvent::ScalingActivityRecorded {
            key: key(),
            activity: Box::new(activity),
            policy: Some(Box::new(policy)),
        },
    ];
    events.into_iter().map(Event::Autoscaling).collect()
}

pub fn alarm_events() -> Vec<Event> {
    let key = || AlarmKey { scope: Scope::development(), name: text("high") };
    let metric = MetricKey {
        scope: Scope::development(),
        namespace: text("App"),
        name: text("Queue"),
        dimensions: [(text("Host"), text("a"))].into(),
    };
    let spec = AlarmSpec {
        query: MetricQuery {
            metric,
            statistic: Statistic::Sum,
            period_seconds: 60,
            unit: Some(text("Count")),
        },
        evaluation_periods: 3,
        datapoints_to_alarm: Some(2),
        threshold: Real::new(-1.5).unwrap(),
        comparison: Comparison::LessOrEqual,
        missing_data: Some(MissingData::NotBreaching),
        description: Some(text("d")),
        actions_enabled: true,
        alarm_actions: vec![text("arn:a")],
        ok_actions: vec![text("arn:o")],
        insufficient_data_actions: vec![text("arn:i")],
    };
    let tags = || Tags::from([(text("k"), text("v"))]);
    let events = vec![
        AlarmEvent::AlarmConfigured { key: key(), spec: Box::new(spec), tags: tags() },
        AlarmEvent::AlarmDeleted { key: key() },
        AlarmEvent::AlarmStateChanged {
            key: key(),
            state: AlarmState::Alarm,
            reason: text("it is so"),
            reason_data: Some(text("{}")),
        },
        AlarmEvent::AlarmActionsSwitched { key: key(), enabled: false },
        AlarmEvent::AlarmTagged { key: key(), tags: tags() },
        AlarmEvent::DeploymentAlarmsTriggered {
            key: service("web"),
            deployment: deployment_id(),
            alarms: vec![text("high")],
        },
    ];
    events.into_iter().map(Event::Alarm).collect()
}

pub fn schedule_events() -> Vec<Event> {
    let group = || ScheduleGroupKey { scope: Scope::development(), name: text("nightly") };
    let key = || ScheduleKey { group: group(), name: text("s") };
    let rule = || RuleKey { scope: Scope::development(), name: text("r") };
    let (trigger, due) = (|| Trigger::Schedule(key()), Timestamp::from_millis(60_000));
    let tags = || Tags::from([(text("k"), text("v"))]);
    let next = Some(Due { at: Timestamp::from_millis(70_000), fires_at: Timestamp::from_millis(70_500) });
    let events = vec![
        ScheduleEvent::ScheduleGroupCreated { key: group(), tags: tags() },
        ScheduleEvent::ScheduleGroupDeleted { key: group() },
        ScheduleEvent::ScheduleGroupTagged { key: group(), tags: tags() },
        ScheduleEvent::SchedulePut { key: key(), spec: Box::new(schedule_spec(schedule_target(""))), next },
        ScheduleEvent::ScheduleDeleted { key: key() },
        ScheduleEvent::RulePut { key: rule(), spec: Box::new(rule_spec()), next },
        ScheduleEvent::RuleDeleted { key: rule() },
        ScheduleEvent::RuleTagged { key: rule(), tags: tags() },
        ScheduleEvent::RuleTargetsChanged {
            key: rule(),
            targets: vec![schedule_target("a"), called("b", destination("d"))],
        },
        ScheduleEvent::TriggerFired { trigger: trigger(), due, next },
        ScheduleEvent::RunsMissed {
            trigger: Trigger::Rule(rule()),
            from: due,
            count: 3,
            next,
            reason: text("late"),
        },
        ScheduleEvent::RunStarted { trigger: trigger(), due, target: text("a"), tasks: vec![task_id()] },
        ScheduleEvent::RunDeferred {
            trigger: trigger(),
            due,
            target: text("a"),
            tries: 2,
            again_at: Timestamp::from_millis(64_000),
            reason: text("no place"),
        },
        ScheduleEvent::RunFailed { trigger: trigger(), due, target: text("a"), reason: text("gone") },
    ];
    events.into_iter().map(Event::Schedule).collect()
}

pub fn delivery_events() -> Vec<Event> {
    let rule = RuleKey { scope: Scope::development(), name: "r".to_owned() };
    let events = vec![
        DeliveryEvent::DeliveryAdvanced {
            key: DeliveryKey { rule, target: "b".to_owned() },
            seen: Sequence::new(9),
            part: 1,
            delivered: 2,
            dropped: 1,
            error: Some("no answer".to_owned()),
        },
        DeliveryEvent::ConnectionPut { key: connection("c"), id: 5, spec: Box::new(connection_spec()) },
        DeliveryEvent::ConnectionDeleted { key: connection("c") },
        DeliveryEvent::ApiDestinationPut {
            key: destination("d"),
            id: 6,
            spec: Box::new(destination_spec(connection("c"))),
        },
        DeliveryEvent::ApiDestinationDeleted { key: destination("d") },
    ];
    events.into_iter().map(Event::Delivery).collect()
}

pub fn capacity_events() -> Vec<Event> {
    use trireme_state::event::CapacityEvent as Of;
    let text = |text: &str| text.to_owned();
    let launch = Launch::Provider(provider("machines").name);
    let end = RunEnd {
        at: Timestamp::from_millis(9),
        code: StopCode::TaskFailedToStart,
        reason: text("no machine came"),
    };
    let run = WaitingRun {
        id: task_id(),
        cluster: cluster("default"),
        definition: definition("web", 1),
        overrides: TaskOverrides::default(),
        group: text("family:web"),
        started_by: Some(text("me")),
        tags: Tags::from([(text("k"), text("v"))]),
        network: Some(NetworkConfiguration::default()),
        rules: PlacementRules::default(),
        launch: launch.clone(),
        allows_commands: true,
        created_at: Timestamp::from_millis(7),
        end: Some(end.clone()),
    };
    let size = PoolSize {
        wanted: 3,
        request: 5,
        leaving: vec![ContainerInstanceId::from_bits(4)],
        at: Timestamp::from_millis(8),
        idle_since: Some(Timestamp::from_millis(7)),
        reason: text("2 of 3 machines are needed"),
    };
    let all = [
        Of::TasksLaunched { tasks: vec![task_id()], launch },
        Of::RunWaits { run: Box::new(run) },
        Of::WaitingRunEnded { task: task_id(), end },
        Of::WaitingRunForgotten { task: task_id() },
        Of::PoolSized { key: provider("machines"), size: Box::new(size) },
    ];
    all.map(Event::Capacity).into()
}
