//! AWS signature version 4: what a signed request says, and whether it is true.
//!
//! First [`Signed::parse`] reads who claims to have signed; the caller finds that access key's secret; then
//! [`Signed::verify`] computes the signature anew. Both the header form (`Authorization`) and the query form
//! (`X-Amz-Signature`, a presigned URL) are known.
//!
//! Reading order: [`request`](SignedRequest) (what is signed) · `canonical` (its canonical form) · `parse` · `verify` ·
//! `time` · [`Refusal`].

mod canonical;
mod parse;
mod refusal;
mod time;
mod verify;

pub use parse::{CredentialScope, Signed};
pub use refusal::{Refusal, RefusalKind};

/// The one algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An HTTP request as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path as sent, still encoded.
    pub path: &'a str,
    /// The query as sent, still encoded, without `?`.
    pub query: &'a str,
    /// Names (any case) and values, in the order sent. HTTP/2's `:authority` is to be given as `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> SignedRequest<'a> {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests;
