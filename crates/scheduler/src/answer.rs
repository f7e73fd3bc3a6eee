//! What every node says to a request: why it may not hold a task, or by what it was ranked. The same search that places gives the answers,
//! so that what is explained is what happens.

use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_types::{ContainerInstanceId, Zone};

use crate::explain::Refusal;
use crate::filter;
use crate::place::search::Search;
use crate::place::{Ask, Request};
use crate::rank::{Chain, Part};
use crate::view::{Node, Nodes};

/// One part of a node's score; of each the lower is better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScorePart {
    /// So many tasks of the group where an attribute has the node's value.
    Spread {
        /// The attribute.
        attribute: String,
        /// The node's value; `None`: it has none.
        value: Option<String>,
        /// The tasks, within the values of the spreads before.
        tasks: u64,
    },
    /// So many tasks of the group on the node.
    Instance {
        /// The tasks.
        tasks: u64,
    },
    /// So many cpu units are free.
    FreeCpu(u64),
    /// So much memory is free, in MiB.
    FreeMemory(u64),
    /// Among those that are equal so far, it is drawn by lot.
    Lot,
}

impl std::fmt::Display for ScorePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spread { attribute, value: Some(value), tasks } if attribute == ZONE_ATTRIBUTE => {
                write!(f, "{tasks} tasks in {value}")
            }
            Self::Spread { attribute, value: Some(value), tasks } => {
                write!(f, "{tasks} tasks with {attribute} {value}")
            }
            Self::Spread { attribute, value: None, tasks } => write!(f, "{tasks} tasks without {attribute}"),
            Self::Instance { tasks } => write!(f, "{tasks} tasks on it"),
            Self::FreeCpu(free) => write!(f, "{free} cpu units free"),
            Self::FreeMemory(free) => write!(f, "{free} MiB free"),
            Self::Lot => f.write_str("by lot"),
        }
    }
}

/// By what a node was ranked: the first part in which two nodes differ decides, and after all parts the lowest id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score(pub Vec<ScorePart>);

/// In one line, in the order of weight.
impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// What one node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may not hold the task.
    Refused {
        /// How many filters it passed before.
        passed: usize,
        /// The first refusal.
        refusal: Refusal,
    },
    /// It may, and ranks so.
    Scored(Score),
}

/// One node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAnswer {
    /// Which node.
    pub instance: ContainerInstanceId,
    /// Its operator's name for it.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
    /// What it says.
    pub answer: Answer,
    /// Whether it is the one that is chosen.
    pub chosen: bool,
}

/// What each node says to the last task of a request, by id. The copy holds the tasks before it then, and not the last one.
pub fn explain_all(nodes: &mut Nodes, request: &Request) -> Vec<NodeAnswer> {
    let chain = Chain::of(&request.rules.strategy);
    let mut search = Search::new(nodes, request, &chain);
    let before = request.count.saturating_sub(1);
    let placed = std::iter::from_fn(|| search.place()).take(before).count();
    let best = search.best().map(|(_, place)| place);
    let answers = search.answers().map(|(node, answer)| NodeAnswer {
        instance: node.id(),
        name: node.instance().registration.name.clone(),
        zone: node.zone().clone(),
        chosen: best == Some(node.place()),
        answer: match answer {
            Err((passed, refusal)) => Answer::Refused { passed, refusal },
            Ok(key) => Answer::Scored(score(&search, &chain, node, chain.read(&key))),
        },
    });
    let answers = answers.collect();
    let ask = search.finish();
    if placed > 0 {
        nodes.remember(request.group.name(), ask.placed());
    }
    answers
}

/// The nodes that may hold the first task of a request, by id.
pub fn fitting<'n>(nodes: &'n mut Nodes, request: &Request) -> Vec<&'n Node> {
    let ask = Ask::new(nodes, request);
    nodes.iter().filter(|node| filter::fits(node, &ask)).collect()
}

/// A part that says what one before it said already is left out.
fn score(search: &Search<'_>, chain: &Chain, node: &Node, parts: impl Iterator<Item = (Part, u64)>) -> Score {
    let mut said: Vec<Part> = Vec::new();
    let mut score = Vec::new();
    for (part, value) in parts {
        if said.contains(&part) {
            continue;
        }
        said.push(part);
        score.push(match part {
            Part::Spread(level) => {
                let attribute = chain.fields.get(level).cloned().unwrap_or_default();
                let of_node = search.value(node, &attribute).map(str::to_owned);
                ScorePart::Spread { attribute, value: of_node, tasks: value }
            }
            Part::Instance => ScorePart::Instance { tasks: value },
            Part::Cpu => ScorePart::FreeCpu(value),
            Part::Memory => ScorePart::FreeMemory(value),
            Part::Random => ScorePart::Lot,
        });
    }
    Score(score)
}
