//! Pages of a list: an opaque token says where the next one starts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
        let mut rest = items.filter(beyond);
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let token = page.last().filter(|_| more).map(|last| write(self.operation, &key(last)));
        (page, token)
    }
}

/// The operation is part of the token: one list's token means nothing to another.
fn write(operation: Operation, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1/{operation}/{key}"))
}

fn read(operation: Operation, token: &str) -> Result<String> {
    let invalid = || Error::invalid("Invalid token.");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    text.strip_prefix(&format!("1/{operation}/")).map(str::to_owned).ok_or_else(invalid)
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
