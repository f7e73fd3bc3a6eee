//! An expression's words.

use super::ExpressionError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    /// A sign made of `=`, `!`, `<`, `>`, `~`, `&` and `|`.
    Sign(String),
    /// Everything else between spaces, or between quotes.
    Word(String),
}

/// A token and where it begins, from 1.
pub(super) type Placed = (usize, Token);

fn is_sign(c: char) -> bool {
    "=!<>~&|".contains(c)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "()[],\"'".contains(c) || is_sign(c)
}

/// The signs that there are, the longer ones first.
const SIGNS: [&str; 12] = ["==", "!=", ">=", "<=", "=~", "!~", "&&", "||", ">", "<", "!", "="];

/// Splits a text. What follows `=~` and its kin is a regular expression: one word up to the next space, or to a parenthesis that was
/// opened before it.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ExpressionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut found: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let place = at.saturating_add(1);
        let rest = chars.get(at..).unwrap_or_default();
        let after_match = match found.last() {
            Some((_, Token::Sign(sign))) => sign.ends_with('~'),
            Some((_, Token::Word(word))) => matches!(word.as_str(), "matches" | "not_matches"),
            _ => false,
        };
        let (token, length) = match c {
            c if c.is_whitespace() => {
                at = at.saturating_add(1);
                continue;
            }
            '"' | '\'' => quoted(rest, c, place)?,
            _ if after_match => pattern(rest),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenList, 1),
            ']' => (Token::CloseList, 1),
            ',' => (Token::Comma, 1),
            c if is_sign(c) => sign(rest, place)?,
            _ => word(rest, ends_word),
        };
        found.push((place, token));
        at = at.saturating_add(length);
    }
    Ok(found)
}

fn word(rest: &[char], ends: impl Fn(char) -> bool) -> (Token, usize) {
    let word: String = rest.iter().take_while(|c| !ends(**c)).collect();
    let length = word.chars().count().max(1);
    (Token::Word(word), length)
}

fn pattern(rest: &[char]) -> (Token, usize) {
    let (mut depth, mut escaped) = (0_usize, false);
    let goes_on = |c: &&char| {
        let plain = !escaped;
        escaped = plain && **c == '\\';
        match **c {
            '(' if plain => depth = depth.saturating_add(1),
            ')' if plain && depth == 0 => return false,
            ')' if plain => depth = depth.saturating_sub(1),
            c => return !c.is_whitespace(),
        }
        true
    };
    let word: String = rest.iter().take_while(goes_on).collect();
    let length = word.chars().count().max(1);
    (Token::Word(word), length)
}

fn quoted(rest: &[char], quote: char, at: usize) -> Result<(Token, usize), ExpressionError> {
    let inner: String = rest.iter().skip(1).take_while(|c| **c != quote).collect();
    let length = inner.chars().count().saturating_add(2);
    if rest.len() < length {
        return Err(ExpressionError { message: format!("{quote} is not closed"), at });
    }
    Ok((Token::Word(inner), length))
}

fn sign(rest: &[char], at: usize) -> Result<(Token, usize), ExpressionError> {
    let next: String = rest.iter().take(2).collect();
    let found = SIGNS.iter().find(|sign| next.starts_with(**sign));
    let wrong = || format!("{} is no operator", next.chars().take(1).collect::<String>());
    let sign = found.ok_or_else(|| ExpressionError { message: wrong(), at })?;
    Ok((Token::Sign((*sign).to_owned()), sign.len()))
}
