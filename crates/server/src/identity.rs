//! Which cluster a control node's data folder belongs to.

use std::path::Path;

use trireme_raft::Folder;

/// The cluster's identity, as containers are labelled with it; `None` when the folder is no control node's or cannot be read.
pub fn cluster_of(data: &Path) -> Option<String> {
    let identity = Folder::new(data).identity().ok().flatten()?;
    Some(identity.cluster.to_string())
}
