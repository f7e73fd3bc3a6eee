//! Connections that hold back or send too much harm nobody else.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trireme_ecs_api::{BODY_LIMIT, Limits};

use crate::raw::{self, Answer, send};
use crate::server::Server;

/// Less than the 5 s after which the silent are let go. Who waits for room is refused after 500 ms: the status shows it.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long an answer may take. Had it waited for a body, it would be another one.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection that announces a body and sends a part of it.
async fn holding_back(server: &Server, announced: usize, sent: usize) -> TcpStream {
    let mut connection = TcpStream::connect(server.addr).await.unwrap();
    let target = "x-amz-target: AmazonEC2ContainerServiceV20141113.ListClusters";
    let host = server.addr;
    let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\n{target}\r\ncontent-length: {announced}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![b' '; sent]).await.unwrap();
    connection
}

async fn healthz(server: &Server) -> u16 {
    let request = Request::get(format!("{}/healthz", server.url())).body(Body::empty()).unwrap();
    send(request).await.status
}

/// Calls until the answer has this status.
async fn until<F: Future<Output = Answer>>(status: u16, call: impl Fn() -> F) -> Answer {
    let calling = async {
        loop {
            let answer = call().await;
            if answer.status == status {
                return answer;
            }
        }
    };
    tokio::time::timeout(LIMIT, calling).await.unwrap()
}

#[tokio::test]
async fn those_who_announce_much_and_send_nothing_take_nothing() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(holding_back(&server, BODY_LIMIT, 0).await);
    }
    // The server has read the heads by the time it has answered one that came after them.
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(healthz(&server).await, 200);
        assert!(began.elapsed() < AT_ONCE, "/healthz took {:?}", began.elapsed());
        let began = Instant::now();
        assert_eq!(raw::call(&server, "ListClusters", "{}").await.status, 200);
        assert!(began.elapsed() < AT_ONCE, "a call took {:?}", began.elapsed());
    }
    drop(silent);
}

#[tokio::test]
async fn what_is_announced_beyond_the_limit_is_refused_before_it_comes() {
    let server = Server::start().await;
    let mut connection = holding_back(&server, BODY_LIMIT + 1, 0).await;
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("RequestEntityTooLargeException"), "{answer}");
}

#[tokio::test]
async fn when_the_room_is_taken_calls_are_told_when_to_come_again() {
    let room = 64 * 1024;
    let server =
        Server::with_limits(Limits { body_bytes: room, beginning_bytes: 0, ..Limits::default() }).await;
    let greedy = holding_back(&server, BODY_LIMIT, room).await;
    let call = || {
        let target = "AmazonEC2ContainerServiceV20141113.ListClusters";
        let request = Request::post(server.url()).header("x-amz-target", target);
        send(request.header("content-type", "application/x-amz-json-1.1").body(Body::from("{}")).unwrap())
    };
    // Its bytes are on their way at first.
    let refused = until(429, call).await;
    assert_eq!(refused.error().1, "ThrottlingException");
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.headers.contains_key("x-amz-retry-after"));
    assert_eq!(healthz(&server).await, 200);
    drop(greedy);
    until(200, call).await;
}
