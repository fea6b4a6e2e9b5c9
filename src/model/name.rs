//! SQL names: the only code that reads, quotes and cuts identifiers and literals.
//!
//! Not here: the look-up of a name in a catalog or in a profile.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::model::report::Report;
use crate::model::report::SqlState;

/// Longest identifier in bytes (`NAMEDATALEN - 1`).
pub const IDENTIFIER_BYTES_MAX: usize = 63;

/// Keywords that PostgreSQL 15 to 18 do not take as a bare column or table
/// name: its categories other than "unreserved". Sorted, for binary search.
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A relation name that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("relation name \"{0}\" is not valid")]
    Malformed(String),
    #[error("relation name \"{0}\" has too many parts")]
    TooManyParts(String),
}

impl Report for NameError {
    fn sqlstate(&self) -> SqlState {
        SqlState::InvalidName
    }
    fn detail(&self) -> Option<String> {
        Some("A relation is named table or schema.table, quoted as in SQL.".to_owned())
    }
    fn hint(&self) -> Option<String> {
        Some(
            "Put names with capitals, spaces or dots in double quotes, as in \"My Schema\".orders."
                .to_owned(),
        )
    }
}

/// A relation name as a user writes it, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenName {
    pub schema: Option<String>,
    pub name: String,
}

impl WrittenName {
    /// Reads `table` or `schema.table` by SQL's rules: unquoted parts are
    /// folded to lower case, quoted parts are taken as they are.
    ///
    /// # Errors
    /// [`NameError`] if the text is empty, unbalanced, has stray characters
    /// or more than two parts.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let malformed = || NameError::Malformed(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = next_part(rest).ok_or_else(malformed)?;
            parts.push(part);
            let after = after.trim_start();
            match after.strip_prefix('.') {
                Some(more) => rest = more.trim_start(),
                None if after.is_empty() => break,
                None => return Err(malformed()),
            }
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Ok(Self { schema: None, name }),
            (Some(schema), Some(name), None) => Ok(Self { schema: Some(schema), name }),
            _ => Err(NameError::TooManyParts(text.to_owned())),
        }
    }
}

/// Splits the first identifier off `text`.
fn next_part(text: &str) -> Option<(String, &str)> {
    if let Some(mut rest) = text.strip_prefix('"') {
        let mut part = String::new();
        loop {
            let quote = rest.find('"')?;
            part.push_str(&rest[..quote]);
            rest = &rest[quote + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    part.push('"');
                    rest = more;
                }
                None => break,
            }
        }
        (!part.is_empty() && !part.contains('\0'))
            .then(|| (cut(&part, IDENTIFIER_BYTES_MAX).to_owned(), rest))
    } else {
        let end = text
            .char_indices()
            .find(|(at, c)| {
                !(c.is_ascii_alphabetic()
                    || *c == '_'
                    || !c.is_ascii()
                    || (*at > 0 && (c.is_ascii_digit() || *c == '$')))
            })
            .map_or(text.len(), |(at, _)| at);
        let part = text[..end].to_ascii_lowercase();
        (!part.is_empty()).then(|| (cut(&part, IDENTIFIER_BYTES_MAX).to_owned(), &text[end..]))
    }
}

/// A relation name with its schema, as the catalogs hold it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    pub schema: String,
    pub name: String,
}

impl QualifiedName {
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Another relation of the same schema.
    #[must_use]
    pub fn sibling(&self, name: impl Into<String>) -> Self {
        Self { schema: self.schema.clone(), name: name.into() }
    }
}

/// `schema.table`, quoted as in SQL.
/// As SQL needs it; with `{:#}` as a message shows it between quotes of its own.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return write!(f, "{}.{}", self.schema, self.name);
        }
        write!(f, "{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

/// Quotes an identifier where SQL needs it, as `quote_ident` does.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    let plain = name.bytes().enumerate().all(|(at, byte)| {
        byte.is_ascii_lowercase() || byte == b'_' || (at > 0 && (byte.is_ascii_digit() || byte == b'$'))
    });
    // quote_ident also quotes names with a dollar sign.
    if plain && !name.is_empty() && !name.contains('$') && KEYWORDS.binary_search(&name).is_err() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Quotes identifiers and joins them with commas.
#[must_use]
pub fn quote_identifiers<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| quote_identifier(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Quotes a string literal, as `quote_literal` does: safe under either value
/// of `standard_conforming_strings`.
#[must_use]
pub fn quote_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// Cuts `text` to at most `bytes` without splitting a character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The name of a range's multirange where none is given.
#[must_use]
pub fn multirange_name(range: &QualifiedName) -> QualifiedName {
    let name = match range.name.split_once("range") {
        Some((before, after)) => format!("{before}multirange{after}"),
        None => format!("{}_multirange", cut(&range.name, IDENTIFIER_BYTES_MAX - "multirange".len() - 1)),
    };
    QualifiedName::new(&range.schema, cut(&name, IDENTIFIER_BYTES_MAX))
}

/// `<table>_<suffix>`, the table's part cut so that the name fits.
#[must_use]
pub fn derived_name(table: &str, suffix: &str) -> String {
    let room = IDENTIFIER_BYTES_MAX.saturating_sub(suffix.len() + 1);
    format!("{}_{suffix}", cut(table, room))
}

/// What the objects of one table, such as its indexes, are called on another
/// of the same schema, in their order: `orders_s0001_pkey` on `orders_s0005` is
/// `orders_s0005_pkey`. Each has a name of its own.
#[must_use]
pub fn names_on(objects: &[String], from: &str, to: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(objects.len());
    for object in objects {
        let suffix = object.strip_prefix(from).and_then(|rest| rest.strip_prefix('_')).unwrap_or(object);
        let mut name = fitting(format!("{to}_{suffix}"));
        let mut number = 1;
        while all.contains(&name) {
            number += 1;
            name = fitting(format!("{to}_{suffix}_{number}"));
        }
        all.push(name);
    }
    all
}

/// `<name>_<suffix>`; one that is too long is cut and made different from
/// others that are cut alike.
#[must_use]
pub fn marked_name(name: &str, suffix: &str) -> String {
    let room = IDENTIFIER_BYTES_MAX.saturating_sub(suffix.len() + 1);
    if name.len() <= room {
        return format!("{name}_{suffix}");
    }
    format!("{}_{:08x}_{suffix}", cut(name, room.saturating_sub(9)), hash(name))
}

/// A name that is too long, cut and made different from others that are cut alike.
fn fitting(name: String) -> String {
    if name.len() <= IDENTIFIER_BYTES_MAX {
        return name;
    }
    format!("{}_{:08x}", cut(&name, IDENTIFIER_BYTES_MAX - 9), hash(&name))
}

/// Fowler, Noll, Vo: 32 bits.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The name of the `number`th shard of a table: `orders_s0003`.
#[must_use]
pub fn shard_name(table: &str, number: usize) -> String {
    derived_name(table, &format!("s{number:04}"))
}

/// The name of the `number`th partition of a table that is itself divided:
/// `orders_b0003`.
#[must_use]
pub fn branch_name(table: &str, number: usize) -> String {
    derived_name(table, &format!("b{number:04}"))
}

/// The name of the partition that takes what no other shard accepts.
#[must_use]
pub fn default_shard_name(table: &str) -> String {
    derived_name(table, "default")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Option<&str>, &str)>) {
        let found = WrittenName::parse(text).ok();
        let expected = expected
            .map(|(schema, name)| WrittenName { schema: schema.map(str::to_owned), name: name.to_owned() });
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn marked_names_differ_however_long() {
        assert_eq!(marked_name("t", "presplit_old"), "t_presplit_old");
        let long = |number: u32| format!("{}_s{number:04}", "é".repeat(28));
        let (one, two) = (marked_name(&long(1), "presplit_new"), marked_name(&long(2), "presplit_new"));
        assert!(one != two && one.len() <= 63 && one.ends_with("_presplit_new"), "{one} {two}");
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        check("orders", Some((None, "orders")));
        check("App.Orders", Some((Some("app"), "orders")));
        check("\"App\".\"Or.ders\"", Some((Some("App"), "Or.ders")));
        check("\"a\"\"b\"", Some((None, "a\"b")));
        check(" app . orders ", Some((Some("app"), "orders")));
        check("größe", Some((None, "größe")));
        for wrong in ["", ".", "a.", ".a", "a.b.c", "a b", "\"a", "\"\"", "1a", "a;b", "a-b"] {
            check(wrong, None);
        }
    }

    #[test]
    fn identifiers_are_quoted_only_where_needed() {
        for (name, expected) in [
            ("orders", "orders"),
            ("Orders", "\"Orders\""),
            ("order", "\"order\""),
            ("a\"b", "\"a\"\"b\""),
            ("a$b", "\"a$b\""),
            ("1a", "\"1a\""),
            ("", "\"\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(quote_identifier(name), expected);
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), " E'a\\\\b'");
    }

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn multiranges_have_the_names_that_postgresql_gives_them() {
        let long = "ü".repeat(31);
        for (range, wanted) in [
            ("my_range", "my_multirange"),
            ("range_of_ranges", "multirange_of_ranges"),
            ("Range", "Range_multirange"),
            ("span", "span_multirange"),
            (&"x".repeat(63), &format!("{}_multirange", "x".repeat(52))),
            (&long, &format!("{}_multirange", "ü".repeat(26))),
            (&format!("{}range", "x".repeat(58)), &format!("{}multi", "x".repeat(58))),
        ] {
            assert_eq!(multirange_name(&QualifiedName::new("s", range)), QualifiedName::new("s", wanted));
        }
    }

    #[test]
    fn shard_names_fit_without_splitting_characters() {
        assert_eq!(shard_name("orders", 3), "orders_s0003");
        let long = "ü".repeat(40);
        let name = shard_name(&long, 1);
        assert!(name.len() <= IDENTIFIER_BYTES_MAX && name.ends_with("_s0001"));
        assert_eq!(shard_name(&"x".repeat(80), 12345).len(), 63);
    }

    #[test]
    fn objects_are_called_after_their_table() {
        let names = |objects: &[&str], from: &str, to: &str| -> Vec<String> {
            names_on(&objects.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), from, to)
        };
        assert_eq!(
            names(&["o_s1_pkey", "o_s1", "by_day"], "o_s1", "o_s9"),
            ["o_s9_pkey", "o_s9_o_s1", "o_s9_by_day"]
        );
        // Two that would be one.
        assert_eq!(names(&["o_s1_a", "a"], "o_s1", "o_s9"), ["o_s9_a", "o_s9_a_2"]);
        let long = "x".repeat(40);
        let on = |to: &str| names(&[&format!("o_s1_{long}"), &format!("{long}_key")], "o_s1", to);
        let first = on(&"t".repeat(60));
        assert!(first.iter().all(|name| name.len() <= IDENTIFIER_BYTES_MAX), "{first:?}");
        assert_ne!(first[0], first[1]);
        assert_ne!(on(&format!("{}1", "t".repeat(60))), on(&format!("{}2", "t".repeat(60))));
        assert_eq!(names(&["ä"], "o", &"ü".repeat(31)).len(), 1);
    }
}
