//! What becomes of constants, lists and names.

use super::*;

fn check(text: &str, expected: &str) {
    let normal = normalise(text);
    assert_eq!(normal.text, expected, "{text}");
    let again = normalise(&normal.text);
    assert_eq!((again.text.as_str(), again.key), (normal.text.as_str(), normal.key), "{text}");
}

#[test]
fn constants_become_parameters() {
    for (text, expected) in [
        ("SELECT 1", "SELECT $1"),
        ("  select  1 ,\n'a' -- c\n , 2.5 ", "select $1 , $2 , $3"),
        ("select a/**/b", "select a b"),
        ("SELECT * FROM t WHERE a = $2 AND b = 5", "SELECT * FROM t WHERE a = $2 AND b = $3"),
        ("SELECT -1, a - 1, a -1, a*-1, (-1)", "SELECT $1, a - $2, a -$3, a*$4, ($5)"),
        ("SELECT -1::int, - 1, +1", "SELECT -$1::int, $2, +$3"),
        ("SELECT E'a\\'b', b'01', U&'x!0061' UESCAPE '!', $$it's$$, 'a' \n 'b'", "SELECT $1, $2, $3, $4, $5"),
        ("SELECT true, FALSE, null", "SELECT $1, $2, $3"),
        (
            "WHERE a IS NULL AND b IS NOT NULL AND c IS TRUE AND d IS NOT FALSE",
            "WHERE a IS NULL AND b IS NOT NULL AND c IS TRUE AND d IS NOT FALSE",
        ),
        (
            "WHERE a IS DISTINCT FROM NULL AND b IS DISTINCT FROM 3",
            "WHERE a IS DISTINCT FROM NULL AND b IS DISTINCT FROM $1",
        ),
        ("JOIN x ON true", "JOIN x ON $1"),
        ("SELECT 1 AS null", "SELECT $1 AS null"),
        ("SELECT interval '1 day', date '2024-01-01'", "SELECT interval $1, date $2"),
        (
            "SELECT a::numeric(10,2), CAST('1' AS varchar(20)), b::s.g(1)",
            "SELECT a::numeric(10,2), CAST($1 AS varchar(20)), b::s.g(1)",
        ),
        ("SELECT CAST(f(1) AS g(2)), f(3), a.f(4)", "SELECT CAST(f($1) AS g(2)), f($2), a.f($3)"),
        (
            "SELECT timestamp(3) '2024-01-01', interval '1' second(3)",
            "SELECT timestamp(3) $1, interval $2 second(3)",
        ),
        (
            "SELECT a, 1 FROM t GROUP BY 1, 2 ORDER BY 2 DESC, 1 LIMIT 10 OFFSET 5",
            "SELECT a, $1 FROM t GROUP BY 1, 2 ORDER BY 2 DESC, 1 LIMIT $2 OFFSET $3",
        ),
        ("SELECT DISTINCT ON (1) a FROM t ORDER BY a + 1", "SELECT DISTINCT ON (1) a FROM t ORDER BY a + $1"),
        (
            "SELECT a FROM t GROUP BY ROLLUP (1, 2), GROUPING SETS ((1), ())",
            "SELECT a FROM t GROUP BY ROLLUP (1, 2), GROUPING SETS ((1), ())",
        ),
        (
            "SELECT sum(a) OVER (ORDER BY 1 ROWS 5 PRECEDING), array_agg(b ORDER BY 1)",
            "SELECT sum(a) OVER (ORDER BY $1 ROWS $2 PRECEDING), array_agg(b ORDER BY $3)",
        ),
        (
            "SELECT * FROM (SELECT a FROM t ORDER BY 1) AS x WHERE b = 1",
            "SELECT * FROM (SELECT a FROM t ORDER BY 1) AS x WHERE b = $1",
        ),
        ("SELECT '{}'::int[3], a[1]", "SELECT $1::int[3], a[$2]"),
        ("SELECT x FROM t ORDER BY coalesce(a, 1), 2", "SELECT x FROM t ORDER BY coalesce(a, $1), 2"),
        ("SELECT'a'FROM t", "SELECT $1 FROM t"),
        ("::true('it''s'", "::true('it''s'"),
        ("SELECT JSON_ARRAY(1 NULL ON NULL)", "SELECT JSON_ARRAY($1 NULL ON NULL)"),
        ("FETCH FIRST 5 ROWS ONLY", "FETCH FIRST $1 ROWS ONLY"),
        ("INSERT INTO t VALUES (1, 'a'), (-2, NULL)", "INSERT INTO t VALUES ($1, $2), ($3, $4)"),
        ("", ""),
    ] {
        check(text, expected);
    }
}

#[test]
fn lists_shrink_to_two() {
    for (text, expected) in [
        ("WHERE a IN (1)", "WHERE a IN ($1)"),
        ("WHERE a IN (1, 2)", "WHERE a IN ($1, $2 /*, ... */)"),
        ("WHERE a IN ( 1,-2,'c', NULL ) AND b = 1", "WHERE a IN ($1, $2 /*, ... */) AND b = $3"),
        ("WHERE a in ($1,$2,$3) AND b = $4", "WHERE a in ($1, $2 /*, ... */) AND b = $4"),
        ("WHERE a IN ($3, 4, 5)", "WHERE a IN ($3, $4 /*, ... */)"),
        ("WHERE a = ANY (ARRAY[1, 2, 3])", "WHERE a = ANY (ARRAY[$1, $2 /*, ... */])"),
        ("WHERE a IN (1, b)", "WHERE a IN ($1, b)"),
        ("WHERE a IN (1, f(2))", "WHERE a IN ($1, f($2))"),
        ("WHERE (a, b) IN ((1, 2), (3, 4))", "WHERE (a, b) IN (($1, $2), ($3, $4))"),
        ("WHERE a IN (SELECT 1)", "WHERE a IN (SELECT $1)"),
        ("WHERE a IN (1, 2", "WHERE a IN ($1, $2"),
    ] {
        check(text, expected);
    }
}

#[test]
fn keys_ignore_what_does_not_matter() {
    let key = |text: &str| normalise(text).key;
    let one = key("SELECT a FROM t WHERE b = 1");
    assert_eq!(one, key("select A\nfrom T where b='x' /* trace */"));
    assert_eq!(key("SELECT 1 WHERE a IN (1,2)"), key("SELECT 1 WHERE a IN (1,2,3,4)"));
    for other in [
        "SELECT a FROM t WHERE c = 1",
        "SELECT \"A\" FROM t WHERE b = 1",
        "SELECT a FROM t WHERE b = 1 OR b = 2",
    ] {
        assert_ne!(one, key(other));
    }
    assert_ne!(key("SELECT \"A\""), key("SELECT \"a\""));
}

#[test]
fn constants_are_kept_by_parameter() {
    let normal = normalise("SELECT 'it''s', E'a\\nb', -5, NULL, true, $x$y$x$ WHERE a IN (1, 'b') LIMIT 3");
    let value = |text: &str| Constant::Value(SampledValue::Value(text.to_owned()));
    let element = |text: &str| Element::Value(SampledValue::Value(text.to_owned()));
    assert_eq!(normal.parameters, 9);
    let mut constants = normal.constants;
    constants.sort_by_key(|(number, _)| *number);
    assert_eq!(
        constants,
        [
            (1, value("it's")),
            (2, value("a\nb")),
            (3, value("-5")),
            (4, Constant::Value(SampledValue::Null)),
            (5, value("true")),
            (6, value("y")),
            (7, Constant::List(vec![element("1"), element("b")])),
            (8, value("b")),
            (9, value("3")),
        ]
    );
}

#[test]
fn any_text_ends() {
    for text in [
        "(((",
        ")))",
        "]]",
        "$99999999999999999999 = 1",
        "IN (",
        "ORDER BY",
        "- - - 1",
        "'",
        "::(1)",
        "AS x(1)",
    ] {
        let normal = normalise(text);
        assert_eq!(normalise(&normal.text).text, normal.text, "{text}");
    }
}
