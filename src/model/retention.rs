//! How long data are kept: the policy of `presplit.data_retention_policy`.
//!
//! ```text
//! policy  = rule { ";" rule }
//! rule    = "drop after" interval
//!         | "archive after" interval [ "to tablespace" name | "to directory" path "as parquet" ]
//!         | "merge after" interval "into" interval
//! ```
//!
//! An interval is a list of whole numbers with units, as PostgreSQL reads them
//! (`1 year 6 months`), perhaps in quotes. Not here: what is done about it.
//! Invariant: a policy that exists does not contradict itself.

use std::fmt;

use thiserror::Error;

use crate::model::name::quote_identifier;
use crate::model::report::Report;
use crate::model::report::SqlState;

const HOUR_SECONDS: f64 = 3600.0;
const DAY_SECONDS: f64 = 24.0 * HOUR_SECONDS;

/// Longer than any age of data.
const YEARS_MAX: u32 = 1000;

/// A span of time, in the units of PostgreSQL's `interval`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub months: u32,
    pub days: u32,
    pub hours: u32,
}

impl Span {
    /// Seconds, of months of 30 days, as PostgreSQL compares intervals.
    #[must_use]
    pub fn seconds(self) -> f64 {
        f64::from(self.months) * 30.0 * DAY_SECONDS
            + f64::from(self.days) * DAY_SECONDS
            + f64::from(self.hours) * HOUR_SECONDS
    }

    /// Seconds that it takes at most, with the longest months.
    #[must_use]
    pub fn seconds_max(self) -> f64 {
        f64::from(self.months) * DAY_SECONDS + self.seconds()
    }

    fn parse(words: &[&str]) -> Result<Self, String> {
        let shown = words.join(" ");
        let wrong = || format!("\"{shown}\" is not an interval such as 90 days or 1 year 6 months");
        let mut span = Self::default();
        // A unit alone means one of it.
        let single = ["1", words.first().copied().unwrap_or_default()];
        let words = if words.len() == 1 { &single[..] } else { words };
        if words.is_empty() || !words.len().is_multiple_of(2) {
            return Err(wrong());
        }
        for pair in words.chunks_exact(2) {
            let count: u32 = pair[0].parse().map_err(|_| wrong())?;
            let unit = pair[1].to_ascii_lowercase();
            let (part, times) = match unit.strip_suffix('s').unwrap_or(&unit) {
                "year" => (&mut span.months, 12),
                "month" | "mon" => (&mut span.months, 1),
                "week" => (&mut span.days, 7),
                "day" => (&mut span.days, 1),
                "hour" => (&mut span.hours, 1),
                _ => return Err(wrong()),
            };
            *part = count.checked_mul(times).and_then(|more| part.checked_add(more)).ok_or_else(wrong)?;
        }
        if span.seconds() <= 0.0 {
            return Err(format!("interval \"{shown}\" is zero"));
        }
        if span.seconds() > f64::from(YEARS_MAX) * 366.0 * DAY_SECONDS {
            return Err(format!("interval \"{shown}\" is longer than {YEARS_MAX} years"));
        }
        Ok(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.months / 12, "year"),
            (self.months % 12, "month"),
            (self.days, "day"),
            (self.hours, "hour"),
        ];
        let written: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
            .collect();
        f.write_str(&written.join(" "))
    }
}

/// What becomes of data of an age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Drop,
    /// Detached, and kept where it is.
    Archive,
    /// Moved.
    ArchiveToTablespace(String),
    /// Written to files, and dropped.
    ArchiveToDirectory(String),
    /// Shards of this span become one.
    Merge(Span),
}

impl Action {
    const fn word(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Archive | Self::ArchiveToTablespace(_) | Self::ArchiveToDirectory(_) => "archive",
            Self::Merge(_) => "merge",
        }
    }

    /// Whether the data are no part of the table afterwards.
    const fn takes_away(&self) -> bool {
        matches!(self, Self::Drop | Self::Archive | Self::ArchiveToDirectory(_))
    }
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub after: Span,
    pub action: Action,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}", self.action.word(), self.after)?;
        match &self.action {
            Action::Drop | Action::Archive => Ok(()),
            Action::ArchiveToTablespace(name) => write!(f, " to tablespace {}", quote_identifier(name)),
            Action::ArchiveToDirectory(path) => {
                write!(f, " to directory '{}' as parquet", path.replace('\'', "''"))
            }
            Action::Merge(into) => write!(f, " into {into}"),
        }
    }
}

/// A policy that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RetentionError {
    #[error("retention policy \"{0}\" cannot be read")]
    Unreadable(String, String),
    #[error("retention policy \"{0}\" contradicts itself")]
    Contradiction(String, String),
}

impl Report for RetentionError {
    fn sqlstate(&self) -> SqlState {
        SqlState::InvalidParameterValue
    }

    fn detail(&self) -> Option<String> {
        let (Self::Unreadable(_, why) | Self::Contradiction(_, why)) = self;
        Some(why.clone())
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable(..) => {
                "Write \"drop after 1 year\", \"archive after 90 days to tablespace cold\" or \
                                     \"merge after 30 days into 1 month\", joined by semicolons."
                    .to_owned()
            }
            Self::Contradiction(..) => {
                "Merge first, then archive, then drop, each after a longer interval.".to_owned()
            }
        })
    }
}

/// How long data are kept, and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// By age.
    rules: Vec<Rule>,
}

impl RetentionPolicy {
    /// Reads a policy; an empty text is one without rules.
    ///
    /// # Errors
    /// [`RetentionError`] if it cannot be read or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, RetentionError> {
        let unreadable = |why: String| RetentionError::Unreadable(text.to_owned(), sentence(&why));
        let mut rules = Vec::new();
        let statements = statements(text).map_err(unreadable)?;
        for tokens in statements.iter().filter(|tokens| !tokens.is_empty()) {
            rules.push(rule(tokens).map_err(unreadable)?);
        }
        if let Some(why) = contradiction(&rules) {
            return Err(RetentionError::Contradiction(text.to_owned(), sentence(&why)));
        }
        rules.sort_by(|a, b| a.after.seconds().total_cmp(&b.after.seconds()));
        Ok(Self { rules })
    }

    /// The rules by age.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The age at which data are no part of the table any more.
    #[must_use]
    pub fn kept(&self) -> Option<Span> {
        self.rules.iter().find(|rule| rule.action.takes_away()).map(|rule| rule.after)
    }
}

impl fmt::Display for RetentionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        f.write_str(&written.join("; "))
    }
}

/// A word, or a text in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// In single quotes.
    Text(String),
    /// In double quotes.
    Name(String),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn shown(&self) -> String {
        match self {
            Self::Word(text) => text.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Name(text) => format!("\"{text}\""),
        }
    }
}

/// The tokens between semicolons.
fn statements(text: &str) -> Result<Vec<Vec<Token>>, String> {
    let mut found = vec![Vec::new()];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = match first {
            ';' => {
                found.push(Vec::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '\'' | '"' => {
                let (content, after) = quoted(&rest[1..], first)?;
                rest = after;
                if first == '"' { Token::Name(content) } else { Token::Text(content) }
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '\'' | '"');
                let end = rest.find(ends).unwrap_or(rest.len());
                let word = rest[..end].to_owned();
                rest = &rest[end..];
                Token::Word(word)
            }
        };
        rest = rest.trim_start();
        if let Some(tokens) = found.last_mut() {
            tokens.push(token);
        }
    }
    Ok(found)
}

/// What stands before the closing quote, where two quotes stand for one, and
/// what comes after it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut content = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        if c != quote {
            content.push(c);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Ok((content, &text[at + 1..]));
        }
    }
    Err(format!("the quote before \"{text}\" does not end"))
}

fn rule(tokens: &[Token]) -> Result<Rule, String> {
    let shown = || tokens.iter().map(Token::shown).collect::<Vec<_>>().join(" ");
    let [verb, after, rest @ ..] = tokens else {
        return Err(format!("\"{}\" is not a rule", shown()));
    };
    if !after.is("after") || !["drop", "archive", "merge"].iter().any(|word| verb.is(word)) {
        return Err(format!("\"{}\" does not begin with drop after, archive after or merge after", shown()));
    }
    let until = |word: &str| rest.iter().position(|token| token.is(word));
    if verb.is("drop") {
        return Ok(Rule { after: span(rest)?, action: Action::Drop });
    }
    if verb.is("merge") {
        let Some(at) = until("into") else { return Err(format!("\"{}\" does not say into what", shown())) };
        return Ok(Rule { after: span(&rest[..at])?, action: Action::Merge(span(&rest[at + 1..])?) });
    }
    let Some(at) = until("to") else { return Ok(Rule { after: span(rest)?, action: Action::Archive }) };
    let action = match &rest[at + 1..] {
        [kind, Token::Word(name)] if kind.is("tablespace") => {
            Action::ArchiveToTablespace(name.to_lowercase())
        }
        [kind, Token::Name(name)] if kind.is("tablespace") && !name.is_empty() => {
            Action::ArchiveToTablespace(name.clone())
        }
        [kind, Token::Word(path) | Token::Text(path), join, format]
            if kind.is("directory") && join.is("as") && format.is("parquet") =>
        {
            if !path.starts_with('/') {
                return Err(format!("directory \"{path}\" is not an absolute path"));
            }
            Action::ArchiveToDirectory(path.clone())
        }
        [kind, ..] if kind.is("directory") => {
            return Err(format!("\"{}\" does not end in as parquet", shown()));
        }
        _ => return Err(format!("\"{}\" names neither a tablespace nor a directory", shown())),
    };
    Ok(Rule { after: span(&rest[..at])?, action })
}

fn span(tokens: &[Token]) -> Result<Span, String> {
    match tokens {
        [Token::Text(text)] => Span::parse(&text.split_whitespace().collect::<Vec<_>>()),
        _ => {
            let words: Option<Vec<&str>> = tokens
                .iter()
                .map(|token| match token {
                    Token::Word(word) => Some(word.as_str()),
                    Token::Text(_) | Token::Name(_) => None,
                })
                .collect();
            match words {
                Some(words) => Span::parse(&words),
                None => Err("an interval mixes words and quotes".to_owned()),
            }
        }
    }
}

/// Why rules cannot all be followed.
fn contradiction(rules: &[Rule]) -> Option<String> {
    for (at, rule) in rules.iter().enumerate() {
        for other in &rules[at + 1..] {
            let archives = |rule: &Rule| rule.action.word() == "archive";
            let twice = rule.action.word() == other.action.word()
                && !(archives(rule) && rule.action.takes_away() != other.action.takes_away());
            if twice {
                return Some(format!("\"{rule}\" and \"{other}\" are both there"));
            }
            for (first, second) in [(rule, other), (other, rule)] {
                if first.action.takes_away() && second.after.seconds() >= first.after.seconds() {
                    let allowed = first.action == Action::Archive && second.action == Action::Drop;
                    let written = matches!(first.action, Action::ArchiveToDirectory(_));
                    if allowed && second.after.seconds() > first.after.seconds() {
                        continue;
                    }
                    let why = if written { "written to files and gone" } else { "no part of the table" };
                    return Some(format!("\"{second}\" finds nothing: after {} data are {why}", first.after));
                }
            }
        }
    }
    None
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy as it is written back.
    #[track_caller]
    fn reads(text: &str, expected: &str) {
        let found = RetentionPolicy::parse(text).unwrap();
        assert_eq!(found.to_string(), expected);
        assert_eq!(RetentionPolicy::parse(expected).unwrap(), found, "it reads back");
    }

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let error = RetentionPolicy::parse(text).unwrap_err();
        assert_eq!(error.sqlstate().code(), "22023");
        assert_eq!(error.detail().unwrap(), expected, "{error}");
    }

    #[test]
    fn policies_are_read_and_written_back() {
        reads("", "");
        reads(" ; ; ", "");
        reads("drop after 90 days", "drop after 90 days");
        reads("DROP AFTER '1 Year 6 mons';", "drop after 1 year 6 months");
        reads("drop after week", "drop after 7 days");
        reads(
            "drop after 7 years; archive after 90 days to tablespace Cold;merge after 2 weeks into month",
            "merge after 14 days into 1 month; archive after 90 days to tablespace cold; drop after 7 years",
        );
        reads(
            "archive after 36 hours to directory '/srv/old data' as parquet",
            "archive after 36 hours to directory '/srv/old data' as parquet",
        );
        reads(
            "archive after 1 day to tablespace \"Cold; 'one'\"",
            "archive after 1 day to tablespace \"Cold; 'one'\"",
        );
        reads("archive after 1 day; drop after 2 days", "archive after 1 day; drop after 2 days");
        reads(
            "archive after 1 day to tablespace a; archive after 1 year to directory /b as parquet",
            "archive after 1 day to tablespace a; archive after 1 year to directory '/b' as parquet",
        );
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        refuses("keep", "\"keep\" is not a rule.");
        refuses(
            "delete after 1 day",
            "\"delete after 1 day\" does not begin with drop after, archive after or merge after.",
        );
        let interval =
            |text: &str| format!("\"{text}\" is not an interval such as 90 days or 1 year 6 months.");
        refuses("drop after", &interval(""));
        refuses("drop after soon", &interval("soon"));
        refuses("drop after 90", &interval("90"));
        refuses("drop after 90 days old", &interval("90 days old"));
        refuses("drop after -1 days", &interval("-1 days"));
        refuses("drop after 1.5 days", &interval("1.5 days"));
        refuses("drop after 5000000000 days", &interval("5000000000 days"));
        refuses("drop after 4000000000 years", &interval("4000000000 years"));
        refuses("drop after 0 days", "Interval \"0 days\" is zero.");
        refuses("drop after 2000 years", "Interval \"2000 years\" is longer than 1000 years.");
        refuses("merge after 1 day", "\"merge after 1 day\" does not say into what.");
        refuses("merge after 1 day into", &interval(""));
        refuses(
            "archive after 1 day to s3",
            "\"archive after 1 day to s3\" names neither a tablespace nor a directory.",
        );
        refuses(
            "archive after 1 day to directory '/a' as csv",
            "\"archive after 1 day to directory '/a' as csv\" does not end in as parquet.",
        );
        refuses("archive after 1 day to directory a as parquet", "Directory \"a\" is not an absolute path.");
        refuses("drop after '1 day", "The quote before \"1 day\" does not end.");
        refuses("drop after '1 day' 2 days", "An interval mixes words and quotes.");
    }

    #[test]
    fn contradictions_are_refused() {
        refuses(
            "drop after 30 days; archive after 90 days to tablespace cold",
            "\"archive after 90 days to tablespace cold\" finds nothing: after 30 days data are no part of the table.",
        );
        refuses(
            "merge after 1 year into 1 month; drop after 360 days",
            "\"merge after 1 year into 1 month\" finds nothing: after 360 days data are no part of the table.",
        );
        refuses(
            "archive after 1 day to directory /a as parquet; drop after 2 days",
            "\"drop after 2 days\" finds nothing: after 1 day data are written to files and gone.",
        );
        refuses(
            "archive after 1 day; merge after 2 days into 1 month",
            "\"merge after 2 days into 1 month\" finds nothing: after 1 day data are no part of the table.",
        );
        refuses(
            "drop after 1 day; drop after 2 days",
            "\"drop after 1 day\" and \"drop after 2 days\" are both there.",
        );
        refuses(
            "archive after 1 day; drop after 1 day",
            "\"drop after 1 day\" finds nothing: after 1 day data are no part of the table.",
        );
        refuses(
            "archive after 1 day to tablespace a; archive after 2 days to tablespace b",
            "\"archive after 1 day to tablespace a\" and \"archive after 2 days to tablespace b\" are both there.",
        );
    }

    #[test]
    fn what_is_kept_is_what_nothing_takes_away() {
        let kept = |text: &str| RetentionPolicy::parse(text).unwrap().kept().map(|span| span.to_string());
        assert_eq!(kept("drop after 1 year"), Some("1 year".to_owned()));
        assert_eq!(kept("archive after 90 days; drop after 1 year"), Some("90 days".to_owned()));
        let tiered = "archive after 90 days to tablespace cold; drop after 1 year";
        assert_eq!(kept(tiered), Some("1 year".to_owned()));
        assert_eq!(kept("merge after 1 day into 1 month"), None);
        assert_eq!(kept(""), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(drop|archive|merge|after|into|to|as|;|'|\"| |1|days|/x|é)*") {
            if let Ok(policy) = RetentionPolicy::parse(&text) {
                let written = policy.to_string();
                proptest::prop_assert_eq!(RetentionPolicy::parse(&written), Ok(policy));
            }
        }
    }
}
