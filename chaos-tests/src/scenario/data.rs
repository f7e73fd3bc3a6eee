//! Faults of the data themselves: bits that turn over, a history that someone edits, and a cluster that lives on from what is
//! left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use prost::Message;
use rand::Rng;
use trireme_raft::storage::rocks::RocksKv;
use trireme_raft::storage::{Family, Kv, Op};
use trireme_rpc::log::HistoryRecord;
use trireme_state::{Event, SealedEvent};
use trireme_testkit::try_wait;

use super::member::replace;
use super::{Installed, Stage, Step};
use crate::lab::Host;
use crate::lab::host::{ZONES, grpc, zone_name};
use crate::lab::net::{on, run, run_on};

const LIMIT: Duration = Duration::from_secs(60);
/// For a node to start, or to refuse.
const START: Duration = Duration::from_secs(20);

/// The files of a folder with this extension, the oldest first.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    files
}

/// What `trireme verify` says of a zone's folder, and whether it is sound.
fn verify_folder(stage: &Stage, zone: u8) -> Result<(bool, String)> {
    let binary = stage.lab.binary().display().to_string();
    let mut command = on(Host::Control(zone), &binary);
    let output = command.args(["verify", "--data"]).arg(stage.lab.server_data(zone)).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn first_problem(said: &str) -> String {
    let problem = said.lines().find(|line| line.contains("PROBLEM") || line.contains("error"));
    problem.unwrap_or("nothing").trim().to_owned()
}

/// Every control node verifies itself while it runs, and says that all is sound.
fn all_sound(stage: &mut Stage) {
    let (binary, folder) =
        (stage.lab.binary().display().to_string(), stage.lab.folder().display().to_string());
    match run(&binary, &["verify", "--data", &folder]) {
        Ok(said) => {
            let sound = said.lines().filter(|line| line.contains(": sound up to event")).count();
            stage.expect(
                "I14",
                sound == ZONES.len(),
                format!("{sound} control nodes verified themselves: sound"),
            );
        }
        Err(error) => stage.expect("I14", false, format!("a control node is not sound: {error:#}")),
    }
}

/// 17: a bit of a stopped node's write-ahead log, of a table of its database, and of its snapshot turns over. Verifying tells; the
/// node does not start with it, or does not hand out what is damaged, and is replaced.
pub fn bit_flips(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let kinds =
            [("write-ahead log", "db", "log"), ("table", "db", "sst"), ("snapshot", "snapshots", "snapshot")];
        let (mut damaged, mut missing) = (Vec::new(), Vec::new());
        for (what, folder, extension) in kinds {
            let (zone, leader) = (stage.follower().await?, stage.lab.leader().await?);
            if extension == "sst" {
                // A start writes what is in the log into tables.
                stage.lab.kill_server(zone);
                stage.lab.start_server(zone)?;
                stage.lab.wait_answers(zone).await?;
            }
            if extension == "snapshot" {
                with_snapshot(stage, zone).await?;
            }
            stage.lab.kill_server(zone);
            let Some(file) = files(&stage.lab.server_data(zone).join(folder), extension)
                .into_iter()
                .max_by_key(|file| file.metadata().map_or(0, |metadata| metadata.len()))
            else {
                missing.push(what);
                stage.lab.start_server(zone)?;
                continue;
            };
            flip_one(stage, zone, what, &file).await?;
            damaged.push(what);
            replace(stage, zone, leader, false).await?;
            stage.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        }
        stage.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        all_sound(stage);
        if !missing.is_empty() {
            let text =
                format!("not there to be damaged: {}; damaged: {}", missing.join(", "), damaged.join(", "));
            stage.open("damaged", format!("{text}; crates/raft/tests/verify.rs damages each"));
        }
        match damaged.is_empty() {
            true => Ok(Installed::No("there was nothing to damage".to_owned())),
            false => Ok(Installed::Yes),
        }
    })
}

/// Restarts a node so that it makes snapshots often, and waits until the load has led to one.
async fn with_snapshot(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.lab.kill_server(zone);
    stage.lab.server_arguments(zone, &["--snapshot-entries", "100"]);
    stage.lab.start_server(zone)?;
    stage.lab.server_arguments(zone, &[]);
    let folder = stage.lab.server_data(zone).join("snapshots");
    let made = try_wait("a snapshot", LIMIT, || async {
        if files(&folder, "snapshot").is_empty() { Err("none".to_owned()) } else { Ok(()) }
    });
    made.await.map_err(|text| anyhow!(text))
}

/// Turns a bit of a file over. It is told, and the node does not start.
async fn flip_one(stage: &mut Stage, zone: u8, what: &str, file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let length = bytes.len();
    // Not the end: a torn end is another fault.
    let at = stage.rng.random_range(length / 8..length * 7 / 8);
    bytes[at] ^= 1 << stage.rng.random_range(0..8);
    std::fs::write(file, bytes)?;
    stage.fault(format!("one bit of zone {zone}'s {what} turned over, byte {at} of {length}"));
    let (sound, said) = verify_folder(stage, zone)?;
    stage.expect("detected", !sound, format!("trireme verify, {what}: {}", first_problem(&said)));
    stage.lab.start_server(zone)?;
    if refuses(stage, zone).await {
        let said = stage.lab.server_log(zone, 1);
        stage.expect("never served", true, format!("the node does not start: {said}"));
    } else if what == "table" {
        history_refused(stage, zone).await?;
    } else {
        stage.expect("never served", false, format!("the node runs with its {what} damaged"));
    }
    stage.over();
    Ok(())
}

/// What is damaged is a table of the history, which a node does not need to start. It tells so when it is read, and its state is
/// that of the others.
async fn history_refused(stage: &mut Stage, zone: u8) -> Result<()> {
    let (binary, address) = (stage.lab.binary().display().to_string(), grpc(zone));
    let output = on(Host::Client, &binary).args(["verify", "--endpoint", &address]).output()?;
    let said = first_problem(&String::from_utf8_lossy(&output.stdout));
    let report = stage.lab.report().await;
    let same = report.nodes.iter().all(|node| !node.differs);
    let held = !output.status.success() && said.contains("the history") && same;
    stage.expect("never served", held, format!("it runs, its state is the others', and it says: {said}"));
    Ok(())
}

/// Whether a node that was just started ends by itself.
async fn refuses(stage: &mut Stage, zone: u8) -> bool {
    let lab = std::cell::RefCell::new(&mut stage.lab);
    let ended = try_wait("the node to end", START, || async {
        if lab.borrow_mut().server_ended(zone) { Ok(()) } else { Err("it runs".to_owned()) }
    });
    ended.await.is_ok()
}

/// 40: someone edits one event in a stopped node's history, and makes every checksum right. Verifying fails and says where; the
/// node never hands the event out.
pub fn history_edited(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let (zone, leader) = (stage.follower().await?, stage.lab.leader().await?);
        stage.hold(3.0).await;
        stage.lab.kill_server(zone);
        let database = stage.lab.server_data(zone).join("db");
        let Some((sequence, was)) = edit(&database, &mut stage.rng)? else {
            return Ok(Installed::No("no event of the history can be edited".to_owned()));
        };
        stage.fault(format!("event {sequence} of zone {zone}'s history edited: {was} is called forged now"));
        let (sound, said) = verify_folder(stage, zone)?;
        let problem = first_problem(&said);
        let near = [sequence, sequence + 1].iter().any(|at| problem.contains(&format!("event {at}")));
        stage.expect("I14", !sound, format!("trireme verify of the stopped node: {problem}"));
        stage.expect("where", near, format!("it names event {sequence} or the one behind it"));
        stage.lab.start_server(zone)?;
        stage.lab.wait_answers(zone).await?;
        let (binary, address) = (stage.lab.binary().display().to_string(), grpc(zone));
        let since = (sequence - 1).to_string();
        let mut command = on(Host::Client, &binary);
        let told = command.args(["events", "--json", "--endpoint", &address, "--since", &since]).output()?;
        let forged = String::from_utf8_lossy(&told.stdout).lines().any(|line| line.contains("forged"));
        stage.expect(
            "never served",
            !forged,
            "the edited event is not in what the node tells of the history",
        );
        let mut command = on(Host::Client, &binary);
        let verified = command.args(["verify", "--endpoint", &address]).output()?;
        // Without a snapshot the whole log is applied again at the start, and the history with it.
        let outcome = if verified.status.success() {
            "the node has written the event anew from its log, and is sound"
        } else {
            "the running node says that it is damaged"
        };
        stage.note(outcome);
        stage.over();
        replace(stage, zone, leader, true).await?;
        stage.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        all_sound(stage);
        Ok(Installed::Yes)
    })
}

/// Edits one event about a cluster, by chance; gives its number, and whose it was.
fn edit(database: &Path, rng: &mut impl Rng) -> Result<Option<(u64, String)>> {
    let kv = RocksKv::open(database)?;
    let (mut found, all) = (Vec::new(), vec![0xff; 9]);
    kv.scan(Family::History, &[], &all, &mut |_, value| {
        if let Ok(record) = HistoryRecord::decode(value)
            && let Ok(event) = SealedEvent::open(record.event.clone())
            && let Event::ClusterCreated { cluster, tags } = event.event()
        {
            found.push((record, cluster.clone(), tags.clone()));
        }
        Ok(true)
    })?;
    // The last ones may be in the log behind the snapshot, from which a start writes them anew.
    let last = found.len() / 2;
    if last == 0 {
        return Ok(None);
    }
    let (mut record, mut cluster, tags) = found.swap_remove(rng.random_range(0..last));
    let was = cluster.name.to_string();
    cluster.name = trireme_types::ClusterName::new("forged").map_err(|error| anyhow!("{error}"))?;
    record.event = SealedEvent::seal(Event::ClusterCreated { cluster, tags }).bytes().to_vec().into();
    let sequence = record.sequence;
    kv.write(vec![Op::Put(Family::History, sequence.to_be_bytes().to_vec(), record.encode_to_vec().into())])?;
    kv.sync()?;
    kv.close();
    Ok(Some((sequence, was)))
}

/// 22: a backup is taken under load, then the quorum is lost for good: two of three control nodes with their disks. The cluster
/// lives on from the third; an old member that comes back is fenced; empty ones join; and the backup comes back as it was.
pub fn restored(stage: &mut Stage) -> Step<'_> {
    Box::pin(async move {
        let backup = stage.lab.folder().join("backup");
        let _old = std::fs::remove_file(&backup);
        let (binary, folder) =
            (stage.lab.binary().display().to_string(), stage.lab.folder().display().to_string());
        run(&binary, &["backup", "--data", &folder, "--to", &backup.display().to_string()])?;
        stage.note("a backup was taken under load");
        stage.hold(2.0).await;
        let survivor = stage.lab.leader().await?;
        let lost: Vec<u8> = ZONES.into_iter().filter(|zone| *zone != survivor).collect();
        stage.fault(format!(
            "zones {lost:?} lose their control nodes and disks; zone {survivor} is all that is left"
        ));
        for zone in lost.iter().chain([&survivor]) {
            stage.lab.kill_server(*zone);
        }
        let key = stage.lab.folder().join("cluster.key");
        std::fs::copy(stage.lab.server_data(survivor).join("cluster.key"), &key)?;
        stage.hold(3.0).await;
        recover(stage, survivor).await?;
        fence(stage, lost[0]).await?;
        for zone in &lost {
            let data = stage.lab.server_data(*zone);
            stage.lab.kill_server(*zone);
            std::fs::remove_dir_all(&data)?;
            stage.lab.join(*zone, survivor)?;
            stage.lab.start_server(*zone)?;
        }
        stage.lab.wait_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        agree(stage).await;
        all_sound(stage);
        come_back(stage, survivor, &backup, &key)?;
        Ok(Installed::Yes)
    })
}

/// Makes a zone's node the one that the cluster lives on from.
async fn recover(stage: &mut Stage, zone: u8) -> Result<()> {
    let (binary, data) =
        (stage.lab.binary().display().to_string(), stage.lab.server_data(zone).display().to_string());
    let dry = run_on(Host::Control(zone), &binary, &["server", "recover", "--data", &data])?;
    stage.expect(
        "dry run",
        dry.contains("Nothing was changed"),
        "without --force-new-cluster nothing is changed",
    );
    let said = run_on(
        Host::Control(zone),
        &binary,
        &["server", "recover", "--force-new-cluster", "--yes", "--data", &data],
    )?;
    let reported = said.lines().find(|line| line.starts_with("acknowledged writes after log index"));
    let text = reported.unwrap_or("what may be lost is not reported").to_owned();
    stage.expect("lost range", reported.is_some(), text);
    // What is left of the cluster has its quorum back from here on.
    stage.over();
    stage.lab.start_server(zone)?;
    stage.lab.wait_answers(zone).await
}

/// An old member, its disk and all, comes back: it hears that the cluster lives on without it, stops, and stays so.
async fn fence(stage: &mut Stage, zone: u8) -> Result<()> {
    stage.lab.start_server(zone)?;
    let stopped = refuses(stage, zone).await;
    let said = stage.lab.server_log(zone, 1);
    stage.expect(
        "fenced",
        stopped && said.contains("lives on as incarnation"),
        format!("the old member: {said}"),
    );
    stage.lab.start_server(zone)?;
    let again = refuses(stage, zone).await;
    stage.expect("fenced", again, format!("and again after a restart: {}", stage.lab.server_log(zone, 1)));
    Ok(())
}

/// All hold the same state, compared by its hash at an event of the new incarnation.
async fn agree(stage: &mut Stage) {
    let begun = stage.lab.report().await.applied;
    let lab = &stage.lab;
    let agreed = try_wait("the states to be compared", LIMIT, || async {
        let report = lab.report().await;
        let nodes: Vec<_> = report.nodes.iter().map(|node| (node.agreed, node.differs)).collect();
        let all = nodes.iter().all(|(agreed, differs)| agreed.is_some_and(|at| at >= begun) && !differs);
        if all { Ok(nodes) } else { Err(format!("{nodes:?}, after event {begun}")) }
    });
    match agreed.await {
        Ok(nodes) => {
            let at = nodes.iter().filter_map(|(agreed, _)| *agreed).min().unwrap_or_default();
            stage.expect("I4", true, format!("all hold the same state at event {at}, by its hash"));
        }
        Err(text) => stage.expect("I4", false, text),
    }
}

/// The backup is restored beside the cluster, to a folder of its own, and holds what it held.
fn come_back(stage: &mut Stage, zone: u8, backup: &Path, key: &Path) -> Result<()> {
    let binary = stage.lab.binary().display().to_string();
    let data = stage.lab.folder().join("restored");
    let _old = std::fs::remove_dir_all(&data);
    let (file, key, data) =
        (backup.display().to_string(), key.display().to_string(), data.display().to_string());
    let address = Host::Control(zone).address();
    let (api, grpc, name) = (format!("{address}:8100"), format!("{address}:8101"), zone_name(zone));
    let place = ["--data", &data, "--zone", &name, "--listen-api", &api, "--listen-grpc", &grpc];
    run_on(
        Host::Control(zone),
        &binary,
        &[&["restore", &file, "--cluster-key", &key], place.as_slice()].concat(),
    )?;
    let (held, back) = (run(&binary, &["verify", &file])?, run(&binary, &["verify", "--data", &data])?);
    let hash = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("state: event") || line.contains("snapshot: event"))?;
        line.split("state hash ").nth(1).map(str::to_owned)
    };
    let expected = hash(&held).context("the backup's state hash is not told")?;
    let found = back.lines().find(|line| line.contains("snapshot: event")).and_then(hash);
    stage.expect(
        "I4",
        found.as_ref() == Some(&expected),
        format!("the backup's state hash {expected}, restored {}", found.unwrap_or_default()),
    );
    Ok(())
}
