//! From words to an expression. `or` binds weaker than `and`, and that weaker than `not`.

use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use trireme_types::Timestamp;

use super::token::{Placed, Token, tokens};
use super::{ExpressionError, LENGTH_MAX, Leaf, Node, Subject, Test};

/// How deep an expression may be nested.
const DEPTH_MAX: usize = 32;
/// Bytes that a compiled regular expression may take.
const REGEX_SIZE: usize = 1024 * 1024;

type Parsed = Result<Node, ExpressionError>;

pub(super) fn parse(text: &str) -> Parsed {
    if text.chars().count() > LENGTH_MAX {
        let message = format!("an expression has at most {LENGTH_MAX} characters");
        return Err(ExpressionError { message, at: LENGTH_MAX });
    }
    let end = text.chars().count().saturating_add(1);
    let mut words = Words { tokens: tokens(text)?, next: 0, end };
    let node = words.either(0)?;
    match words.peek() {
        None => Ok(node),
        Some(_) => Err(words.wrong("the expression should end")),
    }
}

struct Words {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
}

impl Words {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next = self.next.saturating_add(1);
        token
    }

    /// An error at the next word.
    fn wrong(&self, message: impl Into<String>) -> ExpressionError {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        ExpressionError { message: message.into(), at }
    }

    /// Takes the next word if it is one of these, whatever its case.
    fn took(&mut self, sign: &str, word: &str) -> bool {
        let fits = match self.peek() {
            Some(Token::Sign(found)) => found == sign,
            Some(Token::Word(found)) => found.eq_ignore_ascii_case(word),
            _ => false,
        };
        if fits {
            self.next = self.next.saturating_add(1);
        }
        fits
    }

    fn either(&mut self, depth: usize) -> Parsed {
        let mut node = self.both(depth)?;
        while self.took("||", "or") {
            node = Node::Or(Box::new(node), Box::new(self.both(depth)?));
        }
        Ok(node)
    }

    fn both(&mut self, depth: usize) -> Parsed {
        let mut node = self.one(depth)?;
        while self.took("&&", "and") {
            node = Node::And(Box::new(node), Box::new(self.one(depth)?));
        }
        Ok(node)
    }

    fn one(&mut self, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(self.wrong(format!("an expression is nested at most {DEPTH_MAX} deep")));
        }
        let deeper = depth.saturating_add(1);
        if self.took("!", "not") {
            return Ok(Node::Not(Box::new(self.one(deeper)?)));
        }
        if self.peek() == Some(&Token::Open) {
            self.take();
            let node = self.either(deeper)?;
            if self.peek() != Some(&Token::Close) {
                return Err(self.wrong("a ) is missing"));
            }
            self.take();
            return Ok(node);
        }
        self.test()
    }

    fn test(&mut self) -> Parsed {
        let subject = self.subject()?;
        let begin = self.next;
        let (test, negated) = self.operator()?;
        if subject == Subject::RegisteredAt {
            check_times(&test).map_err(|message| {
                self.next = begin;
                self.wrong(message)
            })?;
        }
        let node = Node::Leaf(Leaf { subject, test });
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn subject(&mut self) -> Result<Subject, ExpressionError> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.wrong("a subject is missing, such as attribute:ecs.instance-type"));
        };
        let subject = match word.as_str() {
            "agentConnected" => Subject::AgentConnected,
            "agentVersion" => Subject::AgentVersion,
            "ec2InstanceId" => Subject::Ec2InstanceId,
            "registeredAt" => Subject::RegisteredAt,
            "runningTasksCount" => Subject::RunningTasksCount,
            "task:group" => Subject::TaskGroup,
            other => match other.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
                Some(name) => Subject::Attribute(name.to_owned()),
                None => return Err(self.wrong(format!("{other} is no subject"))),
            },
        };
        self.take();
        Ok(subject)
    }

    /// The test, and whether it is turned round.
    fn operator(&mut self) -> Result<(Test, bool), ExpressionError> {
        // `!` stands apart from the two words that it may turn round.
        if let (Some(Token::Sign(sign)), Some((_, Token::Word(word)))) =
            (self.peek(), self.tokens.get(self.next.saturating_add(1)))
            && sign == "!"
            && matches!(word.as_str(), "exists" | "in")
        {
            self.take();
            let (test, negated) = self.operator()?;
            return Ok((test, !negated));
        }
        let operator = match self.peek() {
            Some(Token::Sign(sign)) => sign.clone(),
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.wrong("an operator is missing")),
        };
        let known = |words: [&str; 2]| words.contains(&operator.as_str());
        let unknown = self.wrong(format!("{operator} is no operator"));
        self.take();
        Ok(match () {
            () if known(["==", "equals"]) => (Test::Equals(self.argument()?), false),
            () if known(["!=", "not_equals"]) => (Test::Equals(self.argument()?), true),
            () if known(["<", "less_than"]) => (Test::Less(self.argument()?), false),
            () if known(["<=", "less_than_equal"]) => (Test::LessOrEqual(self.argument()?), false),
            () if known([">", "greater_than"]) => (Test::Greater(self.argument()?), false),
            () if known([">=", "greater_than_equal"]) => (Test::GreaterOrEqual(self.argument()?), false),
            () if known(["exists", "exists"]) => (Test::Exists, false),
            () if known(["not_exists", "!exists"]) => (Test::Exists, true),
            () if known(["in", "in"]) => (Test::OneOf(self.list()?), false),
            () if known(["not_in", "!in"]) => (Test::OneOf(self.list()?), true),
            () if known(["=~", "matches"]) => (Test::Matches(self.regex()?), false),
            () if known(["!~", "not_matches"]) => (Test::Matches(self.regex()?), true),
            () => return Err(unknown),
        })
    }

    fn argument(&mut self) -> Result<String, ExpressionError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.take();
                Ok(word)
            }
            _ => Err(self.wrong("an argument is missing")),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, ExpressionError> {
        if self.peek() != Some(&Token::OpenList) {
            return Err(self.wrong("a list is missing, such as [a, b]"));
        }
        self.take();
        let mut list = vec![self.argument()?];
        loop {
            match self.take() {
                Some(Token::Comma) => list.push(self.argument()?),
                Some(Token::CloseList) => return Ok(list),
                _ => {
                    self.next = self.next.saturating_sub(1);
                    return Err(self.wrong("a ] is missing"));
                }
            }
        }
    }

    /// As Java has it: `\\w` and its kin are ASCII's, and all of the text must match.
    fn regex(&mut self) -> Result<Regex, ExpressionError> {
        let begin = self.next;
        let pattern = self.argument()?;
        let build = |text: &str| RegexBuilder::new(text).unicode(false).size_limit(REGEX_SIZE).build();
        // By itself first: it must not close what is put around it.
        let built = build(&pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
        built.map_err(|error| {
            self.next = begin;
            self.wrong(match error {
                regex::Error::CompiledTooBig(_) => format!("{pattern} is too large a regular expression"),
                _ => format!(
                    "{pattern} is no regular expression that can be used: look-around and back-references cannot"
                ),
            })
        })
    }
}

fn check_times(test: &Test) -> Result<(), String> {
    let arguments: &[String] = match test {
        Test::Equals(one)
        | Test::Less(one)
        | Test::LessOrEqual(one)
        | Test::Greater(one)
        | Test::GreaterOrEqual(one) => std::slice::from_ref(one),
        Test::OneOf(list) => list,
        Test::Exists => &[],
        Test::Matches(_) => return Err("registeredAt is a time, which has no pattern".to_owned()),
    };
    match arguments.iter().find(|argument| time(argument, Timestamp::EPOCH).is_none()) {
        None => Ok(()),
        Some(wrong) => Err(format!("{wrong} is no time, such as 2026-11-28T10:00:00+00:00 or -7d")),
    }
}

/// A time: of RFC 3339, a day, or so many days, hours, minutes or seconds before `now`, such as `-7d`.
pub(super) fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(ago) = text.strip_prefix('-') {
        let unit = ago.chars().last()?;
        let seconds = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let count: u64 = ago.strip_suffix(unit)?.parse().ok()?;
        let ago = Duration::from_secs(count.checked_mul(seconds)?).as_millis();
        return Some(Timestamp::from_millis(now.millis().saturating_sub(u64::try_from(ago).ok()?)));
    }
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let parsed: jiff::Timestamp = whole.parse().ok()?;
    u64::try_from(parsed.as_millisecond()).ok().map(Timestamp::from_millis)
}
