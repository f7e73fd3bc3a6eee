//! A second opinion: what AWS's own signer signs, verifies here; what is changed afterwards, does not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use proptest::prelude::*;
use trireme_iam::sigv4::{Signed, SignedRequest};
use trireme_types::Timestamp;

const SECRET: &str = "a secret";

#[derive(Debug, Clone)]
struct Call {
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    token: Option<String>,
    at: u64,
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The call as it would come over the wire, signed by AWS's signer.
fn signed(call: &Call, location: SignatureLocation) -> http::Request<Vec<u8>> {
    let query: Vec<String> =
        call.query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let mut uri = format!("http://localhost:8080/{}", encode(&call.path));
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(&query.join("&"));
    }
    let mut request = http::Request::builder().method("POST").uri(&uri);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let mut request = request.header("host", "localhost:8080").body(call.body.clone()).unwrap();

    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(60));
    }
    let identity = Credentials::new("AKIA1", SECRET, call.token.clone(), None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("ecs")
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(call.at))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(&call.body)).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request
}

fn verify(request: &http::Request<Vec<u8>>, secret: &str, at: u64) -> Result<String, String> {
    let headers: Vec<(&str, &str)> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let request = SignedRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or(""),
        headers: &headers,
        body: request.body(),
    };
    let signed = Signed::parse(&request).map_err(|refusal| refusal.message)?;
    signed
        .verify(&request, secret, "ecs", Timestamp::from_millis(at * 1000))
        .map_err(|refusal| refusal.message)?;
    Ok(format!("{}@{}", signed.access_key, signed.scope.region))
}

fn calls() -> impl Strategy<Value = Call> {
    let text = "[a-zA-Z0-9 /+=%&~._äß-]{0,12}";
    let pairs = proptest::collection::vec(("[a-zA-Z0-9 _äß-]{1,8}", text), 0..4);
    let headers = proptest::collection::vec(("x-amz-[a-c]{1,2}", "[a-z,; ]{0,8}[a-z]"), 0..3);
    let body = proptest::collection::vec(any::<u8>(), 0..64);
    (text, pairs, headers, body, proptest::option::of("[a-z/+=]{1,20}"), 1_000_000_000_u64..2_000_000_000)
        .prop_map(|(path, query, headers, body, token, at)| Call { path, query, headers, body, token, at })
}

proptest! {
    #[test]
    fn what_aws_signs_verifies(call in calls(), in_query: bool) {
        let location = if in_query { SignatureLocation::QueryParams } else { SignatureLocation::Headers };
        let mut request = signed(&call, location);
        prop_assert_eq!(verify(&request, SECRET, call.at), Ok("AKIA1@eu-central-1".to_owned()));
        prop_assert!(verify(&request, "another secret", call.at).is_err());
        if in_query {
            let late = verify(&request, SECRET, call.at + 61).unwrap_err();
            prop_assert!(late.starts_with("Signature expired"), "{}", late);
        }
        request.body_mut().push(b'x');
        prop_assert!(verify(&request, SECRET, call.at).is_err());
    }
}
