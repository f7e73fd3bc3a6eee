//! One task: a pure machine that says what to do next (`step`), and what carries it out (`run`).

pub mod run;
pub mod step;
