//! A statement as words, names, strings and signs, and the few changes of it
//! that a dump's statements need where they are written down again.
//!
//! Only as much of SQL's lexical rules as tells a name from a string and a
//! comment: nothing is parsed, and what is not changed stays as it was written.

use crate::model::name::QualifiedName;

/// What a piece of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// White space and comments.
    Space,
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    Name,
    /// A string, or a piece of a number.
    Text,
    Sign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    text: String,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        match self.kind {
            Kind::Word => self.text.eq_ignore_ascii_case(word),
            Kind::Sign => self.text == word,
            _ => false,
        }
    }

    /// What a name stands for.
    fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_lowercase()),
            Kind::Name => Some(self.text[1..self.text.len() - 1].replace("\"\"", "\"")),
            _ => None,
        }
    }
}

/// A statement in pieces.
#[derive(Debug, Clone)]
pub struct Words {
    tokens: Vec<Token>,
}

impl Words {
    #[must_use]
    pub fn of(statement: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = statement;
        while let Some(first) = rest.chars().next() {
            let (kind, length) = piece(rest, first);
            let (text, after) = rest.split_at(length);
            tokens.push(Token { kind, text: text.to_owned() });
            rest = after;
        }
        Self { tokens }
    }

    #[must_use]
    pub fn text(&self) -> String {
        let text: String = self.tokens.iter().map(|token| token.text.as_str()).collect();
        text.trim().to_owned()
    }

    /// The text from its first word on: comments above it left out.
    #[must_use]
    pub fn start(&self) -> String {
        let first = self.places().first().copied().unwrap_or(0);
        self.tokens[first..].iter().map(|token| token.text.as_str()).collect()
    }

    /// The places of what is no space.
    fn places(&self) -> Vec<usize> {
        (0..self.tokens.len()).filter(|at| self.tokens[*at].kind != Kind::Space).collect()
    }

    /// Where these words follow each other, from some place on.
    fn find(&self, words: &[&str], from: usize) -> Option<Vec<usize>> {
        let places: Vec<_> = self.places().into_iter().filter(|at| *at >= from).collect();
        places
            .windows(words.len())
            .find(|window| window.iter().zip(words).all(|(at, word)| self.tokens[*at].is(word)))
            .map(<[usize]>::to_vec)
    }

    /// Whether these words follow each other outside of strings.
    #[must_use]
    pub fn has(&self, words: &[&str]) -> bool {
        self.find(words, 0).is_some()
    }

    /// Whether the name of a relation is in it, outside of strings.
    #[must_use]
    pub fn names(&self, relation: &QualifiedName) -> bool {
        self.find_relation(relation).is_some()
    }

    /// The name that follows these words, if it is one.
    #[must_use]
    pub fn name_after(&self, words: &[&str]) -> Option<String> {
        let last = *self.find(words, 0)?.last()?;
        let next = self.places().into_iter().find(|at| *at > last)?;
        self.tokens[next].name()
    }

    fn find_relation(&self, relation: &QualifiedName) -> Option<(usize, usize)> {
        let places = self.places();
        places.windows(3).find_map(|window| {
            let [schema, dot, name] = [0, 1, 2].map(|at| &self.tokens[window[at]]);
            (schema.name().as_deref() == Some(relation.schema.as_str())
                && dot.is(".")
                && name.name().as_deref() == Some(relation.name.as_str()))
            .then_some((window[0], window[2]))
        })
    }

    /// Takes words away, and the space after them.
    fn cut(&mut self, from: usize, to: usize) {
        let end =
            if self.tokens.get(to + 1).is_some_and(|token| token.kind == Kind::Space) { to + 1 } else { to };
        self.tokens.drain(from..=end);
    }

    /// Takes these words away where they first follow each other; whether
    /// they did.
    pub fn remove(&mut self, words: &[&str]) -> bool {
        let Some(found) = self.find(words, 0) else { return false };
        if let (Some(first), Some(last)) = (found.first(), found.last()) {
            self.cut(*first, *last);
        }
        true
    }

    /// Another relation in the place of this one, where it is first named.
    pub fn replace_relation(&mut self, old: &QualifiedName, new: &str) {
        if let Some((from, to)) = self.find_relation(old) {
            let new = Token { kind: Kind::Word, text: new.to_owned() };
            self.tokens.splice(from..=to, [new]);
        }
    }

    /// Another name in the place of this one, where it first stands behind
    /// the word `after`.
    pub fn replace_name(&mut self, after: &str, old: &str, new: &str) {
        let Some(found) = self.find(&[after], 0) else { return };
        let place = self
            .places()
            .into_iter()
            .find(|at| *at > found[0] && self.tokens[*at].name().as_deref() == Some(old));
        if let Some(at) = place {
            self.tokens[at] = Token { kind: Kind::Word, text: new.to_owned() };
        }
    }

    /// Cuts a `CREATE TABLE` off behind its columns; returns the tablespace
    /// that was named behind them.
    pub fn cut_behind_columns(&mut self) -> Option<String> {
        let mut depth = 0_usize;
        let mut end = None;
        for at in self.places() {
            let token = &self.tokens[at];
            if depth == 0 && ["WITH", "TABLESPACE", "USING", "INHERITS"].iter().any(|word| token.is(word)) {
                end = Some(at);
                break;
            }
            if token.is("(") {
                depth += 1;
            } else if token.is(")") {
                depth = depth.saturating_sub(1);
            }
        }
        let end = end?;
        let tail = Self { tokens: self.tokens.split_off(end) };
        // Storage parameters are in parentheses: a tablespace is behind them.
        let mut depth = 0_usize;
        let mut place = None;
        for at in tail.places() {
            let token = &tail.tokens[at];
            if depth == 0 && token.is("TABLESPACE") {
                place = Some(at);
            }
            depth = if token.is("(") { depth + 1 } else { depth.saturating_sub(usize::from(token.is(")"))) };
        }
        let next = tail.places().into_iter().find(|at| place.is_some_and(|place| *at > place))?;
        tail.tokens[next].name()
    }

    /// `n_distinct` as `n_distinct_inherited`, in the place of one that is
    /// there.
    pub fn inherit_distinct(&mut self) {
        let Some(own) = self.find(&["n_distinct"], 0) else { return };
        if let Some(inherited) = self.find(&["n_distinct_inherited"], 0) {
            // From the name to the comma behind its value, or from the comma before it.
            let places = self.places();
            let Some(at) = places.iter().position(|place| *place == inherited[0]) else { return };
            let end = places[at..]
                .iter()
                .copied()
                .find(|place| self.tokens[*place].is(",") || self.tokens[*place].is(")"));
            match end {
                Some(end) if self.tokens[end].is(",") => self.cut(inherited[0], end),
                Some(end) => {
                    let from = at.checked_sub(1).map_or(inherited[0], |before| places[before]);
                    self.tokens.drain(from..end);
                }
                None => return,
            }
        }
        if let Some(own) = self.find(&["n_distinct"], 0).or(Some(own)) {
            "n_distinct_inherited".clone_into(&mut self.tokens[own[0]].text);
        }
    }
}

/// The first piece of a text that is not empty: its kind and its length.
fn piece(rest: &str, first: char) -> (Kind, usize) {
    let upto = |end: Option<usize>, length: usize| end.map_or(rest.len(), |at| at + length);
    match first {
        _ if first.is_whitespace() => {
            (Kind::Space, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))
        }
        '-' if rest.starts_with("--") => (Kind::Space, upto(rest.find('\n'), 1)),
        '/' if rest.starts_with("/*") => (Kind::Space, comment(rest)),
        '"' => (Kind::Name, quoted(rest, '"', false)),
        '\'' => (Kind::Text, quoted(rest, '\'', false)),
        'E' | 'e' if rest[1..].starts_with('\'') => (Kind::Text, 1 + quoted(&rest[1..], '\'', true)),
        '$' => dollar(rest).map_or((Kind::Sign, 1), |length| (Kind::Text, length)),
        _ if first.is_alphabetic() || first == '_' || !first.is_ascii() => {
            let end = rest.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' && c != '$');
            (Kind::Word, end.unwrap_or(rest.len()))
        }
        _ if first.is_ascii_digit() => {
            (Kind::Text, rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()))
        }
        _ => (Kind::Sign, first.len_utf8()),
    }
}

/// The length of a string or name in quotes, which doubles them within.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + 1;
            }
        }
    }
    rest.len()
}

/// The length of a string between dollar signs; none if it is no string.
fn dollar(rest: &str) -> Option<usize> {
    let tag = 1 + rest[1..].find('$')?;
    let inner = &rest[1..tag];
    if !inner.chars().all(|c| c.is_alphanumeric() || c == '_')
        || inner.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let mark = &rest[..=tag];
    Some(rest[tag + 1..].find(mark).map_or(rest.len(), |at| tag + 1 + at + mark.len()))
}

/// The length of a comment, which may hold others.
fn comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(statement: &str, change: impl FnOnce(&mut Words)) -> String {
        let mut words = Words::of(statement);
        assert_eq!(words.text(), statement.trim());
        change(&mut words);
        words.text()
    }

    fn odd() -> QualifiedName {
        QualifiedName::new("Odd Schema", "Or.der's \"x")
    }

    #[test]
    fn pieces_make_the_whole() {
        for statement in [
            "SELECT E'it\\'s' || 'it''s' || $$x$$ || $a$ $$ $a$ || $1 -- ONLY\n, /* a /* b */ ONLY */ 1e5",
            "\"a\"\"b\".\"c\"",
            "'never ended",
            "/* never ended",
            "$a$ never ended",
            "größe.ß",
        ] {
            changed(statement, |_| ());
        }
    }

    #[test]
    fn words_in_strings_names_and_comments_are_none() {
        let words = Words::of("COMMENT ON TABLE \"ONLY\" /* ONLY */ IS 'ONLY' -- ONLY");
        assert!(!words.has(&["ONLY"]));
        assert!(words.has(&["comment", "on", "table"]));
        assert!(!words.has(&["comment", "table"]));
        assert!(!Words::of("x AS $$ app.t $$").names(&QualifiedName::new("app", "t")));
        assert!(Words::of("FROM ( app.T x)").names(&QualifiedName::new("app", "t")));
        assert_eq!(
            Words::of("ON CONFLICT ON CONSTRAINT \"a \"\"b\" DO")
                .name_after(&["ON", "CONSTRAINT"])
                .as_deref(),
            Some("a \"b")
        );
    }

    #[test]
    fn comments_above_are_left_out() {
        assert_eq!(Words::of("--\n-- Name: t\n--\n\nCREATE /* x */ VIEW").start(), "CREATE /* x */ VIEW");
        assert_eq!(Words::of("").start(), "");
        assert_eq!(Words::of("-- x").start(), "-- x");
    }

    #[test]
    fn only_is_taken_away_once() {
        let statement = "ALTER TABLE ONLY \"Odd Schema\".\"Or.der's \"\"x\"\n    ADD CONSTRAINT \"un.ique ONLY\" UNIQUE (k)";
        assert_eq!(
            changed(statement, |words| assert!(words.remove(&["ONLY"]))),
            "ALTER TABLE \"Odd Schema\".\"Or.der's \"\"x\"\n    ADD CONSTRAINT \"un.ique ONLY\" UNIQUE (k)"
        );
        assert_eq!(
            changed("CREATE INDEX i ON t (\"ONLY\")", |words| assert!(!words.remove(&["ONLY"]))),
            "CREATE INDEX i ON t (\"ONLY\")"
        );
    }

    #[test]
    fn another_relation_is_named() {
        let statement = "ALTER TABLE ONLY \"Odd Schema\".\"Or.der's \"\"x\" OWNER TO \"Or.der's \"\"x\"";
        assert_eq!(
            changed(statement, |words| words.replace_relation(&odd(), "a.b")),
            "ALTER TABLE ONLY a.b OWNER TO \"Or.der's \"\"x\""
        );
    }

    #[test]
    fn another_constraint_is_named() {
        let statement = "ALTER TABLE app.\"constraint\" ADD CONSTRAINT Positive CHECK (positive > 0)";
        assert_eq!(
            changed(statement, |words| words.replace_name("CONSTRAINT", "positive", "p_s0001")),
            "ALTER TABLE app.\"constraint\" ADD CONSTRAINT p_s0001 CHECK (positive > 0)"
        );
    }

    #[test]
    fn a_table_ends_behind_its_columns() {
        for (statement, expected, tablespace) in [
            (
                "CREATE TABLE a.b (\n  x int DEFAULT (1)\n)\nWITH (fillfactor='70')",
                "CREATE TABLE a.b (\n  x int DEFAULT (1)\n)",
                None,
            ),
            (
                "CREATE TABLE a.b (x int) USING h WITH (f=1) TABLESPACE \"Fa st\"",
                "CREATE TABLE a.b (x int)",
                Some("Fa st"),
            ),
            ("CREATE TABLE a.b OF a.c\nWITH (fillfactor='70')", "CREATE TABLE a.b OF a.c", None),
            (
                "CREATE TABLE a.b OF a.c (\n    x WITH OPTIONS DEFAULT 1\n)",
                "CREATE TABLE a.b OF a.c (\n    x WITH OPTIONS DEFAULT 1\n)",
                None,
            ),
            (
                "CREATE TABLE a.b (x text DEFAULT ') WITH (')",
                "CREATE TABLE a.b (x text DEFAULT ') WITH (')",
                None,
            ),
        ] {
            let mut found = None;
            assert_eq!(changed(statement, |words| found = words.cut_behind_columns()), expected);
            assert_eq!(found.as_deref(), tablespace);
        }
    }

    #[test]
    fn distinct_values_are_inherited_ones() {
        for (statement, expected) in [
            ("ALTER c SET (n_distinct=-0.5)", "ALTER c SET (n_distinct_inherited=-0.5)"),
            ("ALTER c SET (n_distinct=5, n_distinct_inherited=6)", "ALTER c SET (n_distinct_inherited=5)"),
            ("ALTER c SET (n_distinct_inherited=-6, n_distinct=5)", "ALTER c SET (n_distinct_inherited=5)"),
            ("ALTER c SET (n_distinct_inherited=6)", "ALTER c SET (n_distinct_inherited=6)"),
        ] {
            assert_eq!(changed(statement, Words::inherit_distinct), expected);
        }
    }
}
