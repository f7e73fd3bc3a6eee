//! The queue to a decider, in two lines: what agents, controllers and operators want is decided before what API callers want.
//! A flood of API calls then delays no report, no replacement of a lost task, no loss of a machine. Both lines are bounded.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use trireme_state::{Actor, Proposal};

use super::flight::{Refusal, Reply};

/// Commands that wait in a line at most.
const LINE: usize = 4096;
/// Commands that are taken in before the decider looks at anything else.
const ROUND: usize = 256;
/// Places of a round that API callers get however much of the rest there is.
const USUAL_SHARE: usize = 32;

/// A command and where its answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    /// Boxed, for it is handed from queue to queue.
    pub proposal: Box<Proposal>,
    pub reply: Reply,
}

/// Whether a command goes before those of API callers.
pub(crate) fn is_urgent(proposal: &Proposal) -> bool {
    !matches!(proposal.actor, Actor::Principal(_))
}

/// Where commands are put.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    urgent: mpsc::Sender<Request>,
    usual: mpsc::Sender<Request>,
}

/// Where the decider takes them from.
#[derive(Debug)]
pub(crate) struct Requests {
    urgent: mpsc::Receiver<Request>,
    usual: mpsc::Receiver<Request>,
}

/// Both ends.
pub(crate) fn queue() -> (Queue, Requests) {
    let (urgent_sender, urgent) = mpsc::channel(LINE);
    let (usual_sender, usual) = mpsc::channel(LINE);
    (Queue { urgent: urgent_sender, usual: usual_sender }, Requests { urgent, usual })
}

impl Queue {
    /// Puts a command in its line; waits while that is full.
    pub(crate) async fn send(&self, request: Request) -> Result<(), Refusal> {
        let line = if is_urgent(&request.proposal) { &self.urgent } else { &self.usual };
        line.send(request).await.map_err(|_| Refusal::NotDeciding)
    }
}

impl Requests {
    /// The next command; `None` when nobody can ask any more.
    pub(crate) async fn recv(&mut self) -> Option<Request> {
        // Both ends of a queue go at once, but what is in the other line then is still to be taken.
        tokio::select! {
            biased;
            Some(request) = self.urgent.recv() => Some(request),
            Some(request) = self.usual.recv() => Some(request),
            else => None,
        }
    }

    /// Waits for commands and adds them, the urgent first. False when nobody can ask any more. Nothing is lost when it is
    /// dropped while it waits.
    pub(crate) async fn fill(&mut self, backlog: &mut VecDeque<Request>) -> bool {
        let Some(first) = self.recv().await else { return false };
        backlog.push_back(first);
        let mut room = ROUND;
        while room > USUAL_SHARE
            && let Ok(request) = self.urgent.try_recv()
        {
            backlog.push_back(request);
            room -= 1;
        }
        while room > 0
            && let Ok(request) = self.usual.try_recv()
        {
            backlog.push_back(request);
            room -= 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use trireme_state::Command;
    use trireme_types::RequestId;

    use super::*;

    fn request(number: usize, actor: Actor) -> Request {
        let request_id = RequestId::from_bits(number as u128);
        let proposal = Proposal { actor, request_id, key: None, command: Command::Reset };
        Request { proposal: Box::new(proposal), reply: oneshot::channel().0 }
    }

    #[tokio::test]
    async fn the_urgent_go_first_and_nobody_starves() {
        let (queue, mut requests) = queue();
        for number in 0..1_000 {
            queue.send(request(number, Actor::Principal("caller".to_owned()))).await.unwrap();
            queue.send(request(number, Actor::Operator)).await.unwrap();
        }
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let mut backlog = VecDeque::new();
            assert!(requests.fill(&mut backlog).await);
            assert!(backlog.len() <= ROUND + 1);
            let urgent = backlog.iter().take_while(|request| is_urgent(&request.proposal)).count();
            rounds.push((urgent, backlog.len() - urgent));
        }
        assert_eq!(rounds, [(225, 32); 4]);
        drop(queue);
        let mut left = VecDeque::new();
        while requests.fill(&mut left).await {}
        assert_eq!(left.len(), 2_000 - 4 * 257, "none is lost");
    }

    #[tokio::test]
    async fn a_flood_waits_at_the_door_of_its_own_line() {
        let (queue, mut requests) = queue();
        for number in 0..LINE {
            queue.send(request(number, Actor::Principal("caller".to_owned()))).await.unwrap();
        }
        let full = queue.send(request(LINE, Actor::Principal("caller".to_owned())));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), full).await.is_err());
        queue.send(request(0, Actor::Operator)).await.unwrap();
        assert!(is_urgent(&requests.recv().await.unwrap().proposal));
    }
}
