//! A statement of a dump written down as the restore hook would run it, for
//! servers that do not have the hook.
//!
//! Decisions are those of `rewrite`; here they become text. What only a server
//! with the data knows is asked for by the text itself: which name a part of
//! an index got, whether rows violate a foreign key.

use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::name::quote_identifier;
use crate::model::utility::AlterCommand;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rebuild;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Decision;
use crate::planning::provision::token::Words;

/// The statements in place of one, without semicolons; none if its decisions
/// cannot be written as text: of several commands each would need another
/// statement.
#[must_use]
pub fn rephrase(
    text: &str,
    statement: &Utility,
    decisions: &[Decision],
    armed: &Armed<'_>,
) -> Option<Vec<String>> {
    match decisions {
        _ if decisions.iter().all(|decision| decision.note.is_none()) => Some(vec![text.to_owned()]),
        [decision] => {
            Some(decision.actions.iter().flat_map(|action| written(text, statement, action, armed)).collect())
        }
        _ => None,
    }
}

fn written(text: &str, statement: &Utility, action: &Action, armed: &Armed<'_>) -> Vec<String> {
    let root = armed.relation;
    match action {
        Action::Root(edits) if edits.contains(&Edit::Validate) => vec![not_valid(text, edits, armed)],
        Action::Root(edits) => vec![edited(text, edits, armed)],
        Action::Shards => {
            numbered(armed).map(|(shard, suffix)| on_shard(text, statement, root, &shard, &suffix)).collect()
        }
        Action::Partitions => armed
            .layout
            .names()
            .map(|name| {
                let mut words = Words::of(text);
                words.remove(&["ONLY"]);
                words.replace_relation(root, &root.sibling(name).to_string());
                words.text()
            })
            .collect(),
        Action::Parts { name } => numbered(armed)
            .map(|(shard, suffix)| about_part(text, statement, root, &shard, name, &suffix))
            .collect(),
        Action::CreateShards => {
            let storage = match statement {
                Utility::CreateTable(create) => ShardStorage {
                    unlogged: create.unlogged,
                    options: create.options.clone(),
                    access_method: create.access_method.clone(),
                },
                _ => ShardStorage::default(),
            };
            let mut all = ddl::create_shards(root, armed.layout, &storage);
            all.push(ddl::revoke_grants(root, false));
            all
        }
        Action::ClusterShards { index } => {
            rebuild::with_parts(armed, index, armed.on_shards, true, "CLUSTER ON")
        }
        Action::IdentifyPartitions { index } => {
            rebuild::with_parts(armed, index, armed.on_shards, false, "REPLICA IDENTITY USING INDEX")
        }
        Action::PublishViaRoot { publication } => vec![format!(
            "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
            quote_identifier(publication)
        )],
    }
}

/// The shards in the order in which a restore numbers them, each with the
/// ending of names on it.
fn numbered(armed: &Armed<'_>) -> impl Iterator<Item = (QualifiedName, String)> {
    let shards = rebuild::shards_by_name(armed).into_iter().enumerate();
    shards.map(|(at, shard)| (shard, format!("s{:04}", at + 1)))
}

/// The statement on the table itself.
fn edited(text: &str, edits: &[Edit], armed: &Armed<'_>) -> String {
    let mut words = Words::of(text);
    let mut behind = String::new();
    for edit in edits {
        match edit {
            Edit::Partition { .. } => {
                words.remove(&["UNLOGGED"]);
                let tablespace = words.cut_behind_columns();
                behind = format!("\n{}", ddl::partition_by(armed.layout));
                if let Some(tablespace) = tablespace {
                    behind.push_str(&format!(" TABLESPACE {}", quote_identifier(&tablespace)));
                }
            }
            Edit::Recurse | Edit::RecurseInto(_) => {
                words.remove(&["ONLY"]);
            }
            Edit::Validate => {
                words.remove(&["NOT", "VALID"]);
            }
            Edit::Inherit => while words.remove(&["NO", "INHERIT"]) {},
            Edit::InheritedDistinct => words.inherit_distinct(),
            Edit::AppendKey(columns) => words = Words::of(&ddl::append_key(&words.text(), columns)),
            Edit::Without(_) => return String::new(),
        }
    }
    format!("{}{behind}", words.text())
}

/// A foreign key that is not valid: on the table and valid, or, where rows
/// violate it, on every shard as it is.
fn not_valid(text: &str, edits: &[Edit], armed: &Armed<'_>) -> String {
    or_on_shards(text, &edited(text, edits, armed), "foreign_key_violation", armed)
}

/// What is said of such a foreign key: of the table's, or of those of the
/// shards, if it came to be there.
#[must_use]
pub fn of_either(text: &str, armed: &Armed<'_>) -> String {
    or_on_shards(text, text, "undefined_object", armed)
}

/// One statement, and in its place, where it meets a condition, the original
/// one on every shard.
fn or_on_shards(text: &str, first: &str, condition: &str, armed: &Armed<'_>) -> String {
    let mut body = format!("BEGIN\n    {first};\nEXCEPTION WHEN {condition} THEN");
    for (shard, _) in numbered(armed) {
        let mut words = Words::of(text);
        words.remove(&["ONLY"]);
        words.replace_relation(armed.relation, &shard.to_string());
        body.push_str(&format!("\n    {};", words.text()));
    }
    body.push_str("\nEND");
    ddl::block(&body)
}

fn on_shard(
    text: &str,
    statement: &Utility,
    root: &QualifiedName,
    shard: &QualifiedName,
    suffix: &str,
) -> String {
    let mut words = Words::of(text);
    words.remove(&["ONLY"]);
    // First the table: an index may have its name, which is not qualified.
    words.replace_relation(root, &shard.to_string());
    match statement {
        Utility::CreateIndex(index) => {
            if let Some(name) = &index.name {
                words.replace_name("INDEX", name, &quote_identifier(&derived_name(name, suffix)));
            }
        }
        Utility::AlterTable { commands, .. } => {
            if let Some(
                AlterCommand::AddUnique { name: Some(name), .. }
                | AlterCommand::AddExclusion { name: Some(name), .. },
            ) = commands.first()
            {
                words.replace_name("CONSTRAINT", name, &quote_identifier(&derived_name(name, suffix)));
            }
        }
        _ => {}
    }
    words.text()
}

fn about_part(
    text: &str,
    statement: &Utility,
    root: &QualifiedName,
    shard: &QualifiedName,
    name: &str,
    suffix: &str,
) -> String {
    let part = derived_name(name, suffix);
    let mut words = Words::of(text);
    match statement {
        Utility::OnIndex { index, .. } => words.replace_relation(index, &shard.sibling(&part).to_string()),
        _ => {
            words.remove(&["ONLY"]);
            words.replace_relation(root, &shard.to_string());
            words.replace_name("CONSTRAINT", name, &quote_identifier(&part));
        }
    }
    words.text()
}
