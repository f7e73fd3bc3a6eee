//! The GPUs of a machine, as its agent tells of them: their ids with commas between them, in the machine's own order.

use std::collections::BTreeSet;

use crate::{GpuId, NameError};

/// GPUs that one machine may have.
pub const GPUS_PER_MACHINE: usize = 64;

/// The longest list, in characters.
pub const LIST_MAX_LEN: usize = GPUS_PER_MACHINE * (GpuId::MAX_LEN + 1);

/// Why a list of GPUs is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuListError {
    /// One of them has no id that can be told.
    #[error(transparent)]
    Id(#[from] NameError),
    /// The same one again: it would be given to two.
    #[error("the GPU {id} is listed twice")]
    Twice {
        /// Which one.
        id: GpuId,
    },
    /// More than one machine has.
    #[error("a machine can have at most {GPUS_PER_MACHINE} GPUs")]
    TooMany,
}

/// Checks a list of ids, which may be empty.
pub fn check<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Vec<GpuId>, GpuListError> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for id in ids {
        let id = GpuId::new(id)?;
        if !seen.insert(id.clone()) {
            return Err(GpuListError::Twice { id });
        }
        if all.len() >= GPUS_PER_MACHINE {
            return Err(GpuListError::TooMany);
        }
        all.push(id);
    }
    Ok(all)
}

/// Reads what [`list`] wrote. Nothing is the list of no GPU.
pub fn parse(text: &str) -> Result<Vec<GpuId>, GpuListError> {
    check(text.split(',').filter(|_| !text.is_empty()))
}

/// Ids as one text.
pub fn list(ids: &[GpuId]) -> String {
    let ids: Vec<&str> = ids.iter().map(GpuId::as_str).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let ids = parse("GPU-b,GPU-a,MIG-GPU-1/2/0").unwrap();
        assert_eq!(list(&ids), "GPU-b,GPU-a,MIG-GPU-1/2/0");
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn what_would_be_given_twice_or_not_be_found_is_refused() {
        let twice = GpuId::new("a").unwrap();
        assert_eq!(parse("a,b,a"), Err(GpuListError::Twice { id: twice }));
        assert!(matches!(parse("a,,b"), Err(GpuListError::Id(NameError::Empty { .. }))));
        assert!(matches!(parse("a b"), Err(GpuListError::Id(NameError::BadCharacter { .. }))));
        let many: Vec<String> = (0..=GPUS_PER_MACHINE).map(|number| number.to_string()).collect();
        assert_eq!(parse(&many.join(",")), Err(GpuListError::TooMany));
        assert!(matches!(parse(&"x".repeat(65)), Err(GpuListError::Id(NameError::TooLong { .. }))));
    }
}
