//! What can go wrong between an agent's message and the state.

use trireme_types::{IdError, NameError};

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name in it is not allowed.
    #[error("bad name in {field}")]
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An id in it is malformed.
    #[error("bad id in {field}")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// A value in it is out of range or missing.
    #[error("bad value in {field}")]
    Value {
        /// The field.
        field: &'static str,
    },
}

impl Error {
    /// The error with its cause, in one line.
    pub fn describe(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
