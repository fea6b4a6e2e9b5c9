//! Statements without their constants, as pg_stat_statements would show them.
//!
//! Each constant becomes the next parameter after the highest that the text
//! has itself. What PostgreSQL does not treat as a constant stays: positions
//! in `ORDER BY 1`, modifiers of types, `IS NULL`. A list of constants in
//! `IN (…)` or `ARRAY[…]` shrinks to its first two, so that its length does
//! not matter: `IN ($1, $2 /*, ... */)`. Comments go, white space becomes one
//! space. Normalising a normalised text changes nothing.

use crate::model::profile::SampledValue;
use crate::planning::workload::token::Kind;
use crate::planning::workload::token::Token;
use crate::planning::workload::token::tokens;
use crate::planning::workload::token::unquoted;

/// Most parameters of a text whose values are of use.
pub const PARAMETERS_MAX: u32 = 1000;

/// A statement without its constants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Normal {
    pub text: String,
    /// The same for texts that differ only in constants, white space,
    /// comments and the case of keywords and unquoted names.
    pub key: u64,
    /// The highest parameter of `text`, 0 if there is none.
    pub parameters: u32,
    /// The constants that became parameters, by parameter.
    pub constants: Vec<(u32, Constant)>,
}

/// What a parameter stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    Value(SampledValue),
    /// The elements of a list; also of parameters of the text itself.
    List(Vec<Element>),
}

/// One element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    Value(SampledValue),
    Parameter(u32),
}

/// A statement without its constants.
#[must_use]
pub fn normalise(text: &str) -> Normal {
    let tokens = tokens(text);
    let highest = tokens.iter().filter(|token| token.kind == Kind::Parameter).map(number_of).max();
    let mut writer = Writer::new(&tokens, highest.unwrap_or(0));
    let mut at = 0;
    while at < tokens.len() {
        at = writer.step(at);
    }
    writer.finish()
}

/// The number of a parameter.
fn number_of(token: &Token<'_>) -> u32 {
    token.text[1..].parse().unwrap_or(u32::MAX)
}

/// What an open parenthesis, or the statement itself, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// A query: its ORDER BY and GROUP BY may name positions.
    Query,
    /// A list of positions, outside or inside of ROLLUP and its like.
    Positions,
    /// Modifiers of a type.
    Modifiers,
    Other,
}

struct Writer<'a> {
    tokens: &'a [Token<'a>],
    inside: Vec<Inside>,
    /// For each open parenthesis and the statement: within the list of ORDER
    /// BY or GROUP BY.
    by_list: Vec<bool>,
    next: u32,
    normal: Normal,
    /// End of the last token written, in the text read.
    written: Option<usize>,
    hash: Fnv,
}

impl<'a> Writer<'a> {
    fn new(tokens: &'a [Token<'a>], highest: u32) -> Self {
        let normal = Normal { parameters: highest, ..Normal::default() };
        Self {
            tokens,
            inside: vec![Inside::Query],
            by_list: vec![false],
            next: highest.saturating_add(1),
            normal,
            written: None,
            hash: Fnv::default(),
        }
    }

    fn finish(mut self) -> Normal {
        self.normal.key = self.hash.value();
        self.normal
    }

    fn get(&self, at: usize) -> Option<&'a Token<'a>> {
        self.tokens.get(at)
    }

    /// The token so many places before.
    fn before(&self, at: usize, places: usize) -> Option<&'a Token<'a>> {
        self.tokens.get(at.checked_sub(places)?)
    }

    fn is_word(&self, at: usize, places: usize, words: &[&str]) -> bool {
        self.before(at, places).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    /// Writes what begins at a token; returns the place of the next one.
    fn step(&mut self, at: usize) -> usize {
        let token = &self.tokens[at];
        if let Some(end) = self.list(at) {
            return end;
        }
        self.context(at);
        if let Some((value, end)) = self.constant(at) {
            self.parameter(Constant::Value(value), at, end);
            return end;
        }
        self.write(token);
        at + 1
    }

    /// Writes a token as it is, spaced as it was.
    fn write(&mut self, token: &Token<'_>) {
        self.space(token.start);
        self.normal.text.push_str(token.text);
        self.written = Some(token.end());
        if token.kind == Kind::Word {
            self.hash.word(&token.text.to_ascii_lowercase());
        } else {
            self.hash.word(token.text);
        }
    }

    fn space(&mut self, start: usize) {
        if self.written.is_some_and(|end| end < start) {
            self.normal.text.push(' ');
        }
    }

    /// Writes a parameter in place of the tokens up to `end`.
    fn parameter(&mut self, constant: Constant, at: usize, end: usize) {
        let number = self.number(constant);
        self.space(self.tokens[at].start);
        // A constant may stand right beside a word: `SELECT'a'FROM`.
        if self
            .normal
            .text
            .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii())
        {
            self.normal.text.push(' ');
        }
        let text = format!("${number}");
        self.normal.text.push_str(&text);
        self.hash.word(&text);
        let last = self.tokens[end - 1].end();
        let glued = self.get(end).is_some_and(|next| {
            next.start == last && matches!(next.kind, Kind::Word | Kind::Number | Kind::Text)
        });
        self.written = Some(if glued { last - 1 } else { last });
    }

    fn number(&mut self, constant: Constant) -> u32 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.normal.parameters = number;
        if number <= PARAMETERS_MAX {
            self.normal.constants.push((number, constant));
        }
        number
    }

    /// Follows parentheses and lists.
    fn context(&mut self, at: usize) {
        let token = &self.tokens[at];
        if token.kind == Kind::Sign {
            match token.text {
                "(" | "[" => {
                    let inside = self.opened(at);
                    self.inside.push(inside);
                    self.by_list.push(inside == Inside::Positions);
                }
                ")" | "]" if self.inside.len() > 1 => {
                    self.inside.pop();
                    self.by_list.pop();
                }
                _ => {}
            }
            return;
        }
        let in_query = self.inside.last() == Some(&Inside::Query);
        if token.kind == Kind::Word && in_query && ends_list(token) {
            self.set_by_list(false);
        } else if token.is_word("by") && self.is_word(at, 1, &["order", "group"]) {
            self.set_by_list(in_query);
        }
    }

    fn set_by_list(&mut self, value: bool) {
        if let Some(last) = self.by_list.last_mut() {
            *last = value;
        }
    }

    fn in_by_list(&self) -> bool {
        self.by_list.last() == Some(&true)
    }

    /// What the parenthesis or bracket at a place holds.
    fn opened(&self, at: usize) -> Inside {
        let first = |words: &[&str]| {
            self.get(at + 1).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
        };
        if self.modifiers(at) {
            return Inside::Modifiers;
        }
        if self.tokens[at].text == "[" {
            return Inside::Other;
        }
        if first(&["select", "with", "values", "table"]) {
            return Inside::Query;
        }
        let distinct_on = self.is_word(at, 1, &["on"]) && self.is_word(at, 2, &["distinct"]);
        let positions = self.in_by_list()
            && (self.is_word(at, 1, &["rollup", "cube", "sets", "by", "all", "distinct"])
                || self.before(at, 1).is_some_and(|token| token.is_sign("(") || token.is_sign(",")));
        if distinct_on || positions {
            return Inside::Positions;
        }
        // Of a query in parentheses: whatever stands around it goes for it too.
        let nested = self.get(at + 1).is_some_and(|token| token.is_sign("("));
        let bare = self.before(at, 1).is_none_or(|token| {
            token.is_sign("(")
                || ["union", "intersect", "except", "all", "as"].iter().any(|word| token.is_word(word))
        });
        if nested && bare { Inside::Query } else { Inside::Other }
    }

    /// Whether a parenthesis holds modifiers of a type: `numeric(10,2)`.
    fn modifiers(&self, at: usize) -> bool {
        const TYPES: &[&str] = &[
            "bit",
            "char",
            "character",
            "dec",
            "decimal",
            "float",
            "interval",
            "nchar",
            "numeric",
            "time",
            "timestamp",
            "varchar",
        ];
        let by_name = self.tokens[at].text == "(" && self.is_word(at, 1, TYPES);
        if by_name
            || (self.is_word(at, 1, &["varying"])
                && self.is_word(at, 2, &["bit", "char", "character", "nchar"]))
        {
            return true;
        }
        let after_to = self.is_word(at, 2, &["to"])
            || self.before(at, 2).is_some_and(|token| matches!(token.kind, Kind::Text | Kind::Parameter));
        if self.is_word(at, 1, &["second"]) && after_to {
            return true;
        }
        // A name, qualified or not, after `::` or `AS`.
        let mut back = 1;
        loop {
            let named = self
                .before(at, back)
                .is_some_and(|token| matches!(token.kind, Kind::Word | Kind::QuotedWord));
            if !named {
                return false;
            }
            match self.before(at, back + 1) {
                Some(token) if token.is_sign(".") => back += 2,
                Some(token) if token.is_sign("::") => return true,
                Some(token) if token.is_word("as") => return self.in_cast(at, back + 1),
                _ => return false,
            }
        }
    }

    /// Whether the `AS` so many places before belongs to `CAST(… AS type`.
    fn in_cast(&self, at: usize, back: usize) -> bool {
        let mut depth = 0_usize;
        // A cast is short; what is not found soon is none.
        const TOKENS_MAX: usize = 200;
        let end = at.saturating_sub(back);
        for place in (end.saturating_sub(TOKENS_MAX)..end).rev() {
            let token = &self.tokens[place];
            if token.is_sign(")") || token.is_sign("]") {
                depth += 1;
            } else if token.is_sign("(") || token.is_sign("[") {
                if depth == 0 {
                    return self.is_word(place, 1, &["cast"]);
                }
                depth -= 1;
            }
        }
        false
    }

    /// The constant that begins at a place, and the place after it.
    fn constant(&self, at: usize) -> Option<(SampledValue, usize)> {
        let token = &self.tokens[at];
        let modifiers = self.inside.last() == Some(&Inside::Modifiers);
        match token.kind {
            _ if modifiers => None,
            // A path of JSON_TABLE or XMLTABLE must be a constant.
            Kind::Text if self.is_word(at, 1, &["path"]) => None,
            Kind::Text => Some((SampledValue::Value(unquoted(token.text)), self.after_text(at))),
            Kind::Number if self.is_position(at) => None,
            Kind::Number => Some((SampledValue::Value(token.text.to_owned()), at + 1)),
            Kind::Operator if token.text == "-" => self.negative(at),
            Kind::Word => self.keyword(at).map(|value| (value, at + 1)),
            _ => None,
        }
    }

    /// The place after a string, with its `UESCAPE`.
    fn after_text(&self, at: usize) -> usize {
        let unicode = self.tokens[at].text.starts_with(['u', 'U']);
        let escape = self.get(at + 1).is_some_and(|token| token.is_word("uescape"))
            && self.get(at + 2).is_some_and(|token| token.kind == Kind::Text);
        if unicode && escape { at + 3 } else { at + 1 }
    }

    /// A number with its sign, where the sign cannot be a subtraction and
    /// nothing binds the number more tightly.
    fn negative(&self, at: usize) -> Option<(SampledValue, usize)> {
        let number = self.get(at + 1).filter(|token| token.kind == Kind::Number)?;
        let tighter =
            self.get(at + 2).is_some_and(|token| ["::", "[", "."].iter().any(|sign| token.is_sign(sign)));
        let unary = self.before(at, 1).is_none_or(|token| match token.kind {
            Kind::Operator => true,
            Kind::Sign => ["(", "[", ",", ";"].contains(&token.text),
            Kind::Word => BEFORE_VALUES.iter().any(|word| token.is_word(word)),
            _ => false,
        });
        let value = || SampledValue::Value(format!("-{}", number.text));
        (unary && !tighter && !self.is_position(at + 1)).then(|| (value(), at + 2))
    }

    /// `true`, `false` and `null` where they are values.
    fn keyword(&self, at: usize) -> Option<SampledValue> {
        let token = &self.tokens[at];
        let value = if token.is_word("null") {
            SampledValue::Null
        } else if token.is_word("true") || token.is_word("false") {
            SampledValue::Value(token.text.to_ascii_lowercase())
        } else {
            return None;
        };
        let next = |places: usize, words: &[&str]| {
            self.get(at + places).is_some_and(|token| words.iter().any(|word| token.is_word(word)))
        };
        let tested = self.is_word(at, 1, &["is", "as"])
            || (self.is_word(at, 1, &["not"]) && self.is_word(at, 2, &["is"]))
            || (self.is_word(at, 1, &["from"]) && self.is_word(at, 2, &["distinct"]))
            || self.before(at, 1).is_some_and(|token| token.is_sign(".") || token.is_sign("::"));
        let in_json = next(1, &["on"]) && next(2, &["null", "empty", "error"]);
        let null_word = value == SampledValue::Null && self.is_word(at, 1, &["not", "on"]);
        (!tested && !in_json && !null_word).then_some(value)
    }

    /// Whether a number is a position in the list of ORDER BY or GROUP BY.
    fn is_position(&self, at: usize) -> bool {
        let starts = self.is_word(at, 1, &["by", "all", "distinct"])
            || self.before(at, 1).is_some_and(|token| token.is_sign(",") || token.is_sign("("));
        let ends = self.get(at + 1).is_none_or(|token| match token.kind {
            Kind::Sign => [",", ")", ";"].contains(&token.text),
            Kind::Word => ends_item(token),
            _ => false,
        });
        self.in_by_list() && starts && ends
    }

    /// Writes a list of constants after `IN` or `ARRAY`, shortened; none if
    /// there is no such list at a place.
    fn list(&mut self, at: usize) -> Option<usize> {
        let token = &self.tokens[at];
        let close = match token.text {
            "(" if self.is_word(at, 1, &["in"]) => ")",
            "[" if self.is_word(at, 1, &["array"]) => "]",
            _ => return None,
        };
        let mut elements = Vec::new();
        let mut place = at + 1;
        loop {
            let (element, end) = self.element(place)?;
            elements.push(element);
            match self.get(end)? {
                token if token.is_sign(",") => place = end + 1,
                token if token.is_sign(close) => {
                    place = end;
                    break;
                }
                _ => return None,
            }
        }
        if elements.len() < 2 {
            return None;
        }
        self.write(token);
        self.written = None;
        self.shortened(elements);
        let last = &self.tokens[place];
        self.normal.text.push_str(close);
        self.hash.word(close);
        self.written = Some(last.end());
        Some(place + 1)
    }

    /// The element of a list that begins at a place.
    fn element(&self, at: usize) -> Option<(Element, usize)> {
        let token = self.get(at)?;
        if token.kind == Kind::Parameter {
            return Some((Element::Parameter(number_of(token)), at + 1));
        }
        let (value, end) = self.constant(at)?;
        Some((Element::Value(value), end))
    }

    fn shortened(&mut self, elements: Vec<Element>) {
        let mut names = Vec::new();
        let mut of_list = None;
        for (place, element) in elements.iter().take(2).enumerate() {
            let name = match element {
                Element::Parameter(number) => *number,
                Element::Value(value) => self.number(Constant::Value(value.clone())),
            };
            if place == 0 {
                of_list = Some(name);
            }
            names.push(name);
        }
        if let Some(first) = of_list.filter(|number| *number <= PARAMETERS_MAX) {
            self.normal.constants.retain(|(number, _)| *number != first);
            self.normal.constants.push((first, Constant::List(elements)));
        }
        let text = format!("${}, ${} /*, ... */", names[0], names[1]);
        self.normal.text.push_str(&text);
        self.hash.word(&text);
    }
}

/// Words after which a sign belongs to the number.
const BEFORE_VALUES: &[&str] = &[
    "all",
    "and",
    "any",
    "between",
    "by",
    "case",
    "distinct",
    "else",
    "for",
    "from",
    "having",
    "ilike",
    "in",
    "like",
    "limit",
    "not",
    "offset",
    "on",
    "or",
    "placing",
    "returning",
    "select",
    "symmetric",
    "then",
    "to",
    "using",
    "when",
    "where",
];

/// Words that end the list of ORDER BY or GROUP BY in a query.
fn ends_list(token: &Token<'_>) -> bool {
    const WORDS: &[&str] = &[
        "limit",
        "offset",
        "fetch",
        "for",
        "having",
        "window",
        "union",
        "intersect",
        "except",
        "order",
        "group",
        "returning",
        "select",
        "where",
        "from",
    ];
    WORDS.iter().any(|word| token.is_word(word))
}

/// Words that may follow an item of such a list.
fn ends_item(token: &Token<'_>) -> bool {
    ends_list(token) || ["asc", "desc", "nulls", "using"].iter().any(|word| token.is_word(word))
}

/// FNV-1a: the same on every machine and in every release, because it gives a
/// statement of a log its number.
#[derive(Debug, Clone, Copy)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes in a word and its end.
    pub fn word(&mut self, word: &str) {
        for byte in word.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
