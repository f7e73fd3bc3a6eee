//! A registry of images, Debian's `docker-registry`, and a way to it that says of images that they are not there, stops in the middle
//! of them, or changes them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::proc::Proc;
use crate::wait::try_wait;

const LIMIT: Duration = Duration::from_secs(30);
/// The longest head of a request or an answer.
const LONGEST_HEAD: usize = 64 << 10;
/// Bytes of a blob after which nothing more comes: more than an image's configuration, less than a layer.
const STALLED_AFTER: usize = 16 << 10;

/// A registry. It ends when it is dropped.
pub struct Registry {
    address: SocketAddr,
    process: Proc,
}

impl Registry {
    /// Starts one on an empty folder. `command` is `docker-registry`, wherever it is to run.
    ///
    /// # Errors
    /// There is no such program, or it does not listen.
    pub async fn start(mut command: Command, folder: &Path, address: SocketAddr) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\nhttp: {{addr: '{address}'}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            folder.join("data").display()
        );
        std::fs::write(&config, text)?;
        command.arg("serve").arg(&config);
        let registry = Self { address, process: Proc::start(command, &folder.join("log"))? };
        let listens = try_wait("the registry to listen", LIMIT, || async move {
            TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
        });
        listens.await.map_err(|text| anyhow!("{text}; {}", registry.process.last_lines(3)))?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// What a way does to what is pulled over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// It answers 404 for each manifest.
    Missing,
    /// It stops in the middle of each layer, and keeps the connection.
    Stall,
    /// It changes a byte of each blob: its digest is another one.
    Corrupt,
}

/// A way to a registry. It ends when it is dropped.
pub struct Way {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    disturbed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    /// Listens at `address` for what goes to `registry`.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(address: SocketAddr, registry: &Registry) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let disturbed = Arc::new(AtomicUsize::new(0));
        let (to, counted) = (registry.address, Arc::clone(&disturbed));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Carried { modes: modes.clone(), disturbed: Arc::clone(&counted) };
                tokio::spawn(way.carry(client, to));
            }
        });
        Ok(Self { address, mode, disturbed, task })
    }

    /// The name of an image by this way.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// From now on. What has stopped breaks off.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many answers were not what the registry has.
    pub fn disturbed(&self) -> usize {
        self.disturbed.load(Ordering::SeqCst)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Of one connection.
struct Carried {
    modes: watch::Receiver<Mode>,
    disturbed: Arc<AtomicUsize>,
}

impl Carried {
    /// One request, and its answer. Then the connection is closed: the next request has one of its own.
    async fn carry(mut self, mut client: TcpStream, registry: SocketAddr) {
        let Some((head, more)) = read_head(&mut client).await else {
            // Docker asks in TLS first, and goes on without when this is the answer.
            let _gone = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            return;
        };
        let mode = *self.modes.borrow_and_update();
        let pulled = |what: &str| head.starts_with("GET ") && path(&head).contains(what);
        if mode == Mode::Missing && path(&head).contains("/manifests/") {
            self.count();
            let _gone = client.write_all(missing().as_bytes()).await;
            return;
        }
        let mode = if pulled("/blobs/") { mode } else { Mode::Pass };
        let Ok(mut server) = TcpStream::connect(registry).await else { return };
        let sent = async {
            server.write_all(closing(&head).as_bytes()).await?;
            server.write_all(&more).await
        };
        if sent.await.is_err() {
            return;
        }
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // It ends when either side does: HTTP needs no half-closed connections here.
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            _ = self.answer(&mut from_server, &mut to_client, mode) => {}
        }
    }

    fn count(&self) {
        self.disturbed.fetch_add(1, Ordering::SeqCst);
    }

    async fn answer(
        &mut self,
        server: &mut (impl AsyncRead + Unpin),
        client: &mut (impl AsyncWrite + Unpin),
        mode: Mode,
    ) -> std::io::Result<()> {
        if mode == Mode::Pass {
            return tokio::io::copy(server, client).await.map(drop);
        }
        let Some((head, mut body)) = read_head(server).await else { return Ok(()) };
        client.write_all(head.as_bytes()).await?;
        let (mut carried, mut is_changed) = (0, false);
        loop {
            if mode == Mode::Corrupt && !is_changed && !body.is_empty() {
                let middle = body.len() / 2;
                body[middle] ^= 1;
                is_changed = true;
                self.count();
            }
            if mode == Mode::Stall && carried + body.len() > STALLED_AFTER {
                client.write_all(&body[..STALLED_AFTER - carried]).await?;
                self.count();
                let _ended = self.modes.wait_for(|mode| *mode != Mode::Stall).await.map(|mode| *mode);
                return Ok(());
            }
            client.write_all(&body).await?;
            carried += body.len();
            body.resize(STALLED_AFTER, 0);
            match server.read(&mut body).await? {
                0 => return Ok(()),
                read => body.truncate(read),
            }
        }
    }
}

/// The head of a request or an answer, and what came with it; `None` when it is none of HTTP's.
async fn read_head(from: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    while read.len() < LONGEST_HEAD {
        if from.read_buf(&mut read).await.ok()? == 0 || !read.first()?.is_ascii_uppercase() {
            return None;
        }
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let more = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, more));
        }
    }
    None
}

/// The path of a request.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The same head, of a request that is the last of its connection.
fn closing(head: &str) -> String {
    let lines = head.trim_end().split("\r\n");
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut all: Vec<&str> = kept.collect();
    all.extend(["Connection: close", "", ""]);
    all.join("\r\n")
}

/// What a registry answers that does not have a manifest.
fn missing() -> String {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let length = body.len();
    let head = "HTTP/1.1 404 Not Found\r\nDocker-Distribution-Api-Version: registry/2.0\r\nConnection: close";
    format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_last_of_its_connection() {
        let head = "GET /v2/app/manifests/1 HTTP/1.1\r\nHost: a\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(path(head), "/v2/app/manifests/1");
        assert_eq!(closing(head), "GET /v2/app/manifests/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }

    #[tokio::test]
    async fn what_is_no_http_has_no_head() {
        let tls: &[u8] = &[0x16, 3, 1, 2, 0];
        assert_eq!(read_head(&mut &*tls).await, None);
        let whole: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nbody";
        assert_eq!(read_head(&mut &*whole).await, Some(("HTTP/1.1 200 OK\r\n\r\n".into(), b"body".into())));
        let cut: &[u8] = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(read_head(&mut &*cut).await, None);
    }
}
