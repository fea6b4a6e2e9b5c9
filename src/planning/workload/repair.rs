//! Normalised texts made readable again.
//!
//! `pg_stat_statements` puts `$1` in place of every constant, also where the
//! grammar takes no parameter: `interval '1 day'` becomes `interval $1`, which
//! nothing parses. Such typed constants are rewritten as casts. `extract(year
//! from t)` becomes `extract($1 from t)`, and is rewritten as the call that it
//! stands for. All else stays as it is, inside quotes and comments above all.

use crate::model::name::quote_identifier;
use crate::planning::workload::token::Kind;
use crate::planning::workload::token::Token;
use crate::planning::workload::token::tokens;

/// Keywords that name a type by themselves.
const TYPE_KEYWORDS: &[&str] = &[
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "dec",
    "decimal",
    "float",
    "int",
    "integer",
    "interval",
    "json",
    "nchar",
    "numeric",
    "real",
    "smallint",
    "time",
    "timestamp",
    "varchar",
];

/// Unreserved keywords after which an expression may stand.
const BEFORE_EXPRESSIONS: &[&str] = &[
    "at",
    "by",
    "cache",
    "content",
    "document",
    "empty",
    "error",
    "escape",
    "first",
    "groups",
    "increment",
    "key",
    "matched",
    "next",
    "over",
    "passing",
    "path",
    "range",
    "ref",
    "restart",
    "rows",
    "set",
    "start",
    "value",
    "version",
    "zone",
];

/// Units after `interval '…'`.
const UNITS: &[&str] = &["year", "month", "day", "hour", "minute", "second"];

/// Rewrites typed constants that became typed parameters as casts:
/// `interval $1 day` → `CAST($1 AS interval day)`, and `extract($1 from t)` →
/// `pg_catalog.extract($1, t)`.
#[must_use]
pub fn repair(text: &str) -> String {
    let tokens = tokens(text);
    let mut repaired = String::with_capacity(text.len() + 16);
    let mut done = 0;
    for (at, token) in tokens.iter().enumerate() {
        if token.start < done {
            continue;
        }
        if national(token) {
            repaired.push_str(&text[done..token.start]);
            done = token.start + 1;
            continue;
        }
        if token.kind != Kind::Parameter {
            continue;
        }
        if let Some(last) = unescape_after(&tokens, at) {
            repaired.push_str(&text[done..token.end()]);
            done = tokens[last].end();
            continue;
        }
        if let Some(constant) = constant_for(&tokens, at) {
            repaired.push_str(&text[done..token.start]);
            repaired.push_str(constant);
            done = token.end();
            continue;
        }
        if let Some(start) = extract_before(&tokens, at, done) {
            repaired.push_str(&text[done..start]);
            repaired.push_str(&format!("pg_catalog.extract({},", token.text));
            done = tokens[at + 1].end();
            continue;
        }
        let Some(first) = type_before(&tokens, at) else { continue };
        let type_start = tokens[first].start;
        if type_start < done {
            continue;
        }
        let type_end = tokens[at - 1].end();
        let after = units_after(&tokens, first, at);
        let units = after.map_or("", |last| &text[token.end()..tokens[last].end()]);
        repaired.push_str(&text[done..type_start]);
        repaired.push_str(&format!("CAST({} AS {}{units})", token.text, &text[type_start..type_end]));
        done = after.map_or_else(|| token.end(), |last| tokens[last].end());
    }
    repaired.push_str(&text[done..]);
    repaired
}

/// Whether it was `N'…'`, of which `N$1` is left.
fn national(token: &Token<'_>) -> bool {
    let number = token.text.strip_prefix(['n', 'N']).and_then(|rest| rest.strip_prefix('$'));
    let digits = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    token.kind == Kind::Word && number.is_some_and(digits)
}

/// The last token of `UESCAPE '!'` after the parameter at `at`.
fn unescape_after(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let word = tokens.get(at + 1).filter(|token| token.kind == Kind::Word)?;
    let constant = matches!(tokens.get(at + 2)?.kind, Kind::Text | Kind::Parameter);
    (lower(word) == "uescape" && constant).then_some(at + 2)
}

/// A constant to stand for the parameter at `at`, where the grammar takes
/// nothing but one: marks of a CYCLE clause, which are booleans as a rule, and
/// paths in JSON_TABLE.
fn constant_for(tokens: &[Token<'_>], at: usize) -> Option<&'static str> {
    let word = |at: Option<usize>| at.and_then(|at| tokens.get(at)).filter(|token| token.kind == Kind::Word);
    let is = |at: Option<usize>, text: &str| word(at).is_some_and(|token| lower(token) == text);
    let parameter = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Parameter);
    let before = at.checked_sub(1);
    if is(before, "path") {
        return Some("'$'");
    }
    if is(before, "to") && is(Some(at + 1), "default") && parameter(at + 2) {
        return Some("true");
    }
    let marked = at.checked_sub(2).is_some_and(parameter);
    if is(before, "default") && marked && is(at.checked_sub(3), "to") {
        return Some("false");
    }
    (is_sign(tokens, before?, ",") && opens_json_table(tokens, before?)).then_some("'$'")
}

/// Whether the comma at `comma` is the first one of a `JSON_TABLE(`.
fn opens_json_table(tokens: &[Token<'_>], comma: usize) -> bool {
    let mut depth = 0_usize;
    for at in (0..comma).rev() {
        match tokens[at].text {
            ")" => depth += 1,
            "(" if depth == 0 => {
                let name = at.checked_sub(1).map(|name| &tokens[name]);
                return name.is_some_and(|name| name.kind == Kind::Word && lower(name) == "json_table");
            }
            "(" => depth -= 1,
            "," if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

/// Where the `extract(` begins whose field the parameter is.
fn extract_before(tokens: &[Token<'_>], at: usize, done: usize) -> Option<usize> {
    let name = &tokens[at.checked_sub(2)?];
    let from = tokens.get(at + 1)?;
    let is = |token: &Token<'_>, word: &str| token.kind == Kind::Word && lower(token) == word;
    let found = is_sign(tokens, at - 1, "(") && is(name, "extract") && is(from, "from");
    (found && name.start >= done).then_some(name.start)
}

/// The first token of the type name that ends right before `at`.
fn type_before(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut last = at.checked_sub(1)?;
    let modified = is_sign(tokens, last, ")");
    if modified {
        last = before_modifier(tokens, last)?;
    }
    if tokens[last].kind == Kind::QuotedWord {
        return (!modified).then(|| qualified(tokens, last));
    }
    if tokens[last].kind != Kind::Word {
        return None;
    }
    let word =
        |at: Option<usize>| at.filter(|at| tokens[*at].kind == Kind::Word).map(|at| lower(&tokens[at]));
    let back = |steps: usize| last.checked_sub(steps);
    match lower(&tokens[last]).as_str() {
        "zone" if !modified => {
            let with = word(back(2)).is_some_and(|word| word == "with" || word == "without");
            if word(back(1)).as_deref() != Some("time") || !with {
                return None;
            }
            let mut name = back(3)?;
            if is_sign(tokens, name, ")") {
                name = before_modifier(tokens, name)?;
            }
            matches!(word(Some(name)).as_deref(), Some("time" | "timestamp")).then_some(name)
        }
        "precision" => (word(back(1)).as_deref() == Some("double")).then(|| last - 1),
        "varying" => {
            let base = word(back(1));
            let first = match base.as_deref() {
                Some("character" | "char") if word(back(2)).as_deref() == Some("national") => last - 2,
                Some("character" | "char" | "nchar" | "bit") => last - 1,
                _ => return None,
            };
            Some(first)
        }
        "character" | "char" if word(back(1)).as_deref() == Some("national") => Some(last - 1),
        name if TYPE_KEYWORDS.contains(&name) => Some(qualified(tokens, last)),
        name => {
            let keyword = quote_identifier(name) != name || BEFORE_EXPRESSIONS.contains(&name);
            (!keyword && !modified).then(|| qualified(tokens, last))
        }
    }
}

/// The token before `(3)` or `(10,2)` that ends at `last`.
fn before_modifier(tokens: &[Token<'_>], last: usize) -> Option<usize> {
    let mut at = last.checked_sub(1)?;
    while tokens[at].kind == Kind::Number || is_sign(tokens, at, ",") {
        at = at.checked_sub(1)?;
    }
    if is_sign(tokens, at, "(") { at.checked_sub(1) } else { None }
}

/// The first token of `schema.name` that ends at `last`.
fn qualified(tokens: &[Token<'_>], last: usize) -> usize {
    match last.checked_sub(2) {
        Some(schema)
            if is_sign(tokens, last - 1, ".")
                && matches!(tokens[schema].kind, Kind::Word | Kind::QuotedWord) =>
        {
            schema
        }
        _ => last,
    }
}

/// The last token of the units after an interval, if there are any.
fn units_after(tokens: &[Token<'_>], first: usize, parameter: usize) -> Option<usize> {
    if lower(&tokens[first]) != "interval" || is_sign(tokens, parameter - 1, ")") {
        return None;
    }
    let unit = |at: usize| {
        let token = tokens.get(at).filter(|token| token.kind == Kind::Word)?;
        UNITS.contains(&lower(token).as_str()).then_some(at)
    };
    let mut last = unit(parameter + 1)?;
    let to = tokens.get(last + 1).is_some_and(|token| token.kind == Kind::Word && lower(token) == "to");
    if to && let Some(second) = unit(last + 2) {
        last = second;
    }
    let precise = is_sign(tokens, last + 1, "(")
        && tokens.get(last + 2).is_some_and(|token| token.kind == Kind::Number)
        && is_sign(tokens, last + 3, ")");
    Some(if precise { last + 3 } else { last })
}

fn is_sign(tokens: &[Token<'_>], at: usize, sign: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.kind == Kind::Sign && token.text == sign)
}

fn lower(token: &Token<'_>) -> String {
    token.text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_parameters_become_casts() {
        for (text, expected) in [
            ("select now() - interval $1", "select now() - CAST($1 AS interval)"),
            ("select INTERVAL $1 DAY, $2", "select CAST($1 AS INTERVAL DAY), $2"),
            ("select interval $1 day to second(3)", "select CAST($1 AS interval day to second(3))"),
            ("select interval(3) $1", "select CAST($1 AS interval(3))"),
            ("where d >= date $1 and d < date $2", "where d >= CAST($1 AS date) and d < CAST($2 AS date)"),
            ("select timestamp $1", "select CAST($1 AS timestamp)"),
            ("select timestamp(3) with time zone $1", "select CAST($1 AS timestamp(3) with time zone)"),
            ("select time without time zone $1", "select CAST($1 AS time without time zone)"),
            ("select timestamptz $1", "select CAST($1 AS timestamptz)"),
            ("select double precision $1", "select CAST($1 AS double precision)"),
            ("select character varying(3) $1", "select CAST($1 AS character varying(3))"),
            ("select numeric $1, json $2", "select CAST($1 AS numeric), CAST($2 AS json)"),
            ("select ext.geometry $1", "select CAST($1 AS ext.geometry)"),
            ("select \"My Type\" $1", "select CAST($1 AS \"My Type\")"),
            ("select interval /* a */ $1", "select CAST($1 AS interval)"),
            ("select EXTRACT($1 FROM a) = $2", "select pg_catalog.extract($1, a) = $2"),
            ("select extract( $1 from interval $2)", "select pg_catalog.extract($1, CAST($2 AS interval))"),
            ("select date$1", "select date$1"),
            ("select U&$1 UESCAPE $2 || x", "select U&$1 || x"),
            (
                "with recursive r (n) as (select $1) cycle n set c to $2 default $3 using p select $4",
                "with recursive r (n) as (select $1) cycle n set c to true default false using p select $4",
            ),
            (
                "select f($1, $2) from json_table(g(d, $3), $4 columns (a int path $5, b int path $6))",
                "select f($1, $2) from json_table(g(d, $3), '$' columns (a int path '$', b int path '$'))",
            ),
            (
                "select json_table.a, $1 from t where path = $2",
                "select json_table.a, $1 from t where path = $2",
            ),
            ("select N$1, n$23 || $3 UESCAPE '!' || x", "select $1, $23 || $3 || x"),
            ("select national character varying(3) $1", "select CAST($1 AS national character varying(3))"),
            ("select national char(3) $1", "select CAST($1 AS national char(3))"),
            ("select date '2024-01-01' - interval $1", "select date '2024-01-01' - CAST($1 AS interval)"),
        ] {
            assert_eq!(repair(text), expected);
        }
    }

    #[test]
    fn everything_else_is_left() {
        for text in [
            "select * from t where a = $1 and b like $2 escape $3 limit $4 offset $5",
            "select a at time zone $1 from t",
            "select case when $1 then $2 else $3 end",
            "select 'interval $1', \"date\" , $$ date $1 $$, $x$ date $1 $x$ -- date $1\n/* date $1 /* */ */",
            "select E'\\' date $1' from t",
            "SET x = $1",
            "fetch first $1 rows only",
            "select sum(a) over (order by b rows $1 preceding)",
            "select substring(a from $1 for $2), overlay(a placing $3 from $4)",
            "select f(1) between $1 and $2, a in ($3 /*, ... */)",
            "insert into date values ($1)",
            "select not $1 or $2 is distinct from $3",
            "select xmlparse(document $1)",
            "select xmlexists($1 PASSING BY REF $2)",
            "select n$x, un$1 from n",
            "select 'open",
            "select /* open",
            "größe = $1",
            "$",
            "",
        ] {
            assert_eq!(repair(text), text);
        }
    }
}
