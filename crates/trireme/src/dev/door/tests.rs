//! The front door before control nodes that die, hang and refuse.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trireme_cli::cluster_file::{AgentSize, ClusterFile, ZoneFile};

use super::{Door, Nodes};

/// What a node does with a request that is not a question after its health.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Answers,
    /// It reads the request and is gone.
    Dies,
    /// It reads the request and says nothing; nor to questions after its health from then on.
    Hangs,
}

type Seen = Arc<Mutex<Vec<String>>>;

struct FakeNode {
    address: String,
    seen: Seen,
}

async fn node(leads: bool, manner: Manner) -> FakeNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let heard = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, leads, manner, heard.clone()));
        }
    });
    FakeNode { address, seen }
}

async fn serve(mut stream: TcpStream, leads: bool, manner: Manner, seen: Seen) {
    while let Some(request) = read_request(&mut stream).await {
        let body = if request.starts_with("GET /healthz") {
            if manner == Manner::Hangs && !seen.lock().unwrap().is_empty() {
                std::future::pending::<()>().await;
            }
            format!("{{\"leads\":{leads}}}")
        } else {
            seen.lock().unwrap().push(request);
            match manner {
                Manner::Answers => "done".to_owned(),
                Manner::Dies => return,
                Manner::Hangs => std::future::pending().await,
            }
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A request as text; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut part = [0_u8; 4096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&part[..count]);
        let so_far = String::from_utf8_lossy(&text).to_lowercase();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
            return Some(String::from_utf8(text).unwrap());
        }
    }
}

/// A front door before these nodes; its address.
async fn door(nodes: &[&FakeNode]) -> String {
    let zone = |node: &&FakeNode| ZoneFile {
        name: node.address.clone(),
        api: node.address.clone(),
        grpc: node.address.clone(),
        agent_metrics: Vec::new(),
    };
    let cluster = ClusterFile {
        format: 1,
        front_door: String::new(),
        front_door_grpc: String::new(),
        runtime: "fake".to_owned(),
        auth: "off".to_owned(),
        agent: AgentSize { cpu_units: 1, memory_mib: 1, instances: 1 },
        managed_agents: 0,
        scaling_hook: None,
        zones: nodes.iter().map(zone).collect(),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let door = Door::bind(any, any).await.unwrap();
    let address = door.http.local_addr().unwrap().to_string();
    let watched = Nodes::watch(&cluster);
    door.open(&watched);
    let until = Instant::now() + Duration::from_secs(10);
    while !watched.in_order().iter().all(|node| node.is_up()) {
        assert!(Instant::now() < until, "the nodes are not seen");
        tokio::task::yield_now().await;
    }
    address
}

async fn post(address: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: me.example\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A refusal may come before all of it is sent.
    let _refused_early = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[tokio::test]
async fn what_a_dead_node_did_not_answer_goes_to_another_as_it_was() {
    let (dies, lives) = (node(true, Manner::Dies).await, node(false, Manner::Answers).await);
    let address = door(&[&dies, &lives]).await;
    let answer = post(&address, "X-Signed: as it came\r\n", b"{\"a\":1}").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    let (first, second) = (dies.seen.lock().unwrap()[0].clone(), lives.seen.lock().unwrap()[0].clone());
    for name in ["amz-sdk-invocation-id", "host", "x-signed"] {
        assert!(header(&first, name).is_some(), "{first}");
        assert_eq!(header(&first, name), header(&second, name), "{name}");
    }
    assert_eq!(header(&second, "host"), Some("me.example"), "the client signed it");
    assert!(second.ends_with("{\"a\":1}"));
}

#[tokio::test]
async fn a_clients_own_invocation_id_is_kept() {
    let lives = node(true, Manner::Answers).await;
    let address = door(&[&lives]).await;
    post(&address, "amz-sdk-invocation-id: mine\r\n", b"{}").await;
    assert_eq!(header(&lives.seen.lock().unwrap()[0], "amz-sdk-invocation-id"), Some("mine"));
}

#[tokio::test]
async fn a_node_that_hangs_does_not_hang_the_door() {
    let (hangs, lives) = (node(true, Manner::Hangs).await, node(false, Manner::Answers).await);
    let address = door(&[&hangs, &lives]).await;
    let began = Instant::now();
    let answer = post(&address, "", b"{}").await;
    assert!(answer.ends_with("done"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_ecss_form() {
    let lives = node(true, Manner::Answers).await;
    let address = door(&[&lives]).await;
    let answer = post(&address, "", &vec![b'a'; (1 << 20) + 1]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("RequestEntityTooLargeException"), "{answer}");
    assert!(header(&answer, "x-amzn-requestid").is_some(), "{answer}");
    assert_eq!(header(&answer, "x-amzn-errortype"), Some("RequestEntityTooLargeException"));
    assert_eq!(lives.seen.lock().unwrap().len(), 0);
}
