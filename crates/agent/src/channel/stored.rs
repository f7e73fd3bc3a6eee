//! A question about what this agent keeps of logs, and its answer.

use prost::Message;
use tonic::Streaming;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{AnswerEnd, ToAgent};
use trireme_rpc::logs::Question;

use super::{Asked, FRAME_BYTES, Out};
use crate::logs::answer::answer;
use crate::runtime::inside::Denied;

/// The longest question: as many events as a client may send at once.
const LONGEST: usize = 4 << 20;

/// Answers one question.
pub(super) async fn run(asked: &Asked, out: &Out, inbound: &mut Streaming<ToAgent>) -> Result<(), Denied> {
    let store = asked.logs.clone().ok_or_else(|| Denied::because("this agent keeps no logs"))?;
    let mut encoded = Vec::new();
    loop {
        match inbound.message().await {
            Ok(Some(ToAgent { frame: Some(ToFrame::Question(part)) }))
                if encoded.len() + part.len() <= LONGEST =>
            {
                encoded.extend_from_slice(&part);
            }
            Ok(Some(ToAgent { frame: Some(ToFrame::QuestionEnd(_)) })) => break,
            Ok(Some(_)) => return Err(Denied::because("this is no question that can be answered")),
            // Nobody is interested any more.
            _ => return Ok(()),
        }
    }
    let question =
        Question::decode(encoded.as_slice()).map_err(|error| Denied::because(error.to_string()))?;
    let answered = tokio::task::spawn_blocking(move || answer(&store, question).encode_to_vec()).await;
    let mut answered: bytes::Bytes =
        answered.map_err(|_| Denied::because("the agent failed while it answered"))?.into();
    while !answered.is_empty() {
        let part = answered.split_to(answered.len().min(FRAME_BYTES));
        if out.send(Frame::Answer(part)).await.is_none() {
            return Ok(());
        }
    }
    let _nobody_reads = out.send(Frame::AnswerEnd(AnswerEnd {})).await;
    Ok(())
}
