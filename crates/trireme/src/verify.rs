//! `trireme verify`: of a running cluster, of the data folder of a control node that is stopped, or of a backup.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use trireme_cli::target::TargetArgs;
use trireme_cli::verify::{Shown, ShownProblem, show};
use trireme_server::{BackupSummary, VerifyReport};

/// Checks every checksum, the chain of hashes from the history's first event to its last, every checkpoint and snapshot, the
/// log, and that a replay of the history comes to the state. Exit status 1 when anything is wrong.
///
/// With --data DIR of a control node that is stopped, its folder is read, and not changed. Otherwise each control node of the
/// running cluster checks what it keeps, at 64 MiB a second at most.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A backup to check instead. It needs no cluster.
    #[arg(value_name = "FILE", conflicts_with = "endpoint")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `trireme verify`.
pub async fn run(args: VerifyArgs) -> Result<()> {
    if let Some(file) = args.backup {
        let found = tokio::task::spawn_blocking(move || of_backup(&file)).await??;
        return Ok(show(&[found], args.json)?);
    }
    let data = args.target.data.clone();
    if args.target.endpoint.is_none() && is_nodes(&data) {
        let _claim = crate::process::claim(&data, None).await?;
        let found = tokio::task::spawn_blocking(move || of_folder(&data)).await??;
        return Ok(show(&[found], args.json)?);
    }
    Ok(trireme_cli::verify::run(&args.target, args.json).await?)
}

/// Whether a folder is a control node's, sound or not.
fn is_nodes(data: &Path) -> bool {
    data.join(trireme_server::IDENTITY_FILE).exists() || data.join("db").is_dir()
}

fn of_folder(data: &Path) -> Result<Shown> {
    let report = trireme_server::verify_folder(data)?;
    Ok(shown(data, report))
}

fn shown(data: &Path, report: VerifyReport) -> Shown {
    let problems = report.problems.into_iter().map(|one| ShownProblem {
        part: one.part.to_owned(),
        place: one.place,
        reason: one.reason,
        advice: one.advice.to_owned(),
    });
    Shown {
        what: format!("{} ({})", data.display(), report.identity),
        sequence: report.position.sequence.get(),
        checked: report.checked,
        problems: problems.collect(),
        error: None,
    }
}

/// Checks a backup that was just written.
pub fn check(file: &Path) -> Result<(), String> {
    tokio::task::block_in_place(|| trireme_server::check_backup(file))
        .map(drop)
        .map_err(|error| error.to_string())
}

fn of_backup(file: &Path) -> Result<Shown> {
    let found = trireme_server::check_backup(file)?;
    let checked = lines(&found);
    let (what, sequence) = (file.display().to_string(), found.position.sequence.get());
    Ok(Shown { what, sequence, checked, ..Shown::default() })
}

fn lines(found: &BackupSummary) -> Vec<String> {
    let history = match found.records {
        0 => "history: none".to_owned(),
        records => format!("history: {records} records from event {}, replayed to the state", found.first()),
    };
    vec![
        format!(
            "cluster {}, incarnation {}, feature level {}",
            found.cluster, found.incarnation, found.level
        ),
        format!("made {} by node {} with trireme {}", found.taken_at, found.node_id, found.version),
        format!("state: event {}, state hash {}", found.position.sequence, found.state_hash),
        history,
    ]
}
