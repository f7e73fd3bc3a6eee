//! The agent's own credentials for registries, from Docker's configuration: `auths`, `credHelpers` and `credsStore` of its
//! `config.json`. The file is read for each pull, so that a change counts at once. Nothing of it is ever logged or told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::Docker;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::QUICK;
use super::call::call;

/// What a helper that does not answer is given.
const HELPER: Duration = Duration::from_secs(10);
/// The longest file, and the longest answer of a helper.
const MOST_BYTES: u64 = 1 << 20;
/// What helpers say when they have nothing.
const NOTHING: &str = "credentials not found in native keychain";
/// The user's name when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Docker's `config.json`, as far as it is of interest.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// Base64 of `user:password`.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Where credentials are found.
pub(super) struct Credentials {
    docker: Docker,
    /// Docker's configuration folder.
    folder: Option<PathBuf>,
}

impl Credentials {
    /// Those of `folder`, else of `$DOCKER_CONFIG`, else of `~/.docker`.
    pub(super) fn new(docker: Docker, folder: Option<PathBuf>) -> Self {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = folder
            .or_else(|| named("DOCKER_CONFIG"))
            .or_else(|| named("HOME").map(|home| home.join(".docker")));
        Self { docker, folder }
    }

    /// The credentials for an image's registry, if there are any.
    ///
    /// # Errors
    /// There are some, and they cannot be had. The reason holds no secret.
    pub(super) async fn of(&self, reference: &str) -> Result<Option<DockerCredentials>, String> {
        let Some(config) = self.config().await? else { return Ok(None) };
        let server = match host(reference) {
            Some(host) => host.to_owned(),
            // Docker alone knows where images without a host come from.
            None => match call("info", QUICK, self.docker.info()).await {
                Ok(info) => info.index_server_address.unwrap_or_default(),
                Err(_) => return Ok(None),
            },
        };
        if let Some(helper) = helper(&config, &server) {
            return ask(helper, &server).await;
        }
        let auth = config.auths.iter().find(|(key, _)| same_host(key, &server)).map(|(_, auth)| auth);
        auth.map(|auth| credentials(auth, &server)).transpose()
    }

    async fn config(&self) -> Result<Option<Config>, String> {
        let Some(path) = self.folder.as_ref().map(|folder| folder.join("config.json")) else {
            return Ok(None);
        };
        let shown = path.display();
        let file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {shown}: {error}")),
        };
        let mut bytes = Vec::new();
        let read = file.take(MOST_BYTES).read_to_end(&mut bytes).await;
        read.map_err(|error| format!("cannot read {shown}: {error}"))?;
        // What is wrong with it would quote it.
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{shown} is not a configuration of Docker: line {}", error.line()))
    }
}

/// The registry's host, when the reference names one.
fn host(reference: &str) -> Option<&str> {
    let (first, _) = reference.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some(first)
}

/// A key of `auths` may be a host or an address.
fn same_host(key: &str, server: &str) -> bool {
    let bare = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        text.split_once('/').map_or(text, |(host, _)| host).to_owned()
    };
    bare(key) == bare(server)
}

fn helper<'a>(config: &'a Config, server: &str) -> Option<&'a str> {
    let own = config.cred_helpers.iter().find(|(key, _)| same_host(key, server)).map(|(_, helper)| helper);
    own.or(Some(&config.creds_store)).map(String::as_str).filter(|helper| !helper.is_empty())
}

fn credentials(auth: &Auth, server: &str) -> Result<DockerCredentials, String> {
    let mut auth = auth.clone();
    if !auth.auth.is_empty() {
        let bad = || {
            format!("the credentials for {server} in Docker's configuration are not base64 of user:password")
        };
        let decoded = STANDARD.decode(auth.auth.trim()).map_err(|_| bad())?;
        let decoded = String::from_utf8(decoded).map_err(|_| bad())?;
        let (user, password) = decoded.split_once(':').ok_or_else(bad)?;
        user.clone_into(&mut auth.username);
        password.trim_end_matches('\0').clone_into(&mut auth.password);
    }
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(DockerCredentials {
        username: some(auth.username),
        password: some(auth.password),
        identitytoken: some(auth.identitytoken),
        registrytoken: some(auth.registrytoken),
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    })
}

/// Asks a helper of Docker's, which is a program.
async fn ask(helper: &str, server: &str) -> Result<Option<DockerCredentials>, String> {
    let program = format!("docker-credential-{helper}");
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(format!("{program} is not the name of a credential helper"));
    }
    let child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let answered = tokio::time::timeout(HELPER, converse(child, server)).await;
    let (success, said) = answered
        .map_err(|_| format!("{program} did not answer within {} s", HELPER.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    if !success {
        let nothing = String::from_utf8_lossy(&said).trim().ends_with(NOTHING);
        return if nothing { Ok(None) } else { Err(format!("{program} has no credentials for {server}")) };
    }
    let answer: Answer =
        serde_json::from_slice(&said).map_err(|_| format!("{program} gave no credentials"))?;
    let mut credentials =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    if answer.username == TOKEN_USER {
        credentials.identitytoken = Some(answer.secret);
    } else {
        credentials.username = Some(answer.username);
        credentials.password = Some(answer.secret);
    }
    Ok(Some(credentials))
}

async fn converse(mut child: Child, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not listen may answer all the same.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_BYTES).read_to_end(&mut said).await?;
    }
    Ok((child.wait().await?.success(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_looks_like_one() {
        assert_eq!(host("localhost:5000/a:1"), Some("localhost:5000"));
        assert_eq!(host("registry.example/a/b"), Some("registry.example"));
        assert_eq!(host("localhost/a"), Some("localhost"));
        assert_eq!(host("team/app:1"), None);
        assert_eq!(host("app"), None);
    }

    #[test]
    fn credentials_are_found_by_host() {
        let json = r#"{"auths": {"https://registry.example/v1/": {"auth": "bWU6cGFzczp3b3Jk"}, "b:5000": {"identitytoken": "t"}},
                       "credHelpers": {"c:5000": "fancy"}, "other": 1}"#;
        let config: Config = serde_json::from_str(json).unwrap();
        let of = |server: &str| {
            let found = config.auths.iter().find(|(key, _)| same_host(key, server));
            found.map(|(_, auth)| credentials(auth, server).unwrap())
        };
        let found = of("registry.example").unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("pass:word")));
        assert_eq!(of("b:5000").unwrap().identitytoken.as_deref(), Some("t"));
        assert!(of("d:5000").is_none());
        assert_eq!((helper(&config, "c:5000"), helper(&config, "b:5000")), (Some("fancy"), None));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_it() {
        let auth = Auth { auth: "c2VjcmV0".to_owned(), ..Auth::default() };
        let reason = credentials(&auth, "a:1").unwrap_err();
        assert!(!reason.contains("secret") && !reason.contains("c2VjcmV0"), "{reason}");
    }
}
