//! Tasks without a service: what is asked of the placer, and the command that runs them where it led (ECS API: RunTask).

use trireme_state::command::{CapacityCommand, RunTasks};
use trireme_state::object::{NetworkConfiguration, PlacementRules, TaskDefinition};
use trireme_state::{Command, FeatureLevel, State};
use trireme_types::Timestamp;

use crate::group::Group;
use crate::launch::Places;
use crate::place::Request;
use crate::requirement::Wanted;

/// Everything but the places.
#[derive(Debug, Clone)]
pub struct TaskRun<'a> {
    /// What the tasks are made from. It has no placements yet.
    pub run: RunTasks,
    /// Their definition.
    pub definition: &'a TaskDefinition,
    /// Where they get interfaces of their own.
    pub network: Option<NetworkConfiguration>,
    /// What the caller asks of the machines.
    pub rules: PlacementRules,
    /// Whether commands may be run in them.
    pub commands: bool,
}

impl TaskRun<'_> {
    /// What one task asks of a machine.
    pub fn wanted(&self, state: &State, now: Timestamp) -> Wanted {
        let spec = &self.definition.spec;
        let scope = &self.run.cluster.scope;
        Wanted::of(spec, &self.run.overrides).in_subnets(
            state,
            scope,
            spec,
            self.network.as_ref(),
            |subnet| state.free_addresses(subnet, now),
        )
    }

    /// So many places. Without a strategy all tasks of the cluster count, else those of the group.
    pub fn request(&self, state: &State, now: Timestamp, count: usize) -> Request {
        let default = || format!("family:{}", self.run.definition.family);
        let name = self.run.group.clone().unwrap_or_else(default);
        let group = if self.rules.strategy.is_empty() {
            Group::among_all(name)
        } else {
            let tasks = state.tasks_of_group(&self.run.cluster, &name);
            Group::of_tasks(name, tasks.iter().map(AsRef::as_ref).filter(|task| task.wanted()))
        };
        let of_definition = PlacementRules::of_definition(&self.definition.spec.described);
        let rules = self.rules.clone().and(of_definition);
        Request { wanted: self.wanted(state, now), group, rules, count }
    }

    /// The command that runs the tasks there: each launched on what is said for it, unless that is any machine of their cluster; and beside
    /// them those that wait for a machine.
    pub fn at(self, state: &State, places: Places) -> Command {
        let Places { placements, launches, waiting, .. } = places;
        // Rules that ask for no more than what happens anyway are not kept where that would be new.
        let before = state.level() < FeatureLevel::SERVICES;
        let ruled = !(self.rules.is_empty() || before && self.rules.is_default());
        let allows_commands = self.commands;
        let run = Box::new(RunTasks { placements, ..self.run });
        let mut command = match self.network.map(Box::new) {
            None => Command::RunTasks(run),
            Some(network) => Command::RunTasksInSubnets { run, network },
        };
        if ruled {
            command = Command::RunTasksByRules { run: Box::new(command), rules: Box::new(self.rules) };
        }
        if !launches.is_empty() || !waiting.is_empty() {
            let run = Box::new(command);
            let run = CapacityCommand::RunTasks { run, launches, waiting, allows_commands };
            command = Command::Capacity(Box::new(run));
        }
        if allows_commands { Command::RunAllowingCommands(Box::new(command)) } else { command }
    }
}
