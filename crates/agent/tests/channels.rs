//! Channels from a control node to an agent over real connections; containers are in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{LIMIT, Running, World, container, spec};
use trireme_agent::runtime::fake::FakeRuntime;
use trireme_dispatcher::{Broken, FromChannel, ToChannel, Unreachable};
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{Exec, Logs, Purpose as Wrapped, StdinEnd, ToAgent};
use trireme_state::object::TaskStatus;
use trireme_testkit::wait_for;
use trireme_types::{ContainerInstanceId, TaskId};

struct Node {
    world: World,
    agent: Running,
    instance: ContainerInstanceId,
    task: TaskId,
}

impl Node {
    /// A task that runs on an agent.
    async fn start() -> Self {
        let world = World::start().await;
        let agent = Running::with(world.config("a"), Arc::new(FakeRuntime::default()));
        let instance = world.instance("a").await;
        let mut app = container("app");
        app.environment = vec![("FAKE_LOG".to_owned(), "ready".to_owned())];
        let definition = world.define(spec(vec![app]));
        let task = world.place(instance, &definition, 1)[0];
        world.wait_status(task, TaskStatus::Running).await;
        Self { world, agent, instance, task }
    }

    async fn open(&self, purpose: Purpose) -> (ToChannel, FromChannel) {
        let purpose = Wrapped { purpose: Some(purpose) };
        self.world.dispatcher.open(self.instance, purpose).await.unwrap()
    }

    fn exec(&self, command: &[&str]) -> Purpose {
        Purpose::Exec(Exec {
            task_id: self.task.to_string(),
            container: "app".to_owned(),
            command: command.iter().copied().map(str::to_owned).collect(),
            terminal_size: None,
            stdin: true,
        })
    }
}

async fn next(from: &mut FromChannel) -> Result<Option<Frame>, Broken> {
    let frame = tokio::time::timeout(LIMIT, from.next()).await.expect("a frame in time")?;
    Ok(frame.map(|frame| frame.frame.unwrap()))
}

async fn say(to: &ToChannel, frame: ToFrame) {
    assert!(to.send(ToAgent { frame: Some(frame) }).await);
}

#[tokio::test]
async fn a_command_gets_its_input_and_its_output_and_end_come_back() {
    let node = Node::start().await;
    let (to, mut from) = node.open(node.exec(&["cat"])).await;
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::ExecStarted(_)))));
    // More than all buffers on the way hold together.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut said = sent.clone();
    let speaking = tokio::spawn(async move {
        while !said.is_empty() {
            let rest = said.split_off(said.len().min(60_000));
            say(&to, ToFrame::Stdin(said.into())).await;
            said = rest;
        }
        say(&to, ToFrame::StdinEnd(StdinEnd {})).await;
        to
    });
    let mut heard = Vec::new();
    let end = loop {
        match next(&mut from).await.unwrap().unwrap() {
            Frame::Stdout(bytes) => heard.extend(bytes),
            Frame::ExecEnd(end) => break end,
            other => panic!("{other:?}"),
        }
    };
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    assert_eq!(end.exit_code, Some(0));
    assert_eq!(next(&mut from).await, Ok(None));
    speaking.await.unwrap();
}

#[tokio::test]
async fn an_exit_code_and_a_refusal_are_told() {
    let node = Node::start().await;
    let (_to, mut from) = node.open(node.exec(&["exit", "3"])).await;
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::ExecStarted(_)))));
    match next(&mut from).await.unwrap().unwrap() {
        Frame::ExecEnd(end) => assert_eq!(end.exit_code, Some(3)),
        other => panic!("{other:?}"),
    }
    let logs = |container: &str| {
        let task_id = node.task.to_string();
        Purpose::Logs(Logs { task_id, container: container.to_owned(), ..Logs::default() })
    };
    let (_to, mut from) = node.open(logs("app")).await;
    match next(&mut from).await.unwrap().unwrap() {
        Frame::LogLine(line) => assert_eq!(line.text.as_ref(), b"ready\n"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::LogEnd(_)))));
    let (_to, mut from) = node.open(logs("other")).await;
    match next(&mut from).await.unwrap().unwrap() {
        Frame::Refusal(refusal) => assert!(refusal.reason.contains("no container other"), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(next(&mut from).await, Ok(None));
}

/// Agents have so many channels, and one that is given up makes room.
#[tokio::test]
async fn there_are_only_so_many_channels() {
    let node = Node::start().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(node.open(node.exec(&["cat"])).await);
    }
    let purpose = || Wrapped { purpose: Some(node.exec(&["cat"])) };
    let refused = node.world.dispatcher.open(node.instance, purpose()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, Unreachable::TooMany { most: 32, .. }), "{refused}");
    open.pop();
    wait_for("room for a channel", LIMIT, || async {
        let opened = node.world.dispatcher.open(node.instance, purpose()).await;
        opened.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_channel_ends_with_its_session() {
    let node = Node::start().await;
    let (_to, mut from) = node.open(node.exec(&["cat"])).await;
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::ExecStarted(_)))));
    let Node { world, agent, instance, task } = node;
    agent.kill().await;
    // Whether its stream breaks or ends is chance; the command's end was not told.
    match next(&mut from).await {
        Err(broken) => assert!(!broken.reason.is_empty()),
        told => assert!(matches!(told, Ok(None)), "{told:?}"),
    }
    wait_for("no session", LIMIT, || async {
        let logs = Logs { task_id: task.to_string(), ..Logs::default() };
        let purpose = Wrapped { purpose: Some(Purpose::Logs(logs)) };
        match world.dispatcher.open(instance, purpose).await {
            Err(Unreachable::NoSession) => Ok(()),
            other => Err(format!("{:?}", other.map(|_| ()))),
        }
    })
    .await;
}

/// What a slow reader does not take holds up nothing else: the session goes on, and with it the tasks.
#[tokio::test]
async fn a_reader_that_stands_still_holds_up_only_its_own_channel() {
    let node = Node::start().await;
    let (to, mut from) = node.open(node.exec(&["cat"])).await;
    // It is full when a frame finds no room for so long.
    let mut sent = 0_usize;
    while let Ok(true) = tokio::time::timeout(Duration::from_secs(1), to.send(stdin(vec![7; 60_000]))).await {
        sent += 60_000;
        assert!(sent < 64 << 20, "somebody holds without a limit what nobody reads");
    }
    let definition = node.world.define(spec(vec![container("b")]));
    let task = node.world.place(node.instance, &definition, 1)[0];
    node.world.wait_status(task, TaskStatus::Running).await;
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::ExecStarted(_)))));
    assert!(matches!(next(&mut from).await, Ok(Some(Frame::Stdout(_)))));
}

fn stdin(bytes: Vec<u8>) -> ToAgent {
    ToAgent { frame: Some(ToFrame::Stdin(bytes.into())) }
}
