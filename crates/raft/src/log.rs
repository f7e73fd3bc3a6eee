//! The log on disk: [`store`] is what openraft calls, [`keys`] the layout, [`flusher`] the one that syncs.

pub mod flusher;
pub(crate) mod keys;
pub mod store;
mod tail;
