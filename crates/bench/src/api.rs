//! The same writes as an AWS client sends them: HTTP, JSON, Signature Version 4.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::beside_etcd::target::{Connection, Target};
use crate::trireme::{self, object_name};

/// The API of the leader.
pub(crate) struct Client<'a> {
    cluster: &'a trireme::Cluster,
    credentials: Credentials,
}

impl<'a> Client<'a> {
    pub(crate) fn new(cluster: &'a trireme::Cluster) -> Result<Self> {
        let (id, secret) = cluster.access_key()?;
        Ok(Self { cluster, credentials: Credentials::new(id, secret, None, None, "bench") })
    }

    /// A client of that port, whoever leads.
    pub(crate) fn at(&self, port: u16) -> Signed {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Signed {
            http: Http::builder(TokioExecutor::new()).build(connector),
            address: format!("127.0.0.1:{port}"),
            credentials: self.credentials.clone(),
        }
    }
}

impl Target for Client<'_> {
    type Connection = Signed;

    async fn connect(&self, count: usize) -> Result<Vec<Signed>> {
        let port = self.cluster.leader_api().await?;
        Ok((0..count).map(|_| self.at(port)).collect())
    }

    fn processor_time(&self) -> Duration {
        self.cluster.processor_time()
    }
}

/// A pool of connections with a signer.
#[derive(Clone)]
pub(crate) struct Signed {
    http: Http<HttpConnector, Full<Bytes>>,
    address: String,
    credentials: Credentials,
}

impl Signed {
    /// Calls an operation and gives what it answers.
    pub(crate) async fn call(&self, operation: &str, body: String) -> Result<Bytes> {
        let uri = format!("http://{}/", self.address);
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target.as_str()),
            ("host", self.address.as_str()),
        ];
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("ecs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .context("what a signature needs")?
            .into();
        let signable =
            SignableRequest::new("POST", &uri, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
                .context("a request to sign")?;
        let (instructions, _) = sign(signable, &parameters).context("signing")?.into_parts();
        let mut builder = http::Request::post(&uri);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let mut request = builder.body(Full::from(body)).context("a request")?;
        instructions.apply_to_request_http1x(&mut request);
        let answer = tokio::time::timeout(Duration::from_secs(10), self.http.request(request)).await;
        let answer = answer.context("no answer in time")?.context("no answer")?;
        let status = answer.status();
        let text = answer.into_body().collect().await.context("an answer's body")?.to_bytes();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(text)
    }
}

impl Connection for Signed {
    async fn write(&mut self, object: u64, value: &str) -> Result<()> {
        let arn = format!("arn:aws:ecs:us-east-1:123456789012:cluster/{}", object_name(object));
        let body = serde_json::json!({ "resourceArn": arn, "tags": [{ "key": "value", "value": value }] });
        self.call("TagResource", body.to_string()).await.map(drop)
    }

    async fn read(&mut self, object: u64) -> Result<()> {
        let body = serde_json::json!({ "clusters": [object_name(object)] });
        self.call("DescribeClusters", body.to_string()).await.map(drop)
    }
}
