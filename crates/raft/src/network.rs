//! Raft over gRPC: [`client`] is what openraft sends with, [`server`] what it is reached by, [`peers`] the
//! connections that both directions of control nodes share, [`twice`] an append over two of them, [`fence`] what keeps a cluster's incarnations apart.

pub mod client;
pub mod fence;
pub mod peers;
pub mod server;
mod twice;
