//! Who takes the records: syslog (RFC 5424) over UDP or TCP (RFC 6587, octets counted), or HTTP (a POST of one JSON object a line).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use trireme_rpc::logs::Record;

use super::Batch;
use crate::logs::StreamName;

/// How long a batch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Facility user, severity informational.
const PRIORITY: u8 = 14;
/// RFC 5424: HOSTNAME, APP-NAME, PROCID.
const HOSTNAME: usize = 255;
const APP_NAME: usize = 48;
const PROC_ID: usize = 128;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The system says no.
    #[error("{to} cannot be reached")]
    Io {
        /// Who.
        to: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// HTTP says no.
    #[error("{to} says: {what}")]
    Http {
        /// Who.
        to: String,
        /// Its words.
        what: String,
    },
    /// It does not answer.
    #[error("{to} takes nothing within {} s", PATIENCE.as_secs())]
    Late {
        /// Who.
        to: String,
    },
}

/// Where records come from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The agent's name.
    pub agent: String,
    /// Its zone.
    pub zone: String,
    /// Its ECS cluster.
    pub cluster: String,
    /// Its region.
    pub region: String,
}

enum Way {
    Udp(Option<UdpSocket>),
    Tcp { connection: Option<TcpStream>, unsure: Vec<u8> },
    Http(Box<Client<HttpConnector, Full<Bytes>>>),
}

/// Who takes the records.
pub struct Sink {
    to: String,
    origin: Origin,
    way: Way,
}

impl Sink {
    /// By its address: `syslog://host:port`, `syslog+tcp://host:port` or `http://host:port/path`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn new(address: &str, origin: Origin) -> Result<Self, String> {
        let (scheme, rest) = address.split_once("://").ok_or_else(|| unknown(address))?;
        let host = |rest: &str| match rest.trim_end_matches('/').rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(format!("{host}:{port}"))
            }
            _ => Err(format!("`{address}` names no host and port")),
        };
        let (to, way) = match scheme {
            "syslog" | "syslog+udp" => (host(rest)?, Way::Udp(None)),
            "syslog+tcp" => (host(rest)?, Way::Tcp { connection: None, unsure: Vec::new() }),
            "http" => {
                address.parse::<Uri>().map_err(|error| format!("`{address}`: {error}"))?;
                let client = Client::builder(TokioExecutor::new()).build_http();
                (address.to_owned(), Way::Http(Box::new(client)))
            }
            _ => return Err(unknown(address)),
        };
        Ok(Self { to, origin, way })
    }

    /// Sends a batch. After an error all of it is to be sent again.
    ///
    /// # Errors
    /// Nobody took it.
    pub async fn send(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let to = self.to.clone();
        match tokio::time::timeout(PATIENCE, self.send_now(batch)).await {
            Ok(sent) => sent,
            Err(_) => {
                if let Way::Tcp { connection, .. } = &mut self.way {
                    *connection = None;
                }
                Err(SinkError::Late { to })
            }
        }
    }

    async fn send_now(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (to, origin) = (self.to.clone(), &self.origin);
        let lines = || {
            let each = |(stream, records): &(StreamName, Vec<Record>)| {
                let lines: Vec<String> = records.iter().map(|one| syslog(origin, stream, one)).collect();
                lines
            };
            batch.iter().flat_map(each)
        };
        match &mut self.way {
            Way::Udp(socket) => over_udp(socket, &to, lines())
                .await
                .map_err(|source| SinkError::Io { to: to.clone(), source }),
            Way::Tcp { connection, unsure } => {
                let mut frames = Vec::new();
                for line in lines() {
                    frames.extend_from_slice(format!("{} {line}", line.len()).as_bytes());
                }
                over_tcp(connection, unsure, &to, frames)
                    .await
                    .map_err(|source| SinkError::Io { to: to.clone(), source })
            }
            Way::Http(client) => {
                let failed = |what: String| SinkError::Http { to: to.clone(), what };
                let request = Request::post(to.as_str())
                    .header("content-type", "application/x-ndjson")
                    .body(Full::new(Bytes::from(json(origin, batch))))
                    .map_err(|error| failed(error.to_string()))?;
                let answer = client.request(request).await.map_err(|error| failed(error.to_string()))?;
                match answer.status() {
                    status if status.is_success() => Ok(()),
                    status => Err(failed(status.to_string())),
                }
            }
        }
    }
}

fn unknown(address: &str) -> String {
    format!("`{address}` is none of syslog://host:port, syslog+tcp://host:port and http://host:port/path")
}

async fn over_udp(
    socket: &mut Option<UdpSocket>,
    to: &str,
    lines: impl Iterator<Item = String>,
) -> io::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        None => {
            let address = tokio::net::lookup_host(to).await?.next().ok_or(io::ErrorKind::NotFound)?;
            let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let opened = UdpSocket::bind(own).await?;
            opened.connect(address).await?;
            socket.insert(opened)
        }
    };
    for line in lines {
        // What does not fit into a datagram is cut.
        let fits = line.floor_char_boundary(60_000);
        match socket.send(&line.as_bytes()[..fits]).await {
            // Nobody listened a moment ago. That is all that UDP ever says.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(error),
            sent => sent.map(drop)?,
        }
    }
    Ok(())
}

/// What was written last before a connection broke may not have arrived: it goes first over the next one.
async fn over_tcp(
    connection: &mut Option<TcpStream>,
    unsure: &mut Vec<u8>,
    to: &str,
    frames: Vec<u8>,
) -> io::Result<()> {
    if let Some(open) = connection
        && is_closed(open)
    {
        *connection = None;
    }
    let (stream, again) = match connection.take() {
        Some(open) => (open, false),
        None => (TcpStream::connect(to).await?, true),
    };
    // It is put back only when all is well.
    let mut stream = stream;
    if again && !unsure.is_empty() {
        stream.write_all(unsure).await?;
    }
    stream.write_all(&frames).await?;
    *unsure = frames;
    *connection = Some(stream);
    Ok(())
}

/// Syslog's receivers say nothing: what can be read is their end.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

fn syslog(origin: &Origin, stream: &StreamName, record: &Record) -> String {
    let millis = i64::try_from(record.at).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    format!(
        "<{PRIORITY}>1 {at:.3} {} {} {} - - {}",
        field(&origin.agent, HOSTNAME),
        field(&stream.group, APP_NAME),
        field(&stream.stream, PROC_ID),
        record.message
    )
}

/// As the header has it: printable, without spaces, so long at most.
fn field(text: &str, longest: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let field: String = text.chars().map(printable).take(longest).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}

fn json(origin: &Origin, batch: &Batch) -> String {
    let mut lines = String::new();
    for (stream, records) in batch {
        for record in records {
            let line = serde_json::json!({
                "timestamp": record.at,
                "message": record.message,
                "logGroup": stream.group,
                "logStream": stream.stream,
                "region": if stream.region.is_empty() { &origin.region } else { &stream.region },
                "cluster": origin.cluster,
                "zone": origin.zone,
                "agent": origin.agent,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["syslog://127.0.0.1:514", "syslog+tcp://[::1]:601", "http://127.0.0.1:1/logs"] {
            assert!(Sink::new(good, Origin::default()).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:514", "syslog://host", "https://host/", "syslog+tcp://:1"] {
            assert!(Sink::new(bad, Origin::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_of_syslog_has_its_header() {
        let origin = Origin { agent: "zone a/agent 1".into(), ..Origin::default() };
        let stream = StreamName { region: String::new(), group: "/web".into(), stream: "ecs/app/0f".into() };
        let record = Record { at: 1_500, message: "hé llo".into(), ..Record::default() };
        assert_eq!(
            syslog(&origin, &stream, &record),
            "<14>1 1970-01-01T00:00:01.500Z zone_a/agent_1 /web ecs/app/0f - - hé llo"
        );
    }
}
