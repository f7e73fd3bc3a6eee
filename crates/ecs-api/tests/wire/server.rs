//! A server on loopback, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use trireme_ecs_api::{Admission, Api, AuthMode, Clock, Limits, SystemClock, router};
use trireme_iam::SealingKey;
use trireme_state::command::{NewAccessKey, TaskReport};
use trireme_state::object::{
    AccessKeyId, ClusterKey, ContainerReport, InstanceRegistration, InstanceResources, SealedSecret,
    TaskStatus,
};
use trireme_state::store::{LocalStore, Store};
use trireme_state::{Actor, Command, Outcome, Proposal};
use trireme_types::{
    AccountId, ClusterName, ContainerInstanceId, CpuUnits, Mebibytes, Port, Protocol, RequestId, Scope,
    SessionEpoch, TaskId, Timestamp, Zone,
};

pub const KEY: &str = "AKIATESTTESTTESTTEST";
pub const SECRET: &str = "the+secret/of1this2test3and4of5no6other7";

/// A server with authentication and one access key of the development account.
pub struct Server {
    pub store: LocalStore,
    pub addr: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with_clock(Arc::new(SystemClock)).await
    }

    pub async fn without_auth() -> Self {
        let store = LocalStore::new([1; 32], Timestamp::from_millis(1_700_000_000_123));
        Self::with(store, AuthMode::Off, Arc::new(SystemClock), Limits::default()).await
    }

    /// A server without authentication that lets in as much as these say.
    pub async fn with_limits(limits: Limits) -> Self {
        let store = LocalStore::new([1; 32], Timestamp::from_millis(1_700_000_000_123));
        Self::with(store, AuthMode::Off, Arc::new(SystemClock), limits).await
    }

    /// A server with authentication whose clock may be another one.
    pub async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let cluster_key = SealingKey::from_bytes([7; 32]);
        let store = LocalStore::new([1; 32], Timestamp::from_millis(1_700_000_000_123));
        let auth = AuthMode::Sigv4;
        let server = Self::with(store, auth, clock, Limits::default()).await;
        server.add_key(&cluster_key, KEY, SECRET, &AccountId::development());
        server
    }

    async fn with(store: LocalStore, auth: AuthMode, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let admission = Admission::new(limits);
        let logs = Arc::new(trireme_ecs_api::logs::NoNodes);
        let api = Api {
            store: Arc::new(store.clone()),
            auth,
            sealing_key: Arc::new(SealingKey::from_bytes([7; 32])),
            clock,
            admission,
            logs,
            monitoring: trireme_monitoring::Monitoring::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router(api)).await.unwrap() });
        Self { store, addr, serving }
    }

    pub fn add_key(&self, cluster_key: &SealingKey, id: &str, secret: &str, account: &AccountId) {
        let sealed = cluster_key.seal(id, account, secret).unwrap();
        self.propose(Command::CreateAccessKey(Box::new(NewAccessKey {
            id: AccessKeyId::new(id),
            account: account.clone(),
            principal: format!("arn:aws:iam::{account}:root"),
            secret: SealedSecret { nonce: sealed.nonce, ciphertext: sealed.ciphertext },
        })));
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn client(&self) -> aws_sdk_ecs::Client {
        self.client_as(KEY, SECRET, "us-east-1")
    }

    pub fn client_as(&self, key: &str, secret: &str, region: &str) -> aws_sdk_ecs::Client {
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::from_keys(key, secret, None))
            .endpoint_url(self.url())
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_ecs::Client::from_conf(config)
    }

    /// How many events there are: equal before and after means that nothing has changed.
    pub fn events(&self) -> u64 {
        self.store.view().position().sequence.get()
    }

    pub fn propose(&self, command: Command) -> Outcome {
        let proposal =
            Proposal { actor: Actor::Operator, request_id: RequestId::from_bits(1), key: None, command };
        self.store.propose_now(&proposal).unwrap().outcome
    }

    /// Registers a container instance, as an agent's session does. Its cluster is created with it.
    pub fn add_instance(&self, zone: &str, cpu: u32, memory: u32) -> ContainerInstanceId {
        self.add_instance_in("default", zone, cpu, memory)
    }

    pub fn add_instance_in(&self, cluster: &str, zone: &str, cpu: u32, memory: u32) -> ContainerInstanceId {
        let registration = InstanceRegistration {
            cluster: ClusterKey { scope: Scope::development(), name: ClusterName::new(cluster).unwrap() },
            name: format!("{zone}/agent-1"),
            zone: Zone::new(zone).unwrap(),
            resources: InstanceResources {
                cpu: CpuUnits::new(cpu),
                memory: Mebibytes::new(memory),
                reserved_ports: vec![(Protocol::Tcp, Port::new(22))],
            },
            attributes: [("ecs.os-type".to_owned(), "linux".to_owned())].into(),
            agent_version: "0.1.0".to_owned(),
            docker_version: "28.0".to_owned(),
        };
        let command = Command::OpenSession { instance: None, registration: Box::new(registration) };
        let Outcome::Session { instance, .. } = self.propose(command) else { panic!("no session") };
        instance
    }

    /// What an agent says of a task.
    pub fn report(&self, arn: &str, status: TaskStatus, exit_code: Option<i32>) {
        let id: TaskId = arn.rsplit('/').next().unwrap().parse().unwrap();
        let view = self.store.view();
        let task = view.task(id).unwrap();
        let containers = task.containers.iter().map(|container| ContainerReport {
            name: container.name.clone(),
            runtime_id: Some("abc".to_owned()),
            image_digest: None,
            status,
            exit_code,
            reason: None,
            network_bindings: vec![trireme_state::object::NetworkBinding {
                bind_ip: "0.0.0.0".to_owned(),
                container_port: Port::new(80),
                host_port: Port::new(32768),
                protocol: Protocol::Tcp,
            }],
        });
        let report = TaskReport {
            task: id,
            status,
            containers: containers.collect(),
            stop_code: None,
            stopped_reason: None,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        };
        self.propose(Command::ReportTasks {
            instance: task.instance,
            epoch: SessionEpoch::new(1),
            reports: vec![report],
        });
    }
}

/// An answer's error type and message, as the SDK reads them.
#[track_caller]
pub fn refused<T: std::fmt::Debug, E>(result: Result<T, SdkError<E>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = result.unwrap_err();
    let error = error.as_service_error().unwrap_or_else(|| panic!("no service error: {error:?}"));
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

pub fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}
