//! Far more calls than can be answered: requests that were signed beforehand, sent over many connections without a pause, by a
//! thread of their own. The clients here do what no client should: they heed no hint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trireme_testkit::hold;

/// After a connection that failed.
const PAUSE: Duration = Duration::from_millis(20);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest head of an answer.
const HEAD: usize = 8 << 10;

/// A signed call of ECS as it goes over the wire.
///
/// # Errors
/// It cannot be signed.
pub fn signed(key: &(String, String), host: &str, operation: &str, body: &str) -> Result<Vec<u8>> {
    let uri = format!("http://{host}/");
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let headers =
        [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str()), ("host", host)];
    let identity = Credentials::new(&key.0, &key.1, None, None, "chaos").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("ecs")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signable =
        SignableRequest::new("POST", &uri, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    let mut text = "POST / HTTP/1.1\r\n".to_owned();
    for (name, value) in headers.into_iter().chain(instructions.headers()) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    Ok(text.into_bytes())
}

/// Calls of one node.
pub struct Calls {
    /// Its address.
    pub address: String,
    /// What is sent, one after the other and then from the beginning.
    pub requests: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Calls {
    /// Of one node.
    pub fn new(address: String, requests: Vec<Vec<u8>>) -> Self {
        Self { address, requests, next: AtomicUsize::new(0) }
    }
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered 200.
    pub done: AtomicU64,
    /// Answered 429 with the name that SDKs know and a hint when to come again.
    pub shed: AtomicU64,
    /// Answered 429 without it.
    pub unhinted: AtomicU64,
    /// Answered otherwise.
    pub other: AtomicU64,
    /// Not answered: no connection, or it broke.
    pub broken: AtomicU64,
    /// The longest time without a 200, in milliseconds.
    pub longest_gap: AtomicU64,
    /// When the last 200 came, in milliseconds from the beginning.
    last: AtomicU64,
}

impl Counts {
    /// All that were answered.
    pub fn answered(&self) -> u64 {
        [&self.done, &self.shed, &self.unhinted, &self.other]
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .sum()
    }

    fn note(&self, answer: Result<Answer>, began: Instant) {
        let counter = match answer {
            Ok(Answer { status: 200, .. }) => {
                let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let last = self.last.fetch_max(now, Ordering::Relaxed);
                self.longest_gap.fetch_max(now.saturating_sub(last), Ordering::Relaxed);
                &self.done
            }
            Ok(Answer { status: 429, hinted: true }) => &self.shed,
            Ok(Answer { status: 429, .. }) => &self.unhinted,
            Ok(_) => &self.other,
            Err(_) => &self.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends for so long, over so many connections to each node.
///
/// # Errors
/// The thread cannot be started.
pub async fn pour(calls: Vec<Arc<Calls>>, connections: usize, time: Duration) -> Result<Arc<Counts>> {
    let counts = Arc::new(Counts::default());
    let counted = counts.clone();
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("flood".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.map(|runtime| runtime.block_on(send_all(calls, connections, time, counted)));
        let _gone = done.send(result);
    })?;
    ended.await.context("the flood's thread ended")??;
    Ok(counts)
}

async fn send_all(calls: Vec<Arc<Calls>>, connections: usize, time: Duration, counts: Arc<Counts>) {
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for calls in calls {
        for _ in 0..connections {
            senders.spawn(send(calls.clone(), began, time, counts.clone()));
        }
    }
    while senders.join_next().await.is_some() {}
    let left = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let gap = left.saturating_sub(counts.last.load(Ordering::Relaxed));
    counts.longest_gap.fetch_max(gap, Ordering::Relaxed);
}

async fn send(calls: Arc<Calls>, began: Instant, time: Duration, counts: Arc<Counts>) {
    let mut connection = None;
    while began.elapsed() < time {
        let number = calls.next.fetch_add(1, Ordering::Relaxed) % calls.requests.len();
        let answer = ask(&mut connection, &calls.address, &calls.requests[number]);
        let answer = tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| bail_late());
        if answer.is_err() {
            connection = None;
            hold(PAUSE).await;
        }
        counts.note(answer, began);
    }
}

fn bail_late() -> Result<Answer> {
    bail!("no answer in time")
}

#[derive(Debug)]
struct Answer {
    status: u16,
    hinted: bool,
}

/// Sends one call and reads the whole answer.
async fn ask(connection: &mut Option<TcpStream>, address: &str, request: &[u8]) -> Result<Answer> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connection.insert(stream)
        }
    };
    stream.write_all(request).await?;
    let mut read = Vec::with_capacity(1024);
    let end = loop {
        if stream.read_buf(&mut read).await? == 0 {
            bail!("the connection was closed");
        }
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD {
            bail!("a head without an end");
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').trim().parse::<usize>().ok())
    };
    let length = field("content-length").context("no length")?;
    let mut left = (end + 4 + length).saturating_sub(read.len());
    while left > 0 {
        read.clear();
        let more = stream.read_buf(&mut read).await?;
        if more == 0 {
            bail!("the connection was closed");
        }
        left = left.saturating_sub(more);
    }
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status")?;
    let hinted = field("retry-after").is_some() && head.contains("x-amzn-errortype: throttlingexception");
    if head.contains("connection: close") {
        *connection = None;
    }
    Ok(Answer { status, hinted })
}
