//! `server leave`, `server remove`, `server transfer-leader`: what operators ask of whichever control node leads, by way of any.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use trireme_raft::Folder;
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::control::{HandoverRequest, LeaveRequest, StatusRequest, StatusResponse, leave_response};
use trireme_rpc::convert;

use crate::Error;

/// For a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For one call.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// A leader that moves, or dies, meanwhile is followed so many times: longer than it takes to elect another.
const HOPS: usize = 16;
const PAUSE: Duration = Duration::from_millis(500);

/// Removes the control node of a data folder from its cluster, by asking the control node at `peer`. The node itself is then
/// to be stopped and its data removed.
///
/// # Errors
/// The rest would have no living quorum, or no leader answers.
pub async fn leave(data: &Path, peer: &str) -> Result<u64, Error> {
    let identity = Folder::new(data).require_identity()?;
    let mut asked = Asked::new(peer);
    let status = asked.status().await?;
    if status.cluster_id != convert::cluster_to_bytes(identity.cluster) {
        return Err(asked.refused(format!("it belongs to another cluster than {}", data.display())));
    }
    if status.incarnation != identity.incarnation {
        let (theirs, own) = (status.incarnation, identity.incarnation);
        let reason = format!("its cluster lives as incarnation {theirs}, {} is of {own}", data.display());
        return Err(asked.refused(reason));
    }
    asked.remove(identity.node_id).await?;
    Ok(identity.node_id)
}

/// Removes a control node, dead or alive, by its number. One that is alive stops by itself.
///
/// # Errors
/// There is no such node, the rest would have no living quorum, or no leader answers.
pub async fn remove(node_id: u64, peer: &str) -> Result<(), Error> {
    let mut asked = Asked::new(peer);
    let status = asked.status().await?;
    if address_of(&status, node_id).is_none() {
        let known = status.members.iter().filter_map(|status| status.member.as_ref());
        let known: Vec<String> =
            known.map(|member| format!("{} ({}, {})", member.id, member.zone, member.peer_address)).collect();
        return Err(asked.refused(format!("there is no node {node_id}; there are {}", known.join(", "))));
    }
    asked.remove(node_id).await
}

/// Moves leadership to a certain voter, or to the one that is furthest; gives who leads then.
///
/// # Errors
/// It is no voter or not heard, it did not take over, or no leader answers.
pub async fn transfer_leader(to: Option<u64>, peer: &str) -> Result<u64, Error> {
    let mut asked = Asked::new(peer);
    for _ in 0..HOPS {
        let status = asked.status().await?;
        if to == Some(status.leader_id) {
            return Ok(status.leader_id);
        }
        if status.leader_id != status.node_id {
            asked.follow(address_of(&status, status.leader_id)).await;
            continue;
        }
        let request = HandoverRequest { cluster_id: asked.life(&status)?, to: to.unwrap_or(0) };
        let answer = asked.call(async |mut client| client.handover(request.clone()).await).await?;
        if answer.leader != status.node_id && answer.leader != 0 && to.is_none_or(|to| to == answer.leader) {
            return Ok(answer.leader);
        }
    }
    Err(asked.refused(
        "leadership did not get there: somebody else took over, or no control node leads".to_owned(),
    ))
}

fn address_of(status: &StatusResponse, node_id: u64) -> Option<String> {
    let members = status.members.iter().filter_map(|status| status.member.as_ref());
    members.into_iter().find(|member| member.id == node_id).map(|member| member.peer_address.clone())
}

/// The control node that is asked now.
struct Asked {
    /// Where the operator pointed.
    first: String,
    address: String,
}

impl Asked {
    fn new(peer: &str) -> Self {
        Self { first: peer.to_owned(), address: peer.to_owned() }
    }

    fn refused(&self, reason: String) -> Error {
        Error::Peer { address: self.address.clone(), reason }
    }

    /// The next one to ask is there; without an address, the first one again after a while.
    async fn follow(&mut self, address: Option<String>) {
        match address.filter(|address| !address.is_empty() && *address != self.address) {
            Some(address) => self.address = address,
            None => {
                self.address.clone_from(&self.first);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn dial(&self) -> Result<ControlClient<Channel>, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint.map_err(|error| self.refused(error.to_string()))?;
        match tokio::time::timeout(CONNECT_LIMIT, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(ControlClient::new(channel)),
            Ok(Err(_)) | Err(_) => Err(self.refused("no connection".to_owned())),
        }
    }

    /// A connection to whom is asked now. A leader that has just died is still named by others: the first one is asked again.
    async fn connect(&mut self) -> Result<ControlClient<Channel>, Error> {
        match self.dial().await {
            Err(_) if self.address != self.first => {
                self.follow(None).await;
                self.dial().await
            }
            dialled => dialled,
        }
    }

    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(ControlClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> Result<T, Error> {
        let client = self.connect().await?;
        let answered = tokio::time::timeout(CALL_LIMIT, call(client)).await;
        let answer = answered.map_err(|_| self.refused("no answer in time".to_owned()))?;
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(status.message().to_owned()))
    }

    async fn status(&mut self) -> Result<StatusResponse, Error> {
        self.call(async |mut client| client.status(StatusRequest {}).await).await
    }

    /// The life of the cluster that answers, as requests name it.
    fn life(&self, status: &StatusResponse) -> Result<Bytes, Error> {
        let cluster = convert::cluster_from_bytes(&status.cluster_id);
        let cluster = cluster.map_err(|error| self.refused(error.to_string()))?;
        Ok(convert::life_to_bytes(cluster, status.incarnation))
    }

    async fn remove(&mut self, node_id: u64) -> Result<(), Error> {
        let status = self.status().await?;
        let cluster_id = self.life(&status)?;
        for _ in 0..HOPS {
            let request = LeaveRequest { cluster_id: cluster_id.clone(), node_id };
            let answer = self.call(async |mut client| client.leave(request).await).await?;
            match answer.result {
                Some(leave_response::Result::Done(_)) => return Ok(()),
                Some(leave_response::Result::Refused(reason)) => return Err(self.refused(reason)),
                Some(leave_response::Result::NotLeader(other)) => self.follow(Some(other.peer_address)).await,
                None => self.follow(None).await,
            }
        }
        Err(self.refused("no control node leads".to_owned()))
    }
}
