//! Docker Swarm's side: three managers that are workers too, one in each zone's agent namespace, with the same engines.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trireme_testkit::docker_api::{ask, filter};
use trireme_testkit::{hold, try_wait};

use super::plan::Victim;
use super::side::{Audit, Shared, Side, TASKS, copy, push};
use crate::lab::cluster::Ground;
use crate::lab::engine::{self, Engine, IMAGE, docker, save_image};
use crate::lab::host::{Host, ZONES};
use crate::lab::net::{namespace, plain_address};
use crate::lab::proc::descendants;
use crate::lab::sweep::{kill_9, pids_in};
use crate::load::{Kind, Outcome, Record};

const LOOK: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_millis(1_500);
const LIMIT: Duration = Duration::from_secs(180);
const WRITERS: usize = 3;
const PAUSE: Duration = Duration::from_millis(40);

/// A swarm, its load and its service.
pub struct Swarm {
    ground: Ground,
    engines: BTreeMap<u8, Engine>,
    /// Swarm's ids of the nodes.
    nodes: BTreeMap<u8, String>,
    image: String,
    records: Shared,
    stop: watch::Sender<bool>,
    writers: Vec<JoinHandle<()>>,
    /// Nodes that had to be started again by hand.
    helped: usize,
}

impl Swarm {
    /// Starts the engines, joins them, and starts the service and the load.
    ///
    /// # Errors
    /// It does not become whole.
    pub async fn start(ground: Ground) -> Result<Self> {
        let archive = ground.folder().join("image.tar");
        save_image(&archive)?;
        let mut engines = BTreeMap::new();
        for zone in ZONES {
            std::fs::create_dir_all(ground.zone(zone))?;
            engines.insert(zone, engine::start(&folder(&ground, zone), zone)?);
        }
        for engine in engines.values_mut() {
            engine.wait_answers().await?;
            engine.load(&archive)?;
        }
        let mut nodes = BTreeMap::new();
        let first = folder(&ground, 1);
        let address = |zone| plain_address(Host::Agent(zone));
        docker(&first, &["swarm", "init", "--advertise-addr", &address(1), "--listen-addr", &address(1)])?;
        let token = docker(&first, &["swarm", "join-token", "--quiet", "manager"])?;
        for zone in [2, 3] {
            let place = ["--advertise-addr", &address(zone), "--listen-addr", &address(zone)];
            let join = ["swarm", "join", "--token", token.trim()];
            let peer = format!("{}:2377", address(1));
            docker(&folder(&ground, zone), &[join.as_slice(), &place, &[&peer]].concat())?;
        }
        for zone in ZONES {
            let id = docker(&folder(&ground, zone), &["info", "--format", "{{.Swarm.NodeID}}"])?;
            nodes.insert(zone, id.trim().to_owned());
        }
        // By its id: with a name the swarm asks a registry for each task, which is not there.
        let image = docker(&first, &["image", "inspect", "--format", "{{.Id}}", IMAGE])?.trim().to_owned();
        let (stop, stopped) = watch::channel(false);
        let records = Arc::new(Mutex::new(Vec::new()));
        let mut side = Self { ground, engines, nodes, image, records, stop, writers: Vec::new(), helped: 0 };
        let web = side.body("web", TASKS);
        let (status, answer) =
            side.any("POST", "/services/create", Some(&web)).await.map_err(|text| anyhow!(text))?;
        ensure!(status < 300, "the swarm takes no service: {answer}");
        side.settle().await?;
        for writer in 0..WRITERS {
            let sockets = ZONES.map(|zone| Engine::socket(&folder(&side.ground, zone)));
            let body = side.body("", 0);
            side.writers.push(tokio::spawn(write(
                writer,
                sockets,
                body,
                stopped.clone(),
                side.records.clone(),
            )));
        }
        Ok(side)
    }

    fn body(&self, name: &str, replicas: usize) -> Value {
        json!({
            "Name": name,
            "TaskTemplate": {
                "ContainerSpec": { "Image": self.image, "Command": ["sleep", "100000"], "StopGracePeriod": 0 },
                "Placement": { "Preferences": [{ "Spread": { "SpreadDescriptor": "engine.labels.zone" } }] },
                "RestartPolicy": { "Condition": "any", "Delay": 0 },
            },
            "Mode": { "Replicated": { "Replicas": replicas } },
        })
    }

    /// Asks whichever engine answers.
    async fn any(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let mut last = "no engine".to_owned();
        for zone in ZONES {
            match ask(&Engine::socket(&folder(&self.ground, zone)), method, path, body, LOOK).await {
                // A manager without a leader says so with this.
                Ok((status, answer)) if status >= 500 => last = answer.to_string(),
                Ok(answer) => return Ok(answer),
                Err(text) => last = text,
            }
        }
        Err(last)
    }

    async fn leader(&self) -> Result<u8> {
        let (_, nodes) = self.any("GET", "/nodes", None).await.map_err(|text| anyhow!(text))?;
        let nodes = nodes.as_array().context("no list of nodes")?;
        let leads =
            nodes.iter().find(|node| node["ManagerStatus"]["Leader"] == true).context("nobody leads")?;
        let id = leads["ID"].as_str().unwrap_or_default();
        self.nodes
            .iter()
            .find(|(_, known)| *known == id)
            .map(|(zone, _)| *zone)
            .context("an unknown node leads")
    }

    fn kill_zone(&mut self, zone: u8) {
        for _ in 0..3 {
            let mut pids = pids_in(&namespace(Host::Agent(zone)));
            pids.extend(descendants(&pids));
            pids.into_iter().for_each(kill_9);
        }
        self.engines.get_mut(&zone).map(Engine::kill_daemon);
    }

    async fn wait_whole(&self) -> Result<()> {
        let waited = try_wait("the swarm to be whole", LIMIT, || self.whole()).await;
        waited.map_err(|text| anyhow!(text))
    }

    /// The nodes that are ready, by id.
    async fn ready(&self) -> Result<Vec<String>, String> {
        let (_, nodes) = self.any("GET", "/nodes", None).await?;
        let ready = |node: &&Value| {
            node["Status"]["State"] == "ready" && node["ManagerStatus"]["Reachability"] == "reachable"
        };
        let nodes = nodes.as_array().into_iter().flatten().filter(ready);
        Ok(nodes.filter_map(|node| node["ID"].as_str().map(str::to_owned)).collect())
    }

    /// The zones whose node is not; all of them when nobody answers.
    async fn missing(&self) -> Result<Vec<u8>> {
        let ready = self.ready().await.unwrap_or_default();
        Ok(self.nodes.iter().filter(|(_, id)| !ready.contains(id)).map(|(zone, _)| *zone).collect())
    }

    async fn whole(&self) -> Result<(), String> {
        let count = self.ready().await?.len();
        if count < ZONES.len() {
            return Err(format!("{count} nodes ready"));
        }
        let running = self.running(&[]).await?;
        if running == TASKS { Ok(()) } else { Err(format!("{running} of {TASKS} tasks running")) }
    }

    /// What it says of its own timing.
    async fn timing(&self) -> String {
        let spec = match self.any("GET", "/swarm", None).await {
            Ok((_, swarm)) => swarm["Spec"].clone(),
            Err(text) => return format!("its timing is not known: {text}"),
        };
        let (raft, dispatcher) = (&spec["Raft"], &spec["Dispatcher"]);
        let heartbeat = dispatcher["HeartbeatPeriod"].as_f64().unwrap_or(f64::NAN) / 1e9;
        format!(
            "it says: a heartbeat of agents each {heartbeat} s; Raft's heartbeat each {} tick, an election after {} ticks",
            raft["HeartbeatTick"], raft["ElectionTick"]
        )
    }

    /// The running tasks by node.
    async fn tasks(&self) -> Result<Vec<String>, String> {
        let which = filter(&json!({ "service": ["web"], "desired-state": ["running"] }));
        let (status, tasks) = self.any("GET", &format!("/tasks{which}"), None).await?;
        let tasks = tasks.as_array().cloned().ok_or(format!("answer {status}"))?;
        let running = tasks.iter().filter(|task| task["Status"]["State"] == "running");
        Ok(running.filter_map(|task| task["NodeID"].as_str().map(str::to_owned)).collect())
    }
}

fn folder(ground: &Ground, zone: u8) -> PathBuf {
    ground.zone(zone).join("docker")
}

impl Side for Swarm {
    fn name(&self) -> &'static str {
        "Swarm"
    }

    async fn kill(&mut self, victim: Victim, zones: &[u8]) -> Result<Vec<u8>> {
        let leader = self.leader().await?;
        let other = zones.iter().copied().find(|zone| *zone != leader).context("no other zone")?;
        Ok(match victim {
            Victim::Leader => {
                self.engines.get_mut(&leader).map(Engine::kill_daemon);
                vec![]
            }
            // Manager, agent and engine are one process here.
            Victim::Follower | Victim::Agent | Victim::Engine => {
                self.engines.get_mut(&other).map(Engine::kill_daemon);
                vec![]
            }
            Victim::Zone => {
                self.kill_zone(other);
                vec![other]
            }
            Victim::LeaderZone => {
                self.kill_zone(leader);
                vec![leader]
            }
            Victim::TwoZones => {
                zones[..2].iter().for_each(|zone| self.kill_zone(*zone));
                zones[..2].to_vec()
            }
        })
    }

    async fn revive(&mut self) -> Result<()> {
        for zone in ZONES {
            if self.engines.get_mut(&zone).is_none_or(Engine::ended) {
                let mut engine = engine::start(&folder(&self.ground, zone), zone)?;
                engine.wait_answers().await?;
                self.engines.insert(zone, engine);
            }
        }
        Ok(())
    }

    async fn running(&self, dead: &[u8]) -> Result<usize, String> {
        let dead: Vec<&String> = dead.iter().filter_map(|zone| self.nodes.get(zone)).collect();
        Ok(self.tasks().await?.iter().filter(|node| !dead.contains(node)).count())
    }

    async fn settle(&mut self) -> Result<()> {
        self.revive().await?;
        if try_wait("the swarm to be whole", LIMIT, || self.whole()).await.is_err() {
            // As its operator would: what does not come back by itself is started anew.
            for zone in self.missing().await? {
                self.helped += 1;
                self.engines.get_mut(&zone).map(Engine::kill_daemon);
            }
            self.revive().await?;
            self.wait_whole().await?;
        }
        let per_node = self.tasks().await.map_err(|text| anyhow!(text))?;
        let count = |id: &String| per_node.iter().filter(|node| *node == id).count();
        let counts: Vec<usize> = self.nodes.values().map(count).collect();
        if counts.iter().max() > counts.iter().min().map(|least| least + 1).as_ref() {
            // Tasks that run are not moved here either; a forced update spreads them.
            let alive = folder(&self.ground, self.leader().await?);
            let forced = docker(&alive, &["service", "update", "--force", "--detach", "web"]);
            forced.map(drop)?;
            hold(Duration::from_secs(2)).await;
            self.wait_whole().await?;
        }
        Ok(())
    }

    fn records(&self) -> Vec<Record> {
        copy(&self.records)
    }

    async fn audit(&mut self) -> Result<Audit> {
        self.stop.send_replace(true);
        for writer in self.writers.drain(..) {
            writer.await?;
        }
        let records = copy(&self.records);
        let (_, services) = self.any("GET", "/services", None).await.map_err(|text| anyhow!(text))?;
        let mut there: BTreeMap<String, usize> = BTreeMap::new();
        for service in services.as_array().into_iter().flatten() {
            *there.entry(service["Spec"]["Name"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        let acked = records.iter().filter(|record| record.acked());
        Ok(Audit {
            acked: acked.clone().count(),
            unknown: records.iter().filter(|it| matches!(it.outcome, Outcome::Unknown(_))).count(),
            refused: records.iter().filter(|it| matches!(it.outcome, Outcome::Refused(_))).count(),
            lost: Some(acked.filter(|record| !there.contains_key(&record.name)).count()),
            twice: there.values().filter(|count| **count > 1).count(),
            findings: Vec::new(),
            notes: vec![
                "a write is POST /services/create with 0 replicas, tried on each manager for 30 s".to_owned(),
                self.timing().await,
                format!(
                    "{} of its nodes did not come back in {} s and were started again by hand",
                    self.helped,
                    LIMIT.as_secs()
                ),
            ],
        })
    }
}

/// As the writers of Trireme's load: one call at a time, tried on every manager, for half a minute.
async fn write(
    writer: usize,
    sockets: [PathBuf; 3],
    mut body: Value,
    stopped: watch::Receiver<bool>,
    records: Shared,
) {
    let mut number = 0_usize;
    while !*stopped.borrow() {
        number += 1;
        let name = format!("load-{writer}-{number}");
        body["Name"] = Value::String(name.clone());
        let began = Instant::now();
        let outcome = insist(&sockets, writer, &body, began).await;
        push(&records, Record { kind: Kind::Cluster, name, began, ended: Instant::now(), outcome });
        hold(PAUSE).await;
    }
}

async fn insist(sockets: &[PathBuf; 3], first: usize, body: &Value, began: Instant) -> Outcome {
    let mut last = String::new();
    let mut attempt = first;
    while began.elapsed() < Duration::from_secs(30) {
        match ask(&sockets[attempt % 3], "POST", "/services/create", Some(body), ATTEMPT).await {
            Ok((200..=299, _)) => return Outcome::Acked,
            // An earlier attempt was done after all.
            Ok((409, _)) if attempt > first => return Outcome::Acked,
            Ok((status, answer)) if status < 500 => return Outcome::Refused(answer.to_string()),
            Ok((status, answer)) => last = format!("{status} {answer}"),
            Err(text) => last = text,
        }
        attempt += 1;
        hold(Duration::from_millis(100)).await;
    }
    Outcome::Unknown(last)
}
