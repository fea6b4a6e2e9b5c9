//! The README's tables are complete: settings, functions, views.
//!
//! The settings between the markers are those of the model: where they differ,
//! the failure shows the text to paste. Functions and views are those that
//! `sql/finalize.sql` comments on.

use pg_presplit::model::settings::Context;
use pg_presplit::model::settings::Kind;
use pg_presplit::model::settings::SETTINGS;
use pg_presplit::model::settings::Setting;
use pg_presplit::model::settings::Unit;

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

fn type_of(setting: &Setting) -> String {
    let word = match setting.kind {
        Kind::Bool { .. } => "boolean".to_owned(),
        Kind::Int { .. } => "integer".to_owned(),
        Kind::Real { .. } => "real".to_owned(),
        Kind::Text { .. } => "string".to_owned(),
        Kind::Choice { choices, .. } => format!("enum: {}", choices.join(", ")),
    };
    if setting.unit == Unit::None { word } else { format!("{word}, {}", setting.unit.word()) }
}

fn default_of(setting: &Setting) -> String {
    match setting.kind {
        Kind::Bool { default } => if default { "on" } else { "off" }.to_owned(),
        Kind::Int { default, .. } => default.to_string(),
        Kind::Real { default, .. } => default.to_string(),
        Kind::Text { default: "" } => "empty".to_owned(),
        Kind::Text { default } | Kind::Choice { default, .. } => default.to_owned(),
    }
}

const fn changed_by(setting: &Setting) -> &'static str {
    match setting.context {
        Context::User => "anyone",
        Context::Superuser => "superuser",
        Context::Sighup => "reload",
        Context::Postmaster => "restart",
    }
}

/// The table as Markdown, a row for each setting.
fn table() -> String {
    let mut text = "| Setting | Type | Default | Changed by | Meaning |\n|---|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        text.push_str(&format!(
            "| `presplit.{}` | {} | {} | {} | {} {} |\n",
            setting.name,
            type_of(setting),
            default_of(setting),
            changed_by(setting),
            setting.meaning.replace('|', "\\|"),
            setting.effect.replace('|', "\\|"),
        ));
    }
    text
}

/// What stands between the markers, if they are there once.
fn between(readme: &str) -> Option<&str> {
    let (_, after) = readme.split_once(BEGIN)?;
    let (inside, rest) = after.split_once(END)?;
    (!inside.contains(BEGIN) && !rest.contains(BEGIN)).then_some(inside)
}

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The names after `COMMENT ON KIND `, up to what ends a name.
fn commented<'a>(sql: &'a str, kind: &str) -> Vec<&'a str> {
    let start = format!("COMMENT ON {kind} ");
    sql.lines()
        .filter_map(|line| line.strip_prefix(start.as_str()))
        .filter_map(|rest| rest.split(['(', ' ']).next())
        .collect()
}

/// Whether a row of a table begins with this text as code.
fn has_row(readme: &str, begin: &str) -> bool {
    readme.lines().any(|line| line.starts_with(&format!("| `{begin}")))
}

#[test]
fn the_readme_has_every_function() {
    let (sql, readme) = (read("sql/finalize.sql"), read("README.md"));
    let functions: Vec<_> =
        commented(&sql, "FUNCTION").into_iter().filter(|name| !name.starts_with("presplit.")).collect();
    assert!(functions.len() > 10, "{functions:?}");
    for name in functions {
        assert!(has_row(&readme, &format!("{name}(")), "README.md has no row for function {name}");
    }
}

/// Revoked from PUBLIC is what has an asterisk.
#[test]
fn the_readme_marks_the_functions_that_are_revoked() {
    let (sql, readme) = (read("sql/finalize.sql"), read("README.md"));
    for name in commented(&sql, "FUNCTION").into_iter().filter(|name| !name.starts_with("presplit.")) {
        let revoked = sql.contains(&format!("REVOKE ALL ON FUNCTION {name}("));
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}("))).unwrap_or_default();
        assert_eq!(row.contains(" * |"), revoked, "README.md is wrong about who may execute {name}: {row}");
    }
}

#[test]
fn the_readme_has_every_view() {
    let (sql, readme) = (read("sql/finalize.sql"), read("README.md"));
    let views = commented(&sql, "VIEW");
    assert!(views.len() > 4, "{views:?}");
    for name in views {
        assert!(has_row(&readme, &format!("{name}`")), "README.md has no row for view {name}");
    }
}

#[test]
fn a_missing_row_is_noticed() {
    let sql = "COMMENT ON FUNCTION f(text) IS\n    'a';\nCOMMENT ON VIEW presplit.v IS 'b';\nCOMMENT ON COLUMN presplit.v.c IS 'd';";
    assert_eq!(commented(sql, "FUNCTION"), ["f"]);
    assert_eq!(commented(sql, "VIEW"), ["presplit.v"]);
    assert!(has_row("| `f(a text)` |", "f("));
    assert!(!has_row("| `ff(a text)` | as `f(` |", "f("));
}

#[test]
fn the_settings_of_the_readme_are_those_of_the_model() {
    let readme = read("README.md");
    let expected = table();
    assert!(
        between(&readme) == Some(&expected),
        "README.md must have exactly this between its markers:\n\n{BEGIN}{expected}{END}\n"
    );
}

#[test]
fn another_table_is_noticed() {
    let right = table();
    assert_eq!(between(&format!("# A\n{BEGIN}{right}{END}\nMore.")), Some(right.as_str()));
    for wrong in ["", "# A", BEGIN, &format!("{END}{BEGIN}"), &format!("{BEGIN}{BEGIN}{right}{END}")] {
        assert_eq!(between(wrong), None, "{wrong}");
    }
    let changed = right.replace("presplit.window", "presplit.windows");
    assert_ne!(between(&format!("{BEGIN}{changed}{END}")), Some(right.as_str()));
    assert_eq!(right.lines().count(), SETTINGS.len() + 2);
    assert!(right.lines().all(|line| line.replace("\\|", "").matches('|').count() == 6));
}
