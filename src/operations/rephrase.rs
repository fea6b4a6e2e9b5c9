//! `restore_script`: the schema of a dump, rewritten for a proposal and written
//! down, for servers where the extension cannot be installed.
//!
//! What the hook would run, by the same rules; it only reads.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::proposals::Stored;
use crate::model::report::SqlState;
use crate::model::utility::AlterCommand;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::operations::foresee;
use crate::operations::provision::server_major;
use crate::pg::error;
use crate::pg::utility;
use crate::planning::provision::rephrase;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Decision;

/// Types of a dump's entries that come after the data.
const AFTER_DATA: &[&str] = &[
    "CHECK CONSTRAINT",
    "CONSTRAINT",
    "EVENT TRIGGER",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "MATERIALIZED VIEW DATA",
    "POLICY",
    "PUBLICATION",
    "ROW SECURITY",
    "RULE",
    "STATISTICS",
    "SUBSCRIPTION",
    "TRIGGER",
];

/// The statements in order, each with its semicolon; a comment stands where
/// the data goes.
///
/// # Errors
/// The parser's; what cannot be made right is refused as the hook would.
pub fn statements(stored: &Stored, schema: &str) -> Result<Vec<String>, ErrorReport> {
    let read = utility::read_statements(schema)
        .map_err(|caught| error::new(SqlState::SyntaxError, caught.message, None, None))?;
    let mut tables: Vec<_> = stored
        .sharded()
        .map(|(proposed, layout)| (&proposed.relation, layout, Vec::new(), Vec::new()))
        .collect();
    let mut all = Vec::new();
    let mut behind_data = false;
    for statement in &read {
        if !behind_data && is_after_data(&statement.text) {
            behind_data = true;
            all.push("-- The data goes here: pg_restore --data-only.".to_owned());
        }
        let mut written = vec![statement.text.clone()];
        for (relation, layout, on_shards, on_either) in &mut tables {
            let Some(utility) =
                statement.utility.as_ref().filter(|read| foresee::concerns(read, relation, on_shards))
            else {
                continue;
            };
            let armed = Armed {
                relation,
                layout,
                unique_policy: stored.proposal.settings.unique_policy,
                server: server_major(),
                empty: true,
                on_shards,
                violated: false,
            };
            if utility.parts().iter().any(|part| on_either.iter().any(|name| name == part)) {
                written = vec![rephrase::of_either(&statement.text, &armed)];
                break;
            }
            let decisions = rewrite::decide(utility, &armed)?;
            if decisions.iter().all(|decision| decision.note.is_none()) {
                continue;
            }
            written = rephrase::rephrase(&statement.text, utility, &decisions, &armed)
                .ok_or_else(|| several_commands(utility))?;
            let made = foresee::made_on_shards(utility, &decisions);
            on_shards.extend(made);
            on_either.extend(made_on_either(utility, &decisions));
            break;
        }
        all.extend(written.into_iter().map(|text| format!("{text};")));
    }
    Ok(all)
}

/// The foreign keys of a statement whose place depends on the rows.
fn made_on_either(read: &Utility, decisions: &[Decision]) -> Vec<String> {
    let Utility::AlterTable { commands, .. } = read else { return Vec::new() };
    let doubtful = |decision: &Decision| {
        let mut actions = decision.actions.iter();
        actions.any(|action| matches!(action, Action::Root(edits) if edits.contains(&Edit::Validate)))
    };
    let made = commands.iter().zip(decisions).filter(|(_, decision)| doubtful(decision));
    made.filter_map(|(command, _)| match command {
        AlterCommand::AddForeignKey { name, .. } => name.clone(),
        _ => None,
    })
    .collect()
}

/// Whether the comment that a dump writes above each entry says so.
fn is_after_data(text: &str) -> bool {
    text.lines()
        .take_while(|line| line.is_empty() || line.starts_with("--"))
        .filter_map(|line| line.split_once("; Type: "))
        .filter_map(|(_, rest)| rest.split_once(';'))
        .any(|(kind, _)| AFTER_DATA.contains(&kind))
}

fn several_commands(utility: &Utility) -> ErrorReport {
    let named = utility.relations().first().map(ToString::to_string).unwrap_or_default();
    error::new(
        SqlState::FeatureNotSupported,
        format!("cannot write ALTER TABLE of \"{named}\" down in shards: it has several commands"),
        None,
        Some("Pass the output of pg_restore -s, which has one command in each.".to_owned()),
    )
}
