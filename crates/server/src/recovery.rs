//! What an operator does with a control node that does not run: verify its data folder, and make it the one that the cluster
//! lives on from when the quorum is lost for good.

use std::path::Path;

use trireme_raft::recover::{self, Living, Outlook, Recovered};
use trireme_raft::verify::{self, Report};
use trireme_raft::{Folder, Settings};
use trireme_rpc::operator::{VerifyProblem, VerifyResponse};

use crate::Error;

/// Verifies the data folder of a control node that does not run. It is only read.
///
/// # Errors
/// It holds no node, or cannot be read.
pub fn verify_folder(data: &Path) -> Result<Report, Error> {
    Ok(verify::folder(&Folder::new(data))?)
}

/// Looks at the data folder of a control node that does not run. It is only read.
///
/// # Errors
/// It holds no node, or cannot be read.
pub fn look(data: &Path) -> Result<Outlook, Error> {
    Ok(recover::look(&Folder::new(data))?)
}

/// Makes the control node of this data folder the only voter of the next incarnation of its cluster. Others who answer may refuse
/// it, as `living` says.
///
/// # Errors
/// Others answer, and they are heeded; the folder is damaged or in use, a disk that fails.
pub async fn force_new_cluster(data: &Path, living: Living) -> Result<Recovered, Error> {
    Ok(recover::force(&Folder::new(data), &Settings::local(), living).await?)
}

/// A report as an operator is sent it.
pub(crate) fn to_wire(report: Report) -> VerifyResponse {
    let problems = report.problems.into_iter().map(|problem| VerifyProblem {
        part: problem.part.to_owned(),
        place: problem.place,
        reason: problem.reason,
        advice: problem.advice.to_owned(),
    });
    VerifyResponse {
        node_id: report.identity.node_id,
        sequence: report.position.sequence.get(),
        checked: report.checked,
        problems: problems.collect(),
    }
}
