//! `trireme wait`: until a service is whole, on machines that live.
//!
//! ECS's `services-stable` passes while the loss of a zone is not noticed yet. So this also wants a sign of life, given
//! after the wait began, from each container instance that has one of the service's RUNNING tasks.

use std::time::{Duration, Instant};

use trireme_rpc::operator::{ServiceStatusResponse, ServiceSummary, ServiceTasks};

use crate::Error;
use crate::client::{self, NodeAnswer};
use crate::output;
use crate::target::{Target, TargetArgs};

/// The arguments of `trireme wait`.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// The service's name.
    pub service: String,
    /// Its cluster.
    #[arg(long, default_value = "default")]
    pub cluster: String,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    #[command(flatten)]
    /// Which control nodes.
    pub target: TargetArgs,
}

const PAUSE: Duration = Duration::from_millis(200);
/// A heartbeat's age does not count its way between control nodes: one from just before the wait must not pass for one after.
const MARGIN: Duration = Duration::from_millis(250);

/// For a service that is just being created to appear.
const GRACE: Duration = Duration::from_secs(2);

/// What is between a service and its being whole.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// Something that may come by itself.
    Yet(String),
    /// The service: the leader knows none of that name, or a deleted one.
    Service,
}

/// Runs `trireme wait`.
pub async fn run(args: &WaitArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let began = Instant::now();
    let limit = Duration::from_secs(args.timeout);
    let mut missing_since = None;
    loop {
        let looked = look(&target, args, began).await;
        if looked != Err(Missing::Service) {
            missing_since = None;
        }
        let seen = match looked {
            Ok(whole) => {
                output::line(format!("{whole} after {:.1} s", began.elapsed().as_secs_f64()))?;
                return Ok(());
            }
            Err(Missing::Yet(seen)) => seen,
            Err(Missing::Service) => {
                if missing_since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                    let (service, cluster) = (args.service.clone(), args.cluster.clone());
                    return Err(Error::NoService { service, cluster });
                }
                format!("there is no service {}", args.service)
            }
        };
        if began.elapsed() >= limit {
            return Err(Error::TimedOut { seconds: args.timeout, seen });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One look; the error says what is missing.
async fn look(target: &Target, args: &WaitArgs, began: Instant) -> Result<String, Missing> {
    let answers = client::ask_all(target).await;
    let Some((leader, _)) = client::leader(&answers) else {
        return Err(Missing::Yet(no_leader(&answers)));
    };
    // Taken before the question: what is silent for longer than this has given no sign since the wait began.
    let elapsed = began.elapsed();
    let status = client::service_status(&leader.node.address, &args.cluster, &args.service).await;
    judge(&status.map_err(Missing::Yet)?, elapsed)
}

fn no_leader(answers: &[NodeAnswer]) -> String {
    let answering = answers.iter().filter(|answer| answer.answer.is_ok()).count();
    format!("no leader with a quorum; {answering} of {} control nodes answer", answers.len())
}

/// What the service is when it is whole, else what is missing.
fn judge(status: &ServiceStatusResponse, elapsed: Duration) -> Result<String, Missing> {
    if !status.node.as_ref().is_some_and(|node| node.deciding) {
        return Err(Missing::Yet("the control node that led does not lead any more".to_owned()));
    }
    let service = status.service.as_ref().filter(|service| service.status != "INACTIVE");
    let service = service.ok_or(Missing::Service)?;
    let name = &service.name;
    match short_of_whole(service, &status.tasks, elapsed) {
        Some(missing) => Err(Missing::Yet(format!("service {name}: {missing}"))),
        None => {
            Ok(format!("service {name} is whole: {} of {} tasks RUNNING", service.running, service.desired))
        }
    }
}

fn short_of_whole(service: &ServiceSummary, tasks: &[ServiceTasks], elapsed: Duration) -> Option<String> {
    if service.status != "ACTIVE" {
        return Some(format!("it is {}", service.status));
    }
    let counts = format!("{} of {} tasks RUNNING", service.running, service.desired);
    if let Some(silent) = tasks.iter().find(|tasks| !heard_since(tasks, elapsed)) {
        let instance = silent.instance.clone().unwrap_or_default();
        return Some(format!(
            "{counts}, but {} of them in {} are on {}, which is silent",
            silent.running, instance.zone, instance.name
        ));
    }
    if service.running != service.desired || service.pending != 0 {
        return Some(format!("{counts}, {} pending", service.pending));
    }
    (service.deployments != 1).then(|| format!("{counts}, {} deployments", service.deployments))
}

fn heard_since(tasks: &ServiceTasks, elapsed: Duration) -> bool {
    let Some(instance) = &tasks.instance else { return false };
    let silent = instance.silent_for_ms.map(Duration::from_millis);
    instance.connected && silent.is_some_and(|silent| silent + MARGIN < elapsed)
}

#[cfg(test)]
mod tests {
    use trireme_rpc::operator::{Instance, Node};

    use super::*;

    fn status(running: u32, silent_for_ms: Option<u64>) -> ServiceStatusResponse {
        let service = ServiceSummary {
            name: "web".to_owned(),
            status: "ACTIVE".to_owned(),
            desired: 2,
            running,
            deployments: 1,
            ..Default::default()
        };
        let instance = Instance { connected: true, silent_for_ms, ..Default::default() };
        ServiceStatusResponse {
            node: Some(Node { deciding: true, ..Default::default() }),
            service: Some(service),
            tasks: vec![ServiceTasks { instance: Some(instance), running }],
        }
    }

    #[test]
    fn a_whole_service_on_living_instances_passes() {
        assert!(judge(&status(2, Some(700)), Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_sign_of_life_from_before_the_wait_does_not_count() {
        assert!(judge(&status(2, Some(900)), Duration::from_secs(1)).is_err());
        assert!(judge(&status(2, None), Duration::from_secs(60)).is_err());
    }

    #[test]
    fn a_missing_task_or_a_second_deployment_does_not_pass() {
        assert!(judge(&status(1, Some(1)), Duration::from_secs(1)).is_err());
        let mut updating = status(2, Some(1));
        updating.service.as_mut().expect("there").deployments = 2;
        assert!(judge(&updating, Duration::from_secs(1)).is_err());
    }

    #[test]
    fn no_service_is_told_from_one_that_is_not_whole_yet() {
        let mut gone = status(0, None);
        gone.service.as_mut().expect("there").status = "INACTIVE".to_owned();
        assert_eq!(judge(&gone, Duration::from_secs(1)), Err(Missing::Service));
        gone.service = None;
        assert_eq!(judge(&gone, Duration::from_secs(1)), Err(Missing::Service));
        // One that does not lead may not have heard of it.
        gone.node = None;
        assert!(matches!(judge(&gone, Duration::from_secs(1)), Err(Missing::Yet(_))));
    }
}
