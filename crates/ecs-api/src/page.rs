//! Pages of a list: an opaque token says where the next one starts. It names a position among the keys, so that it holds while
//! objects come and go, and carries a checksum, so that one that was altered is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use trireme_ecs_model::Operation;

use crate::error::{Error, Result};

/// Which page is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    operation: Operation,
    /// The last item of the page before.
    after: Option<String>,
    size: usize,
}

impl Page {
    /// From a request's `nextToken` and `maxResults`. `default` is ECS's size for this operation.
    pub(crate) fn new(
        operation: Operation,
        token: Option<&str>,
        max_results: Option<i32>,
        default: usize,
    ) -> Result<Self> {
        let size = match max_results {
            None => default,
            Some(asked @ 1..=100) => usize::try_from(asked).unwrap_or(default),
            Some(asked) => {
                return Err(Error::invalid(format!("maxResults must be between 1 and 100, not {asked}.")));
            }
        };
        let after =
            token.filter(|token| !token.is_empty()).map(|token| read(operation, token)).transpose()?;
        Ok(Self { operation, after, size })
    }

    /// The key of the last item of the page before, if it is one of these.
    pub(crate) fn after<K: std::str::FromStr>(&self) -> Option<K> {
        self.after.as_deref()?.parse().ok()
    }

    /// This page of `items`, which come in the order of their keys, and the token of the next. Keys are unique. `descending`
    /// tells which way they go.
    pub(crate) fn take<T>(
        &self,
        items: impl Iterator<Item = T>,
        descending: bool,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let beyond = |item: &T| match &self.after {
            None => true,
            Some(after) if descending => key(item) < *after,
            Some(after) => key(item) > *after,
        };
        self.take_first(items.filter(beyond), &key)
    }

    /// The same of items that begin after the last of the page before ([`Page::after`]), in whatever order.
    pub(crate) fn take_first<T>(
        &self,
        mut rest: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let token = page.last().filter(|_| more).map(|last| write(self.operation, &key(last)));
        (page, token)
    }
}

const CHECKSUM: usize = 8;

/// The operation is part of it: one list's token means nothing to another.
fn checksum(list: &str, key: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    hash.update(b"trireme page 1/");
    hash.update(list);
    hash.update(b"/");
    hash.update(key);
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; CHECKSUM];
    first.copy_from_slice(&digest[..CHECKSUM]);
    first
}

/// The token of the page of a list that begins after the item of that key.
pub(crate) fn token_of(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode([&checksum(list, key.as_bytes())[..], key.as_bytes()].concat())
}

/// The key in a token; `None` if it is none of this list's.
pub(crate) fn key_of(list: &str, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sum, key) = bytes.split_first_chunk::<CHECKSUM>()?;
    if *sum != checksum(list, key) {
        return None;
    }
    String::from_utf8(key.to_vec()).ok()
}

fn write(operation: Operation, key: &str) -> String {
    token_of(operation.name(), key)
}

fn read(operation: Operation, token: &str) -> Result<String> {
    key_of(operation.name(), token).ok_or_else(|| Error::invalid("Invalid token."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_pages(items: &[&'static str], size: i32, descending: bool) -> Vec<Vec<&'static str>> {
        let (mut pages, mut token): (Vec<Vec<&str>>, Option<String>) = (Vec::new(), None);
        loop {
            let page = Page::new(Operation::ListClusters, token.as_deref(), Some(size), 100).unwrap();
            let (found, next) = page.take(items.iter().copied(), descending, |item| (*item).to_owned());
            pages.push(found);
            token = next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_join_to_the_whole() {
        assert_eq!(all_pages(&["a", "b", "c"], 2, false), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(all_pages(&["c", "b", "a"], 1, true), [vec!["c"], vec!["b"], vec!["a"]]);
        assert_eq!(all_pages(&["a", "b"], 2, false), [vec!["a", "b"]], "no empty page at the end");
        assert_eq!(all_pages(&[], 2, false), [Vec::<&str>::new()]);
    }

    #[test]
    fn a_token_that_was_altered_anywhere_is_refused() {
        let token = write(Operation::ListClusters, "clusters/web-1");
        assert_eq!(read(Operation::ListClusters, &token).unwrap(), "clusters/web-1");
        for at in 0..token.len() {
            let mut altered: Vec<u8> = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(read(Operation::ListClusters, &altered).is_err(), "{altered}");
        }
        assert!(read(Operation::ListClusters, "").is_err());
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        let token = write(Operation::ListTasks, "a");
        for (token, size) in
            [(Some(token.as_str()), None), (Some("?"), None), (None, Some(0)), (None, Some(101))]
        {
            let refused = Page::new(Operation::ListClusters, token, size, 100).unwrap_err();
            assert_eq!(refused.code.name(), "InvalidParameterException");
        }
    }
}
