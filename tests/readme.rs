//! The README's table of settings is the table of the model.
//!
//! What stands between the markers is generated: where it differs, the failure
//! shows the text to paste.

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

#[test]
fn the_settings_of_the_readme_are_those_of_the_model() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).unwrap();
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
