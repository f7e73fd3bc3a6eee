//! What a control node is told: by flags, by a TOML file, or both. Flags win.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trireme_raft::Settings;

use crate::Error;

/// Whether API requests must be signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// AWS signature version 4.
    #[default]
    Sigv4,
    /// Whoever reaches the API may do anything. On loopback only.
    Off,
}

/// How fast control nodes expect each other's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Machines in the zones of one region.
    #[default]
    Region,
    /// One machine.
    Local,
    /// Regions that are far apart.
    Wide,
}

impl Timing {
    fn settings(self) -> Settings {
        match self {
            Self::Region => Settings::default(),
            Self::Local => Settings::local(),
            Self::Wide => Settings::wide(),
        }
    }
}

/// Time for balancers that look every other second to take a node out.
const DRAIN: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;
const FEWEST_ENTRIES: u64 = 100;

/// Everything that a control node needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its data folder.
    pub data: PathBuf,
    /// Its availability zone.
    pub zone: String,
    /// Where it serves the ECS API, `/healthz` and `/metrics`.
    pub listen_api: SocketAddr,
    /// Where it serves gRPC to control nodes, agents and operators.
    pub listen_grpc: SocketAddr,
    /// Whether API requests must be signed.
    pub auth: Auth,
    /// How fast control nodes expect each other's answers.
    pub timing: Timing,
    /// With less than this free on any voter's disk, in MiB, nothing that makes the state larger is taken; `None`: 1024.
    pub disk_reserve_mib: Option<u64>,
    /// A Raft snapshot is made after so many log entries, and a quarter as many are kept behind it; `None`: 20,000.
    pub snapshot_entries: Option<u64>,
    /// How long it still answers once it was told to stop, while `/healthz` says that it drains.
    pub drain: Duration,
    /// What makes pools of machines as large as they are to be, while this node leads. No call of the API names it.
    pub scaling_hook: Option<PathBuf>,
    /// Whether API destinations on this machine's own loopback addresses are called.
    pub deliver_to_loopback: bool,
}

/// The TOML file. Every setting may be left out and given as a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The availability zone.
    pub zone: Option<String>,
    /// Where the ECS API is served.
    pub listen_api: Option<SocketAddr>,
    /// Where gRPC is served.
    pub listen_grpc: Option<SocketAddr>,
    /// `sigv4` or `off`.
    pub auth: Option<Auth>,
    /// `region` or `local`.
    pub timing: Option<Timing>,
    /// MiB that stay free on the disk.
    pub disk_reserve_mib: Option<u64>,
    /// Log entries between two Raft snapshots.
    pub snapshot_entries: Option<u64>,
    /// Seconds for which it still answers once it was told to stop.
    pub drain_seconds: Option<u64>,
    /// A program that makes pools of machines as large as they are to be.
    pub scaling_hook: Option<PathBuf>,
    /// Whether API destinations on loopback addresses are called.
    pub deliver_to_loopback: Option<bool>,
}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, or says what nobody knows.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| Error::File { path: path.to_owned(), reason: error.message().to_owned() })
    }

    /// These settings, and where they are silent those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            data: self.data.or(other.data),
            zone: self.zone.or(other.zone),
            listen_api: self.listen_api.or(other.listen_api),
            listen_grpc: self.listen_grpc.or(other.listen_grpc),
            auth: self.auth.or(other.auth),
            timing: self.timing.or(other.timing),
            disk_reserve_mib: self.disk_reserve_mib.or(other.disk_reserve_mib),
            snapshot_entries: self.snapshot_entries.or(other.snapshot_entries),
            drain_seconds: self.drain_seconds.or(other.drain_seconds),
            scaling_hook: self.scaling_hook.or(other.scaling_hook),
            deliver_to_loopback: self.deliver_to_loopback.or(other.deliver_to_loopback),
        }
    }

    /// The whole configuration, checked.
    ///
    /// # Errors
    /// What is missing, or would open the node to the network unprotected.
    pub fn complete(self) -> Result<ServerConfig, Error> {
        let missing = |setting| Error::Setting { setting, reason: "is needed".to_owned() };
        let config = ServerConfig {
            data: self.data.ok_or_else(|| missing("--data"))?,
            zone: self.zone.ok_or_else(|| missing("--zone"))?,
            listen_api: self.listen_api.ok_or_else(|| missing("--listen-api"))?,
            listen_grpc: self.listen_grpc.ok_or_else(|| missing("--listen-grpc"))?,
            auth: self.auth.unwrap_or_default(),
            timing: self.timing.unwrap_or_default(),
            disk_reserve_mib: self.disk_reserve_mib,
            snapshot_entries: self.snapshot_entries,
            drain: self.drain_seconds.map_or(DRAIN, Duration::from_secs),
            scaling_hook: self.scaling_hook,
            deliver_to_loopback: self.deliver_to_loopback.unwrap_or(false),
        };
        config.check()?;
        Ok(config)
    }
}

impl ServerConfig {
    /// Raft's settings.
    pub(crate) fn raft_settings(&self) -> Settings {
        let settings = self.timing.settings();
        let disk_reserve =
            self.disk_reserve_mib.map_or(settings.disk_reserve, |reserve| reserve.saturating_mul(MIB));
        let snapshot_after = self.snapshot_entries.unwrap_or(settings.snapshot_after);
        let keep_entries = settings.keep_entries.min(snapshot_after / 4);
        Settings { disk_reserve, snapshot_after, keep_entries, ..settings }
    }

    fn check(&self) -> Result<(), Error> {
        if !self.listen_grpc.ip().is_loopback() {
            return Err(Error::GrpcNotLoopback { address: self.listen_grpc });
        }
        if self.auth == Auth::Off && !self.listen_api.ip().is_loopback() {
            return Err(Error::ApiNotLoopback { address: self.listen_api });
        }
        trireme_types::Zone::new(&self.zone)
            .map_err(|error| Error::Setting { setting: "--zone", reason: error.to_string() })?;
        if self.snapshot_entries.is_some_and(|entries| entries < FEWEST_ENTRIES) {
            let reason =
                format!("needs {FEWEST_ENTRIES} at least: each snapshot is written and synced whole");
            return Err(Error::Setting { setting: "--snapshot-entries", reason });
        }
        if let Some(hook) = self.scaling_hook.as_ref().filter(|hook| !hook.is_absolute() || !hook.is_file()) {
            let reason = format!("{} must be the absolute path of a program", hook.display());
            return Err(Error::Setting { setting: "--scaling-hook", reason });
        }
        let port_free = |setting, address: SocketAddr| match address.port() {
            0 => Err(Error::Setting {
                setting,
                reason: "needs a port: the other control nodes remember it".to_owned(),
            }),
            _ => Ok(()),
        };
        port_free("--listen-api", self.listen_api)?;
        port_free("--listen-grpc", self.listen_grpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> FileConfig {
        toml::from_str(text).unwrap()
    }

    const WHOLE: &str =
        "data = '/d'\nzone = 'eu-1a'\nlisten_api = '127.0.0.1:1'\nlisten_grpc = '127.0.0.1:2'";

    #[test]
    fn flags_win_over_the_file() {
        let flags = FileConfig { zone: Some("eu-1b".to_owned()), ..FileConfig::default() };
        let config = flags.or(file(WHOLE)).complete().unwrap();
        assert_eq!((config.zone.as_str(), config.auth), ("eu-1b", Auth::Sigv4));
        assert_eq!(config.raft_settings().snapshot_after, 20_000);
    }

    #[test]
    fn snapshots_come_as_often_as_is_asked_for_but_not_all_the_time() {
        let often = |entries| FileConfig { snapshot_entries: Some(entries), ..file(WHOLE) }.complete();
        let settings = often(400).unwrap().raft_settings();
        assert_eq!((settings.snapshot_after, settings.keep_entries), (400, 100));
        assert!(often(99).unwrap_err().to_string().contains("--snapshot-entries"));
    }

    #[test]
    fn nothing_is_opened_unprotected() {
        let open = file(&WHOLE.replace("127.0.0.1:2", "0.0.0.0:2"));
        assert!(matches!(open.complete(), Err(Error::GrpcNotLoopback { .. })));
        let open = FileConfig { auth: Some(Auth::Off), ..file(&WHOLE.replace("127.0.0.1:1", "10.0.0.1:1")) };
        assert!(matches!(open.complete(), Err(Error::ApiNotLoopback { .. })));
        assert!(file(&WHOLE.replace("127.0.0.1:1", "10.0.0.1:1")).complete().is_ok(), "signed requests may");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = FileConfig::default().complete().unwrap_err().to_string();
        assert_eq!(error, "--data: is needed");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        std::fs::write(&path, "zome = 'a'").unwrap();
        assert!(FileConfig::read(&path).unwrap_err().to_string().contains("zome"));
    }
}
