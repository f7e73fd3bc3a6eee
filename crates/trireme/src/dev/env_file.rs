//! `DIR/env`: what an AWS client needs to find the cluster.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use trireme_cli::subnet::Subnet;
use trireme_server::AccessKeyFile;

use super::layout::Layout;

/// The region that clients are told.
const REGION: &str = "us-east-1";

/// Writes it, readable by its owner alone.
pub fn write(
    layout: &Layout,
    front_door: &str,
    bin: &Path,
    key: &AccessKeyFile,
    subnets: &[Subnet],
) -> Result<()> {
    let path = layout.env();
    let draft = layout.root().join("env.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("cannot write {}", draft.display()))?;
    file.write_all(text(layout.root(), front_door, bin, key, subnets).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn text(root: &Path, front_door: &str, bin: &Path, key: &AccessKeyFile, subnets: &[Subnet]) -> String {
    let subnets: Vec<&str> = subnets.iter().map(|subnet| subnet.id.as_str()).collect();
    let bin = quoted(&bin.display().to_string());
    let lines = [
        format!("export AWS_ENDPOINT_URL=http://{front_door}"),
        format!("export AWS_REGION={REGION}"),
        format!("export AWS_DEFAULT_REGION={REGION}"),
        format!("export AWS_ACCESS_KEY_ID={}", quoted(&key.access_key_id)),
        format!("export AWS_SECRET_ACCESS_KEY={}", quoted(&key.secret_access_key)),
        "export AWS_PAGER=\"\"".to_owned(),
        format!("export TRIREME_DATA={}", quoted(&root.display().to_string())),
        // One for each zone, in order.
        format!("export TRIREME_SUBNETS={}", quoted(&subnets.join(","))),
        format!("export PATH={bin}:\"$PATH\""),
    ];
    lines.join("\n") + "\n"
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let key = AccessKeyFile {
            access_key_id: "AKIA1".to_owned(),
            secret_access_key: "it's a/secret+".to_owned(),
        };
        write(&layout, "127.0.0.1:8080", Path::new("/opt/my bin"), &key, &[]).unwrap();
        let script = ". \"$1\"; echo \"$AWS_ENDPOINT_URL|$AWS_SECRET_ACCESS_KEY|${PATH%%:*}|$AWS_PAGER\"";
        let run = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(layout.env()).output();
        let printed = String::from_utf8(run.unwrap().stdout).unwrap();
        assert_eq!(printed.trim(), "http://127.0.0.1:8080|it's a/secret+|/opt/my bin|");
        let mode = std::os::unix::fs::PermissionsExt::mode(&layout.env().metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
