//! What a signed request says of its signature: who, when, for what, over which headers.

use trireme_types::Timestamp;

use super::{ALGORITHM, Refusal, SignedRequest, canonical, time};

/// What a signature is good for: one day, region and service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    /// `20150830`.
    pub date: String,
    /// `us-east-1`.
    pub region: String,
    /// `ecs`.
    pub service: String,
    /// `aws4_request`.
    pub terminator: String,
}

impl std::fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.date, self.region, self.service, self.terminator)
    }
}

/// What a request says of its signature. Nothing of it is proven before [`Signed::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The access key's id.
    pub access_key: String,
    /// What the signature is good for.
    pub scope: CredentialScope,
    /// When it was signed.
    pub at: Timestamp,
    /// The same, as sent.
    pub(super) at_text: String,
    /// Query form: how long it is good for, in seconds.
    pub(super) expires: Option<u64>,
    /// Whether a session's token came with it, as with temporary access keys.
    pub has_token: bool,
    /// Lower-case, sorted.
    pub(super) signed_headers: Vec<String>,
    /// In hexadecimal, as sent.
    pub(super) signature: String,
    /// The canonical query.
    pub(super) query: String,
}

/// The header, or the query parameter, of a session's token.
const TOKEN: &str = "X-Amz-Security-Token";

/// The longest that a presigned request may be good for: seven days, as AWS has it.
const LONGEST_EXPIRY: u64 = 604_800;

impl Signed {
    /// Reads the signature's claims from a request.
    ///
    /// # Errors
    /// When there is no signature, or parts of it are missing or malformed.
    pub fn parse(request: &SignedRequest<'_>) -> Result<Self, Refusal> {
        let parameters = canonical::parameters(request.query);
        let mut signed = match request.header("authorization") {
            Some(header) => Self::from_header(request, header, &parameters)?,
            None if parameters.iter().any(|(name, _)| name == "X-Amz-Algorithm") => {
                Self::from_query(&parameters)?
            }
            None => return Err(Refusal::missing()),
        };
        let in_query = parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(TOKEN));
        signed.has_token = in_query || request.header(TOKEN).is_some();
        Ok(signed)
    }

    fn from_header(
        request: &SignedRequest<'_>,
        header: &str,
        parameters: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let (algorithm, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(Refusal::incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
        }
        let part = |name: &str| {
            let mut parts = rest.split(',').filter_map(|part| part.trim().split_once('='));
            parts.find(|(n, _)| *n == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let (credential, signed_headers, signature) =
            (part("Credential"), part("SignedHeaders"), part("Signature"));
        let at_text = request.header("x-amz-date").or_else(|| request.header("date"));
        let (Some(credential), Some(signed_headers), Some(signature), Some(at_text)) =
            (credential, signed_headers, signature, at_text)
        else {
            let mut missing: Vec<String> =
                [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)]
                    .iter()
                    .filter(|(_, value)| value.is_none())
                    .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
                    .collect();
            if at_text.is_none() {
                missing.push(
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                        .to_owned(),
                );
            }
            return Err(Refusal::incomplete(missing.join(" ")));
        };
        Self::from_parts(credential, signed_headers, signature, at_text, None, parameters)
    }

    fn from_query(parameters: &[(String, String)]) -> Result<Self, Refusal> {
        let get = |name: &str| {
            let value = parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
            value.ok_or_else(|| {
                Refusal::incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        let algorithm = get("X-Amz-Algorithm")?;
        if algorithm != ALGORITHM {
            return Err(Refusal::incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
        }
        let expires = get("X-Amz-Expires")?.parse::<u64>().ok().filter(|seconds| *seconds <= LONGEST_EXPIRY);
        let Some(expires) = expires else {
            return Err(Refusal::incomplete(format!(
                "X-Amz-Expires must be a number of seconds between 0 and {LONGEST_EXPIRY}."
            )));
        };
        Self::from_parts(
            get("X-Amz-Credential")?,
            get("X-Amz-SignedHeaders")?,
            get("X-Amz-Signature")?,
            get("X-Amz-Date")?,
            Some(expires),
            parameters,
        )
    }

    fn from_parts(
        credential: &str,
        signed_headers: &str,
        signature: &str,
        at_text: &str,
        expires: Option<u64>,
        parameters: &[(String, String)],
    ) -> Result<Self, Refusal> {
        // An access key's id holds no slash; regions and services do not either.
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key, date, region, service, terminator] = parts[..] else {
            return Err(Refusal::incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        let at = time::parse(at_text).ok_or_else(|| {
            Refusal::incomplete("Date must be in ISO-8601 'basic format', e.g. 20150830T123600Z.")
        })?;
        let mut signed_headers: Vec<String> =
            signed_headers.split(';').map(str::to_ascii_lowercase).collect();
        signed_headers.sort();
        Ok(Self {
            access_key: access_key.to_owned(),
            scope: CredentialScope {
                date: date.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
                terminator: terminator.to_owned(),
            },
            at,
            at_text: at_text.to_owned(),
            expires,
            has_token: false,
            signed_headers,
            signature: signature.to_owned(),
            query: canonical::query(parameters),
        })
    }
}
