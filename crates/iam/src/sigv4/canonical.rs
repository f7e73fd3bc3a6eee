//! The canonical form of a request: what both sides hash.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::SignedRequest;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same, in a path.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// The canonical request. `signed_headers` are lower-case and sorted.
pub(super) fn request(
    request: &SignedRequest<'_>,
    signed_headers: &[String],
    query: &str,
    payload_hash: &str,
) -> String {
    let mut text = format!("{}\n{}\n{query}\n", request.method, path(request.path));
    for name in signed_headers {
        text.push_str(name);
        text.push(':');
        text.push_str(&header_value(request, name));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(payload_hash);
    text
}

/// All values of a header, trimmed, runs of spaces made one, joined by commas.
fn header_value(request: &SignedRequest<'_>, name: &str) -> String {
    let values = request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let tidy =
        |value: &str| value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    values.map(|(_, value)| tidy(value)).collect::<Vec<_>>().join(",")
}

/// The path without `.`, `..` and empty segments, each segment encoded once more (every service but S3 does so).
fn path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut text = String::from("/");
    text.push_str(&segments.join("/"));
    let is_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if is_folder && !segments.is_empty() {
        text.push('/');
    }
    utf8_percent_encode(&text, RESERVED_IN_PATH).to_string()
}

/// The query's parameters, decoded.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The parameters encoded and sorted, without the signature itself.
pub(super) fn query(parameters: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let mut encoded: Vec<(String, String)> = parameters
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    encoded.sort();
    encoded.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
