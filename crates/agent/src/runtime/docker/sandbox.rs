//! What holds the namespaces that a task's containers share ([`shared`]): a container that does nothing. One with a network (ECS API:
//! NetworkMode awsvpc) is on a network of this engine that has the range in which all tasks reach each other; the agents of this
//! engine share it, who needs it makes it, and who frees it last removes it.

pub(super) mod shared;

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Ipam,
    IpamConfig, NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ImportImageOptions, ListNetworksOptionsBuilder, StartContainerOptions,
};
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use trireme_rpc::agent::TaskNetwork;

use super::call::{Outcome, call, failed};
use super::{CREATE, NO_IMAGE, QUICK, START, labels, pause};
use crate::namespace::{self, Mode, Namespaces};
use crate::runtime::{Failure, FailureKind, NewSandbox, Over, Owner};

/// For Docker to take the image of the program that holds namespaces.
const LOAD: std::time::Duration = std::time::Duration::from_secs(30);
/// A network may be removed by another agent between its making and the container's start.
const TRIES: u32 = 3;
/// How often it is looked for a network that another agent makes or removes.
const LOOKS: u32 = 10;
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// The log driver of a program that says nothing.
const NO_LOG: &str = "none";

/// Makes and starts such containers.
pub(super) struct Sandboxes {
    docker: Docker,
    /// One makes a network or loads the image at a time.
    making: Semaphore,
}

/// A network's name on this engine: of its range, and of the control plane.
fn network_name(owner: &Owner, range: &str) -> String {
    let range = range.replace('/', "-");
    format!("trireme-{range}-{}", owner.cluster_uuid)
}

impl Sandboxes {
    pub(super) fn new(docker: Docker) -> Self {
        Self { docker, making: Semaphore::new(1) }
    }

    /// Gives the id of a task's sandbox, which runs then. It is made once, and started once. `starts`: how many may be made at once.
    pub(super) async fn open(&self, new: &NewSandbox, starts: &Semaphore) -> Result<String, Failure> {
        let wrong = |message: String| Failure::new(FailureKind::Networking, message);
        let network = new.task.network.as_ref().filter(|_| namespace::has_network(&new.task));
        if network.is_none() && namespace::has_network(&new.task) {
            return Err(wrong(
                "the control plane gave the task no address: upgrade its control nodes".to_owned(),
            ));
        }
        let image = pause::image().ok_or_else(|| {
            wrong(format!("containers have no namespaces together on {}", std::env::consts::ARCH))
        })?;
        let body = body(new, network, &image.reference).map_err(wrong)?;
        let mut tries = TRIES;
        loop {
            tries = tries.saturating_sub(1);
            if let Some(network) = network {
                self.ensure_network(&new.owner, network).await?;
            }
            let permit = starts.acquire().await;
            let started = self.create_and_start(new, &body).await;
            drop(permit);
            match started {
                // In which words depends on how far the removal was.
                Err(Outcome::Refused { status, message }) if tries > 0 && status != 409 => {
                    if message.contains(NO_IMAGE) {
                        self.load(image.archive.clone()).await?;
                    }
                    // One that was made knows the network that is gone.
                    self.discard(new).await?;
                }
                done => return done.map_err(|outcome| failed(FailureKind::Networking, outcome)),
            }
        }
    }

    async fn create_and_start(
        &self,
        new: &NewSandbox,
        body: &ContainerCreateBody,
    ) -> Result<String, Outcome> {
        let name = new.container_name();
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = call("create", CREATE, self.docker.create_container(Some(options), body.clone())).await;
        let id = match created {
            Ok(created) => created.id,
            // Made before, by a call whose answer got lost, or by an agent that was killed.
            Err(Outcome::Refused { status: 409, message }) => {
                let existing = call("inspect", QUICK, self.docker.inspect_container(&name, None)).await?;
                let known = existing.config.and_then(|config| config.labels).unwrap_or_default();
                let ours = labels::of_sandbox(new);
                if ours.iter().any(|(name, value)| known.get(name) != Some(value)) {
                    return Err(Outcome::Refused { status: 409, message });
                }
                existing.id.unwrap_or(name)
            }
            Err(outcome) => return Err(outcome),
        };
        let started = self.docker.start_container(&id, None::<StartContainerOptions>);
        match call("start", START, started).await {
            // It runs already.
            Err(outcome) if !outcome.is_not_modified() => Err(outcome),
            _ => Ok(id),
        }
    }

    /// Removes what was made and does not run.
    async fn discard(&self, new: &NewSandbox) -> Result<(), Failure> {
        let name = new.container_name();
        match call("remove", CREATE, self.docker.remove_container(&name, None)).await {
            Err(outcome) if !outcome.is_not_found() => Err(failed(FailureKind::Networking, outcome)),
            _ => Ok(()),
        }
    }

    /// Sees that this engine has the network.
    async fn ensure_network(&self, owner: &Owner, network: &TaskNetwork) -> Result<(), Failure> {
        let _one_at_a_time = self.making.acquire().await;
        let name = network_name(owner, &network.network);
        if self.has_network(&name).await? {
            return Ok(());
        }
        let range = IpamConfig { subnet: Some(network.network.clone()), ..IpamConfig::default() };
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam { config: Some(vec![range]), ..Ipam::default() }),
            labels: Some(labels::of_network(owner).into()),
            ..NetworkCreateRequest::default()
        };
        let mut looks = LOOKS;
        loop {
            let made = call("network", CREATE, self.docker.create_network(request.clone())).await;
            let message = match made {
                Ok(_) => return Ok(()),
                Err(Outcome::Refused { message, .. }) => message,
                Err(outcome) => return Err(failed(FailureKind::Networking, outcome)),
            };
            // Two networks cannot have the same range: another agent was faster, or is about to make or to remove it.
            if self.has_network(&name).await? {
                return Ok(());
            }
            looks = looks.saturating_sub(1);
            if looks == 0 {
                let message = format!("cannot make a network of {}: {message}", network.network);
                return Err(Failure::new(FailureKind::Networking, message));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn has_network(&self, name: &str) -> Result<bool, Failure> {
        match call("network", QUICK, self.docker.inspect_network(name, None)).await {
            Ok(_) => Ok(true),
            Err(outcome) if outcome.is_not_found() => Ok(false),
            Err(outcome) => Err(failed(FailureKind::Networking, outcome)),
        }
    }

    /// Gives Docker the image. The same image twice is one.
    async fn load(&self, archive: Vec<u8>) -> Result<(), Failure> {
        let _one_at_a_time = self.making.acquire().await;
        let body = bollard::body_full(archive.into());
        let mut answers = Box::pin(self.docker.import_image(ImportImageOptions::default(), body, None));
        let loaded = call("load", LOAD, async {
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(())
        });
        loaded.await.map_err(|outcome| failed(FailureKind::Networking, outcome))
    }

    /// Removes the networks of tasks that are over, unless others use them.
    pub(super) async fn release(&self, owner: &Owner, over: &Over) -> Result<(), Failure> {
        match over {
            Over::Task(_, task) => match &task.network {
                Some(network) => self.remove_network(&network_name(owner, &network.network)).await,
                // Of a task that nobody knows any more nobody knows the network.
                None if task.network_mode.is_empty() => self.remove_networks(owner).await,
                None => Ok(()),
            },
            Over::AllBut(_) => self.remove_networks(owner).await,
        }
    }

    /// Removes every network of the control plane on this engine that nobody uses.
    pub(super) async fn remove_networks(&self, owner: &Owner) -> Result<(), Failure> {
        if owner.cluster_uuid.is_empty() {
            return Ok(());
        }
        let of_plane = labels::of_network(owner).map(|(name, value)| format!("{name}={value}"));
        let filters = HashMap::from([("label", of_plane.to_vec())]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let listed = call("networks", QUICK, self.docker.list_networks(Some(options))).await;
        let listed = listed.map_err(|outcome| failed(FailureKind::CannotRemove, outcome))?;
        for name in listed.into_iter().filter_map(|network| network.name) {
            self.remove_network(&name).await?;
        }
        Ok(())
    }

    async fn remove_network(&self, name: &str) -> Result<(), Failure> {
        // Else it might go between its making and the start that it was made for.
        let _one_at_a_time = self.making.acquire().await;
        match call("network-remove", CREATE, self.docker.remove_network(name)).await {
            // 403: containers are on it.
            Ok(()) | Err(Outcome::Refused { status: 403 | 404, .. }) => Ok(()),
            Err(outcome) => Err(failed(FailureKind::CannotRemove, outcome)),
        }
    }
}

fn body(new: &NewSandbox, network: Option<&TaskNetwork>, image: &str) -> Result<ContainerCreateBody, String> {
    let namespaces = Namespaces::of(&new.task.settings)?;
    let mut host_config = HostConfig {
        network_mode: Some("none".to_owned()),
        ipc_mode: (namespaces.ipc == Mode::Task).then(|| "shareable".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        log_config: Some(HostConfigLogConfig { typ: Some(NO_LOG.to_owned()), config: None }),
        ..HostConfig::default()
    };
    shared::of_containers(&new.task, namespaces, &mut host_config)?;
    let mut body = ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(labels::of_sandbox(new)),
        ..ContainerCreateBody::default()
    };
    if let Some(network) = network {
        let name = network_name(&new.owner, &network.network);
        host_config.network_mode = Some(name.clone());
        body.hostname = Some(network.hostname.clone());
        let endpoints = HashMap::from([(name, endpoint(network))]);
        body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints) });
    }
    body.host_config = Some(host_config);
    Ok(body)
}

fn endpoint(network: &TaskNetwork) -> EndpointSettings {
    let address =
        EndpointIpamConfig { ipv4_address: Some(network.address.clone()), ..EndpointIpamConfig::default() };
    EndpointSettings {
        ipam_config: Some(address),
        // Engines from 1.44 on draw one if they are told none; those before take the address's.
        mac_address: Some(network.mac_address.clone()),
        ..EndpointSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trireme_rpc::agent::{AssignedTask, Container};

    use super::*;

    fn sandbox(settings: &[&[(&str, &str)]]) -> NewSandbox {
        let container = |settings: &&[(&str, &str)]| Container {
            settings: settings.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect(),
            ..Container::default()
        };
        let network = TaskNetwork {
            address: "10.1.2.7".to_owned(),
            mac_address: "02:42:0a:01:02:07".to_owned(),
            network: "10.1.0.0/16".to_owned(),
            hostname: "ip-10-1-2-7.ec2.internal".to_owned(),
        };
        let task = AssignedTask {
            task_id: "t".to_owned(),
            network_mode: "awsvpc".to_owned(),
            containers: settings.iter().map(container).collect(),
            network: Some(network),
            ..AssignedTask::default()
        };
        let owner = Owner { cluster_uuid: "u".to_owned(), ..Owner::default() };
        NewSandbox { owner: Arc::new(owner), task: Arc::new(task) }
    }

    #[test]
    fn a_sandbox_has_the_tasks_address_and_what_its_containers_say_of_the_network() {
        let new = sandbox(&[
            &[("systemControls", r#"[{"namespace":"net.core.somaxconn","value":"64"}]"#)],
            &[
                ("dnsServers", r#"["10.1.0.2"]"#),
                (
                    "systemControls",
                    r#"[{"namespace":"net.core.somaxconn","value":"65"},{"namespace":"kernel.sem","value":"1"}]"#,
                ),
            ],
        ]);
        let network = new.task.network.clone().unwrap();
        let body = body(&new, Some(&network), "trireme/pause:1").unwrap();
        assert_eq!(body.hostname.as_deref(), Some("ip-10-1-2-7.ec2.internal"));
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        let endpoint = &endpoints["trireme-10.1.0.0-16-u"];
        assert_eq!(endpoint.ipam_config.as_ref().unwrap().ipv4_address.as_deref(), Some("10.1.2.7"));
        let config = body.host_config.unwrap();
        assert_eq!(config.network_mode.as_deref(), Some("trireme-10.1.0.0-16-u"));
        assert_eq!(config.dns, Some(vec!["10.1.0.2".to_owned()]));
        assert_eq!(config.sysctls, Some(HashMap::from([("net.core.somaxconn".to_owned(), "65".to_owned())])));
    }

    #[test]
    fn a_sandbox_without_a_network_has_what_else_is_shared() {
        let mut new = sandbox(&[
            &[("linuxParameters", r#"{"sharedMemorySize":8}"#)],
            &[("systemControls", r#"[{"namespace":"kernel.sem","value":"1"}]"#)],
        ]);
        let task = Arc::make_mut(&mut new.task);
        (task.network, task.network_mode) = (None, "bridge".to_owned());
        task.settings.insert("ipcMode".to_owned(), "\"task\"".to_owned());
        let config = body(&new, None, "trireme/pause:1").unwrap().host_config.unwrap();
        assert_eq!(
            (config.network_mode.as_deref(), config.ipc_mode.as_deref()),
            (Some("none"), Some("shareable"))
        );
        assert_eq!(config.shm_size, Some(8 << 20));
        assert_eq!(config.sysctls, Some(HashMap::from([("kernel.sem".to_owned(), "1".to_owned())])));
    }
}
