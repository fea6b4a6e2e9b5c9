//! Bounds as PostgreSQL writes them (`pg_get_expr` of `relpartbound`), read.
//!
//! Not here: how bounds are written (`bound`). Invariant: what is written is
//! read as it was, and what is none of the four forms is none.

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;

impl Bound {
    /// Reads `FOR VALUES …` or `DEFAULT`; `None` if it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text == "DEFAULT" {
            return Some(Self::Default);
        }
        let rest = text.strip_prefix("FOR VALUES ")?;
        if let Some(listed) = rest.strip_prefix("IN (") {
            let (values, rest) = values(listed)?;
            let value = |word: Word| match word {
                Word::Quoted(text) => Some(text),
                Word::Bare(word) if word == "NULL" => None,
                Word::Bare(word) => Some(word),
            };
            return rest.is_empty().then(|| Self::List { values: values.into_iter().map(value).collect() });
        }
        if let Some(hashed) = rest.strip_prefix("WITH (modulus ") {
            let (modulus, remainder) = hashed.strip_suffix(')')?.split_once(", remainder ")?;
            return Some(Self::Hash { modulus: modulus.parse().ok()?, remainder: remainder.parse().ok()? });
        }
        let (lower, rest) = values(rest.strip_prefix("FROM (")?)?;
        let (upper, rest) = values(rest.strip_prefix(" TO (")?)?;
        let point = |words: Vec<Word>| {
            let datum = |word| match word {
                Word::Bare(word) if word == "MINVALUE" => RangeDatum::MinValue,
                Word::Bare(word) if word == "MAXVALUE" => RangeDatum::MaxValue,
                Word::Bare(text) | Word::Quoted(text) => RangeDatum::Value(text),
            };
            words.into_iter().map(datum).collect()
        };
        rest.is_empty().then(|| Self::Range { lower: point(lower), upper: point(upper) })
    }
}

/// One value of a bound.
enum Word {
    Quoted(String),
    Bare(String),
}

/// The values up to the closing parenthesis, and what comes after it.
fn values(mut text: &str) -> Option<(Vec<Word>, &str)> {
    let mut found = Vec::new();
    loop {
        let (word, rest) = if let Some(quoted) = text.strip_prefix('\'') {
            unquoted(quoted)?
        } else {
            let end = text.find([',', ')'])?;
            let bare = &text[..end];
            if bare.is_empty() || bare.contains('\'') {
                return None;
            }
            (Word::Bare(bare.to_owned()), &text[end..])
        };
        found.push(word);
        match rest.strip_prefix(", ") {
            Some(next) => text = next,
            None => return Some((found, rest.strip_prefix(')')?)),
        }
    }
}

/// What is quoted, after its opening quote, and what comes after it.
fn unquoted(text: &str) -> Option<(Word, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('\'')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((Word::Quoted(value), rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::Just;
    use proptest::prelude::Strategy as _;
    use proptest::prop_oneof;

    use super::*;

    #[test]
    fn bounds_are_read_as_postgresql_writes_them() {
        let value = |text: &str| RangeDatum::Value(text.to_owned());
        let range = |lower: &[RangeDatum], upper: &[RangeDatum]| Bound::Range {
            lower: lower.to_vec(),
            upper: upper.to_vec(),
        };
        for (text, expected) in [
            ("FOR VALUES FROM (1) TO ('-5')", range(&[value("1")], &[value("-5")])),
            (
                "FOR VALUES FROM (3, MINVALUE) TO (3, 'it''s, ) (')",
                range(&[value("3"), RangeDatum::MinValue], &[value("3"), value("it's, ) (")]),
            ),
            (
                "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO (MAXVALUE)",
                range(&[value("2026-01-01 00:00:00+00")], &[RangeDatum::MaxValue]),
            ),
            ("FOR VALUES FROM ('MAXVALUE') TO ('')", range(&[value("MAXVALUE")], &[value("")])),
            (
                "FOR VALUES IN ('NULL', NULL, true, 1.5)",
                Bound::List {
                    values: vec![
                        Some("NULL".to_owned()),
                        None,
                        Some("true".to_owned()),
                        Some("1.5".to_owned()),
                    ],
                },
            ),
            ("FOR VALUES WITH (modulus 16, remainder 3)", Bound::Hash { modulus: 16, remainder: 3 }),
            ("DEFAULT", Bound::Default),
        ] {
            assert_eq!(Bound::read(text), Some(expected), "{text}");
        }
        for odd in [
            "",
            "FOR VALUES",
            "FOR VALUES IN ()",
            "FOR VALUES IN ('a)",
            "FOR VALUES IN (B'1')",
            "FOR VALUES IN (1) x",
            "FOR VALUES FROM (1)",
            "FOR VALUES FROM (1) TO (2",
            "FOR VALUES WITH (modulus 2, remainder -1)",
        ] {
            assert_eq!(Bound::read(odd), None, "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(
            lower in vec(datum(), 1..4),
            upper in vec(datum(), 1..4),
            values in vec(proptest::option::of("[ a-c'\",()\\\\]{0,6}"), 1..5),
        ) {
            // PostgreSQL writes no escapes, and quotes what is no number.
            let plain = |text: &str| !text.contains('\\');
            let range = Bound::Range { lower, upper };
            assert_eq!(Bound::read(&range.sql()), Some(range));
            let list = Bound::List { values };
            if plain(&list.sql()) {
                assert_eq!(Bound::read(&list.sql()), Some(list));
            }
        }
    }

    fn datum() -> impl proptest::prelude::Strategy<Value = RangeDatum> {
        prop_oneof![
            Just(RangeDatum::MinValue),
            Just(RangeDatum::MaxValue),
            "[ a-c'\",()]{0,6}".prop_map(RangeDatum::Value),
        ]
    }
}
