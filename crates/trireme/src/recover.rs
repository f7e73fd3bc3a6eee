//! `trireme server recover`: what is left on a control node that is stopped, and how the cluster lives on from it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use trireme_server::{Living, Outlook, Recovered};

/// The arguments of `trireme server recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The data folder of a control node that is stopped.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Make this node the only voter of the cluster's next incarnation. Everything that only the other control nodes had is
    /// lost, acknowledged or not. They are fenced: stop them, remove their data folders, and let them join anew. Refused while
    /// others answer that have a leader, know the cluster without this node, have more of the log, or make a quorum with this node.
    #[arg(long)]
    force_new_cluster: bool,
    /// Do it although others answer that speak against it, a healthy cluster even. They stop for good, and everything is lost that
    /// they have and this node has not, and all that they acknowledge until they stop.
    #[arg(long, requires = "force_new_cluster")]
    despite_living_members: bool,
    /// Do not ask.
    #[arg(long, requires = "force_new_cluster")]
    yes: bool,
}

/// Runs it.
pub async fn run(args: RecoverArgs) -> Result<()> {
    let _claim = crate::process::claim(&args.data, None).await?;
    let data = args.data.clone();
    let outlook = tokio::task::spawn_blocking(move || trireme_server::look(&data)).await??;
    println!("{}", state(&outlook));
    if !outlook.report.is_sound() {
        bail!("this node's data are damaged: recover from another node, or restore a backup");
    }
    println!("{}", plan(&outlook));
    let living = if args.despite_living_members { Living::GivenUp } else { Living::Heeded };
    if living == Living::GivenUp {
        println!(
            "--despite-living-members: those who answer are given up too. Everything is lost that they have and this node has \
             not, and all that they acknowledge until they stop."
        );
    }
    if !args.force_new_cluster {
        println!("Nothing was changed. To do it, add --force-new-cluster.");
        return Ok(());
    }
    if !args.yes && !agreed()? {
        bail!("nothing was changed; add --yes to do it without being asked");
    }
    let recovered = trireme_server::force_new_cluster(&args.data, living).await?;
    println!("{}", done(&recovered));
    Ok(())
}

fn state(outlook: &Outlook) -> String {
    let show = |id: Option<_>| id.map_or_else(|| "none".to_owned(), |id| format!("{id}"));
    let mut lines = vec![
        format!("{}, incarnation {}", outlook.identity, outlook.identity.incarnation),
        format!(
            "last log entry: {}; committed, as far as it is known here: {}; entries behind that: {}",
            show(outlook.last),
            show(outlook.committed),
            outlook.uncommitted()
        ),
        format!("last event that is known to be committed: {}", outlook.position.sequence),
    ];
    for (id, member, votes) in &outlook.members {
        let role = if *votes { "voter" } else { "learner" };
        lines.push(format!("member: node {id} in {}, {role}, at {}", member.zone, member.peer_address));
    }
    lines.extend(outlook.report.checked.iter().map(|line| format!("verified: {line}")));
    lines.extend(outlook.report.problems.iter().map(|problem| format!("PROBLEM in the {problem}")));
    if let Some(incarnation) = outlook.begun {
        lines.push(format!("a recovery to incarnation {incarnation} was cut short here; repeat it"));
    }
    lines.join("\n")
}

fn plan(outlook: &Outlook) -> String {
    let id = outlook.identity.node_id;
    let others = outlook.members.iter().filter(|(other, ..)| *other != id).count();
    format!(
        "--force-new-cluster makes node {id} the only voter of the incarnation after {}, and fences {others} other nodes.\n\
         All entries of its log are kept, for any of them may have been acknowledged.\n\
         Acknowledged writes after log index {} may be lost.",
        outlook.identity.incarnation,
        outlook.last_index()
    )
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("Type yes to go on: ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn done(recovered: &Recovered) -> String {
    let mut lines = vec![
        format!("recovered: {}", recovered.identity),
        format!("acknowledged writes after log index {} may be lost", recovered.from.last_index()),
    ];
    lines.extend(recovered.against.iter().map(|reason| format!("overridden: {reason}")));
    for id in &recovered.alive {
        lines.push(format!(
            "node {id} of the earlier incarnation still runs: stop it and remove its data folder"
        ));
    }
    lines.push(
        "now run `trireme server` on this data folder; the other control nodes join with empty ones (`trireme server join`)"
            .to_owned(),
    );
    lines.join("\n")
}
