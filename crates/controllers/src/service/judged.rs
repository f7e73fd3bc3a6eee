//! What one look at a service came to: the commands, and what there is to say.

use trireme_state::Command;
use trireme_state::limits::PLACEMENTS_PER_COMMAND;
use trireme_state::object::Service;
use trireme_types::{TaskId, Timestamp};

use super::memory::Machines;
use super::room::Wait;
use crate::driver::Plan;

/// What one service needs.
#[derive(Default)]
pub struct Judged {
    stops: Vec<Command>,
    starts: Vec<Command>,
    /// It raises the service's version: it comes after those that name the version before.
    record: Option<Command>,
    lines: Vec<String>,
    wake_at: Option<Timestamp>,
    /// Tasks that found no place.
    pub unplaced: usize,
    /// What would have it do something: places for tasks.
    pub waits: Vec<Wait>,
    /// Anything may have it do something: it is looked at each time.
    pub restless: bool,
    /// What of the machines it was judged by.
    pub machines: Machines,
}

impl Judged {
    /// Until when there is no need to look again while neither the service, its tasks, nor what it waits for change: `Some(None)` is for ever,
    /// `None` is not at all.
    pub fn quiet_until(&self) -> Option<Option<Timestamp>> {
        let idle = self.stops.is_empty() && self.starts.is_empty() && self.record.is_none();
        (idle && !self.restless).then_some(self.wake_at)
    }

    /// It waits for a place, or for who knows what.
    pub fn wait(&mut self, wait: Option<Wait>) {
        self.restless |= wait.is_none();
        self.waits.extend(wait);
    }

    /// It was judged by what machines there are.
    pub fn looked_at(&mut self, machines: Machines) {
        self.machines = self.machines.max(machines);
    }

    /// It is to be looked at again then.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// Something for the driver's log.
    pub fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    /// These tasks are to stop, for this reason.
    pub fn stop(&mut self, service: &Service, tasks: &[TaskId], reason: &str) {
        if tasks.is_empty() {
            return;
        }
        self.lines.push(format!("service {}: stops {} tasks", service.key.name, tasks.len()));
        self.stops.extend(tasks.chunks(PLACEMENTS_PER_COMMAND).map(|tasks| Command::StopServiceTasks {
            service: service.key.clone(),
            version: service.version,
            tasks: tasks.to_vec(),
            reason: reason.to_owned(),
        }));
    }

    /// These commands start tasks.
    pub fn start(&mut self, commands: impl IntoIterator<Item = Command>) {
        self.starts.extend(commands);
    }

    /// Adds what another look at the same service came to.
    pub fn extend(&mut self, other: Self) {
        self.stops.extend(other.stops);
        self.starts.extend(other.starts);
        self.lines.extend(other.lines);
        if let Some(at) = other.wake_at {
            self.wake(at);
        }
        self.unplaced = self.unplaced.saturating_add(other.unplaced);
        self.restless |= other.restless;
        self.waits.extend(other.waits);
        self.looked_at(other.machines);
    }

    /// What is to be recorded of the service, and what of it people are told.
    pub fn record<'a>(&mut self, command: Command, told: impl IntoIterator<Item = &'a String>) {
        self.lines.extend(told.into_iter().cloned());
        self.record = Some(command);
    }

    /// Whether there is something to be recorded.
    pub fn records(&self) -> bool {
        self.record.is_some()
    }

    /// Adds all of it to the pass's plan.
    pub fn add_to(self, plan: &mut Plan) {
        // What frees goes before what takes: where nothing may be taken any more, it is freed all the same.
        plan.commands.extend(self.stops.into_iter().chain(self.starts).chain(self.record));
        self.lines.into_iter().for_each(|line| plan.report.say(line));
        if let Some(at) = self.wake_at {
            plan.wake(at);
        }
    }
}
