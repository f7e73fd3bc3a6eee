//! A small world: a store in memory, agents that do as they are told, and the controllers, pass by pass.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code)]

pub mod checks;
pub mod deployments;
pub mod objects;
pub mod pools;
pub mod scaling;
pub mod schedules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use checks::check_limits;
pub use objects::*;
use trireme_controllers::{Controller, Observed, Plan, Reaper, ServiceController, Stopwatch};
use trireme_state::command::{ServiceChange, TaskHealthReport, TaskReport};
use trireme_state::object::*;
use trireme_state::query::Checked;
use trireme_state::store::{LocalStore, ProposeError, Store};
use trireme_state::*;
use trireme_types::*;

pub const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

pub struct World {
    pub store: LocalStore,
    pub now: Timestamp,
    pub services: ServiceController,
    pub agents: Vec<ContainerInstanceId>,
    /// Families and revisions whose tasks never run.
    pub broken: BTreeSet<TaskDefinitionKey>,
    /// Families and revisions whose tasks run for this long and exit.
    pub crashing: BTreeMap<TaskDefinitionKey, Duration>,
    /// Instances where no task starts.
    pub refusing: BTreeSet<ContainerInstanceId>,
    /// Tasks that services have started so far.
    pub started: usize,
    /// Instances whose agents do and say nothing.
    pub deaf: BTreeSet<ContainerInstanceId>,
    requests: u128,
}

impl World {
    pub fn new() -> Self {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut world = Self {
            store: LocalStore::new([7; 32], now),
            now,
            services: ServiceController::new(Stopwatch::stopped()),
            agents: Vec::new(),
            broken: BTreeSet::new(),
            crashing: BTreeMap::new(),
            refusing: BTreeSet::new(),
            started: 0,
            deaf: BTreeSet::new(),
            requests: 0,
        };
        world.user(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST });
        world
    }

    pub fn view(&self) -> Arc<State> {
        self.store.view()
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
        self.store.set_now(self.now);
    }

    pub fn try_propose(&mut self, actor: Actor, command: Command) -> Result<Outcome, Rejection> {
        self.requests += 1;
        let request_id = RequestId::from_bits(self.requests);
        let proposal = Proposal { actor, request_id, key: None, command };
        match self.store.propose_now(&proposal) {
            Ok(committed) => Ok(committed.outcome),
            Err(ProposeError::Rejected(rejection)) => Err(rejection),
            Err(other) => panic!("a local store always answers: {other}"),
        }
    }

    pub fn user(&mut self, command: Command) -> Outcome {
        self.try_propose(Actor::Operator, command.clone()).unwrap_or_else(|why| panic!("{command:?}: {why}"))
    }

    pub fn agent(&mut self, zone: &str, cpu: u32, memory: u32) -> ContainerInstanceId {
        self.agent_with_gpus(zone, cpu, memory, 0)
    }

    pub fn agent_with_gpus(&mut self, zone: &str, cpu: u32, memory: u32, gpus: u32) -> ContainerInstanceId {
        let name = format!("{zone}/agent-{}", self.agents.len() + 1);
        let mut registration = registration(name, zone, cpu, memory);
        let ids: Vec<String> = (0..gpus).map(|number| format!("GPU-{number}")).collect();
        if gpus > 0 {
            registration.attributes.insert(capability::GPUS.to_owned(), ids.join(","));
        }
        let outcome =
            self.user(Command::OpenSession { instance: None, registration: Box::new(registration) });
        let Outcome::Session { instance, .. } = outcome else { panic!("no session: {outcome:?}") };
        self.agents.push(instance);
        instance
    }

    pub fn agents_per_zone(&mut self, count: usize, cpu: u32, memory: u32) {
        for zone in ZONES {
            for _ in 0..count {
                self.agent(zone, cpu, memory);
            }
        }
    }

    pub fn register(&mut self, family: &str, cpu: u32, memory: u32, port: Option<u16>) -> TaskDefinitionKey {
        self.register_container(family, container(cpu, memory, port))
    }

    /// Its container is to have so many GPUs.
    pub fn register_with_gpus(
        &mut self,
        family: &str,
        (cpu, memory): (u32, u32),
        port: Option<u16>,
        gpus: u32,
    ) -> TaskDefinitionKey {
        let mut made = container(cpu, memory, port);
        let json = format!(r#"[{{"type":"GPU","value":"{gpus}"}}]"#);
        made.described.extend((gpus > 0).then(|| ("resourceRequirements".to_owned(), json)));
        self.register_container(family, made)
    }

    /// Its container has a health check.
    pub fn register_checked(&mut self, family: &str, cpu: u32, memory: u32) -> TaskDefinitionKey {
        let mut checked = container(cpu, memory, None);
        checked.described.insert("healthCheck".to_owned(), r#"{"command":["CMD","true"]}"#.to_owned());
        self.register_container(family, checked)
    }

    fn register_container(&mut self, family: &str, container: ContainerDefinition) -> TaskDefinitionKey {
        let spec = TaskDefinitionSpec {
            containers: vec![container],
            network_mode: None,
            cpu: None,
            memory: None,
            requires_compatibilities: Vec::new(),
            task_role_arn: None,
            execution_role_arn: None,
            described: BTreeMap::new(),
        };
        self.register_spec(family, Arc::new(spec))
    }

    pub fn register_spec(&mut self, family: &str, spec: Arc<TaskDefinitionSpec>) -> TaskDefinitionKey {
        let outcome = self.user(Command::RegisterTaskDefinition {
            scope: Scope::development(),
            family: Family::new(family).unwrap(),
            spec,
            tags: Tags::new(),
            registered_by: "tester".to_owned(),
        });
        match outcome {
            Outcome::TaskDefinition(key) => key,
            other => panic!("no task definition: {other:?}"),
        }
    }

    pub fn create(&mut self, name: &str, definition: &TaskDefinitionKey, desired: u32, limits: (u32, u32)) {
        self.create_described(name, definition, desired, limits, &[]);
    }

    /// With these members, in ECS's names and JSON.
    pub fn create_described(
        &mut self,
        name: &str,
        definition: &TaskDefinitionKey,
        desired: u32,
        limits: (u32, u32),
        described: &[(&str, &str)],
    ) {
        let described =
            described.iter().map(|(member, json)| ((*member).to_owned(), (*json).to_owned())).collect();
        let spec = ServiceSpec {
            task_definition: definition.clone(),
            desired_count: desired,
            deployment_configuration: configuration(limits),
            propagate_tags: PropagateTags::None,
            enable_ecs_managed_tags: false,
            health_check_grace_period_seconds: None,
            role_arn: None,
            described,
        };
        let created_by = "tester".to_owned();
        self.user(Command::CreateService { key: service_key(name), spec, tags: Tags::new(), created_by });
    }

    pub fn update(&mut self, name: &str, change: ServiceChange) {
        self.user(Command::UpdateService { key: service_key(name), change });
    }

    pub fn scale(&mut self, name: &str, desired: u32) {
        self.update(name, ServiceChange { desired_count: Some(desired), ..ServiceChange::default() });
    }

    pub fn deploy(&mut self, name: &str, definition: &TaskDefinitionKey) {
        self.update(
            name,
            ServiceChange { task_definition: Some(definition.clone()), ..ServiceChange::default() },
        );
    }

    /// What the health check of a task's container says from now on.
    pub fn says(&mut self, task: &Task, health: HealthStatus) {
        let instance = task.instance;
        let epoch = self.view().instance(instance).unwrap().epoch;
        let health = TaskHealth::from([(ContainerName::new("main").unwrap(), health)]);
        let reports = vec![TaskHealthReport { task: task.id, health }];
        self.try_propose(Actor::Agent(instance), Command::ReportTaskHealth { instance, epoch, reports })
            .unwrap();
    }

    /// Every running task whose health check has said nothing yet is healthy. Returns whether there was one.
    pub fn all_healthy(&mut self) -> bool {
        let mut news = false;
        for task in self.view().tasks().cloned().collect::<Vec<_>>() {
            let unknown = self.view().checked(&task) == Some(Checked::Unknown);
            if unknown && task.last_status == TaskStatus::Running && !self.deaf.contains(&task.instance) {
                self.says(&task, HealthStatus::Healthy);
                news = true;
            }
        }
        news
    }

    /// A task of nobody is started there.
    pub fn run(&mut self, definition: &TaskDefinitionKey, instance: ContainerInstanceId) {
        let epoch = self.view().instance(instance).unwrap().epoch;
        let run = trireme_state::command::RunTasks {
            cluster: cluster(),
            definition: definition.clone(),
            overrides: TaskOverrides::default(),
            group: None,
            started_by: None,
            tags: Tags::new(),
            placements: vec![Placement { instance, epoch }],
        };
        self.user(Command::RunTasks(Box::new(run)));
        self.agents_work(|_| true);
    }

    /// The tasks of nobody stop there. Gives how many there were.
    pub fn stop_others(&mut self, instance: ContainerInstanceId) -> usize {
        let tasks = self.view().tasks_of_instance(instance).into_iter();
        let others: Vec<_> = tasks.filter(|task| task.service().is_none()).collect();
        for task in &others {
            self.user(Command::StopTask { cluster: cluster(), task: task.id, reason: None });
        }
        self.agents_work(|_| true);
        others.len()
    }

    pub fn protect(&mut self, task: &Task, minutes: Option<u32>) {
        self.user(Command::ProtectTask { cluster: cluster(), task: task.id, minutes });
    }

    pub fn said(&self, name: &str, text: &str) -> bool {
        self.service(name).events.iter().any(|event| event.message.contains(text))
    }

    pub fn lose(&mut self, instance: ContainerInstanceId) {
        let epoch = self.view().instance(instance).unwrap().epoch;
        self.deaf.insert(instance);
        let _ = self.try_propose(
            Actor::Controller("node-health".to_owned()),
            Command::LoseInstance { instance, epoch, reason: "not heard".to_owned() },
        );
    }

    pub fn return_from_the_dead(&mut self, instance: ContainerInstanceId) {
        let registration = self.view().instance(instance).unwrap().registration.clone();
        self.user(Command::OpenSession { instance: Some(instance), registration: Box::new(registration) });
        self.deaf.remove(&instance);
    }

    pub fn set_status(&mut self, instance: ContainerInstanceId, status: InstanceStatus) {
        self.user(Command::SetInstanceStatus { cluster: cluster(), instance, status });
    }

    pub fn service(&self, name: &str) -> Arc<Service> {
        self.view().service(&service_key(name)).unwrap().clone()
    }

    pub fn tasks(&self, name: &str) -> Vec<Arc<Task>> {
        self.view().tasks_of_service(&service_key(name))
    }

    pub fn running(&self, name: &str) -> usize {
        let runs = |task: &Arc<Task>| task.wanted() && task.last_status == TaskStatus::Running;
        self.tasks(name).iter().filter(|task| runs(task)).count()
    }

    /// Wanted tasks by zone.
    pub fn by_zone(&self, name: &str) -> BTreeMap<String, usize> {
        let mut zones = BTreeMap::new();
        for task in self.tasks(name).iter().filter(|task| task.wanted()) {
            *zones.entry(task.zone.to_string()).or_default() += 1;
        }
        zones
    }

    /// One plan of the service controller. A controller without memory must plan the same.
    pub fn plan(&self) -> Plan {
        let view = self.view();
        let plan = self.services.plan(&view, &Observed::default(), self.now);
        let afresh = ServiceController::new(Stopwatch::stopped());
        let same = afresh.plan(&view, &Observed::default(), self.now);
        assert_eq!((&plan.commands, plan.wake_at), (&same.commands, same.wake_at), "memory changed a plan");
        plan
    }

    /// One pass. No command of a plan on the current view may be refused. Returns whether there was anything to do.
    pub fn pass(&mut self) -> bool {
        let plan = self.plan();
        for command in &plan.commands {
            let before = self.view();
            let actor = Actor::Controller(ServiceController::NAME.to_owned());
            if let Err(why) = self.try_propose(actor, command.clone()) {
                panic!("refused ({why}): {command:?}");
            }
            check_limits(&before, &self.view(), command, self.now);
            if let Command::StartServiceTasks { placements, .. } = command {
                self.started += placements.len();
            }
            invariant::check_state(&self.view()).unwrap();
        }
        !plan.commands.is_empty()
    }

    /// What an agent has to say of a task, if anything.
    pub fn news(&self, task: &Task) -> Option<TaskReport> {
        if self.deaf.contains(&task.instance) {
            return None;
        }
        let (status, code) = match (task.desired_status, task.last_status) {
            (_, TaskStatus::Stopped) => return None,
            (DesiredStatus::Stopped, _) => (TaskStatus::Stopped, None),
            (_, TaskStatus::Running) => {
                self.crash_at(task).filter(|at| *at <= self.now)?;
                return Some(report(task, TaskStatus::Stopped, Some(StopCode::EssentialContainerExited)));
            }
            _ if self.broken.contains(&task.definition) || self.refusing.contains(&task.instance) => {
                (TaskStatus::Stopped, Some(StopCode::TaskFailedToStart))
            }
            _ => (TaskStatus::Running, None),
        };
        Some(report(task, status, code))
    }

    fn crash_at(&self, task: &Task) -> Option<Timestamp> {
        let life = self.crashing.get(&task.definition)?;
        (task.last_status == TaskStatus::Running).then_some(task.times.started_at?.plus(*life))
    }

    pub fn report(&mut self, instance: ContainerInstanceId, reports: Vec<TaskReport>) {
        let epoch = self.view().instance(instance).unwrap().epoch;
        for reports in reports.chunks(200) {
            self.try_propose(
                Actor::Agent(instance),
                Command::ReportTasks { instance, epoch, reports: reports.to_vec() },
            )
            .unwrap();
        }
    }

    /// Agents do what is asked, of those tasks that `which` picks. Returns how many had news.
    pub fn agents_work(&mut self, mut which: impl FnMut(&Task) -> bool) -> usize {
        let view = self.view();
        let mut news: BTreeMap<ContainerInstanceId, Vec<TaskReport>> = BTreeMap::new();
        for task in view.tasks() {
            if let Some(report) = self.news(task)
                && which(task)
            {
                news.entry(task.instance).or_default().push(report);
            }
        }
        let count = news.values().map(Vec::len).sum();
        for (instance, reports) in news {
            self.report(instance, reports);
        }
        count
    }

    /// An essential container of a running task ends.
    pub fn exit(&mut self, task: &Task) {
        let report = report(task, TaskStatus::Stopped, Some(StopCode::EssentialContainerExited));
        self.report(task.instance, vec![report]);
    }

    /// Passes and agents' work until neither has anything to do.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            self.advance(Duration::from_millis(10));
            let planned = self.pass();
            let worked = self.agents_work(|_| true);
            if !planned && worked == 0 {
                return;
            }
        }
        panic!("never quiet; plan: {:?}", self.plan());
    }

    /// Like [`World::settle`], and waits until what runs is healthy. A longer wait is left.
    pub fn settle_healthy(&mut self) {
        let healthy = self.services.healthy_after;
        for _ in 0..400 {
            self.settle();
            match self.plan().wake_at.map(|at| at.since(self.now)).filter(|wait| *wait <= healthy) {
                Some(wait) => self.advance(wait),
                None => return,
            }
        }
        panic!("always asks to be woken; plan: {:?}", self.plan());
    }

    /// Lets time pass as it does: all that happens when it happens.
    pub fn live(&mut self, time: Duration) {
        let end = self.now.plus(time);
        loop {
            self.settle();
            let exits = self.view().tasks().filter_map(|task| self.crash_at(task)).min();
            let next = [exits, self.plan().wake_at].into_iter().flatten().min();
            if self.now >= end {
                return;
            }
            let next = next.map_or(end, |at| at.min(end));
            self.advance(next.since(self.now));
        }
    }

    /// Like [`World::settle`], and waits out back-offs too, while health checks pass.
    pub fn settle_for_good(&mut self) {
        for _ in 0..400 {
            self.settle();
            if self.all_healthy() {
                continue;
            }
            match self.plan().wake_at {
                Some(at) => self.advance(at.since(self.now)),
                None => return,
            }
        }
        panic!("always asks to be woken; plan: {:?}", self.plan());
    }

    pub fn reap(&mut self) -> usize {
        let plan = Reaper::default().plan(&self.view(), &Observed::default(), self.now);
        let count = plan.commands.len();
        for command in plan.commands {
            self.user(command);
        }
        count
    }
}
