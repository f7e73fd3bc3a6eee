//! Commands in containers and their logs on a real Docker Engine, over channels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::LIMIT;
use common::node::{Node, shell};
use trireme_dispatcher::{FromChannel, ToChannel};
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{Exec, Logs, Purpose as Wrapped, StdinEnd, TerminalSize, ToAgent};
use trireme_state::object::TaskStatus;
use trireme_types::TaskId;

const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

async fn open(node: &Node, purpose: Purpose) -> (ToChannel, FromChannel) {
    node.world.dispatcher.open(node.instance, Wrapped { purpose: Some(purpose) }).await.unwrap()
}

async fn next(from: &mut FromChannel) -> Option<Frame> {
    let frame = tokio::time::timeout(LIMIT, from.next()).await.expect("a frame in time").unwrap();
    frame.map(|frame| frame.frame.unwrap())
}

fn exec(task: TaskId, script: &str, terminal_size: Option<TerminalSize>) -> Purpose {
    Purpose::Exec(Exec {
        task_id: task.to_string(),
        container: "app".to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        terminal_size,
        stdin: true,
    })
}

/// Standard output, standard error, exit code.
async fn run(node: &Node, purpose: Purpose, input: &[u8]) -> (Vec<u8>, Vec<u8>, Option<i32>) {
    // A terminal whose input ends is one that was hung up.
    let terminal = matches!(&purpose, Purpose::Exec(exec) if exec.terminal_size.is_some());
    let (to, mut from) = open(node, purpose).await;
    assert!(matches!(next(&mut from).await, Some(Frame::ExecStarted(_))));
    let said = if terminal { 0 } else { 2 };
    for frame in
        [ToFrame::Stdin(input.to_vec().into()), ToFrame::StdinEnd(StdinEnd {})].into_iter().take(said)
    {
        to.send(ToAgent { frame: Some(frame) }).await;
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match next(&mut from).await.unwrap() {
            Frame::Stdout(bytes) => out.extend(bytes),
            Frame::Stderr(bytes) => err.extend(bytes),
            Frame::ExecEnd(end) => return (out, err, end.exit_code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn streams_stay_apart_and_a_terminals_bytes_are_taken_as_they_are() {
    let node = Node::start().await;
    let task = node.run(vec![shell("app", STAY)]);
    node.world.wait_status(task, TaskStatus::Running).await;
    let script = "cat; printf 'e\\0' >&2; exit 3";
    let (out, err, code) = run(&node, exec(task, script, None), b"\x01\x00in").await;
    assert_eq!((out.as_slice(), err.as_slice(), code), (&b"\x01\x00in"[..], &b"e\x00"[..], Some(3)));

    // What begins as a header of Docker's frames would, and a size that it is given from the first.
    let size = TerminalSize { rows: 31, columns: 97 };
    // Before the terminal has its size, busybox's stty complains.
    let script = "stty -echo -opost; until [ \"$(stty size 2>/dev/null)\" = '31 97' ]; do :; done; printf '\\1\\0\\0\\0\\377\\377\\377\\377x'; exit 4";
    let (out, err, code) = run(&node, exec(task, script, Some(size)), b"").await;
    assert_eq!((out.as_slice(), err.is_empty(), code), (&b"\x01\0\0\0\xff\xff\xff\xffx"[..], true, Some(4)));

    // It closes its output and runs on for a while.
    let (_, _, code) = run(&node, exec(task, "exec >&- 2>&-; sleep 1; exit 5", None), b"").await;
    assert_eq!(code, Some(5));
}

#[tokio::test]
async fn a_log_is_read_to_its_end() {
    let node = Node::start().await;
    let task = node.run(vec![shell("app", "for i in 1 2 3; do echo out $i; echo err $i >&2; done; sleep 1")]);
    node.world.wait_status(task, TaskStatus::Running).await;
    let logs =
        Logs { task_id: task.to_string(), container: "app".to_owned(), follow: true, ..Logs::default() };
    let (_to, mut from) = open(&node, Purpose::Logs(logs)).await;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match next(&mut from).await.unwrap() {
            Frame::LogLine(line) if line.stderr => err.extend(line.text),
            Frame::LogLine(line) => out.extend(line.text),
            Frame::LogEnd(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (out.as_slice(), err.as_slice()),
        (&b"out 1\nout 2\nout 3\n"[..], &b"err 1\nerr 2\nerr 3\n"[..])
    );
}
