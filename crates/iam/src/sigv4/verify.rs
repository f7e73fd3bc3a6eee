//! Whether a signature is true: for this service, of this time, over what must be signed, and made with the secret.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use trireme_types::Timestamp;

use super::{ALGORITHM, Refusal, Signed, SignedRequest, canonical, time};

/// How far a signature's time may be from ours, either way.
const SKEW: Duration = Duration::from_secs(15 * 60);

impl Signed {
    /// Computes the signature anew from `secret` and compares.
    ///
    /// # Errors
    /// When it is for another service, too old or too new, leaves out what must be signed, or does not fit.
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        secret: &str,
        service: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        self.check_scope(service)?;
        self.check_time(now)?;
        self.check_signed_headers(request)?;
        let payload_hash = canonical::sha256_hex(request.body);
        // Some clients send the hash too. Any other value, UNSIGNED-PAYLOAD included, is not this body's.
        if request.header("x-amz-content-sha256").is_some_and(|claimed| claimed != payload_hash) {
            return Err(Refusal::mismatch());
        }
        let canonical = canonical::request(request, &self.signed_headers, &self.query, &payload_hash);
        let expected = signature(secret, &self.scope_parts(), &self.string_to_sign(&canonical));
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(Refusal::mismatch())
        }
    }

    pub(super) fn string_to_sign(&self, canonical: &str) -> String {
        let hash = canonical::sha256_hex(canonical.as_bytes());
        format!("{ALGORITHM}\n{}\n{}\n{hash}", self.at_text, self.scope)
    }

    fn scope_parts(&self) -> [&str; 4] {
        [&self.scope.date, &self.scope.region, &self.scope.service, &self.scope.terminator]
    }

    fn check_scope(&self, service: &str) -> Result<(), Refusal> {
        let scope = &self.scope;
        if scope.terminator != "aws4_request" {
            return Err(Refusal::invalid(format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'.",
                scope.terminator
            )));
        }
        if scope.service != service {
            return Err(Refusal::invalid(format!(
                "Credential should be scoped to correct service: '{service}'."
            )));
        }
        if scope.region.is_empty() {
            return Err(Refusal::invalid("Credential should be scoped to a valid region."));
        }
        // The time was read, so its first eight characters are there.
        let date = self.at_text.get(..8).unwrap_or_default();
        if scope.date != date {
            return Err(Refusal::invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{date}', from '{}'.",
                scope.date, self.at_text
            )));
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Refusal> {
        let at = &self.at_text;
        let now_text = time::format(now);
        let latest = now.plus(SKEW);
        if self.at > latest {
            return Err(Refusal::invalid(format!(
                "Signature not yet current: {at} is still later than {} ({now_text} + 15 min.)",
                time::format(latest)
            )));
        }
        let (good_for, in_words) = match self.expires {
            Some(seconds) => (Duration::from_secs(seconds), format!("{seconds} s")),
            None => (SKEW, "15 min.".to_owned()),
        };
        if now.since(self.at) > good_for {
            let earliest = Timestamp::from_millis(
                now.millis().saturating_sub(u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX)),
            );
            return Err(Refusal::invalid(format!(
                "Signature expired: {at} is now earlier than {} ({now_text} - {in_words})",
                time::format(earliest)
            )));
        }
        Ok(())
    }

    /// The host and the operation must be signed: else a signature for one call would do for another.
    fn check_signed_headers(&self, request: &SignedRequest<'_>) -> Result<(), Refusal> {
        let signed = |name: &str| self.signed_headers.iter().any(|header| header == name);
        if !signed("host") {
            return Err(Refusal::invalid(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        for name in ["X-Amz-Target", "X-Amz-Security-Token"] {
            if request.header(name).is_some() && !signed(&name.to_ascii_lowercase()) {
                return Err(Refusal::invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        // In the header form the time comes from a header, which then must be signed too.
        let time_header = ["x-amz-date", "date"].into_iter().find(|name| request.header(name).is_some());
        match time_header {
            Some(name) if self.expires.is_none() && !signed(name) => {
                Err(Refusal::invalid("The date header must be a 'SignedHeader' in the AWS Authorization."))
            }
            _ => Ok(()),
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length, so this cannot fail; a wrong signature would be the result if it did.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn signature(secret: &str, scope: &[&str; 4], string_to_sign: &str) -> String {
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), scope[0].as_bytes());
    for part in &scope[1..] {
        key = hmac(&key, part.as_bytes());
    }
    hex::encode(hmac(&key, string_to_sign.as_bytes()))
}
