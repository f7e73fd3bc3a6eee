//! 12: the answer is lost after the commit, and the client asks again with the same token.

use std::time::Duration;

use aws_sdk_ecs::error::DisplayErrorContext;
use trireme_testkit::try_wait;

use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::rule;

/// Drops what the node answers, sends RunTask and CreateService with a token, and repeats them once answers arrive again.
pub fn answer_lost(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let zone = stage.follower().await?;
        let token = format!("token-{}", rand::random::<u32>());
        let (node, steadfast) = (stage.node(zone), stage.client.clone());
        // A connection that stands: nothing can be opened while answers are lost.
        node.list_clusters().max_results(1).send().await?;
        let before = stage.history.count();
        stage.fault(format!("what zone {zone}'s control node answers to clients is lost"));
        rule::drop_one_way(Host::Control(zone), Host::Client)?;
        let lost = node.run_task().task_definition("web").client_token(&token).send().await;
        let lost_text = lost.as_ref().err().map(|error| format!("{}", DisplayErrorContext(error)));
        rule::clear()?;
        let history = &stage.history;
        let committed = try_wait("the task to be in the history", Duration::from_secs(5), || async {
            let made = history.since(before).into_iter().filter(|event| event.kind == "TaskCreated").count();
            if made > 0 { Ok(()) } else { Err("it is not".to_owned()) }
        });
        if lost_text.is_none() || committed.await.is_err() {
            return Ok(Installed::No("the first call was answered, or never arrived".to_owned()));
        }
        let mut arns = Vec::new();
        for _ in 0..3 {
            let again = steadfast.run_task().task_definition("web").client_token(&token).send().await?;
            arns.extend(again.tasks().iter().filter_map(|task| task.task_arn().map(str::to_owned)));
        }
        let made =
            stage.history.since(before).into_iter().filter(|event| event.kind == "TaskCreated").count();
        arns.dedup();
        let text = format!(
            "four RunTask with one token, the first unanswered: {made} task made, {} answered",
            arns.len()
        );
        stage.expect("I15", made == 1 && arns.len() == 1, text);
        for arn in arns {
            steadfast.stop_task().task(arn).send().await?;
        }
        Ok(Installed::Yes)
    })
}
