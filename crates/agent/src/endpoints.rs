//! Which control node an agent asks next: those that it was started with, and those that the control plane has named since.

use tonic::transport::Endpoint;

/// More control nodes than this are not remembered.
const MOST: usize = 32;

/// Addresses (`host:port`) that can be dialled.
pub(crate) fn usable(addresses: Vec<String>) -> Vec<String> {
    let dialled = |address: &String| !address.is_empty() && Endpoint::from_shared(uri(address)).is_ok();
    addresses.into_iter().filter(dialled).take(MOST).collect()
}

/// Endpoints in the order in which they are tried: first what the operator named and the control plane names too, in the
/// operator's order; then the control plane's other nodes; last what only the operator named. When none of the operator's is
/// among the control plane's, agents may not reach it under the addresses that its nodes use among themselves: then the
/// operator's come first.
pub(crate) fn in_order(configured: &[String], named: &[String]) -> Vec<String> {
    let named: Vec<String> = named.iter().map(|address| uri(address)).collect();
    let is_named = |endpoint: &&String| named.iter().any(|one| one == endpoint.trim_end_matches('/'));
    let (both, only): (Vec<&String>, Vec<&String>) = configured.iter().partition(is_named);
    let known = |one: &&String| !both.iter().any(|endpoint| endpoint.trim_end_matches('/') == one.as_str());
    let others: Vec<&String> = named.iter().filter(known).collect();
    let order = if both.is_empty() { [only, others, both] } else { [both, others, only] };
    order.concat().into_iter().cloned().collect()
}

fn uri(address: &str) -> String {
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn nodes_that_left_are_tried_last_and_new_ones_after_the_operators_first_choice() {
        let configured = words("http://c:1 http://a:1 http://b:1/");
        assert_eq!(in_order(&configured, &[]), configured, "nothing is named yet");
        let order = in_order(&configured, &words("a:1 b:1 d:1"));
        assert_eq!(order, words("http://a:1 http://b:1/ http://d:1 http://c:1"));
    }

    #[test]
    fn addresses_that_nobody_was_given_do_not_come_before_those_that_were() {
        let order = in_order(&words("http://front:1"), &words("10.0.0.1:7100 10.0.0.2:7100"));
        assert_eq!(order, words("http://front:1 http://10.0.0.1:7100 http://10.0.0.2:7100"));
    }

    #[test]
    fn what_cannot_be_dialled_is_left_out() {
        let named = vec!["a:1".to_owned(), String::new(), "no port at all :".to_owned(), "b:2".to_owned()];
        assert_eq!(usable(named), words("a:1 b:2"));
        assert_eq!(usable(vec!["a:1".to_owned(); 100]).len(), MOST);
    }
}
