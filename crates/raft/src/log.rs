//! The log on disk: [`store`] is what openraft calls, [`keys`] the layout, [`flusher`] the one that syncs, [`mark`]
//! what a shortened disk is known by.

pub mod flusher;
pub(crate) mod keys;
pub mod mark;
pub mod store;
mod tail;
