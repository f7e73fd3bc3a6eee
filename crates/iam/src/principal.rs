//! Principals: on whose behalf a call is made.

use trireme_types::AccountId;

/// A caller whose signature holds, or the one caller of a cluster without authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its ARN, such as `arn:aws:iam::123456789012:root`.
    pub arn: String,
    /// The account that it acts in.
    pub account: AccountId,
    /// The access key that it signed with; none without authentication.
    pub access_key: Option<String>,
}

impl Principal {
    /// The root ARN of an account.
    pub fn root_arn(account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:root")
    }

    /// The account's root, without a signature.
    pub fn unauthenticated(account: AccountId) -> Self {
        Self { arn: Self::root_arn(&account), account, access_key: None }
    }

    /// The unique id that `sts GetCallerIdentity` shows: the account's number for its root, else the access key's id.
    pub fn user_id(&self) -> &str {
        match &self.access_key {
            Some(id) if !self.arn.ends_with(":root") => id,
            _ => self.account.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_user_id_is_the_account() {
        let mut principal = Principal::unauthenticated(AccountId::development());
        assert_eq!(principal.arn, "arn:aws:iam::123456789012:root");
        principal.access_key = Some("AKIA1".to_owned());
        assert_eq!(principal.user_id(), "123456789012");
        principal.arn = "arn:aws:iam::123456789012:user/ada".to_owned();
        assert_eq!(principal.user_id(), "AKIA1");
    }
}
