//! How long a request's lists and texts may be. Whoever breaks a limit is told the member and the limit.

use crate::error::{Error, Result};

/// `words` name the list as ECS's message does: "Container instances".
pub(crate) fn not_empty<T>(words: &str, items: &[T]) -> Result<()> {
    if items.is_empty() {
        return Err(Error::invalid(format!("{words} cannot be empty.")));
    }
    Ok(())
}

/// At most `limit` items in the request's `member`.
pub(crate) fn items<T>(member: &str, items: &[T], limit: usize) -> Result<()> {
    if items.len() > limit {
        return Err(Error::invalid(format!("{member} can have at most {limit} items.")));
    }
    Ok(())
}

/// At most `limit` characters in the request's `member`.
pub(crate) fn characters(member: &str, text: Option<&str>, limit: usize) -> Result<()> {
    if text.is_some_and(|text| text.chars().count() > limit) {
        return Err(Error::invalid(format!("{member} can have at most {limit} characters.")));
    }
    Ok(())
}
