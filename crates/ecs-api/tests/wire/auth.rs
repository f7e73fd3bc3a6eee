//! Who may call: signatures, and a cluster without them.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use http::Request;

use crate::raw::{self, Signing, send, signed};
use crate::server::{Server, pair, refused};

const LIST: [(&str, &str); 2] = [
    ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters"),
    ("content-type", "application/x-amz-json-1.1"),
];
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn signatures_are_checked() {
    let server = Server::start().await;
    let before = server.events();
    let answer = async |signing: Signing| send(signed(&server, &LIST, "{}", &signing)).await.error();

    let unknown = answer(Signing { key: "AKIANOBODY".to_owned(), ..Default::default() }).await;
    let message = "The security token included in the request is invalid.";
    assert_eq!(unknown, (400, "UnrecognizedClientException".to_owned(), message.to_owned()));

    let wrong = answer(Signing { secret: "wrong".to_owned(), ..Default::default() }).await;
    assert_eq!((wrong.0, wrong.1.as_str()), (400, "InvalidSignatureException"));
    assert!(wrong.2.starts_with("The request signature we calculated does not match"), "{}", wrong.2);

    let old = answer(Signing::ago(Duration::from_secs(16 * 60))).await;
    assert_eq!((old.0, old.1.as_str()), (400, "InvalidSignatureException"));
    assert!(old.2.starts_with("Signature expired: "), "{}", old.2);
    let at = SystemTime::now() + Duration::from_secs(16 * 60);
    let early = answer(Signing { at, ..Default::default() }).await;
    assert!(early.2.starts_with("Signature not yet current: "), "{}", early.2);

    let service = answer(Signing { service: "s3".to_owned(), ..Default::default() }).await;
    assert_eq!(service.2, "Credential should be scoped to correct service: 'ecs'.");
    let unsigned = Request::post(server.url()).header(LIST[0].0, LIST[0].1).header(LIST[1].0, LIST[1].1);
    let unsigned = send(unsigned.body(Body::from("{}")).unwrap()).await.error();
    let missing =
        ("MissingAuthenticationTokenException".to_owned(), "Missing Authentication Token".to_owned());
    assert_eq!(unsigned, (400, missing.0, missing.1));
    assert_eq!(server.events(), before);
    assert_eq!(send(signed(&server, &LIST, "{}", &Signing::default())).await.status, 200);
}

/// SDKs set their clocks by the date of an answer and sign again by it.
#[tokio::test]
async fn the_date_of_an_answer_is_that_of_the_clock_that_judges_signatures() {
    struct Fixed(u64);
    impl trireme_ecs_api::Clock for Fixed {
        fn now(&self) -> trireme_types::Timestamp {
            trireme_types::Timestamp::from_millis(self.0)
        }
    }
    // 22 November 2026, 12:00:00.
    let at = 1_795_348_800_000;
    let server = Server::with_clock(std::sync::Arc::new(Fixed(at))).await;
    let signing =
        |at| Signing { at: SystemTime::UNIX_EPOCH + Duration::from_millis(at), ..Default::default() };
    let early = send(signed(&server, &LIST, "{}", &signing(at - 3_600_000))).await;
    assert_eq!(early.headers["date"], "Sun, 22 Nov 2026 12:00:00 GMT");
    assert!(early.error().2.starts_with("Signature expired: "));
    assert_eq!(send(signed(&server, &LIST, "{}", &signing(at))).await.status, 200);
    // Whatever the clock says, there is an answer.
    let server = Server::with_clock(std::sync::Arc::new(Fixed(u64::MAX))).await;
    assert_eq!(send(signed(&server, &LIST, "{}", &signing(at))).await.status, 400);
}

#[tokio::test]
async fn the_sdk_reads_the_refusal() {
    let server = Server::start().await;
    let client = server.client_as("AKIANOBODY", "x", "us-east-1");
    let refusal = refused(client.list_clusters().send().await);
    let message = "The security token included in the request is invalid.";
    assert_eq!(refusal, pair("UnrecognizedClientException", message));
}

#[tokio::test]
async fn a_signed_request_cannot_be_changed() {
    let server = Server::start().await;
    let before = server.events();
    let mut request = signed(&server, &LIST, "{}", &Signing::default());
    let target = "AmazonEC2ContainerServiceV20141113.CreateCluster".parse().unwrap();
    request.headers_mut().insert("x-amz-target", target);
    assert_eq!(send(request).await.error().1, "InvalidSignatureException");
    let (parts, _) = signed(&server, &LIST, "{}", &Signing::default()).into_parts();
    let request = Request::from_parts(parts, Body::from(r#"{"maxResults":1}"#));
    assert_eq!(send(request).await.error().1, "InvalidSignatureException");
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn who_am_i() {
    let server = Server::start().await;
    let sts = Signing { service: "sts".to_owned(), ..Default::default() };
    let answer = send(signed(&server, &FORM, WHO, &sts)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/xml");
    assert!(answer.body.contains("<Arn>arn:aws:iam::123456789012:root</Arn>"), "{}", answer.body);
    assert!(answer.body.contains("<Account>123456789012</Account>"), "{}", answer.body);

    let wrong = Signing { secret: "wrong".to_owned(), ..sts.clone() };
    let answer = send(signed(&server, &FORM, WHO, &wrong)).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("<Code>SignatureDoesNotMatch</Code>"), "{}", answer.body);
    let answer = send(signed(&server, &FORM, WHO, &Signing::default())).await;
    assert!(
        answer.body.contains("Credential should be scoped to correct service: &apos;sts")
            || answer.body.contains("'sts'")
    );
    let answer = send(signed(&server, &FORM, "Action=AssumeRole&Version=2011-06-15", &sts)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("<Code>InvalidAction</Code>"), "{}", answer.body);
}

#[tokio::test]
async fn without_authentication() {
    let server = Server::without_auth().await;
    let nobody = server.client_as("anything", "at all", "eu-central-1");
    let made = nobody.create_cluster().cluster_name("a").send().await.unwrap();
    let arn = made.cluster().unwrap().cluster_arn().unwrap().to_owned();
    assert_eq!(arn, "arn:aws:ecs:eu-central-1:123456789012:cluster/a", "the region is the caller's");
    let unsigned = Request::post(server.url()).header(LIST[0].0, LIST[0].1).header(LIST[1].0, LIST[1].1);
    let answer = send(unsigned.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.json(), serde_json::json!({"clusterArns": []}), "us-east-1 when none is named");

    let reset = Request::post(format!("{}/_trireme/reset", server.url())).body(Body::empty()).unwrap();
    assert_eq!(send(reset).await.status, 200);
    assert!(nobody.list_clusters().send().await.unwrap().cluster_arns().is_empty());
}

#[tokio::test]
async fn a_cluster_with_authentication_is_not_reset() {
    let server = Server::start().await;
    server.client().create_cluster().send().await.unwrap();
    let before = server.events();
    let reset = Request::post(format!("{}/_trireme/reset", server.url())).body(Body::empty()).unwrap();
    let (status, code, _) = send(reset).await.error();
    assert_eq!((status, code.as_str()), (403, "AccessDeniedException"));
    assert_eq!(server.events(), before);
    let health = Request::get(format!("{}/healthz", server.url())).body(Body::empty()).unwrap();
    assert_eq!(send(health).await.body, "ok\n");
    assert_eq!(raw::call(&server, "ListClusters", "").await.status, 200, "no body is an empty one");
}

#[tokio::test]
async fn a_permanent_key_has_no_session() {
    let server = Server::start().await;
    let expected = "UnrecognizedClientException";
    let token = ("x-amz-security-token", "of-no-session");
    let header = send(signed(&server, &[LIST[0], LIST[1], token], "{}", &Signing::default())).await.error();
    assert_eq!((header.0, header.1.as_str()), (400, expected));
    let (mut parts, body) = signed(&server, &LIST, "{}", &Signing::default()).into_parts();
    parts.uri = format!("{}/?X-Amz-Security-Token=a", server.url()).parse().unwrap();
    assert_eq!(send(Request::from_parts(parts, body)).await.error().1, expected);
}

#[tokio::test]
async fn web_pages_do_not_reach_a_cluster_without_authentication() {
    let server = Server::without_auth().await;
    server.client().create_cluster().send().await.unwrap();
    let before = server.events();
    let port = server.addr.port();
    let request = |path: &str, name: &str, value: &str| {
        let request = Request::post(format!("{}{path}", server.url())).header(LIST[1].0, LIST[1].1);
        let request = request.header("x-amz-target", "AmazonEC2ContainerServiceV20141113.CreateCluster");
        request.header(name, value).body(Body::from(r#"{"clusterName":"evil"}"#)).unwrap()
    };
    for path in ["/", "/_trireme/reset", "/healthz"] {
        for origin in ["https://evil.example", "null", "http://localhost"] {
            let (status, code, _) = send(request(path, "origin", origin)).await.error();
            assert_eq!((status, code.as_str()), (403, "AccessDeniedException"), "{path} {origin}");
        }
        let rebound = format!("evil.example:{port}");
        let (status, code, _) = send(request(path, "host", &rebound)).await.error();
        assert_eq!((status, code.as_str()), (403, "AccessDeniedException"), "{path}");
    }
    assert_eq!(server.events(), before);
    assert_eq!(send(request("/", "host", &format!("localhost:{port}"))).await.status, 200);
}
