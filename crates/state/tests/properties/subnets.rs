//! Steps of subnets, and of tasks in them.

use super::*;

/// What needs the fifth feature level, and is refused below it.
pub fn subnet_step() -> impl Strategy<Value = Step> {
    let subnets = || proptest::collection::vec(0u8..4, 0..3);
    prop_oneof![
        2 => (0u8..4, 0u8..3).prop_map(|(number, zone)| Step::AddSubnet { number, zone }),
        1 => (0u8..4).prop_map(|number| Step::RemoveSubnet { number }),
        6 => (proptest::collection::vec(0usize..6, 1..4), subnets())
            .prop_map(|(instances, subnets)| Step::RunInSubnets { instances, subnets }),
        1 => (0u8..3, subnets()).prop_map(|(name, subnets)| Step::ServeInSubnets { name, subnets }),
    ]
}

fn subnet(number: u8) -> SubnetId {
    SubnetId::from_random(u128::from(number) << 60)
}

pub fn subnet_command(state: &State, step: &Step) -> Option<Command> {
    let all = |numbers: &[u8]| numbers.iter().map(|number| subnet(*number)).collect();
    Some(match step {
        Step::AddSubnet { number, zone } => Command::AddSubnet {
            subnet: Box::new(command::NewSubnet {
                id: subnet(*number),
                scope: Scope::development(),
                zone: Zone::new(&format!("us-east-1{}", char::from(b'a' + zone))).ok()?,
                cidr: format!("10.1.{number}.0/28").parse().ok()?,
                network: None,
            }),
        },
        Step::RemoveSubnet { number } => Command::RemoveSubnet { subnet: subnet(*number) },
        Step::RunInSubnets { .. } | Step::ServeInSubnets { .. }
            if state.task_definition(&definition("own", 1)).is_none() =>
        {
            register_own()
        }
        Step::RunInSubnets { instances, subnets } => {
            let Command::RunTasks(run) = run_tasks(definition("own", 1), placements(state, instances)) else {
                return None;
            };
            let network = NetworkConfiguration { subnets: all(subnets), security_groups: Vec::new() };
            Command::RunTasksInSubnets { run, network: Box::new(network) }
        }
        Step::ServeInSubnets { name, subnets } => {
            let ids: Vec<String> = subnets.iter().map(|number| format!("\"{}\"", subnet(*number))).collect();
            let json = format!(r#"{{"awsvpcConfiguration":{{"subnets":[{}]}}}}"#, ids.join(","));
            let change = ServiceChange {
                task_definition: Some(definition("own", 1)),
                described: [(NETWORK_CONFIGURATION.to_owned(), Some(json))].into(),
                ..ServiceChange::default()
            };
            Command::UpdateService { key: service_name(*name), change }
        }
        _ => return None,
    })
}

/// A definition whose tasks have interfaces of their own.
fn register_own() -> Command {
    let mut command = register("own", None);
    if let Command::RegisterTaskDefinition { spec, .. } = &mut command {
        let mut own = (**spec).clone();
        own.network_mode = Some(NetworkMode::Awsvpc);
        own.containers[0].cpu = CpuUnits::new(10);
        own.containers[0].memory = Some(Mebibytes::new(8));
        *spec = own.into();
    }
    command
}
