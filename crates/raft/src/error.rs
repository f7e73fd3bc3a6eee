//! The crate's errors.

use std::io;
use std::path::PathBuf;

use trireme_types::Sequence;

use trireme_state::FeatureLevel;

/// What can go wrong in a control node's Raft.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict each other.
    #[error("the Raft settings are not valid: {reason}")]
    Settings {
        /// openraft's words.
        reason: String,
    },
    /// The data folder cannot be read or written.
    #[error("cannot use the data folder {}", path.display())]
    Folder {
        /// The folder or the file in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data folder is damaged. A node never serves from it.
    #[error("the data folder {} is damaged: {reason}", path.display())]
    Damaged {
        /// The folder or the file in it.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// What was durable is not there any more: a part of the disk was lost or is an old copy. Such a node may have
    /// acknowledged what it does not know now, so it must never vote again.
    #[error("{found}, but {durable} was durable: the disk was shortened; remove this node and join it anew")]
    Shortened {
        /// What is there.
        found: String,
        /// What was there.
        durable: String,
    },
    /// The cluster uses features that this binary does not know.
    #[error(
        "the cluster is at feature level {cluster}, and this version of trireme supports {supported}: install a newer one"
    )]
    FeatureLevel {
        /// The cluster's level.
        cluster: FeatureLevel,
        /// The highest that this binary supports.
        supported: FeatureLevel,
    },
    /// The node was stopped because its state was another than that of a majority of the voters.
    #[error(
        "at event {sequence} this node held another state than a majority of the voters; remove it and join it anew"
    )]
    Differs {
        /// The last event in the state.
        sequence: Sequence,
    },
    /// The cluster lives on without this node: it was restored, or recovered from another node's log.
    #[error(
        "this node is of incarnation {own} of its cluster, which lives on as incarnation {later}: remove its data folder and join anew"
    )]
    Fenced {
        /// This node's incarnation.
        own: u64,
        /// The cluster's.
        later: u64,
    },
    /// The node does one of these at a time.
    #[error("another {what} is under way on this node")]
    Busy {
        /// Of what.
        what: String,
    },
    /// A file is not a sound backup. Nothing was done with it.
    #[error("the backup {} cannot be used: {reason}", path.display())]
    Backup {
        /// Which.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The data folder belongs to another cluster or node.
    #[error("the data folder {} belongs to {found}, not to {expected}", path.display())]
    WrongData {
        /// The folder.
        path: PathBuf,
        /// Whose data it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The data folder has no control node yet.
    #[error("the data folder {} holds no control node: run `trireme server init` once for a new cluster, or `trireme server join`", path.display())]
    NotInitialised {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder has a control node already.
    #[error("the data folder {} holds a control node already: {found}", path.display())]
    AlreadyInitialised {
        /// The folder.
        path: PathBuf,
        /// Which.
        found: String,
    },
    /// A peer at this address is not who it should be.
    #[error("the peer at {address} refused: {reason}")]
    WrongPeer {
        /// Where.
        address: String,
        /// Its words.
        reason: String,
    },
    /// A change of the membership was refused.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// No leader answered within the limit.
    #[error("no control node could do this within {seconds} s: {reason}")]
    NoLeader {
        /// The limit.
        seconds: u64,
        /// The last thing seen.
        reason: String,
    },
    /// The events that were asked for are no longer kept.
    #[error("event {asked} is no longer kept: the history begins at {first}")]
    Trimmed {
        /// What was asked for.
        asked: Sequence,
        /// The first event that is kept.
        first: Sequence,
    },
    /// The events that were asked for are kept, but neither here nor on a peer that answers.
    #[error("the history from {asked} on is not here, and no peer has it: {reason}")]
    Elsewhere {
        /// What was asked for.
        asked: Sequence,
        /// The last peer's words.
        reason: String,
    },
    /// Nothing of that number has happened yet, as far as this node knows.
    #[error("event {asked} has not happened: the last one that this node has applied is {last}")]
    NotYet {
        /// What was asked for.
        asked: Sequence,
        /// The last event.
        last: Sequence,
    },
    /// The history on this disk is damaged.
    #[error("the history cannot be read: {reason}")]
    History {
        /// What was found.
        reason: String,
    },
    /// Storage failed.
    #[error("storage failed")]
    Storage(#[source] io::Error),
    /// Raft has stopped for good; the process has to end.
    #[error("raft has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// An `io::Error` about data that are not what they should be.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
