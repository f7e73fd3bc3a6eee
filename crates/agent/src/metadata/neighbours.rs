//! The other agents of this machine: each has a socket in one folder, where it answers for its own containers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};

/// Only root can look into it: what comes through these sockets is trusted with the source's address.
const FOLDER: &str = "/run/trireme/metadata";
/// The header with the address from which a container asks.
pub(super) const SOURCE: &str = "x-trireme-source";
/// Agents on one machine that are asked.
const MOST: usize = 64;
const LIMIT: Duration = Duration::from_secs(12);
const BODY_BYTES: usize = 4 << 20;

/// The other agents.
#[derive(Debug)]
pub(super) struct Neighbours {
    folder: PathBuf,
    /// This agent's own socket.
    own: PathBuf,
}

impl Default for Neighbours {
    fn default() -> Self {
        let own = format!("{:032x}.sock", rand::random::<u128>());
        Self { folder: FOLDER.into(), own: Path::new(FOLDER).join(own) }
    }
}

impl Neighbours {
    /// Listens for the others.
    ///
    /// # Errors
    /// The folder or the socket cannot be made.
    pub(super) fn listen(&self) -> std::io::Result<UnixListener> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // The folder may have been there before, made by somebody else.
        std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(0o700))?;
        UnixListener::bind(&self.own)
    }

    /// What one of the others says, if one of them knows the container.
    pub(super) async fn ask(&self, request: &Request<Bytes>, source: IpAddr) -> Option<Response<Bytes>> {
        for socket in self.sockets() {
            match tokio::time::timeout(LIMIT, ask_one(&socket, request, source)).await {
                Ok(Ok(response)) if response.status() == StatusCode::NOT_FOUND => {}
                Ok(Ok(response)) => return Some(response),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    // Its agent was killed. Nobody else removes it.
                    let _gone_already = std::fs::remove_file(&socket);
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, socket = %socket.display(), "another agent does not answer")
                }
                Err(_) => {
                    tracing::debug!(socket = %socket.display(), "another agent does not answer in time")
                }
            }
        }
        None
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| *path != self.own).take(MOST).collect()
    }
}

/// Nobody else takes the socket away before they find that nobody listens.
impl Drop for Neighbours {
    fn drop(&mut self) {
        let _never_made = std::fs::remove_file(&self.own);
    }
}

async fn ask_one(
    socket: &Path,
    request: &Request<Bytes>,
    source: IpAddr,
) -> std::io::Result<Response<Bytes>> {
    let other = std::io::Error::other::<Box<dyn std::error::Error + Send + Sync>>;
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| other(error.into()))?;
    let talking = tokio::spawn(connection);
    let asked = Request::builder()
        .method(request.method())
        .uri(request.uri().path())
        .header(http::header::HOST, "neighbour")
        .header(SOURCE, source.to_string())
        .body(Full::new(request.body().clone()))
        .map_err(|error| other(error.into()))?;
    let answered = async {
        let (parts, body) =
            sender.send_request(asked).await.map_err(|error| other(error.into()))?.into_parts();
        let body = Limited::new(body, BODY_BYTES).collect().await.map_err(other)?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    let answered = answered.await;
    talking.abort();
    answered
}
