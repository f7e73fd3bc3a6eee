//! A registry on loopback, Debian's `docker-registry`, and images that only this test has.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trireme_testkit::wait_for;

use super::LIMIT;
use super::node::docker;

/// `oars`, as the registry keeps it for the user `rower`.
const HASHED: &str = "rower:$2b$04$G5SwUvfG7HiJaqipupKJguF8eGnjzK/1MCXyURHy70i.XlgcpReQ6\n";
/// The same in a configuration of Docker's.
pub const RIGHT: &str = "cm93ZXI6b2Fycw==";
/// Bytes of an answer after which a stalling proxy says no more: more than a manifest, less than a layer.
const STALLED_AFTER: usize = 100_000;

/// A registry. It ends with the test, and so do the images that were made for it.
pub struct Registry {
    pub address: SocketAddr,
    process: Child,
    folder: TempDir,
    /// The client's configuration, when the registry is locked.
    client: Option<TempDir>,
}

impl Registry {
    /// Open to all.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// For the user `rower` with the password `oars` only.
    pub async fn locked() -> Self {
        let mut registry = Self::with("auth: {htpasswd: {realm: trireme, path: FOLDER/passwords}}\n").await;
        registry.client = Some(registry.credentials(RIGHT));
        registry
    }

    async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = folder.path().display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\nhttp: {{addr: '{address}'}}\n\
             storage: {{filesystem: {{rootdirectory: {path}/data}}, delete: {{enabled: true}}}}\n{}",
            more.replace("FOLDER", &path)
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        std::fs::write(folder.path().join("passwords"), HASHED).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self { address, process, folder, client: None };
        wait_for("the registry", LIMIT, || async move {
            TcpStream::connect(address).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
        registry
    }

    /// A reference to an image of this registry.
    pub fn name(&self, tag: &str) -> String {
        format!("{}/app:{tag}", self.address)
    }

    /// Makes an image and pushes it; what is in it depends on `content`. Nothing of it stays on the engine. Gives its digest.
    pub fn push(&self, tag: &str, content: &str) -> String {
        let name = self.name(tag);
        build(&name, content);
        let client = self.client.as_ref().map(|folder| folder.path().display().to_string());
        let mut push: Vec<&str> = client.iter().flat_map(|folder| ["--config", folder]).collect();
        push.extend(["push", &name]);
        let pushed = docker(&push);
        docker(&["rmi", &name]);
        let (_, digest) = pushed.rsplit_once("digest: ").expect("docker says what it pushed");
        digest.split_whitespace().next().unwrap().to_owned()
    }

    /// A configuration folder of Docker's with these credentials, in base64.
    pub fn credentials(&self, user_and_password: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let json = format!(r#"{{"auths": {{"{}": {{"auth": "{user_and_password}"}}}}}}"#, self.address);
        std::fs::write(folder.path().join("config.json"), json).unwrap();
        folder
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove_images(self.address);
    }
}

/// Removes what the engine has of a registry.
fn remove_images(address: SocketAddr) {
    let name = format!("{address}/app");
    for format in ["{{.Repository}}:{{.Tag}}", "{{.Repository}}@{{.Digest}}"] {
        let listed = Command::new("docker").args(["images", "--digests", "--format", format, &name]).output();
        let listed =
            listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for reference in listed.lines().filter(|line| !line.contains("<none>")) {
            let _ = Command::new("docker").args(["rmi", "-f", reference]).output();
        }
    }
}

/// Makes an image of this machine's busybox.
pub fn build(name: &str, content: &str) {
    let folder = tempfile::tempdir().unwrap();
    // A layer that does not compress: one that a proxy can stop in the middle of.
    let noise: Vec<u8> = (0..500_000).map(|_| rand::random::<u8>()).collect();
    std::fs::write(folder.path().join("noise"), noise).unwrap();
    let recipe = format!("FROM busybox:1\nCOPY noise /noise\nENV CONTENT={content}\n");
    std::fs::write(folder.path().join("Dockerfile"), recipe).unwrap();
    docker(&["build", "-q", "--force-rm", "-t", name, &folder.path().display().to_string()]);
}

/// A way to a registry on which the first long answers stop half-way.
pub struct Stalling {
    pub address: SocketAddr,
    /// Answers that stopped.
    pub stalled: Arc<AtomicUsize>,
}

impl Stalling {
    /// The first `times` long answers stop.
    pub async fn before(registry: SocketAddr, times: usize) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stalled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&stalled);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, registry, Arc::clone(&counted), times));
            }
        });
        Self { address, stalled }
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        remove_images(self.address);
    }
}

async fn carry(client: TcpStream, registry: SocketAddr, stalled: Arc<AtomicUsize>, times: usize) {
    let Ok(server) = TcpStream::connect(registry).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut buffer, mut carried) = (vec![0; 16 * 1024], 0);
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        carried += read;
        if carried > STALLED_AFTER && stalled.load(Ordering::SeqCst) < times {
            stalled.fetch_add(1, Ordering::SeqCst);
            // It keeps the connection, and says no more.
            let _ = tokio::time::timeout(Duration::from_secs(600), std::future::pending::<()>()).await;
        }
        if to_client.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
