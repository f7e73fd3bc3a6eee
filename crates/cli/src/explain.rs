//! `trireme explain`: why a task is where it is and why it stopped, or why a service has not all of its tasks.

mod service;
mod task;

use trireme_rpc::explain::explain_response::Answer;
use trireme_rpc::explain::{ExplainRequest, Moment};

use crate::target::TargetArgs;
use crate::{Error, explainer};

/// The arguments of `trireme explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// A task's id or ARN, or a service's name or ARN.
    #[arg(value_name = "TASK|SERVICE")]
    subject: String,
    /// The cluster of a service that is given by its name.
    #[arg(long, default_value = "default")]
    cluster: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `trireme explain`.
///
/// # Errors
/// There is no such task or service, or nobody answers.
pub async fn run(args: &ExplainArgs) -> Result<(), Error> {
    ask(args, None).await
}

/// Explains something as it is, or as it was at a moment.
///
/// # Errors
/// There is no such task or service, it is no longer kept, or nobody answers.
pub async fn ask(args: &ExplainArgs, at: Option<Moment>) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let request = ExplainRequest { subject: args.subject.clone(), cluster: args.cluster.clone(), at };
    let request = &request;
    let call = |mut client: explainer::Client| async move { client.explain(request.clone()).await };
    let response = explainer::ask(&target, call).await?;
    let point = response.point.unwrap_or_default();
    match response.answer {
        Some(Answer::Task(answer)) => task::print(&answer, point, args.json),
        Some(Answer::Service(answer)) => service::print(&answer, point, args.json),
        None => Err(Error::Refused { reason: "the control node answered with nothing".to_owned() }),
    }
}
