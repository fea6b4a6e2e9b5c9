//! What becomes of a statement that concerns an armed table.
//!
//! The table of cases is the measured one: what PostgreSQL does with each
//! statement of a dump once the table is partitioned, and what makes it right.
//! The dangerous cases are those that "succeed": `ADD PRIMARY KEY` on `ONLY`
//! the root leaves an invalid index, an owner or a replica identity reaches
//! the root alone. What cannot be made right is refused, with the remedy.
//!
//! Invariant: pure. The hook and `check_restore` ask the same function, so
//! what was foretold is what happens.

use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::settings::UniquePolicy;
use crate::model::utility::AlterCommand;
use crate::model::utility::CreateIndex;
use crate::model::utility::CreateTable;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
pub use crate::planning::provision::refusal::Refusal;

/// The armed table that a statement concerns.
#[derive(Debug, Clone, Copy)]
pub struct Armed<'a> {
    pub relation: &'a QualifiedName,
    pub layout: &'a Layout,
    pub unique_policy: UniquePolicy,
    /// Major version of the server, as 15.
    pub server: u32,
    /// Whether every shard is still empty.
    pub empty: bool,
    /// Constraints and indexes that the shards have and the table does not.
    pub on_shards: &'a [String],
    /// Whether rows violate the foreign key that would be added `NOT VALID`.
    pub violated: bool,
}

impl<'a> Armed<'a> {
    /// A table whose shards are still to come or empty, on a server of that
    /// major version.
    #[must_use]
    pub const fn empty(
        relation: &'a QualifiedName,
        layout: &'a Layout,
        unique_policy: UniquePolicy,
        server: u32,
    ) -> Self {
        Self { relation, layout, unique_policy, server, empty: true, on_shards: &[], violated: false }
    }

    fn is_on_shards(&self, name: &str) -> bool {
        self.on_shards.iter().any(|part| part == name)
    }
}

/// One thing to do for a command, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The statement on the root, with these edits.
    Root(Vec<Edit>),
    /// The statement on every shard.
    Shards,
    /// The statement on every partition: on branches too.
    Partitions,
    /// The statement about the shard's own constraint or index, on every shard.
    Parts { name: String },
    /// `CREATE TABLE … PARTITION OF` for every shard of the layout.
    CreateShards,
    /// `CLUSTER ON` the shard's own part of the index, on every shard.
    ClusterShards { index: String },
    /// `REPLICA IDENTITY USING INDEX` its own part, on every partition.
    IdentifyPartitions { index: String },
    /// The publication publishes through the root.
    PublishViaRoot { publication: String },
}

/// What becomes of a statement or of one command of it.
///
/// Invariant: whatever is changed has a note; the hook runs a statement
/// without notes as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub actions: Vec<Action>,
    /// Why; none if the statement is left as it is.
    pub note: Option<&'static str>,
}

impl Decision {
    fn unchanged() -> Self {
        Self { actions: vec![Action::Root(Vec::new())], note: None }
    }

    fn new(actions: Vec<Action>, note: &'static str) -> Self {
        Self { actions, note: Some(note) }
    }
}

/// Decides on a statement. `ALTER TABLE` has one decision for each of its
/// commands, every other statement has one.
///
/// # Errors
/// [`Refusal`] if it cannot be made right.
pub fn decide(statement: &Utility, armed: &Armed<'_>) -> Result<Vec<Decision>, Refusal> {
    let relation = armed.relation;
    let one = match statement {
        Utility::CreateTable(table) => create_table(table, armed)?,
        Utility::CreateOther { what, .. } => return Err(Refusal::NotATable(relation.clone(), what)),
        Utility::DropExtension => return Err(Refusal::Forgotten(relation.clone())),
        Utility::MoveTable { .. } | Utility::MoveSchema { .. } => {
            return Err(Refusal::Moved(relation.clone()));
        }
        Utility::AlterTable { only, commands, .. } => {
            return commands.iter().map(|command| alter_table(command, *only, armed)).collect();
        }
        Utility::CreateIndex(index) => create_index(index, armed)?,
        Utility::Truncate { relations, plain } => {
            let only = relations.iter().any(|(name, only)| *only && name == relation);
            if !only {
                Decision::unchanged()
            } else if armed.empty && *plain {
                // Leaving it out takes no ACCESS EXCLUSIVE lock, which load workers would wait for.
                let without = Edit::Without(vec![relation.clone()]);
                Decision::new(vec![Action::Root(vec![without])], "left out: all shards are empty")
            } else {
                Decision::new(
                    vec![Action::Root(vec![Edit::RecurseInto(relation.clone())])],
                    "ONLY taken away: a partitioned table has no rows of its own",
                )
            }
        }
        Utility::CopyFrom { .. } => Decision::unchanged(),
        Utility::OnConstraint { name, .. } | Utility::OnIndex { index: QualifiedName { name, .. }, .. } => {
            part(name, armed).unwrap_or_else(Decision::unchanged)
        }
        Utility::CreateTrigger { name, row, transition_tables, .. } => {
            if *row && *transition_tables {
                return Err(Refusal::TransitionTable(relation.clone(), name.clone()));
            }
            Decision::unchanged()
        }
        Utility::Publish { via_root: true, .. } => Decision::unchanged(),
        Utility::Publish { publication, creates, .. } => {
            let set = Action::PublishViaRoot { publication: publication.clone() };
            let root = Action::Root(Vec::new());
            // A row filter needs the option first; a new publication cannot have it before it exists.
            Decision::new(
                if *creates { vec![root, set] } else { vec![set, root] },
                "publish_via_partition_root set: subscribers see the table, not its shards",
            )
        }
    };
    Ok(vec![one])
}

fn create_table(table: &CreateTable, armed: &Armed<'_>) -> Result<Decision, Refusal> {
    let relation = armed.relation;
    if table.parents.contains(relation) {
        return Err(Refusal::Child(relation.clone(), table.relation.clone()));
    }
    if table.inherits {
        return Err(Refusal::Inheritance(relation.clone()));
    }
    if table.partitioned {
        return Err(Refusal::NotATable(relation.clone(), "a partitioned table"));
    }
    if !table.typed
        && let Some(missing) = missing_key(&table.columns, armed)
    {
        return Err(Refusal::MissingKeyColumn(relation.clone(), missing));
    }
    if let Some(key) = armed.layout.key_columns().into_iter().find(|key| table.generated.contains(key)) {
        return Err(Refusal::GeneratedKey(relation.clone(), key));
    }
    if let Some(refusal) = other_type(table, armed) {
        return Err(refusal);
    }
    let moved = table.unlogged || !table.options.is_empty() || table.access_method.is_some();
    let note = match (moved, table.no_inherit) {
        (true, true) => "created in shards; storage parameters moved to them; NO INHERIT taken away",
        (true, false) => "created in shards; storage parameters moved to them",
        (false, true) => "created in shards; NO INHERIT taken away",
        (false, false) => "created in shards",
    };
    let layout = armed.layout;
    let mut edits =
        vec![Edit::Partition { strategy: layout.first_strategy(), shard_key: layout.first_key().to_vec() }];
    if table.no_inherit {
        edits.push(Edit::Inherit);
    }
    Ok(Decision::new(vec![Action::Root(edits), Action::CreateShards], note))
}

/// Bounds of ranges and lists are for one type; a hash takes any.
fn other_type(table: &CreateTable, armed: &Armed<'_>) -> Option<Refusal> {
    if armed.layout.first_strategy() == Strategy::Hash {
        return None;
    }
    let planned = armed.layout.first_key().iter().zip(armed.layout.key_types());
    let mut found = planned.filter_map(|(column, planned)| {
        let (_, found) = table.built_in.iter().find(|(name, _)| name == column)?;
        (!planned.bounds_fit(*found)).then(|| Refusal::KeyType {
            relation: armed.relation.clone(),
            column: column.clone(),
            found: found.words(),
            planned: planned.words(),
        })
    });
    found.next()
}

fn alter_table(command: &AlterCommand, only: bool, armed: &Armed<'_>) -> Result<Decision, Refusal> {
    let relation = armed.relation;
    let everywhere = |note| Decision::new(vec![Action::Root(Vec::new()), Action::Partitions], note);
    Ok(match command {
        AlterCommand::AddUnique { using_index: true, .. } => {
            return Err(Refusal::UsingIndex(relation.clone()));
        }
        AlterCommand::AddUnique { name, primary, columns, temporal, .. } => {
            let kind = if *primary { "primary key" } else { "unique constraint" };
            add_unique(constraint_name(kind, name.as_deref()), columns, *temporal, only, armed)?
        }
        AlterCommand::AddExclusion { name, equal_columns } => {
            let what = constraint_name("exclusion constraint", name.as_deref());
            add_exclusion(what, equal_columns, only, armed)?
        }
        AlterCommand::AddForeignKey { not_valid: true, .. } if armed.server < 18 && armed.violated => {
            Decision::new(
                vec![Action::Shards],
                "on every shard: rows violate it, so it cannot be on the table",
            )
        }
        AlterCommand::AddForeignKey { not_valid: true, .. } if armed.server < 18 => {
            Decision::new(recurse(vec![Edit::Validate], only), "NOT VALID taken away: it is checked at once")
        }
        AlterCommand::AddForeignKey { .. } => {
            without_only(only, "ONLY taken away: not possible on a partitioned table")
        }
        AlterCommand::AddNoInherit => Decision::new(
            recurse(vec![Edit::Inherit], only),
            "NO INHERIT taken away: it has to reach the shards",
        ),
        AlterCommand::Constraint { name } => match part(name, armed) {
            Some(on_shards) => on_shards,
            None => without_only(only, "ONLY taken away: it has to reach the shards"),
        },
        AlterCommand::Compression => everywhere("on the shards too: it does not reach them by itself"),
        AlterCommand::Owner => everywhere("on the shards too: owners are not inherited"),
        AlterCommand::Tablespace => everywhere("on the shards too: tablespaces are not inherited"),
        AlterCommand::StorageParameters => Decision::new(
            vec![Action::Shards],
            "on the shards: a partitioned table has no storage parameters",
        ),
        AlterCommand::Persistence => Decision::new(vec![Action::Shards], "on the shards: they hold the rows"),
        AlterCommand::ClusterOn { index } => Decision::new(
            vec![Action::ClusterShards { index: index.clone() }],
            "on the shards: a partitioned table cannot be clustered",
        ),
        AlterCommand::ReplicaIdentity { index: Some(index) } if armed.is_on_shards(index) => Decision::new(
            vec![Action::IdentifyPartitions { index: index.clone() }],
            "on the shards: the table itself does not have the index",
        ),
        AlterCommand::ReplicaIdentity { index: Some(index) } => Decision::new(
            vec![Action::Root(Vec::new()), Action::IdentifyPartitions { index: index.clone() }],
            "on the shards too: replica identity is not inherited",
        ),
        AlterCommand::ReplicaIdentity { index: None } => {
            everywhere("on the shards too: replica identity is not inherited")
        }
        AlterCommand::ColumnOptions { .. } => Decision::new(
            vec![Action::Root(vec![Edit::InheritedDistinct])],
            "n_distinct is n_distinct_inherited on a partitioned table",
        ),
        AlterCommand::Inherit => return Err(Refusal::Inheritance(relation.clone())),
        // On a partitioned table these concern the root alone, and rightly so.
        AlterCommand::RowSecurity | AlterCommand::AttachPartition => Decision::unchanged(),
        AlterCommand::Identity | AlterCommand::Other => {
            without_only(only, "ONLY taken away: it has to reach the shards")
        }
    })
}

/// On the shards, if only they have the constraint or index.
fn part(name: &str, armed: &Armed<'_>) -> Option<Decision> {
    armed.is_on_shards(name).then(|| {
        Decision::new(
            vec![Action::Parts { name: name.to_owned() }],
            "on every shard: the table itself does not have it",
        )
    })
}

/// The statement on the root with these edits, and without `ONLY`.
fn recurse(mut edits: Vec<Edit>, only: bool) -> Vec<Action> {
    if only {
        edits.push(Edit::Recurse);
    }
    vec![Action::Root(edits)]
}

/// Right as it is, but for an `ONLY`.
fn without_only(only: bool, note: &'static str) -> Decision {
    Decision { actions: recurse(Vec::new(), only), note: only.then_some(note) }
}

/// Of a temporal key all but the last column are compared with `=`.
fn add_unique(
    what: String,
    columns: &[String],
    temporal: bool,
    only: bool,
    armed: &Armed<'_>,
) -> Result<Decision, Refusal> {
    if let Some((_, equal)) = columns.split_last().filter(|_| temporal) {
        return add_exclusion(what, equal, only, armed);
    }
    let Some(column) = missing_key(columns, armed) else { return Ok(without_only(only, INVALID_INDEX)) };
    Ok(unique_without_key(what, column, armed)?.unwrap_or_else(|| {
        Decision::new(recurse(vec![Edit::AppendKey(missing_keys(columns, armed))], only), EXTENDED)
    }))
}

fn add_exclusion(
    what: String,
    equal_columns: &[String],
    only: bool,
    armed: &Armed<'_>,
) -> Result<Decision, Refusal> {
    if missing_key(equal_columns, armed).is_none() {
        return Ok(if armed.server >= 17 {
            without_only(only, "ONLY taken away")
        } else {
            Decision::new(vec![Action::Shards], "on every shard: the same, since it compares the shard key")
        });
    }
    if armed.unique_policy == UniquePolicy::PerShard {
        return Ok(Decision::new(vec![Action::Shards], PER_SHARD));
    }
    Err(Refusal::Exclusion { what, relation: armed.relation.clone() })
}

const INVALID_INDEX: &str = "ONLY taken away: it would leave an invalid index and no uniqueness";
const EXTENDED: &str = "shard key appended: unique together with it only (unique_policy = extend)";
const PER_SHARD: &str = "on every shard: holds inside each shard only (unique_policy = per_shard)";

/// Applies the policy to a unique constraint or index without the shard key;
/// none = append the key.
fn unique_without_key(what: String, column: String, armed: &Armed<'_>) -> Result<Option<Decision>, Refusal> {
    match armed.unique_policy {
        UniquePolicy::Strict => Err(Refusal::Uniqueness { what, relation: armed.relation.clone(), column }),
        UniquePolicy::Extend => Ok(None),
        UniquePolicy::PerShard => Ok(Some(Decision::new(vec![Action::Shards], PER_SHARD))),
    }
}

fn create_index(index: &CreateIndex, armed: &Armed<'_>) -> Result<Decision, Refusal> {
    if index.concurrently {
        return Err(Refusal::Concurrently(armed.relation.clone()));
    }
    let recurse = if index.only { vec![Edit::Recurse] } else { Vec::new() };
    if index.unique
        && let Some(column) = missing_key(&index.columns, armed)
    {
        let what = constraint_name("unique index", index.name.as_deref());
        return Ok(match unique_without_key(what, column, armed)? {
            Some(per_shard) => per_shard,
            None => {
                let mut edits = recurse;
                edits.push(Edit::AppendKey(missing_keys(&index.columns, armed)));
                Decision::new(vec![Action::Root(edits)], EXTENDED)
            }
        });
    }
    Ok(Decision {
        note: index.only.then_some("ONLY taken away: it would leave an invalid index"),
        actions: vec![Action::Root(recurse)],
    })
}

/// The columns of the shard key, of either level, that `columns` lack.
fn missing_keys(columns: &[String], armed: &Armed<'_>) -> Vec<String> {
    armed.layout.key_columns().into_iter().filter(|key| !columns.contains(key)).collect()
}

fn missing_key(columns: &[String], armed: &Armed<'_>) -> Option<String> {
    missing_keys(columns, armed).into_iter().next()
}

fn constraint_name(kind: &str, name: Option<&str>) -> String {
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind} \"{name}\""))
}
