//! The controllers' metrics, in one place: their names, and when they move.

use std::time::Duration;

use trireme_state::Command;
use trireme_state::command::{AutoscalingCommand, CapacityCommand, Fire, RunResult, ScheduleCommand};
use trireme_state::store::ProposeError;

/// Time that one plan took.
pub const PASS_SECONDS: &str = "trireme_controller_pass_seconds";
/// Commands that controllers proposed, by result.
pub const COMMANDS_TOTAL: &str = "trireme_controller_commands_total";
/// Time that one placement request took.
pub const PLACEMENT_SECONDS: &str = "trireme_scheduler_placement_seconds";
/// Instances that were declared lost.
pub const NODES_LOST_TOTAL: &str = "trireme_nodes_lost_total";
/// Instances that are silent but not judged, because nobody else is heard either.
pub const NODES_HELD_BACK: &str = "trireme_nodes_held_back";
/// Tasks that services want and that found no place.
pub const TASKS_UNPLACED: &str = "trireme_service_tasks_unplaced";
/// Tasks that services started.
pub const TASKS_STARTED_TOTAL: &str = "trireme_service_tasks_started_total";
/// Tasks that services stopped.
pub const TASKS_STOPPED_TOTAL: &str = "trireme_service_tasks_stopped_total";
/// Runs of schedules and rules, by what came of them: started, deferred (they are tried again), failed, missed.
pub const SCHEDULE_RUNS_TOTAL: &str = "trireme_schedule_runs_total";
/// Stopped tasks that were forgotten.
pub const TASKS_REAPED_TOTAL: &str = "trireme_tasks_reaped_total";
/// Services that scale by themselves.
pub const SCALABLE_TARGETS: &str = "trireme_scalable_targets";
/// Times that a service was given another desired count.
pub const SERVICES_SCALED_TOTAL: &str = "trireme_services_scaled_total";

/// Tells the recorder what each metric means. Once, after the recorder is installed.
pub fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(PASS_SECONDS, Unit::Seconds, "Time that one controller pass spent planning");
    describe_counter!(COMMANDS_TOTAL, Unit::Count, "Commands proposed by controllers, by result");
    describe_histogram!(PLACEMENT_SECONDS, Unit::Seconds, "Time that one placement request took");
    describe_counter!(NODES_LOST_TOTAL, Unit::Count, "Container instances declared lost");
    describe_gauge!(NODES_HELD_BACK, Unit::Count, "Silent container instances that are not judged");
    describe_gauge!(TASKS_UNPLACED, Unit::Count, "Tasks that services want and that found no place");
    describe_counter!(TASKS_STARTED_TOTAL, Unit::Count, "Tasks started by services");
    describe_counter!(TASKS_STOPPED_TOTAL, Unit::Count, "Tasks stopped by services");
    describe_counter!(
        SCHEDULE_RUNS_TOTAL,
        Unit::Count,
        "Runs of schedules and rules, by whether they started, were deferred, failed or were missed"
    );
    describe_counter!(TASKS_REAPED_TOTAL, Unit::Count, "Stopped tasks forgotten");
    describe_gauge!(SCALABLE_TARGETS, Unit::Count, "Services with a scalable target");
    describe_counter!(
        SERVICES_SCALED_TOTAL,
        Unit::Count,
        "Services that autoscaling gave another desired count, by direction"
    );
}

pub(crate) fn pass(controller: &'static str, took: Duration) {
    metrics::histogram!(PASS_SECONDS, "controller" => controller).record(took.as_secs_f64());
}

pub(crate) fn command(controller: &'static str, result: &'static str) {
    metrics::counter!(COMMANDS_TOTAL, "controller" => controller, "result" => result).increment(1);
}

pub(crate) fn placement(took: Duration) {
    metrics::histogram!(PLACEMENT_SECONDS).record(took.as_secs_f64());
}

/// What a refusal or a missing answer is called.
pub(crate) fn result_of(error: &ProposeError) -> &'static str {
    match error {
        ProposeError::Rejected(trireme_state::Rejection::Stale { .. }) => "stale",
        ProposeError::Rejected(_) => "rejected",
        ProposeError::Unknown { .. } => "unknown",
        ProposeError::Unavailable { .. } => "unavailable",
    }
}

/// Counts what a committed command did.
pub(crate) fn committed(command: &Command) {
    if let Command::Autoscaling(command) = command
        && let AutoscalingCommand::Scale { from, to, .. } = &**command
    {
        let direction = if to > from { "out" } else { "in" };
        metrics::counter!(SERVICES_SCALED_TOTAL, "direction" => direction).increment(1);
        return;
    }
    if let Command::Schedule(command) = command
        && let ScheduleCommand::Fire(fire) = &**command
    {
        return fired(fire);
    }
    let (name, count) = match command {
        Command::LoseInstance { .. } => (NODES_LOST_TOTAL, 1),
        Command::StartServiceTasks { placements, .. } => (TASKS_STARTED_TOTAL, placements.len()),
        Command::Capacity(command) => match &**command {
            CapacityCommand::StartServiceTasks { placements, .. } => (TASKS_STARTED_TOTAL, placements.len()),
            _ => return,
        },
        Command::StopServiceTasks { tasks, .. } => (TASKS_STOPPED_TOTAL, tasks.len()),
        Command::ReapTasks { tasks } => (TASKS_REAPED_TOTAL, tasks.len()),
        _ => return,
    };
    metrics::counter!(name).increment(count as u64);
}

fn fired(fire: &Fire) {
    let count = |result: &'static str, runs: u32| {
        metrics::counter!(SCHEDULE_RUNS_TOTAL, "result" => result).increment(u64::from(runs));
    };
    if let Some(advance) = fire.advance.as_ref().filter(|advance| advance.missed > 0) {
        count("missed", advance.missed);
    }
    for run in &fire.runs {
        match &run.result {
            RunResult::Start { .. } => count("started", 1),
            RunResult::Defer { .. } => count("deferred", 1),
            RunResult::Fail { .. } => count("failed", 1),
        }
    }
}
