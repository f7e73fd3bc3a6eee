//! How snapshots, and objects for the state hash, are laid out. The feature level chooses, so that nodes of different versions
//! have the same bytes for the same state.

use crate::FeatureLevel;

/// A layout. A new one is added with the feature level that brings it; none is ever changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Of the first level.
    V1,
    /// Objects of later levels follow those of the first in numbered sections, so that a new kind of object needs no new layout.
    V2,
    /// What a later release might bring: for trying an upgrade.
    #[cfg(feature = "next-level")]
    V3,
}

impl Layout {
    /// All that this binary knows.
    const ALL: &[Self] = &[
        Self::V1,
        Self::V2,
        #[cfg(feature = "next-level")]
        Self::V3,
    ];

    /// The layout of a level.
    pub fn of(level: FeatureLevel) -> Self {
        // The newest that the level has. A level above those that this binary supports never gets here: it stops before.
        let known = Self::ALL.iter().rev().find(|layout| layout.since() <= level);
        known.copied().unwrap_or(Self::V1)
    }

    /// The level from which it is written.
    const fn since(self) -> FeatureLevel {
        match self {
            Self::V1 => FeatureLevel::FIRST,
            Self::V2 => FeatureLevel::CONFIGURATION,
            #[cfg(feature = "next-level")]
            Self::V3 => FeatureLevel::LATEST,
        }
    }

    /// Its number in a snapshot's envelope.
    pub(super) const fn version(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            #[cfg(feature = "next-level")]
            Self::V3 => 3,
        }
    }

    pub(super) fn with_version(version: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|layout| layout.version() == version)
    }
}
