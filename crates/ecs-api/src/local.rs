//! What a cluster without authentication lets in. Loopback alone does not keep web pages out: a page in a browser on this
//! machine can send requests here, and a name of its own can be made to point here (DNS rebinding). So a request is refused when
//! a page may have sent it (it has an `Origin`), or when it was sent to any other name than this machine's own.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

use crate::error::{Error, Result};

/// Refuses what a web page may have sent.
pub(crate) fn check(parts: &Parts) -> Result<()> {
    if parts.headers.contains_key(ORIGIN) {
        return Err(Error::access_denied(
            "A cluster without authentication takes no requests from web pages.",
        ));
    }
    let named =
        parts.headers.get_all(HOST).iter().map(|host| host.to_str().ok().and_then(|h| h.parse().ok()));
    let asked: Vec<Option<Authority>> = named.chain(parts.uri.authority().cloned().map(Some)).collect();
    let own = |host: &Option<Authority>| host.as_ref().is_some_and(|host| is_own(host.host()));
    if asked.is_empty() || !asked.iter().all(own) {
        return Err(Error::access_denied(
            "A cluster without authentication takes requests for localhost and loopback addresses only.",
        ));
    }
    Ok(())
}

/// Names under `localhost` always mean this machine (RFC 6761).
fn is_own(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names() {
        let asks = |host: &str| {
            let request = http::Request::post("/").header("host", host).body(()).unwrap();
            check(&request.into_parts().0).is_ok()
        };
        for own in
            ["localhost", "LOCALHOST:8080", "api.localhost:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"]
        {
            assert!(asks(own), "{own}");
        }
        for other in
            ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", ""]
        {
            assert!(!asks(other), "{other}");
        }
        let nowhere = http::Request::post("/").body(()).unwrap();
        assert!(check(&nowhere.into_parts().0).is_err());
        let two = http::Request::post("http://evil.example/").header("host", "localhost").body(()).unwrap();
        assert!(check(&two.into_parts().0).is_err());
    }
}
