//! `trireme verify` of a running cluster: every control node checks what it keeps, slowly and beside its work.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use trireme_rpc::operator::VerifyResponse;

use crate::Error;
use crate::client::{self, ask_all, unreachable};
use crate::output;
use crate::target::TargetArgs;

/// For a node to read all that it keeps.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// What verifying one thing came to, as it is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What was verified.
    pub what: String,
    /// The last event up to which all was checked.
    pub sequence: u64,
    /// What was checked, a line each.
    pub checked: Vec<String>,
    /// What is wrong.
    pub problems: Vec<ShownProblem>,
    /// Why it could not be verified.
    pub error: Option<String>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownProblem {
    /// In which part.
    pub part: String,
    /// Where in it.
    pub place: String,
    /// What.
    pub reason: String,
    /// What to do.
    pub advice: String,
}

impl Shown {
    fn text(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{}: NOT VERIFIED: {error}", self.what);
        }
        let verdict = match self.problems.len() {
            0 => format!("sound up to event {}", self.sequence),
            1 => "DAMAGED: 1 problem".to_owned(),
            count => format!("DAMAGED: {count} problems"),
        };
        let mut lines = vec![format!("{}: {verdict}", self.what)];
        lines.extend(self.checked.iter().map(|line| format!("  {line}")));
        lines.extend(
            self.problems
                .iter()
                .map(|one| format!("  PROBLEM in the {}, {}: {}", one.part, one.place, one.reason)),
        );
        let mut advice: Vec<&str> = self.problems.iter().map(|one| one.advice.as_str()).collect();
        advice.dedup();
        lines.extend(advice.into_iter().map(|one| format!("  What to do: {one}")));
        lines.join("\n")
    }
}

/// Prints what was found.
///
/// # Errors
/// Something is wrong, or could not be verified.
pub fn show(all: &[Shown], json: bool) -> Result<(), Error> {
    if json {
        output::json(&all)?;
    } else {
        output::line(all.iter().map(Shown::text).collect::<Vec<_>>().join("\n"))?;
    }
    let problems = all.iter().map(|one| one.problems.len()).sum();
    let missing = all.iter().filter(|one| one.error.is_some()).count();
    if problems == 0 && missing == 0 { Ok(()) } else { Err(Error::Unsound { problems, missing }) }
}

/// Has every control node of a running cluster verify what it keeps.
///
/// # Errors
/// Something is wrong, a node could not be asked, or nobody answers.
pub async fn run(target: &TargetArgs, json: bool) -> Result<(), Error> {
    let answers = ask_all(&target.resolve()?).await;
    if answers.iter().all(|answer| answer.answer.is_err()) {
        return Err(unreachable(&answers));
    }
    let asked = answers.iter().map(|answer| async move {
        let address = &answer.node.address;
        let found = match &answer.answer {
            Ok(_) => client::verify(address, LIMIT).await,
            Err(reason) => Err(reason.clone()),
        };
        let id = answer.id().map_or_else(|| "control node".to_owned(), |id| format!("control node {id}"));
        of(format!("{id} at {address}"), found)
    });
    show(&join_all(asked).await, json)
}

fn of(what: String, found: Result<VerifyResponse, String>) -> Shown {
    match found {
        Err(error) => Shown { what, error: Some(error), ..Shown::default() },
        Ok(found) => {
            let problems = found.problems.into_iter().map(|one| ShownProblem {
                part: one.part,
                place: one.place,
                reason: one.reason,
                advice: one.advice,
            });
            let (sequence, checked) = (found.sequence, found.checked);
            Shown { what, sequence, checked, problems: problems.collect(), error: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_where_and_what_to_do() {
        let problem = |place: &str| ShownProblem {
            part: "history".to_owned(),
            place: place.to_owned(),
            reason: "the chain is broken".to_owned(),
            advice: "join anew".to_owned(),
        };
        let sound = Shown { what: "node 1".to_owned(), sequence: 7, ..Shown::default() };
        assert_eq!(sound.text(), "node 1: sound up to event 7");
        assert!(show(std::slice::from_ref(&sound), false).is_ok());
        let damaged = Shown { problems: vec![problem("event 3"), problem("event 5")], ..sound.clone() };
        let text = damaged.text();
        assert!(text.starts_with("node 1: DAMAGED: 2 problems\n"), "{text}");
        assert!(text.contains("PROBLEM in the history, event 3: the chain is broken"), "{text}");
        assert_eq!(text.matches("join anew").count(), 1, "{text}");
        assert!(matches!(
            show(&[sound.clone(), damaged], true),
            Err(Error::Unsound { problems: 2, missing: 0 })
        ));
        let away = Shown { error: Some("no connection".to_owned()), ..sound };
        assert!(matches!(show(&[away], false), Err(Error::Unsound { problems: 0, missing: 1 })));
    }
}
