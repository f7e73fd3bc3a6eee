//! What is known of a cluster's nodes, made when it is asked for first: which of them are ready, which meet a requirement, which have a port
//! free, which an expression means, which have a task of a group. An expression costs the values that there are, not the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_state::State;
use trireme_state::object::{ClusterKey, DesiredStatus, Task, TaskStatus};
use trireme_types::capability::GPUS;
use trireme_types::{ContainerInstanceId, Port, Protocol, Zone};

use super::{Bits, Node, place_of};
use crate::expression::{Expression, Leaf, Subject, subject_values};
use crate::group::Group;
use crate::requirement::Requirement;

/// Answers of one kind that are kept.
const KEPT: usize = 1_024;

/// Places by a value.
type Places = BTreeMap<String, Vec<usize>>;

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    ready: Option<Arc<Bits>>,
    requirements: BTreeMap<(String, Option<String>), Arc<Bits>>,
    zones: BTreeMap<Zone, Arc<Bits>>,
    ports: BTreeMap<(Protocol, Port), Bits>,
    gpus: Option<Arc<Bits>>,
    values: BTreeMap<Subject, Places>,
    expressions: BTreeMap<String, Arc<Bits>>,
    /// Places of the state's tasks by their groups.
    groups: Places,
}

/// What a catalog is of.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub view: &'a State,
    pub nodes: &'a [Node],
    /// Where tasks were placed on the copy, by their groups.
    pub placed: &'a BTreeMap<String, Bits>,
}

impl Of<'_> {
    fn cluster(&self) -> Option<&ClusterKey> {
        self.nodes.first().map(|node| &node.instance().registration.cluster)
    }

    fn tasks_of_group(&self, group: &str) -> Vec<Arc<Task>> {
        self.cluster().map_or_else(Vec::new, |cluster| self.view.tasks_of_group(cluster, group))
    }

    fn place(&self, instance: ContainerInstanceId) -> Option<usize> {
        place_of(self.nodes, instance)
    }
}

/// The nodes that an expression means: those that have no task of the request's group from this request, and those that have.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub before: Arc<Bits>,
    pub after: Arc<Bits>,
}

/// How an expression sees the tasks of the request's own group.
#[derive(Clone, Copy)]
enum Own<'a> {
    /// As they are.
    There,
    /// As if each node had one.
    OnAll(&'a str),
    /// As if there were none.
    Nowhere(&'a str),
}

/// Makes room for one more.
fn bound<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    if map.len() >= KEPT {
        map.clear();
    }
}

impl Catalog {
    /// Nodes that take tasks at all.
    pub fn ready(&mut self, of: Of<'_>) -> Arc<Bits> {
        let is_ready = |node: &Node| node.is_active() && node.is_connected();
        self.ready.get_or_insert_with(|| Arc::new(Bits::of(of.nodes, is_ready))).clone()
    }

    /// Nodes that meet a requirement.
    pub fn requirement(&mut self, of: Of<'_>, requirement: &Requirement) -> Arc<Bits> {
        let key = (requirement.name.clone(), requirement.value.clone());
        bound(&mut self.requirements);
        let bits = || Arc::new(Bits::of(of.nodes, |node| requirement.is_met(node.instance())));
        self.requirements.entry(key).or_insert_with(bits).clone()
    }

    /// Nodes of a zone.
    pub fn zone(&mut self, of: Of<'_>, zone: &Zone) -> Arc<Bits> {
        bound(&mut self.zones);
        let bits = || Arc::new(Bits::of(of.nodes, |node| node.zone() == zone));
        self.zones.entry(zone.clone()).or_insert_with(bits).clone()
    }

    /// Nodes that have a port free.
    pub fn port(&mut self, of: Of<'_>, port: (Protocol, Port)) -> &Bits {
        bound(&mut self.ports);
        self.ports.entry(port).or_insert_with(|| Bits::of(of.nodes, |node| node.port_is_free(port)))
    }

    /// Nodes whose agents tell of GPUs, free or not. They are few where there are many nodes.
    pub fn gpus(&mut self, of: Of<'_>) -> Arc<Bits> {
        let tells = |node: &Node| node.instance().registration.attributes.contains_key(GPUS);
        self.gpus.get_or_insert_with(|| Arc::new(Bits::of(of.nodes, tells))).clone()
    }

    /// A task with these ports was placed.
    pub fn took(&mut self, place: usize, ports: &[(Protocol, Port)]) {
        for port in ports {
            if let Some(free) = self.ports.get_mut(port) {
                free.clear(place);
            }
        }
    }

    /// Nodes where a task of a group is that is to stay, those placed on the copy among them.
    pub fn holders(&self, of: Of<'_>, group: &str) -> Bits {
        let mut bits = of.placed.get(group).cloned().unwrap_or_else(|| Bits::none(of.nodes.len()));
        for task in of.tasks_of_group(group) {
            if task.desired_status == DesiredStatus::Running {
                of.place(task.instance).into_iter().for_each(|place| bits.set(place));
            }
        }
        bits
    }

    /// Nodes that an expression means. One that cannot be read means none.
    pub fn members(&mut self, of: Of<'_>, text: &str, group: &Group) -> Members {
        if group.is_unseen()
            && let Ok(expression) = Expression::parse(text)
            && expression.looks_at(&[Subject::TaskGroup, Subject::RunningTasksCount])
        {
            let before = Arc::new(self.means(of, &expression, Own::Nowhere(group.name())));
            return Members { after: before.clone(), before };
        }
        if let Some(known) = self.expressions.get(text) {
            return Members { before: known.clone(), after: known.clone() };
        }
        let Ok(expression) = Expression::parse(text) else {
            let none = Arc::new(Bits::none(of.nodes.len()));
            return Members { before: none.clone(), after: none };
        };
        let before = Arc::new(self.means(of, &expression, Own::There));
        if !expression.looks_at_groups() {
            bound(&mut self.expressions);
            self.expressions.insert(text.to_owned(), before.clone());
            return Members { after: before.clone(), before };
        }
        Members { before, after: Arc::new(self.means(of, &expression, Own::OnAll(group.name()))) }
    }

    fn means(&mut self, of: Of<'_>, expression: &Expression, own: Own<'_>) -> Bits {
        expression.fold(
            &mut |leaf| self.leaf(of, leaf, own),
            &|mut bits: Bits| {
                bits.invert();
                bits
            },
            &|mut left: Bits, right: Bits, both| {
                if both {
                    left.and(&right)
                } else {
                    left.or(&right)
                }
                left
            },
        )
    }

    fn leaf(&mut self, of: Of<'_>, leaf: &Leaf, own: Own<'_>) -> Bits {
        let now = of.view.clock();
        let mut bits = Bits::none(of.nodes.len());
        match (&leaf.subject, own) {
            (Subject::TaskGroup, Own::OnAll(group)) if leaf.passes(group, now) => {
                return Bits::all(of.nodes.len());
            }
            (Subject::TaskGroup, Own::Nowhere(group)) => {
                self.groups_that_pass(of, leaf, Some(group), &mut bits);
                return bits;
            }
            (Subject::TaskGroup, _) => {
                self.groups_that_pass(of, leaf, None, &mut bits);
                return bits;
            }
            (Subject::RunningTasksCount, Own::Nowhere(group)) => {
                let others = others_running(of, group).into_iter();
                let passing = others.filter(|(_, count)| leaf.passes(&count.to_string(), now));
                passing.for_each(|(place, _)| bits.set(place));
                return bits;
            }
            _ => {}
        }
        let values = self.values.entry(leaf.subject.clone()).or_insert_with(|| values(of, &leaf.subject));
        let passing = values.iter().filter(|(value, _)| leaf.passes(value, now));
        passing.flat_map(|(_, places)| places).for_each(|place| bits.set(*place));
        bits
    }

    fn groups_that_pass(&mut self, of: Of<'_>, leaf: &Leaf, but: Option<&str>, bits: &mut Bits) {
        let now = of.view.clock();
        let passes = |group: &str| but != Some(group) && leaf.passes(group, now);
        let groups: Vec<String> = match leaf.names() {
            Some(names) => names.into_iter().map(str::to_owned).collect(),
            None => {
                of.cluster().map_or_else(Vec::new, |cluster| of.view.groups_of_cluster(cluster).collect())
            }
        };
        for group in groups.into_iter().filter(|group| passes(group)) {
            let places = self.groups.entry(group).or_insert_with_key(|group| {
                let tasks = of.tasks_of_group(group);
                tasks.iter().filter_map(|task| of.place(task.instance)).collect()
            });
            places.iter().for_each(|place| bits.set(*place));
        }
        let placed = of.placed.iter().filter(|(group, _)| passes(group));
        placed.for_each(|(_, places)| bits.or(places));
    }
}

/// How many tasks run on each node that are not of a group.
fn others_running(of: Of<'_>, group: &str) -> Vec<(usize, u32)> {
    let mut counts: Vec<(usize, u32)> =
        of.nodes.iter().map(|node| (node.place(), node.load.running)).collect();
    for task in of.tasks_of_group(group).iter().filter(|task| task.last_status == TaskStatus::Running) {
        if let Some((_, count)) = of.place(task.instance).and_then(|place| counts.get_mut(place)) {
            *count = count.saturating_sub(1);
        }
    }
    counts
}

fn values(of: Of<'_>, subject: &Subject) -> Places {
    let mut places = Places::new();
    for node in of.nodes {
        subject_values(of.view, node.instance(), subject, |value| match places.get_mut(value) {
            Some(known) => known.push(node.place()),
            None => {
                places.insert(value.to_owned(), vec![node.place()]);
            }
        });
    }
    places
}
