//! AWS's SDK as the client of a laboratory's control nodes.

use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};

/// How long a client tries.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts at one call.
    pub attempts: u32,
    /// For one attempt.
    pub attempt: Duration,
    /// For a call.
    pub call: Duration,
}

/// Of a program that wants its write done: it tries again, by way of another node, for half a minute.
pub const STEADFAST: Patience =
    Patience { attempts: 60, attempt: Duration::from_millis(1_500), call: Duration::from_secs(30) };

/// Of a look at one node.
pub const ONCE: Patience =
    Patience { attempts: 1, attempt: Duration::from_secs(3), call: Duration::from_secs(3) };

/// A client of one address.
pub fn client(endpoint: &str, key: &(String, String), patience: Patience) -> Client {
    let retry = RetryConfig::standard()
        .with_max_attempts(patience.attempts)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_millis(500));
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(patience.attempt)
        .operation_timeout(patience.call);
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys(&key.0, &key.1, None))
        .endpoint_url(endpoint)
        .retry_config(retry)
        .timeout_config(limits.build())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
