//! The patterns that the model states, without a regular expression engine: each is one set of characters.

/// A pattern of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// EC2 instance types, `*` as a wildcard.
    InstanceType,
    /// Tag keys and values: letters, spaces and numbers of any script, and `_.:/=+-@`.
    TagText,
}

impl Pattern {
    /// Whether all of the text fits.
    #[must_use]
    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::InstanceType => {
                !text.is_empty()
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '-'))
            }
            Self::TagText => text.chars().all(in_tag),
        }
    }

    /// The pattern as the model writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstanceType => r"[a-zA-Z0-9\.\*\-]+",
            Self::TagText => r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
        }
    }
}

/// `char::is_alphabetic` is a little wider than `\p{L}`: it also has the vowel signs that Indic words need.
fn in_tag(c: char) -> bool {
    let separator = c.is_whitespace() && !c.is_control();
    c.is_alphabetic()
        || c.is_numeric()
        || separator
        || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}
