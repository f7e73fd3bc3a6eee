//! Trireme's side.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::DeploymentConfiguration;
use trireme_testkit::try_wait;

use super::plan::Victim;
use super::side::{Audit, Side, TASKS};
use crate::ecs;
use crate::history::History;
use crate::invariant::{acked_kept, event_stream, service_bounds, token_once, zone_skew};
use crate::lab::Lab;
use crate::lab::host::{ZONES, zone_name};
use crate::load::{Load, Outcome, Record, writers};

const SERVICE: &str = "web";
const LIMIT: Duration = Duration::from_secs(120);

/// A cluster, its load and its service.
pub struct Trireme {
    lab: Lab,
    client: Client,
    history: History,
    load: Option<Load>,
    done: Vec<Record>,
}

impl Trireme {
    /// Starts the service and the load.
    ///
    /// # Errors
    /// The cluster does not become whole.
    pub async fn start(lab: Lab) -> Result<Self> {
        let client = writers::steadfast_client(&lab.key, 0).await?;
        let history = History::follow(lab.binary(), lab.folder())?;
        ecs::register_web(&client).await?;
        let rules =
            DeploymentConfiguration::builder().minimum_healthy_percent(50).maximum_percent(100).build();
        let create = client.create_service().service_name(SERVICE).task_definition("web");
        create.desired_count(i32::try_from(TASKS)?).deployment_configuration(rules).send().await?;
        let load = Some(Load::start(&lab.key, "kill").await?);
        let mut side = Self { lab, client, history, load, done: Vec::new() };
        side.settle().await?;
        Ok(side)
    }
}

impl Side for Trireme {
    fn name(&self) -> &'static str {
        "Trireme"
    }

    async fn kill(&mut self, victim: Victim, zones: &[u8]) -> Result<Vec<u8>> {
        let leader = self.lab.leader().await?;
        let other = zones.iter().copied().find(|zone| *zone != leader).context("no other zone")?;
        let any = zones.first().copied().unwrap_or(1);
        Ok(match victim {
            Victim::Leader => {
                self.lab.kill_server(leader);
                vec![]
            }
            Victim::Follower => {
                self.lab.kill_server(other);
                vec![]
            }
            Victim::Agent => {
                self.lab.kill_agent(any);
                vec![]
            }
            Victim::Engine => {
                self.lab.kill_engine(any);
                vec![]
            }
            Victim::Zone => {
                self.lab.kill_zone(other);
                vec![other]
            }
            Victim::LeaderZone => {
                self.lab.kill_zone(leader);
                vec![leader]
            }
            Victim::TwoZones => {
                for zone in &zones[..2] {
                    self.lab.kill_zone(*zone);
                }
                zones[..2].to_vec()
            }
        })
    }

    async fn revive(&mut self) -> Result<()> {
        self.lab.heal().await
    }

    async fn running(&self, dead: &[u8]) -> Result<usize, String> {
        let report = self.lab.report().await;
        if !report.quorum {
            return Err("no leader".to_owned());
        }
        let dead: Vec<String> = dead.iter().map(|zone| zone_name(*zone)).collect();
        let zones = report.zones.iter().filter(|zone| !dead.contains(&zone.name));
        let running = zones.map(|zone| zone.running_tasks).sum::<u64>();
        usize::try_from(running).map_err(|error| error.to_string())
    }

    async fn settle(&mut self) -> Result<()> {
        self.lab.heal_whole(LIMIT).await.map_err(|text| anyhow!(text))?;
        let stable = || try_wait("the service to be stable", LIMIT, || ecs::stable(&self.client, SERVICE));
        stable().await.map_err(|text| anyhow!(text))?;
        let spread = ecs::running_by_zone(&ecs::tasks(&self.client, SERVICE).await?);
        if zone_skew::check(&spread, &ZONES.map(zone_name)).held != Some(true) {
            self.client.update_service().service(SERVICE).force_new_deployment(true).send().await?;
            stable().await.map_err(|text| anyhow!(text))?;
        }
        Ok(())
    }

    fn records(&self) -> Vec<Record> {
        self.load.as_ref().map_or_else(|| self.done.clone(), Load::records)
    }

    async fn audit(&mut self) -> Result<Audit> {
        if let Some(load) = self.load.take() {
            self.done = load.finish().await?;
        }
        let end = self.lab.report().await.nodes.iter().filter_map(|node| node.applied).max();
        let complete = match end {
            Some(end) => self.history.wait_for(end, Duration::from_secs(30)).await.is_ok(),
            None => false,
        };
        let events = self.history.since(0);
        let lost = acked_kept::lost(&self.done, &self.lab.key).await;
        let effects = token_once::effects(&self.done, &events);
        let findings = vec![
            acked_kept::judge(&self.done, &lost),
            token_once::judge(&self.done, &effects),
            event_stream::check(&events, end, complete && !self.history.ended()),
            service_bounds::check(&events),
        ];
        let count = |is: fn(&Outcome) -> bool| self.done.iter().filter(|record| is(&record.outcome)).count();
        Ok(Audit {
            acked: count(|outcome| *outcome == Outcome::Acked),
            unknown: count(|outcome| matches!(outcome, Outcome::Unknown(_))),
            refused: count(|outcome| matches!(outcome, Outcome::Refused(_))),
            lost: lost.ok().map(|lost| lost.len()),
            twice: effects.twice.len(),
            findings,
            notes: vec![format!("its timing is `--timing {}`", self.lab.timing)],
        })
    }
}
