//! Defects on purpose. The seeded simulation is proved by finding each of them; no other build has them.
//!
//! A hook is `if planted::is("its-name")` at the place that the defect breaks. Without the feature `planted`, [`is`] is a
//! constant: the compiler takes the hook out. The list of names, with what each breaks, is in the simulation.

#[cfg(feature = "planted")]
mod chosen {
    use std::sync::OnceLock;

    static CHOSEN: OnceLock<String> = OnceLock::new();

    /// Chooses this process's defect. The first choice stays.
    pub fn choose(name: &str) {
        let _first_stays = CHOSEN.set(name.to_owned());
    }

    /// Whether the defect was chosen.
    pub fn is(name: &str) -> bool {
        CHOSEN.get().is_some_and(|chosen| chosen == name)
    }
}

#[cfg(feature = "planted")]
pub use chosen::{choose, is};

/// Whether a defect was chosen: never, in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}
