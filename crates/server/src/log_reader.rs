//! How the API asks agents what they keep of logs: a channel for each question, through whichever control node has the agent's session.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use prost::Message;
use trireme_ecs_api::logs::LogNodes;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{QuestionEnd, StoredLogs, ToAgent};
use trireme_rpc::logs::{Answer, Question};
use trireme_types::ContainerInstanceId;

use crate::channels::Channels;

/// Bytes in a frame.
const FRAME_BYTES: usize = 64 << 10;
/// The longest answer: a page of events, and what surrounds them.
const LONGEST: usize = 16 << 20;

impl LogNodes for Channels {
    fn ask(
        &self,
        instance: ContainerInstanceId,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, String>> + Send + '_>> {
        Box::pin(ask(self, instance, question))
    }
}

async fn ask(
    channels: &Channels,
    instance: ContainerInstanceId,
    question: Question,
) -> Result<Answer, String> {
    let purpose = Purpose::StoredLogs(StoredLogs {});
    let (to, mut from) = channels.open(instance, purpose).await.map_err(|error| error.to_string())?;
    let mut encoded: Bytes = question.encode_to_vec().into();
    while !encoded.is_empty() {
        let part = encoded.split_to(encoded.len().min(FRAME_BYTES));
        if !to.send(ToAgent { frame: Some(ToFrame::Question(part)) }).await {
            break;
        }
    }
    let _in_time = to.send(ToAgent { frame: Some(ToFrame::QuestionEnd(QuestionEnd {})) }).await;
    let mut encoded = BytesMut::new();
    loop {
        let frame = from.next().await.map_err(|broken| broken.to_string())?;
        match frame.and_then(|message| message.frame) {
            Some(Frame::Answer(part)) if encoded.len() + part.len() <= LONGEST => {
                encoded.extend_from_slice(&part);
            }
            Some(Frame::AnswerEnd(_)) => {
                return Answer::decode(encoded.freeze()).map_err(|error| error.to_string());
            }
            Some(Frame::Refusal(refusal)) => return Err(refusal.reason),
            _ => return Err("the agent gave no whole answer".to_owned()),
        }
    }
}
