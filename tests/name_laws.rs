//! Laws of names and literals, over generated input: they are read back as
//! they were written.

use std::collections::BTreeSet;

use pg_presplit::model::bound::Bound;
use pg_presplit::model::name::IDENTIFIER_BYTES_MAX;
use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::name::WrittenName;
use pg_presplit::model::name::branch_name;
use pg_presplit::model::name::cut;
use pg_presplit::model::name::default_shard_name;
use pg_presplit::model::name::quote_literal;
use pg_presplit::model::name::shard_name;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;

/// What broke once is tried again: the seeds are kept beside this file.
fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

/// What the server reads: a literal of either form, and nothing after it.
fn unquoted(sql: &str) -> Option<String> {
    let sql = sql.trim_start_matches(' ');
    let (escapes, body) = match sql.strip_prefix('E') {
        Some(body) => (true, body),
        None => (false, sql),
    };
    let mut characters = body.strip_prefix('\'')?.chars();
    let mut value = String::new();
    loop {
        match characters.next()? {
            '\'' => match characters.next() {
                Some('\'') => value.push('\''),
                None => return Some(value),
                Some(_) => return None,
            },
            '\\' if escapes => match characters.next()? {
                '\\' => value.push('\\'),
                _ => return None,
            },
            // With standard_conforming_strings off it would be an escape.
            '\\' => return None,
            other => value.push(other),
        }
    }
}

/// A name as the catalogs may hold it: of any characters but NUL.
fn identifier() -> impl Strategy<Value = String> {
    let any_text = prop_oneof![
        "[a-z_][a-z0-9_$]{0,62}",
        "[A-Za-z \"'.$\\\\]{1,63}",
        "\\PC{1,63}",
        prop::collection::vec(any::<char>(), 1..63).prop_map(|all| all.into_iter().collect::<String>()),
        select(vec!["select", "user", "none", "\"", "\"\"", "E", "a.b", " ", "ü", "\u{2028}"])
            .prop_map(str::to_owned),
    ];
    any_text
        .prop_map(|name| cut(&name.replace('\0', ""), IDENTIFIER_BYTES_MAX).to_owned())
        .prop_filter("a name has a character", |name| !name.is_empty())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn shard_names_fit_and_differ(table in identifier()) {
        let mut seen = BTreeSet::from([default_shard_name(&table)]);
        for number in 0..=9999 {
            let name = shard_name(&table, number);
            prop_assert!(name.len() <= IDENTIFIER_BYTES_MAX, "{name}");
            prop_assert!(!name.is_empty() && !name.contains('\0'));
            prop_assert!(seen.insert(name), "{number} has the name of another");
            prop_assert!(seen.insert(branch_name(&table, number)), "{number} has the name of another");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written(schema in identifier(), name in identifier()) {
        let written = QualifiedName::new(&schema, &name).to_string();
        let read = WrittenName::parse(&written);
        prop_assert_eq!(read, Ok(WrittenName { schema: Some(schema), name }), "{}", written);
    }

    #[test]
    fn any_text_is_read_as_a_name_or_refused(text in "[a-zA-Z\". $0-9ü\u{0}]{0,90}") {
        if let Ok(read) = WrittenName::parse(&text) {
            for part in [read.schema.as_ref(), Some(&read.name)].into_iter().flatten() {
                prop_assert!(!part.is_empty() && part.len() <= IDENTIFIER_BYTES_MAX);
                prop_assert!(!part.contains('\0'));
            }
        }
    }

    #[test]
    fn literals_are_read_as_they_are_written(
        value in prop_oneof!["['\\\\E a]{0,20}", any::<String>()],
    ) {
        let sql = quote_literal(&value);
        prop_assert_eq!(unquoted(&sql), Some(value), "{}", sql);
    }

    /// Values of bounds are literals too, whatever they contain.
    #[test]
    fn bounds_quote_their_values(values in prop::collection::vec("['\\\\a, )]{0,8}", 1..4)) {
        let bound = Bound::List { values: values.iter().cloned().map(Some).collect() };
        let literals: Vec<_> = values.iter().map(|value| quote_literal(value).trim_start().to_owned()).collect();
        prop_assert_eq!(bound.sql(), format!("FOR VALUES IN ({})", literals.join(", ")));
        for (value, literal) in values.iter().zip(&literals) {
            prop_assert_eq!(unquoted(literal), Some(value.clone()));
        }
    }
}

#[test]
fn the_reader_of_literals_refuses_what_is_none() {
    for wrong in ["", "a", "'a", "'a'b'", "'a\\b'", "E'a\\b'", "'a''", "E'\\"] {
        assert_eq!(unquoted(wrong), None, "{wrong}");
    }
    assert_eq!(unquoted(" E'a\\\\''b'").as_deref(), Some("a\\'b"));
}
