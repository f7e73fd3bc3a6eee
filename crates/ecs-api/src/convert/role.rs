//! IAM roles, as tasks name them. They are stored and described; no task gets a role's credentials yet.

use crate::error::{Error, Result};

/// IAM: the longest name of a role.
const LONGEST_NAME: usize = 64;
/// IAM: the longest path.
const LONGEST_PATH: usize = 512;

/// A role by ARN, or by its bare name. An empty one is none.
pub(crate) fn parse(given: Option<&String>) -> Result<Option<String>> {
    let Some(text) = given.filter(|text| !text.is_empty()) else { return Ok(None) };
    let valid = if text.starts_with("arn:") { is_arn(text) } else { is_name(text) };
    if valid { Ok(Some(text.clone())) } else { Err(Error::client("Role is not valid.")) }
}

/// `arn:aws:iam::123456789012:role/path/name`; the path may be missing.
fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else { return false };
    let account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
    let partition = partition == "aws" || partition.starts_with("aws-");
    let Some(role) = resource.strip_prefix("role/") else { return false };
    let (path, name) = role.rsplit_once('/').unwrap_or(("", role));
    let path = path.len() <= LONGEST_PATH && path.chars().all(|c| c.is_ascii_graphic());
    account && partition && path && is_name(name)
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_of_roles() {
        let parse = |text: &str| super::parse(Some(&text.to_owned()));
        for role in
            ["task", "arn:aws:iam::123456789012:role/task", "arn:aws-cn:iam::123456789012:role/a/b/task"]
        {
            assert_eq!(parse(role), Ok(Some(role.to_owned())));
        }
        assert_eq!(parse(""), Ok(None));
        for wrong in [
            "not a role",
            "role/task",
            "arn:aws:iam::123456789012:user/ada",
            "arn:aws:iam::1234:role/task",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:ecs:us-east-1:123456789012:role/task",
        ] {
            assert_eq!(parse(wrong), Err(Error::client("Role is not valid.")), "{wrong}");
        }
    }
}
