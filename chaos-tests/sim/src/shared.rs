//! What the hosts of one simulation and the harness around them share. Everything is on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use crate::agent::AgentHost;
use crate::control::ControlHost;
use crate::load::Load;
use crate::plan::Plan;
use crate::record::Record;

/// What the clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The cluster comes up.
    Setup,
    /// Work.
    Work,
    /// End what is under way, then rest.
    Rest,
}

/// The shared part.
pub struct Shared {
    /// The plan.
    pub plan: Plan,
    /// What tasks use.
    pub load: Arc<Load>,
    /// What the clients are to do.
    pub phase: Cell<Phase>,
    /// The first client has made what the others need.
    pub prepared: Cell<bool>,
    /// No fault is there any more, and none will come.
    pub faults_over: Cell<bool>,
    /// Clients that rest.
    pub resting: RefCell<BTreeSet<u64>>,
    /// What the clients were told.
    pub record: RefCell<Record>,
    /// Control nodes that were started so far, by number.
    pub controls: RefCell<Vec<Rc<ControlHost>>>,
    /// Agents, by number.
    pub agents: RefCell<Vec<Rc<AgentHost>>>,
    /// Numbers of control nodes that left the cluster or are about to.
    pub left: RefCell<BTreeSet<u64>>,
    /// Ids of control nodes that somebody asked to remove.
    pub leaving: RefCell<BTreeSet<u64>>,
    /// What a last look at whether all nodes serve came to.
    pub served: RefCell<Option<Result<(), String>>>,
}

impl Shared {
    /// Nothing runs yet.
    pub fn new(plan: Plan) -> Rc<Self> {
        Rc::new(Self {
            load: Load::new(plan.seed),
            plan,
            phase: Cell::new(Phase::Setup),
            prepared: Cell::new(false),
            faults_over: Cell::new(false),
            resting: RefCell::default(),
            record: RefCell::default(),
            controls: RefCell::default(),
            agents: RefCell::default(),
            left: RefCell::default(),
            leaving: RefCell::default(),
            served: RefCell::new(None),
        })
    }

    /// Control nodes that belong to the cluster.
    pub fn members(&self) -> Vec<Rc<ControlHost>> {
        let left = self.left.borrow();
        self.controls.borrow().iter().filter(|host| !left.contains(&host.number)).cloned().collect()
    }

    /// The names of nodes whose API clients use.
    pub fn api_nodes(&self) -> Vec<String> {
        self.members().iter().map(|host| host.name()).collect()
    }
}
