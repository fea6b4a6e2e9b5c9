//! The restore hook's handler: statements about armed tables, decided by
//! `planning::provision::rewrite` and turned into work for `pg::hook`.
//!
//! Invariant: a statement about a table that is not armed is never touched,
//! and what was changed for an armed one stands in `presplit.restore_report`.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::arming::Arming;
use crate::catalog::arming::Rewritten;
use crate::catalog::relations;
use crate::catalog::relations::ForeignKey;
use crate::catalog::relations::IndexPart;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::report::SqlState;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateTable;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::model::utility::marks_an_index;
use crate::operations::later;
use crate::operations::load;
use crate::operations::provision::server_major;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::hook;
use crate::pg::hook::Handler;
use crate::pg::hook::Work;
use crate::pg::index_build;
use crate::pg::index_build::Outcome;
use crate::pg::index_build::Reason;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Decision;

crate::pg::error::reports!(rewrite::Refusal);

/// Registers the handler; called once, from `_PG_init`.
pub fn install() {
    hook::install(Handler { idle, may_concern, known: arming::known_state, decide, finished });
}

fn idle() -> bool {
    arming::known_names().is_some_and(|names| names.is_empty())
}

fn may_concern(statement: &Utility) -> bool {
    let Some(armed) = arming::known_names() else { return true };
    let named = |table: &QualifiedName| statement.relations().contains(&table);
    match statement {
        Utility::CreateTable(create) if create.partition_of.is_some() => true,
        // Also of tables that are armed no more.
        Utility::CopyFrom { .. } => true,
        Utility::OnIndex { index, .. } => armed.iter().any(|table| table.schema == index.schema),
        _ => armed.iter().any(|table| named(table) || statement.takes_all_of(&table.schema)),
    }
}

/// An armed table that a statement concerns, and what it is now.
struct Concerned {
    relation: QualifiedName,
    arming: Arming,
}

fn decide(statement: &Utility, original: &str, rest: &str) -> Result<Option<Vec<Work>>, ErrorReport> {
    if !guc::on("restore_hook") {
        return Ok(None);
    }
    if let Utility::CopyFrom { relation, .. } = statement {
        return load::decide(relation);
    }
    let names = arming::names()?;
    let mut concerned = Vec::new();
    for relation in meant(statement, &names)? {
        if let Some(arming) = arming::find(&relation)?
            && concerns(statement, &relation, &arming)?
        {
            concerned.push(Concerned { relation, arming });
        }
    }
    if concerned.is_empty() {
        // Heard of when it is done.
        return Ok(later::is_awaited(statement)?.then(|| vec![Work::unchanged()]));
    }
    let mut all: Vec<Work> = Vec::new();
    // An index needs a tablespace that a partitioned one may have.
    let mut changed = makes_index(statement);
    for table in &concerned {
        let on_shards = on_shards(statement, &table.relation)?;
        let armed = Armed {
            relation: &table.relation,
            layout: &table.arming.layout,
            unique_policy: table.arming.unique_policy,
            server: server_major(),
            // Only who may truncate may have it left out; others get the server's own answer.
            empty: matches!(statement, Utility::Truncate { .. })
                && relations::has_no_pages(&table.relation)?
                && relations::may_truncate(&table.relation)?,
            on_shards: &on_shards,
            violated: is_violated(statement, &table.relation)?,
        };
        let decisions = rewrite::decide(statement, &armed)?;
        if let Utility::CreateIndex(index) = statement {
            if marks_an_index(rest) {
                relations::await_marked_index(&table.relation)?;
            }
            relations::await_part_names(&table.relation, &index.name_stems())?;
        }
        changed |= decisions.iter().any(|decision| decision.note.is_some());
        let items = works(statement, &decisions, table)?;
        report(statement, original, &decisions, &items, table)?;
        merge(&mut all, items);
    }
    Ok(changed.then_some(all))
}

/// The relations that a statement may be about: those that it names, and armed
/// ones that it takes along, or whose shards have the index that it names.
fn meant(statement: &Utility, armed: &[QualifiedName]) -> Result<Vec<QualifiedName>, ErrorReport> {
    let named = statement.relations().into_iter().filter(|relation| armed.contains(relation));
    let mut meant: Vec<_> = named.cloned().collect();
    match statement {
        Utility::OnIndex { index, .. } => {
            for table in armed.iter().filter(|table| table.schema == index.schema) {
                if !relations::parts(table, &index.name)?.is_empty() {
                    meant.push(table.clone());
                }
            }
        }
        Utility::Publish { .. } | Utility::MoveSchema { .. } | Utility::DropExtension => {
            for table in armed.iter().filter(|table| statement.takes_all_of(&table.schema)) {
                if !meant.contains(table) {
                    meant.push(table.clone());
                }
            }
        }
        _ => {}
    }
    Ok(meant)
}

/// Which of the constraints and indexes that a statement speaks of only the
/// shards have.
fn on_shards(statement: &Utility, table: &QualifiedName) -> Result<Vec<String>, ErrorReport> {
    let mut found = Vec::new();
    for name in statement.parts() {
        if !relations::parts(table, name)?.is_empty() {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Whether rows violate a foreign key that a statement adds `NOT VALID`, where
/// PostgreSQL takes none like that on a partitioned table.
fn is_violated(statement: &Utility, table: &QualifiedName) -> Result<bool, ErrorReport> {
    let Utility::AlterTable { commands, .. } = statement else { return Ok(false) };
    for command in commands {
        if let AlterCommand::AddForeignKey {
            not_valid: true,
            references,
            columns,
            referenced_columns,
            full,
            ..
        } = command
            && server_major() < 18
        {
            let key = ForeignKey { table, columns, references, referenced_columns, full: *full };
            return relations::is_violated(&key);
        }
    }
    Ok(false)
}

/// Adds the work for one more table: a statement about several tables
/// (`TRUNCATE`, publications) runs once, edited for each of them.
fn merge(all: &mut Vec<Work>, items: Vec<Work>) {
    for item in items {
        let whole = all.iter().position(|work| matches!(work, Work::Statement { command: None, .. }));
        if let Some(at) = whole
            && let Work::Statement { edits, .. } = &mut all[at]
            && let Work::Statement { command: None, edits: more } = &item
        {
            edits.extend(more.iter().cloned());
        } else if !all.contains(&item) {
            all.push(item);
        }
    }
}

/// Whether the statement is about the armed table as a sharded one: it creates
/// it, or it finds it partitioned. An old, whole table that a restore is about
/// to drop is left alone.
fn concerns(statement: &Utility, relation: &QualifiedName, arming: &Arming) -> Result<bool, ErrorReport> {
    let live = relations::find(relation)?;
    Ok(match statement {
        Utility::CreateTable(create) if create.relation != *relation => {
            live.is_some_and(|parent| parent.is_partitioned())
        }
        Utility::CreateTable(_) | Utility::CreateOther { .. } => live.is_none(),
        // A sharded table may be renamed away and back, and so may one that is still to be replaced.
        Utility::MoveTable { from, .. } => {
            !arming.replaces
                && live.is_none()
                && relations::find(from)?.is_none_or(|from| !from.is_partitioned())
        }
        // One that is in its shards has had its restore.
        Utility::DropExtension => live.is_none_or(|live| !live.is_partitioned()),
        Utility::MoveSchema { from, .. } => {
            let moved = QualifiedName::new(from, &relation.name);
            !arming.replaces && relations::find(&moved)?.is_some_and(|moved| moved.is_whole())
        }
        _ => live.is_some_and(|live| live.is_partitioned()),
    })
}

fn works(statement: &Utility, decisions: &[Decision], table: &Concerned) -> Result<Vec<Work>, ErrorReport> {
    let shards = || relations::shards(&table.relation);
    let mut work = Vec::new();
    for (at, decision) in decisions.iter().enumerate() {
        let command = (decisions.len() > 1).then_some(at);
        for action in &decision.actions {
            match action {
                Action::Root(edits) => work.push(Work::Statement { command, edits: edits.clone() }),
                Action::Shards => {
                    for (number, relation) in shards()?.into_iter().enumerate() {
                        let suffix = format!("s{:04}", number + 1);
                        work.push(Work::OnRelation { command, relation, suffix });
                    }
                }
                Action::Partitions => {
                    let partitions = relations::partitions(&table.relation)?.into_iter();
                    work.extend(partitions.map(|relation| Work::OnRelation {
                        command,
                        relation,
                        suffix: String::new(),
                    }));
                }
                Action::Parts { name } => {
                    let parts = relations::parts(&table.relation, name)?.into_iter();
                    work.extend(parts.map(|part| Work::OnPart {
                        command,
                        relation: part.partition,
                        name: part.index,
                    }));
                }
                Action::CreateShards => {
                    let storage = match statement {
                        Utility::CreateTable(create) => storage_of(create),
                        _ => ShardStorage::default(),
                    };
                    let ddl = ddl::create_shards(&table.relation, &table.arming.layout, &storage);
                    work.extend(ddl.into_iter().map(Work::Sql));
                    work.push(Work::Sql(ddl::revoke_grants(&table.relation, false)));
                }
                Action::ClusterShards { index } => {
                    for part in parts_of(&table.relation, index)?.into_iter().filter(|part| part.leaf) {
                        let (shard, part) = (part.partition, quote_identifier(&part.index));
                        work.push(Work::Sql(format!("ALTER TABLE {shard} CLUSTER ON {part}")));
                    }
                }
                Action::IdentifyPartitions { index } => {
                    for part in parts_of(&table.relation, index)? {
                        let (partition, part) = (part.partition, quote_identifier(&part.index));
                        work.push(Work::Sql(format!(
                            "ALTER TABLE {partition} REPLICA IDENTITY USING INDEX {part}"
                        )));
                    }
                }
                Action::PublishViaRoot { publication } => {
                    if !relations::publishes_via_root(publication)? {
                        work.push(Work::Sql(format!(
                            "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                            quote_identifier(publication)
                        )));
                    }
                }
            }
        }
    }
    Ok(work)
}

/// The part of an index on each partition. The index must be there before the
/// statement: nothing may be left out in silence.
fn parts_of(table: &QualifiedName, index: &str) -> Result<Vec<IndexPart>, ErrorReport> {
    let mut parts = relations::index_parts(table, index)?;
    if parts.is_empty() {
        parts = relations::parts(table, index)?;
    }
    if parts.is_empty() {
        return Err(error::new(
            SqlState::UndefinedObject,
            format!("index \"{index}\" of table \"{table:#}\" does not exist"),
            None,
            Some("Create the index in a statement of its own first.".to_owned()),
        ));
    }
    Ok(parts)
}

fn storage_of(create: &CreateTable) -> ShardStorage {
    ShardStorage {
        unlogged: create.unlogged,
        options: create.options.clone(),
        access_method: create.access_method.clone(),
    }
}

fn report(
    statement: &Utility,
    original: &str,
    decisions: &[Decision],
    work: &[Work],
    table: &Concerned,
) -> Result<(), ErrorReport> {
    let notes: Vec<_> = decisions.iter().filter_map(|decision| decision.note).collect();
    if notes.is_empty() {
        return Ok(());
    }
    arming::log(&Rewritten {
        relation: &table.relation,
        proposal_id: table.arming.proposal_id,
        kind: statement.kind(),
        original,
        executed: &executed(original, work, table),
        note: &notes.join("; "),
        rows_loaded: None,
    })
}

/// What ran, for people: the parse tree was edited, so this is a rendering.
fn executed(original: &str, work: &[Work], table: &Concerned) -> String {
    /// Shards of one statement that are named before the rest is counted.
    const NAMED_MAX: usize = 3;
    let mut lines = Vec::new();
    let mut more = 0;
    for item in work {
        let line = match item {
            Work::Statement { edits, .. } => rendered(original, edits, table),
            Work::OnRelation { relation, .. } => format!("the same on {relation}"),
            Work::OnPart { relation, name, .. } => {
                format!("the same about {} of {relation}", quote_identifier(name))
            }
            // The block that takes default grants from the shards says nothing to a reader.
            Work::Sql(sql) if *sql == ddl::revoke_grants(&table.relation, false) => continue,
            Work::Sql(sql) => sql.clone(),
            Work::Load => original.to_owned(),
        };
        if lines.len() > NAMED_MAX {
            more += 1;
        } else if !line.is_empty() {
            lines.push(line);
        }
    }
    if more > 0 {
        lines.push(format!("and {more} more, one for each shard"));
    }
    if lines.is_empty() { "nothing".to_owned() } else { lines.join(";\n") }
}

fn rendered(original: &str, edits: &[Edit], table: &Concerned) -> String {
    let mut text = original.to_owned();
    for edit in edits {
        match edit {
            Edit::Partition { .. } => {
                let end = text.rfind(')').map_or(text.len(), |at| at + 1);
                text.truncate(end);
                text = format!("{text}\n{}", ddl::partition_by(&table.arming.layout));
            }
            Edit::Recurse | Edit::RecurseInto(_) => text = text.replacen(" ONLY ", " ", 1),
            Edit::Inherit => text = text.replace(" NO INHERIT", ""),
            Edit::Validate => text = text.replacen(" NOT VALID", "", 1),
            Edit::InheritedDistinct => text = text.replacen("n_distinct", "n_distinct_inherited", 1),
            Edit::AppendKey(columns) => text = ddl::append_key(&text, columns),
            Edit::Without(_) => text.clear(),
        }
    }
    text
}

fn finished(statement: &Utility, original: &str, processed: u64) -> Result<(), ErrorReport> {
    match statement {
        Utility::CreateTable(create) if create.partition_of.is_some() => later::complete(create, original),
        Utility::CreateTable(create) => {
            if let Some(arming) = arming::find(&create.relation)? {
                arming::mark_sharded(&create.relation, arming.proposal_id)?;
            }
            Ok(())
        }
        Utility::CopyFrom { relation, .. } => load::finished(relation, original, processed),
        Utility::CreateIndex(_) | Utility::AlterTable { .. } => report_indexes(statement, original),
        _ => Ok(()),
    }
}

/// Says how the indexes of the shards were built, if there was a choice.
fn report_indexes(statement: &Utility, original: &str) -> Result<(), ErrorReport> {
    let note = match index_build::outcome() {
        Some(Outcome::Together { shards, processes: 1 }) => {
            format!("indexes of {shards} shards built by the session, because no parallel worker was free")
        }
        Some(Outcome::Together { shards, processes }) => {
            format!("indexes of {shards} shards built by {processes} processes")
        }
        Some(Outcome::Alone(reason)) if !matches!(reason, Reason::Small | Reason::Workers) => {
            format!("indexes built one shard after the other, because {}", reason.text())
        }
        _ => return Ok(()),
    };
    for relation in statement.relations() {
        if let Some(arming) = arming::find(relation)? {
            arming::log(&Rewritten {
                relation,
                proposal_id: arming.proposal_id,
                kind: statement.kind(),
                original,
                executed: original,
                note: &note,
                rows_loaded: None,
            })?;
        }
    }
    Ok(())
}

/// Whether a statement makes an index that may be built on several shards at once.
fn makes_index(statement: &Utility) -> bool {
    match statement {
        Utility::CreateIndex(_) => true,
        Utility::AlterTable { commands, .. } => commands
            .iter()
            .any(|command| matches!(command, AlterCommand::AddUnique { using_index: false, .. })),
        _ => false,
    }
}
