//! Pages of lists.

use super::{common, invalid};
use crate::error::{Error, Result};
use crate::page;

/// The key of the last item of the page before, from a token; `None` for the first page.
pub(super) fn after(list: &str, token: Option<&str>) -> Result<Option<String>> {
    let token = token.filter(|token| !token.is_empty());
    token.map(|token| page::key_of(list, token).ok_or_else(wrong_token)).transpose()
}

/// The token of the page after the item of that key.
pub(super) fn token(list: &str, key: &str) -> String {
    page::token_of(list, key)
}

pub(super) fn wrong_token() -> Error {
    common("InvalidNextToken", "The next token is not one of this list's.")
}

/// How many items a page has.
pub(super) fn size(asked: Option<i64>, default: usize) -> Result<usize> {
    let Some(asked) = asked else { return Ok(default) };
    let size = usize::try_from(asked).ok().filter(|size| (1..=100).contains(size));
    size.ok_or_else(|| invalid(format!("MaxRecords must be between 1 and 100, not {asked}.")))
}
