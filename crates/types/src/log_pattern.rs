//! Filter patterns for unstructured log events (CloudWatch Logs user guide: filter pattern syntax): `a b` (both), `"a b"` (the phrase),
//! `-a` (without), `?a ?b` (either). Terms are sought as they are written, upper and lower case apart.

/// A pattern, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogPatternError {
    /// A quote is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A sign without its term.
    #[error("a sign has no term")]
    NoTerm,
    /// JSON, columns and regular expressions.
    #[error(
        "patterns for JSON ({{ }}), columns ([ ]) and regular expressions (% %) are not supported yet; use terms"
    )]
    Structured,
}

impl LogPattern {
    /// Reads a pattern. An empty one matches everything.
    ///
    /// # Errors
    /// See [`LogPatternError`].
    pub fn parse(text: &str) -> Result<Self, LogPatternError> {
        let mut pattern = Self::default();
        let mut rest = text.trim();
        if rest.starts_with(['{', '[', '%']) {
            return Err(LogPatternError::Structured);
        }
        while !rest.is_empty() {
            let (list, unsigned) = match rest.as_bytes().first() {
                Some(b'-') => (&mut pattern.none, rest.get(1..)),
                Some(b'?') => (&mut pattern.any, rest.get(1..)),
                _ => (&mut pattern.all, Some(rest)),
            };
            let (term, after) = term(unsigned.unwrap_or_default())?;
            list.push(term);
            rest = after.trim_start();
        }
        // As there: alternatives do not count beside other terms.
        if !pattern.all.is_empty() || !pattern.none.is_empty() {
            pattern.any.clear();
        }
        Ok(pattern)
    }

    /// Whether a message matches.
    pub fn matches(&self, message: &str) -> bool {
        let there = |term: &String| message.contains(term.as_str());
        self.all.iter().all(there)
            && !self.none.iter().any(there)
            && (self.any.is_empty() || self.any.iter().any(there))
    }
}

/// The first term, and what follows it.
fn term(text: &str) -> Result<(String, &str), LogPatternError> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut term = String::new();
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    let after = quoted.get(at..).and_then(|rest| rest.strip_prefix('"'));
                    return if term.is_empty() {
                        Err(LogPatternError::NoTerm)
                    } else {
                        Ok((term, after.unwrap_or_default()))
                    };
                }
                other => {
                    if escaped && other != '"' && other != '\\' {
                        term.push('\\');
                    }
                    escaped = false;
                    term.push(other);
                }
            }
        }
        return Err(LogPatternError::OpenQuote);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, after) = text.split_at(end);
    if term.is_empty() { Err(LogPatternError::NoTerm) } else { Ok((term.to_owned(), after)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &str, messages: &[&'a str]) -> Vec<&'a str> {
        let pattern = LogPattern::parse(pattern).unwrap();
        messages.iter().copied().filter(|message| pattern.matches(message)).collect()
    }

    #[test]
    fn terms_phrases_alternatives_and_what_must_not_be_there() {
        let messages = ["ERROR disk full", "WARN disk slow", "error: none", "INFO a \"b\""];
        assert_eq!(found("", &messages), messages);
        assert_eq!(found("ERROR", &messages), ["ERROR disk full"]);
        assert_eq!(found("disk full", &messages), ["ERROR disk full"]);
        assert_eq!(found("\"disk slow\"", &messages), ["WARN disk slow"]);
        assert_eq!(found("disk -ERROR", &messages), ["WARN disk slow"]);
        assert_eq!(found("-disk", &messages), ["error: none", "INFO a \"b\""]);
        assert_eq!(found("?ERROR ?WARN", &messages), ["ERROR disk full", "WARN disk slow"]);
        assert_eq!(found("-\"disk slow\" disk", &messages), ["ERROR disk full"]);
        assert_eq!(found(r#""a \"b\"""#, &messages), ["INFO a \"b\""]);
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for (text, error) in [
            ("\"open", LogPatternError::OpenQuote),
            ("a -", LogPatternError::NoTerm),
            ("\"\"", LogPatternError::NoTerm),
            ("{ $.x = 1 }", LogPatternError::Structured),
            ("[ip, user]", LogPatternError::Structured),
            ("%a.b%", LogPatternError::Structured),
        ] {
            assert_eq!(LogPattern::parse(text), Err(error), "{text}");
        }
    }
}
