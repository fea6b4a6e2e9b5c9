//! `check_restore` of a dump's schema: what each of its statements would come
//! to, before any of them runs.
//!
//! The rules are those of the hook; what they leave to the server and the
//! server would refuse is foretold here.

use std::collections::BTreeMap;
use std::collections::HashSet;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::shard_name;
use crate::model::profile::Table;
use crate::model::report::Report;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateTable;
use crate::model::utility::Utility;
use crate::operations::provision::server_major;
use crate::pg::utility::Statement;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Decision;
use crate::planning::provision::token::Words;

/// Finds what stands in the way of the statements of a dump.
pub fn statements(
    stored: &Stored,
    read: &[Statement],
    known: &BTreeMap<QualifiedName, Table>,
    found: &mut Vec<Finding>,
) -> Result<(), ErrorReport> {
    let statements: Vec<_> = read.iter().filter_map(|statement| statement.utility.clone()).collect();
    for (proposed, layout) in stored.sharded() {
        let armed =
            Armed::empty(&proposed.relation, layout, stored.proposal.settings.unique_policy, server_major());
        let on_shards = check_table(&armed, &statements, found);
        check_names(&armed, &statements, found);
        check_parts(&armed, &on_shards, &statements, found);
        check_references(&armed, &statements, found);
        check_identity(&armed, &statements, known.get(armed.relation), found)?;
        check_queries(&armed, &on_shards, &statements, read, found);
    }
    check_extension(read, found);
    Ok(())
}

/// A dump of a database that has the extension brings it along.
fn check_extension(read: &[Statement], found: &mut Vec<Finding>) {
    let brings = |statement: &Statement| {
        let words = ["CREATE", "EXTENSION", "IF", "NOT", "EXISTS"];
        statement.text.contains("pg_presplit")
            && Words::of(&statement.text).name_after(&words).as_deref() == Some("pg_presplit")
    };
    if read.iter().any(brings) {
        found.push(Finding::new(
            Severity::Warning,
            "dump",
            "it has the extension pg_presplit itself: pg_restore may fail on rows of its tables that are here already, and with --clean on dropping it",
            "Leave the extension and its tables out, as with pg_restore -L, or take such errors for what they are.",
        ));
    }
}

/// Asks the rules about every statement that concerns a table; returns what
/// only its shards will have.
fn check_table(armed: &Armed<'_>, statements: &[Utility], found: &mut Vec<Finding>) -> Vec<String> {
    let name = armed.relation;
    let mut on_shards = Vec::new();
    let (mut created, mut concerned, mut rewritten) = (false, 0, 0);
    for read in statements {
        if !concerns(read, name, &on_shards) {
            continue;
        }
        created |= matches!(read, Utility::CreateTable(table) if table.relation == *name)
            || matches!(read, Utility::CreateOther { .. });
        concerned += 1;
        let decided = rewrite::decide(read, &Armed { on_shards: &on_shards, ..*armed });
        match decided {
            Ok(decisions) => {
                rewritten += usize::from(decisions.iter().any(|decision| decision.note.is_some()));
                on_shards.extend(made_on_shards(read, &decisions));
                warn_of_keys(read, armed, found);
            }
            Err(refusal) => found.push(Finding::new(
                Severity::Error,
                name.to_string(),
                format!("{refusal}. {}", refusal.detail().unwrap_or_default()),
                refusal.hint().unwrap_or_default(),
            )),
        }
    }
    if !created {
        found.push(Finding::new(
            Severity::Warning,
            name.to_string(),
            "the dump does not create the table",
            "Make sure that it is the right dump; without CREATE TABLE nothing is sharded.",
        ));
    }
    found.push(Finding::new(
        Severity::Info,
        name.to_string(),
        format!("{rewritten} of {concerned} statements of the dump will be rewritten"),
        "View \"presplit.restore_report\" will list them.",
    ));
    on_shards
}

/// Foreign keys into a table whose key the policy weakens have nothing to
/// point at any more.
fn check_references(armed: &Armed<'_>, statements: &[Utility], found: &mut Vec<Finding>) {
    if armed.unique_policy == UniquePolicy::Strict {
        return;
    }
    let keys = armed.layout.key_columns();
    let lacks_key = |columns: &[String]| keys.iter().any(|key| !columns.contains(key));
    let primary = primary_key(armed.relation, statements);
    for read in statements {
        let Utility::AlterTable { relation, commands, .. } = read else { continue };
        for command in commands {
            let AlterCommand::AddForeignKey { name, references, referenced_columns, .. } = command else {
                continue;
            };
            let target = if referenced_columns.is_empty() { &primary } else { referenced_columns };
            if references == armed.relation && lacks_key(target) {
                found.push(Finding::new(
                    Severity::Error,
                    relation.to_string(),
                    format!(
                        "foreign key \"{}\" refers to \"{}\", whose key would not be unique without the shard key",
                        name.clone().unwrap_or_default(),
                        armed.relation
                    ),
                    "Choose a shard key that the referenced key includes, or drop the foreign key.",
                ));
            }
        }
    }
}

/// The columns of a table's primary key, as the dump has it.
fn primary_key(table: &QualifiedName, statements: &[Utility]) -> Vec<String> {
    commands_of(table, statements)
        .find_map(|command| match command {
            AlterCommand::AddUnique { primary: true, columns, .. } => Some(columns.clone()),
            _ => None,
        })
        .unwrap_or_default()
}

fn commands_of<'a>(
    table: &'a QualifiedName,
    statements: &'a [Utility],
) -> impl Iterator<Item = &'a AlterCommand> {
    let altering = statements.iter().filter_map(move |read| match read {
        Utility::AlterTable { relation, commands, .. } if relation == table => Some(commands),
        _ => None,
    });
    altering.flatten()
}

/// Whether a statement is about a table, given what only its shards will have.
pub fn concerns(read: &Utility, table: &QualifiedName, on_shards: &[String]) -> bool {
    match read {
        Utility::OnIndex { index, .. } => index.schema == table.schema && on_shards.contains(&index.name),
        _ => read.relations().contains(&table) || read.takes_all_of(&table.schema),
    }
}

/// The constraint or index that a statement makes on the shards only.
pub fn made_on_shards(read: &Utility, decisions: &[Decision]) -> Vec<String> {
    let on_shards =
        |at: usize| decisions.get(at).is_some_and(|decision| decision.actions == [Action::Shards]);
    match read {
        Utility::CreateIndex(index) if on_shards(0) => index.name.clone().into_iter().collect(),
        Utility::AlterTable { commands, .. } => commands
            .iter()
            .enumerate()
            .filter(|(at, _)| on_shards(*at))
            .filter_map(|(_, command)| match command {
                AlterCommand::AddUnique { name, .. } | AlterCommand::AddExclusion { name, .. } => {
                    name.clone()
                }
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What is done with a foreign key that is not valid depends on the rows.
fn warn_of_keys(read: &Utility, armed: &Armed<'_>, found: &mut Vec<Finding>) {
    let Utility::AlterTable { commands, .. } = read else { return };
    for command in commands {
        if let AlterCommand::AddForeignKey { name, not_valid: true, .. } = command
            && armed.server < 18
        {
            found.push(Finding::new(
                Severity::Warning,
                armed.relation.to_string(),
                format!(
                    "foreign key \"{}\" is not valid: if rows violate it, it will be on each shard only",
                    name.clone().unwrap_or_default()
                ),
                "Mend the rows, validate it on the shards and add it to the table, so that later shards have it.",
            ));
        }
    }
}

/// Relations of the dump that have the name of a shard.
fn check_names(armed: &Armed<'_>, statements: &[Utility], found: &mut Vec<Finding>) {
    for read in statements {
        let made = match read {
            Utility::CreateTable(table) => table.relation.clone(),
            Utility::CreateOther { relation, .. } => relation.clone(),
            Utility::CreateIndex(index) => match &index.name {
                Some(name) => index.relation.sibling(name),
                None => continue,
            },
            _ => continue,
        };
        if made.schema == armed.relation.schema && armed.layout.names().any(|name| *name == made.name) {
            found.push(Finding::new(
                Severity::Error,
                made.to_string(),
                format!(
                    "the dump has a relation of that name, but shard of \"{}\" would have it",
                    armed.relation
                ),
                "Rename it before the dump is made.",
            ));
        }
    }
}

/// Names on the shards that are cut to fit may be those of something else.
fn check_parts(armed: &Armed<'_>, on_shards: &[String], statements: &[Utility], found: &mut Vec<Finding>) {
    let schema = &armed.relation.schema;
    let mut taken: HashSet<String> = armed.layout.names().cloned().collect();
    taken.extend(statements.iter().flat_map(|read| named(read, schema)));
    for name in on_shards {
        for number in 1..=armed.layout.shards().len() {
            let part = shard_name(name, number);
            if !taken.insert(part.clone()) {
                found.push(Finding::new(
                    Severity::Error,
                    armed.relation.to_string(),
                    format!("on shard {number}, \"{name}\" would be called \"{part}\", but something else is called so"),
                    "Rename one of them before the dump is made.",
                ));
                break;
            }
        }
    }
}

/// The names in a schema that a statement takes.
fn named(read: &Utility, schema: &str) -> Vec<String> {
    match read {
        Utility::CreateTable(CreateTable { relation, .. }) | Utility::CreateOther { relation, .. }
            if relation.schema == schema =>
        {
            vec![relation.name.clone()]
        }
        Utility::CreateIndex(index) if index.relation.schema == schema => {
            index.name.clone().into_iter().collect()
        }
        Utility::AlterTable { relation, commands, .. } if relation.schema == schema => commands
            .iter()
            .filter_map(|command| match command {
                AlterCommand::AddUnique { name, .. } | AlterCommand::AddExclusion { name, .. } => {
                    name.clone()
                }
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A key to which the shard key is appended: a primary key takes no nulls,
/// and an index that is the replica identity takes columns that are not null.
fn check_identity(
    armed: &Armed<'_>,
    statements: &[Utility],
    known: Option<&Table>,
    found: &mut Vec<Finding>,
) -> Result<(), ErrorReport> {
    if armed.unique_policy != UniquePolicy::Extend {
        return Ok(());
    }
    let primary = primary_key(armed.relation, statements);
    let declared = not_null(armed.relation, statements);
    let keys = armed.layout.key_columns();
    let here = relations::not_null_columns(armed.relation)?;
    for nullable in keys.iter().filter(|key| !declared.contains(key) && !primary.contains(key)) {
        if primary.is_empty() {
            break;
        }
        found.push(appended_nullable(armed.relation, nullable, here.contains(nullable), known));
    }
    let nullable = |key: &String| !declared.contains(&key) && !primary.contains(key) && !here.contains(key);
    if !primary.is_empty() || !keys.iter().any(nullable) {
        return Ok(());
    }
    for command in commands_of(armed.relation, statements) {
        let AlterCommand::ReplicaIdentity { index: Some(index) } = command else { continue };
        let lacking = statements.iter().any(|read| {
            matches!(read, Utility::CreateIndex(made) if made.relation == *armed.relation
                && made.name.as_ref() == Some(index)
                && keys.iter().any(|key| !made.columns.contains(key)))
        });
        if lacking {
            found.push(Finding::new(
                Severity::Error,
                armed.relation.to_string(),
                format!("index \"{index}\" cannot be the replica identity: a column of the shard key, which is appended to it, may be null"),
                "Declare the column NOT NULL, or choose another replica identity, before the dump is made.",
            ));
        }
    }
    Ok(())
}

/// A shard key column that the dump lets be null and the primary key will not.
/// `here`: the table is in its shards already, and the column NOT NULL.
fn appended_nullable(table: &QualifiedName, column: &str, here: bool, known: Option<&Table>) -> Finding {
    let statistics = known.and_then(|table| table.column(column)?.statistics.as_ref());
    let said = match statistics.map(|found| found.null_fraction) {
        None => "whether rows have nulls in it is not known here".to_owned(),
        Some(share) if share > 0.0 => {
            format!("{:.1} % of a sample of its rows have nulls in it", share * 100.0)
        }
        Some(_) => "a sample of its rows had no nulls in it, which proves nothing of the others".to_owned(),
    };
    if here {
        return Finding::new(
            Severity::Warning,
            table.to_string(),
            format!(
                "column \"{column}\" is NOT NULL here and may be null in the dump: a row with null would stop the COPY; {said}"
            ),
            "Restore what is left: --section=data and --section=post-data.",
        );
    }
    let set = format!("ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL;", quote_identifier(column));
    Finding::new(
        Severity::Error,
        table.to_string(),
        format!(
            "shard key column \"{column}\" may be null, but is to be appended to the primary key, which takes no nulls; {said}"
        ),
        format!(
            "{set} at the source before the dump is made, or here between --section=pre-data and --section=data of the restore. \
             Or choose another shard key or unique_policy."
        ),
    )
}

/// The columns that a dump declares NOT NULL; none if it does not create the table.
pub fn declared_not_null(table: &QualifiedName, read: &[Statement]) -> Option<Vec<String>> {
    read.iter().find_map(|statement| match &statement.utility {
        Some(Utility::CreateTable(made)) if made.relation == *table => Some(made.not_null.clone()),
        _ => None,
    })
}

/// The columns of a table that a dump declares NOT NULL.
fn not_null<'a>(table: &QualifiedName, statements: &'a [Utility]) -> Vec<&'a String> {
    statements
        .iter()
        .filter_map(|read| match read {
            Utility::CreateTable(made) if made.relation == *table => Some(&made.not_null),
            _ => None,
        })
        .flatten()
        .collect()
}

fn adds_primary_key(read: &Utility, table: &QualifiedName) -> bool {
    let primary = |command: &AlterCommand| matches!(command, AlterCommand::AddUnique { primary: true, .. });
    matches!(read, Utility::AlterTable { relation, commands, .. }
        if relation == table && commands.iter().any(primary))
}

/// Queries that need a uniqueness which the policy weakens: one that groups by
/// the primary key, in a view, a function, a rule or a policy; an ON CONFLICT
/// that names a constraint.
fn check_queries(
    armed: &Armed<'_>,
    on_shards: &[String],
    statements: &[Utility],
    read: &[Statement],
    found: &mut Vec<Finding>,
) {
    let primary = primary_key(armed.relation, statements);
    let lacking = !primary.is_empty() && armed.layout.key_columns().iter().any(|key| !primary.contains(key));
    if armed.unique_policy == UniquePolicy::Strict || !lacking && on_shards.is_empty() {
        return;
    }
    let mut behind_key = false;
    for statement in read {
        pgrx::check_for_interrupts!();
        behind_key |= statement.utility.as_ref().is_some_and(|read| adds_primary_key(read, armed.relation));
        let words = Words::of(&statement.text);
        // pg_dump writes what needs a key behind it: a view again, a materialized view or a function late.
        // Rules and policies are there in any case.
        let grouped = lacking && behind_key && words.has(&["GROUP", "BY"]) && words.names(armed.relation);
        let constraint = words.name_after(&["ON", "CONFLICT", "ON", "CONSTRAINT"]);
        let conflict = constraint.is_some_and(|name| on_shards.contains(&name));
        if grouped || conflict {
            let first: String = words.start().chars().take(60).collect();
            found.push(Finding::new(
                Severity::Error,
                armed.relation.to_string(),
                format!(
                    "\"{}...\" needs a key of the table that is not unique without the shard key",
                    first.split_whitespace().collect::<Vec<_>>().join(" ")
                ),
                "Choose a shard key that the key includes, or change the query before the dump is made.",
            ));
        }
    }
}
