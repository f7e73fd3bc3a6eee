//! Faults against real processes.
