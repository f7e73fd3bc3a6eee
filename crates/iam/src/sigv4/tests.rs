//! AWS's published vectors, and the refusals.

use trireme_types::Timestamp;

use super::{RefusalKind, Signed, SignedRequest, canonical, time};

const SUITE: &str = include_str!("../../tests/fixtures/sigv4_suite.txt");
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Vector {
    name: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
    canonical: String,
    string_to_sign: String,
    authorization: String,
}

impl Vector {
    fn read(block: &str) -> Self {
        let name = block.lines().next().unwrap();
        let parts: Vec<&str> =
            block.split("\n--- ").skip(1).map(|part| part.split_once('\n').unwrap().1).collect();
        let [request, canonical, string_to_sign, authorization] = parts[..] else { panic!("{name}") };
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let line = lines.next().unwrap();
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target
            .rsplit_once(' ')
            .unwrap()
            .0
            .split_once('?')
            .unwrap_or((target.rsplit_once(' ').unwrap().0, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(':') {
                Some((name, value)) if !line.starts_with(' ') => {
                    headers.push((name.to_owned(), value.to_owned()));
                }
                // A folded header is several values of one name.
                _ => {
                    let name = headers.last().unwrap().0.clone();
                    headers.push((name, line.to_owned()));
                }
            }
        }
        headers.push(("Authorization".to_owned(), authorization.trim().to_owned()));
        Self {
            name: name.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: body.trim_end_matches('\n').to_owned(),
            canonical: canonical.trim_end_matches('\n').to_owned(),
            string_to_sign: string_to_sign.trim_end_matches('\n').to_owned(),
            authorization: authorization.trim().to_owned(),
        }
    }

    fn all() -> Vec<Self> {
        SUITE.split("\n=== ").skip(1).map(Self::read).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|vector| vector.name == name).unwrap()
    }

    fn with<T>(&self, check: impl FnOnce(&SignedRequest<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        check(&SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: self.body.as_bytes(),
        })
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

fn then() -> Timestamp {
    time::parse("20150830T123600Z").unwrap()
}

fn verify(vector: &Vector, now: Timestamp) -> Result<(), super::Refusal> {
    vector.with(|request| Signed::parse(request)?.verify(request, SECRET, "service", now))
}

#[test]
fn awss_vectors() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 29);
    for vector in vectors {
        vector.with(|request| {
            let name = &vector.name;
            let signed = Signed::parse(request).unwrap();
            let hash = canonical::sha256_hex(request.body);
            let canonical = canonical::request(request, &signed.signed_headers, &signed.query, &hash);
            assert_eq!(canonical, vector.canonical, "{name}");
            assert_eq!(signed.string_to_sign(&canonical), vector.string_to_sign, "{name}");
            assert!(vector.authorization.ends_with(&signed.signature), "{name}");
        });
        assert_eq!(verify(&vector, then()), Ok(()), "{}", vector.name);
    }
}

#[test]
fn any_change_is_seen() {
    let sound = || Vector::named("post-vanilla");
    assert_eq!(verify(&sound(), then()), Ok(()));
    let changes: [fn(&mut Vector); 6] = [
        |vector| vector.body.push('x'),
        |vector| vector.path.push('x'),
        |vector| vector.query.push_str("a=b"),
        |vector| vector.method = "GET".to_owned(),
        |vector| vector.set("Host", "other.amazonaws.com"),
        |vector| vector.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut vector = sound();
        change(&mut vector);
        let refused = verify(&vector, then()).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::InvalidSignature, "change {index}");
        assert!(refused.message.starts_with("The request signature we calculated"), "{}", refused.message);
    }
}

#[test]
fn time_is_bound() {
    let vector = Vector::named("post-vanilla");
    let minutes = |minutes: u64| std::time::Duration::from_secs(minutes * 60);
    assert_eq!(verify(&vector, then().plus(minutes(15))), Ok(()));
    let refused = verify(&vector, then().plus(minutes(16))).unwrap_err();
    assert_eq!(
        refused.message,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123700Z (20150830T125200Z - 15 min.)"
    );
    let before = Timestamp::from_millis(then().millis() - 16 * 60_000);
    let refused = verify(&vector, before).unwrap_err();
    assert!(
        refused.message.starts_with("Signature not yet current: 20150830T123600Z"),
        "{}",
        refused.message
    );
}

#[test]
fn service_date_and_headers_are_bound() {
    let vector = Vector::named("post-vanilla");
    let refused =
        vector.with(|request| Signed::parse(request)?.verify(request, SECRET, "ecs", then())).unwrap_err();
    assert_eq!(refused.message, "Credential should be scoped to correct service: 'ecs'.");

    for (from, to, message) in [
        ("/20150830/", "/20150831/", "Date in Credential scope does not match"),
        ("aws4_request", "aws5_request", "Credential should be scoped with a valid terminator"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date", "'Host' or ':authority' must be"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=host", "The date header must be"),
    ] {
        let mut vector = Vector::named("post-vanilla");
        let changed = vector.authorization.replace(from, to);
        assert_ne!(changed, vector.authorization);
        vector.set("Authorization", &changed);
        let refused = verify(&vector, then()).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::InvalidSignature);
        assert!(refused.message.starts_with(message), "{}", refused.message);
    }

    let mut vector = Vector::named("post-vanilla");
    vector.set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.DeleteCluster");
    let refused = verify(&vector, then()).unwrap_err();
    assert!(refused.message.starts_with("'X-Amz-Target' must be a 'SignedHeader'"), "{}", refused.message);
}

#[test]
fn what_is_missing_is_named() {
    let mut vector = Vector::named("post-vanilla");
    vector.headers.retain(|(name, _)| name != "Authorization");
    let refused = verify(&vector, then()).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::MissingAuthenticationToken);
    assert_eq!(refused.message, "Missing Authentication Token");

    for (header, message) in [
        ("Bearer abc", "Unsupported AWS 'algorithm': 'Bearer'."),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
            "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
            "Credential must have exactly 5 slash-delimited elements",
        ),
        ("AWS4-HMAC-SHA256", "Authorization header requires 'Credential' parameter."),
    ] {
        vector.set("Authorization", header);
        let refused = verify(&vector, then()).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::IncompleteSignature, "{header}");
        assert!(refused.message.starts_with(message), "{}", refused.message);
    }

    let mut vector = Vector::named("post-vanilla");
    vector.set("X-Amz-Date", "yesterday");
    assert_eq!(verify(&vector, then()).unwrap_err().kind, RefusalKind::IncompleteSignature);
    vector.headers.retain(|(name, _)| name != "X-Amz-Date");
    let refused = verify(&vector, then()).unwrap_err();
    assert!(refused.message.contains("'X-Amz-Date' or a 'Date' header"), "{}", refused.message);
}

#[test]
fn a_presigned_request_names_what_it_lacks() {
    let mut vector = Vector::named("get-vanilla");
    vector.headers.retain(|(name, _)| name != "Authorization");
    vector.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60".to_owned();
    let refused = verify(&vector, then()).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::IncompleteSignature);
    assert_eq!(refused.message, "AWS query-string parameters must include 'X-Amz-Credential'.");
    vector.query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=604801".to_owned();
    assert!(verify(&vector, then()).unwrap_err().message.starts_with("X-Amz-Expires must be"));
}
