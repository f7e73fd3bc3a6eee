//! `trireme backup`: a backup of a running cluster into one file. Any node makes it; writes go on meanwhile.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use trireme_rpc::operator::{BackupDone, BackupPart, backup_part};

use crate::Error;
use crate::client::{self, ask_all, unreachable};
use crate::output;
use crate::target::TargetArgs;

/// The longest silence. A large state takes a while until its first bytes are there.
const SILENCE: Duration = Duration::from_secs(60);
/// Tries with one node: what it reads may be deleted under it, by the history's retention.
const TRIES: usize = 3;

/// The arguments of `trireme backup`.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    #[command(flatten)]
    /// Which cluster.
    pub target: TargetArgs,
    /// The file to write. It must not exist; it gets mode 0600. The cluster's key (cluster.key in a control node's data
    /// folder) is not in it: keep a copy of that elsewhere.
    #[arg(long = "to", value_name = "FILE")]
    pub file: PathBuf,
    /// Leave the history out: the state alone comes back.
    #[arg(long)]
    pub without_history: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    file: &'a Path,
    bytes: u64,
    sha256: String,
    cluster_uuid: &'a str,
    incarnation: u64,
    sequence: u64,
    first_sequence: u64,
    node: u64,
}

impl Shown<'_> {
    fn text(&self) -> String {
        let history = match self.first_sequence {
            first if first > self.sequence => "without its history".to_owned(),
            first => format!("with its history from event {first}"),
        };
        format!(
            "{}: cluster {}, incarnation {}, at event {}, {history}\n{} bytes, sha256 {}, checked; made by node {}\n\
             The cluster's key is not in it: keep a copy of cluster.key elsewhere.",
            self.file.display(),
            self.cluster_uuid,
            self.incarnation,
            self.sequence,
            self.bytes,
            self.sha256,
            self.node,
        )
    }
}

/// Why a node made no backup.
enum Failed {
    /// Another node may do better.
    There(String),
    /// Here, or for good.
    Here(Error),
}

/// Runs `trireme backup`. `check` reads the file once it is written, and says why it is not a sound backup.
///
/// # Errors
/// No node makes one, the file is there already or cannot be written, or it does not pass the check. No file is left then.
pub async fn run(args: &BackupArgs, check: impl Fn(&Path) -> Result<(), String>) -> Result<(), Error> {
    if args.file.exists() {
        return Err(Error::Exists { path: args.file.clone() });
    }
    let target = args.target.resolve()?;
    let answers = ask_all(&target).await;
    // A follower has less to do than the leader.
    let leading = client::leader(&answers).and_then(|(answer, _)| answer.id());
    let mut living: Vec<_> = answers.iter().filter(|answer| answer.answer.is_ok()).collect();
    living.sort_by_key(|answer| answer.id() == leading);
    let mut tried = Vec::new();
    for answer in &living {
        match attempt(&answer.node.address, args, &check).await {
            Ok(done) => return show(args, &done),
            Err(Failed::There(reason)) => tried.push(format!("{}: {reason}", answer.node.address)),
            Err(Failed::Here(error)) => return Err(error),
        }
    }
    if tried.is_empty() {
        return Err(unreachable(&answers));
    }
    Err(Error::NoBackup { tried: tried.join(", ") })
}

async fn attempt(
    address: &str,
    args: &BackupArgs,
    check: impl Fn(&Path) -> Result<(), String>,
) -> Result<BackupDone, Failed> {
    let mut reason = String::new();
    for _ in 0..TRIES {
        let parts = client::backup(address, args.without_history).await;
        let mut parts = match parts {
            Ok(parts) => parts,
            Err(status) => return Err(Failed::There(status)),
        };
        let mut draft = Draft::create(&args.file).map_err(Failed::Here)?;
        match draft.fill(&mut parts).await? {
            Filled::Done(done) => {
                draft.sync().map_err(Failed::Here)?;
                check(&draft.path).map_err(|reason| Failed::Here(Error::UnsoundBackup { reason }))?;
                draft.keep(&args.file).map_err(Failed::Here)?;
                return Ok(done);
            }
            Filled::Again(why) => reason = why,
        }
    }
    Err(Failed::There(reason))
}

enum Filled {
    Done(BackupDone),
    /// Another try may come to its end.
    Again(String),
}

/// The file under a name of its own until it is complete. Dropped before, it is removed.
struct Draft {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Draft {
    fn create(target: &Path) -> Result<Self, Error> {
        let path = target.with_added_extension("partial");
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match file {
            Ok(file) => Ok(Self { path, file, kept: false }),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    async fn fill(&mut self, parts: &mut tonic::Streaming<BackupPart>) -> Result<Filled, Failed> {
        let (mut hash, mut length) = (Sha256::new(), 0u64);
        loop {
            let next = match tokio::time::timeout(SILENCE, parts.message()).await {
                Ok(Ok(next)) => next,
                Ok(Err(status)) if status.code() == tonic::Code::Aborted => {
                    return Ok(Filled::Again(status.message().to_owned()));
                }
                Ok(Err(status)) => return Err(Failed::There(status.message().to_owned())),
                Err(_) => return Err(Failed::There("the backup stopped coming".to_owned())),
            };
            match next.and_then(|next| next.part) {
                Some(backup_part::Part::Chunk(bytes)) => {
                    hash.update(&bytes);
                    length += bytes.len() as u64;
                    let failed = |source| Failed::Here(Error::File { path: self.path.clone(), source });
                    self.file.write_all(&bytes).map_err(failed)?;
                }
                Some(backup_part::Part::Done(done)) => {
                    let whole = length == done.length && hash.finalize()[..] == done.sha256[..];
                    let broken = || Failed::There("the backup did not come whole".to_owned());
                    return if whole { Ok(Filled::Done(done)) } else { Err(broken()) };
                }
                None => return Err(Failed::There("the backup ended too early".to_owned())),
            }
        }
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::File { path: self.path.clone(), source })
    }

    fn keep(mut self, target: &Path) -> Result<(), Error> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |source| Error::File { path: target.to_owned(), source };
        std::fs::rename(&self.path, target).map_err(failed)?;
        self.kept = true;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What is left says by its name that it is not complete.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

fn show(args: &BackupArgs, done: &BackupDone) -> Result<(), Error> {
    let shown = Shown {
        file: &args.file,
        bytes: done.length,
        sha256: done.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        cluster_uuid: &done.cluster_uuid,
        incarnation: done.incarnation,
        sequence: done.sequence,
        first_sequence: done.first_sequence,
        node: done.node_id,
    };
    if args.json { output::json(&shown) } else { output::line(shown.text()) }
}
