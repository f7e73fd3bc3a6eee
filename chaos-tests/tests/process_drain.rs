//! What a control node does from SIGTERM to its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use trireme_testkit::wait_for;

const API: &str = "127.0.0.1:29011";
const GRPC: &str = "127.0.0.1:29012";
const LIMIT: Duration = Duration::from_secs(20);

fn command(verb: Option<&str>, data: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(trireme_testkit::cluster::binary().unwrap());
    command.arg("server").args(verb).arg("--data").arg(data);
    command.args(["--zone", "us-east-1a", "--listen-api", API, "--listen-grpc", GRPC, "--timing", "local"]);
    command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Server {
    fn signal(&self) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }

    async fn ends(&mut self) {
        let well = wait_for("its end", LIMIT, || {
            let ended = self.0.try_wait().unwrap().map(|status| status.success());
            async move { ended.ok_or_else(|| "it runs".to_owned()) }
        });
        assert!(well.await, "it ended with an error");
    }
}

/// The head of the answer to `GET /healthz` on a connection that stays open.
fn health(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: {API}\r\n\r\n")?;
    let mut bytes = [0; 2048];
    let length = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).to_lowercase())
}

async fn says(status: &str) {
    wait_for(&format!("/healthz to say {status}"), LIMIT, || async {
        let answer = TcpStream::connect(API).and_then(|mut stream| health(&mut stream));
        match answer {
            Ok(answer) if answer.contains(status) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn it_says_so_first_and_then_ends() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("node");
    assert!(command(Some("init"), &data, &[]).status().unwrap().success());

    let mut server = Server(command(None, &data, &["--drain-seconds", "2"]).spawn().unwrap());
    says("200 ok").await;
    let mut kept = TcpStream::connect(API).unwrap();
    assert!(!health(&mut kept).unwrap().contains("connection: close"));
    let told = Instant::now();
    server.signal();
    says("503 service unavailable").await;
    let answer = health(&mut kept).unwrap();
    assert!(answer.contains("503") && answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("draining"), "{answer}");
    server.ends().await;
    assert!(told.elapsed() >= Duration::from_secs(2), "balancers have had no time to notice");

    let mut server = Server(command(None, &data, &["--drain-seconds", "600"]).spawn().unwrap());
    says("200 ok").await;
    server.signal();
    says("503 service unavailable").await;
    server.signal();
    server.ends().await;
}
