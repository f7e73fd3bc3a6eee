//! The planted bugs: what each breaks, and the name under which the product hides it (`trireme_types::planted`).

/// A bug.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// What it breaks.
    pub what: &'static str,
}

const fn bug(name: &'static str, what: &'static str) -> Planted {
    Planted { name, what }
}

/// All of them.
pub const ALL: &[Planted] = &[
    bug("append-without-sync", "log entries count as durable before their sync"),
];
