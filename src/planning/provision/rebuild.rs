//! A table that is here and empty, made anew in shards: the statements, in
//! order.
//!
//! Its columns come by `LIKE`, then everything that a dump would restore after
//! the data, decided by the same rules as in a restore. `create_shards` runs
//! the statements, `proposal_ddl` prints them: so each is complete in itself
//! and asks the server for names that only it knows. Run one by one outside a
//! transaction they lose nothing: the table is dropped in the same statement
//! that finds it empty.

use serde::Deserialize;

use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::utility::AlterCommand;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;
use crate::planning::provision::rewrite::Refusal;

/// What has to be rebuilt, as the server's own deparser writes it, and what
/// stands in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Anatomy {
    pub owner: String,
    pub unlogged: bool,
    /// None = the database's own.
    #[serde(default)]
    pub tablespace: Option<String>,
    pub options: Vec<String>,
    pub access_method: Option<String>,
    /// Descriptions of objects that would be lost.
    pub obstacles: Vec<String>,
    /// Keys, indexes, foreign keys, triggers, rules, publications, in order.
    pub definitions: Vec<Definition>,
    /// Foreign keys of other tables that point here.
    pub references: Vec<Reference>,
    /// Statements that run as they are, after the definitions.
    pub afterwards: Vec<String>,
    /// Sequences of serial columns, which move to the new table.
    pub sequences: Vec<(String, String)>,
    /// Statements that give identity columns back what their sequences had.
    pub identities: Vec<String>,
    /// The index that the table was clustered on.
    pub clustered: Option<String>,
    /// `FULL`, `NOTHING`, or none.
    pub replica_identity: Option<String>,
    /// The index of the replica identity.
    pub identified_by: Option<String>,
}

/// A statement that the rules of a restore decide on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Definition {
    /// Of the index or constraint; none of what has no parts on the shards.
    pub name: Option<String>,
    pub text: String,
    /// Of an index; none = the database's own.
    #[serde(default)]
    pub tablespace: Option<String>,
    /// What is said of it afterwards, where it is on the table itself.
    #[serde(default)]
    pub then: Vec<String>,
}

/// A foreign key of another table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reference {
    /// Quoted, with its schema.
    pub table: String,
    /// Quoted.
    pub name: String,
    pub statements: Vec<String>,
}

/// The statements. `read` are the definitions as PostgreSQL's grammar reads
/// them, none for one that the rules say nothing about.
///
/// # Errors
/// [`Refusal`] if a definition cannot be made right.
pub fn statements(
    armed: &Armed<'_>,
    anatomy: &Anatomy,
    read: &[Option<Utility>],
) -> Result<Vec<String>, Refusal> {
    let root = armed.relation;
    let new = root.sibling(derived_name(&root.name, "presplit_new"));
    let owner = quote_identifier(&anatomy.owner);
    let mut all = vec![
        format!(
            "CREATE TABLE {new} (LIKE {root} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
             INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) {}",
            ddl::partition_by(armed.layout)
        ),
        // A sequence belongs to the owner of its table.
        format!("ALTER TABLE {new} OWNER TO {owner}"),
        replace(root, &new, anatomy),
    ];
    all.extend(anatomy.identities.iter().cloned());
    let storage = ShardStorage {
        unlogged: anatomy.unlogged,
        options: anatomy.options.clone(),
        access_method: anatomy.access_method.clone(),
    };
    all.extend(ddl::create_shards(root, armed.layout, &storage));
    let mut on_shards: Vec<&str> = Vec::new();
    for (definition, read) in anatomy.definitions.iter().zip(read.iter().chain(std::iter::repeat(&None))) {
        if define(&mut all, definition, read.as_ref(), armed)? {
            on_shards.extend(definition.name.as_deref());
        }
    }
    let partitions = armed.layout.names().map(|name| root.sibling(name));
    all.extend(partitions.map(|partition| format!("ALTER TABLE {partition} OWNER TO {owner}")));
    all.push(ddl::revoke_grants(root, true));
    all.extend(anatomy.afterwards.iter().cloned());
    all.extend(anatomy.references.iter().flat_map(|reference| reference.statements.iter().cloned()));
    if let Some(index) = &anatomy.clustered {
        all.extend(with_parts(armed, index, &on_shards, true, "CLUSTER ON"));
    }
    all.extend(identify(armed, anatomy, &on_shards));
    Ok(all)
}

/// Ours alone: ends a block whose work is not wanted.
const TAKEN_BACK: &str = "PSP01";

/// What goes before the statements where they are printed: it stops a script
/// before anything is changed.
#[must_use]
pub fn guard(root: &QualifiedName, obstacles: &[String]) -> String {
    if obstacles.is_empty() {
        return ddl::block(&format!("BEGIN\n{}\nEND", refuse_rows(root)));
    }
    let message = quote_literal(&format!("cannot shard table \"{root:#}\" in place"));
    let detail = quote_literal(&format!("These would be lost: {}.", obstacles.join(", ")));
    ddl::block(&format!(
        "BEGIN\n    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = {},\n        DETAIL = {},\n        \
         HINT = 'Drop them first, or shard the table while it is restored.';\nEND",
        message.trim_start(),
        detail.trim_start(),
    ))
}

/// Stops if the table has rows. A constraint that no row meets is tried and
/// taken back: the server waits for those who put rows in, then looks at what
/// is there now, whatever the isolation of the transaction, and row security
/// hides nothing from it.
fn refuse_rows(root: &QualifiedName) -> String {
    let message = quote_literal(&format!("table \"{root:#}\" has rows"));
    format!(
        "    BEGIN\n        \
         ALTER TABLE {root} ADD CHECK (false);\n        \
         RAISE SQLSTATE '{TAKEN_BACK}';\n    \
         EXCEPTION\n        \
         WHEN SQLSTATE '{TAKEN_BACK}' THEN NULL;\n        \
         WHEN check_violation THEN\n            \
         RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = {},\n                \
         HINT = 'Empty it, or shard it while it is restored.';\n    END;",
        message.trim_start()
    )
}

/// The old table goes, and the new one gets its name, in one statement.
fn replace(root: &QualifiedName, new: &QualifiedName, anatomy: &Anatomy) -> String {
    let mut body = format!("BEGIN\n    LOCK TABLE {root} IN ACCESS EXCLUSIVE MODE;\n{}\n", refuse_rows(root));
    for (sequence, column) in &anatomy.sequences {
        body.push_str(&format!(
            "    ALTER SEQUENCE {sequence} OWNED BY {new}.{};\n",
            quote_identifier(column)
        ));
    }
    for reference in &anatomy.references {
        body.push_str(&format!("    ALTER TABLE {} DROP CONSTRAINT {};\n", reference.table, reference.name));
    }
    body.push_str(&format!(
        "    DROP TABLE {root};\n    ALTER TABLE {new} RENAME TO {};\nEND",
        quote_identifier(&root.name)
    ));
    ddl::block(&body)
}

/// Adds what becomes of a definition; whether it is on the shards only.
fn define(
    all: &mut Vec<String>,
    definition: &Definition,
    read: Option<&Utility>,
    armed: &Armed<'_>,
) -> Result<bool, Refusal> {
    let Some(statement) = read else {
        all.push(definition.text.clone());
        all.extend(definition.then.iter().cloned());
        return Ok(false);
    };
    let mut on_shards = false;
    for action in rewrite::decide(statement, armed)?.into_iter().flat_map(|decision| decision.actions) {
        match action {
            Action::Root(edits) => {
                all.push(edited(&definition.text, &edits));
                all.extend(definition.then.iter().cloned());
            }
            Action::Shards => {
                on_shards = true;
                let shards = shards_by_name(armed).into_iter().enumerate();
                all.extend(shards.map(|(at, shard)| {
                    on_shard(&definition.text, own_name(statement), armed.relation, &shard, at + 1)
                }));
            }
            Action::PublishViaRoot { publication } => all.push(format!(
                "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                quote_identifier(&publication)
            )),
            Action::Partitions
            | Action::Parts { .. }
            | Action::CreateShards
            | Action::ClusterShards { .. }
            | Action::IdentifyPartitions { .. } => {}
        }
    }
    Ok(on_shards)
}

/// Definitions come from the server's own deparser without `ONLY`.
pub(super) fn edited(text: &str, edits: &[Edit]) -> String {
    let mut text = text.to_owned();
    for edit in edits {
        match edit {
            Edit::AppendKey(columns) => text = ddl::append_key(&text, columns),
            Edit::Validate => text = text.strip_suffix(" NOT VALID").unwrap_or(&text).to_owned(),
            _ => {}
        }
    }
    text
}

/// The shards in the order in which a restore numbers them.
#[must_use]
pub fn shards_by_name(armed: &Armed<'_>) -> Vec<QualifiedName> {
    let mut names: Vec<&String> = armed.layout.shards().iter().map(|shard| &shard.name).collect();
    names.sort();
    names.into_iter().map(|name| armed.relation.sibling(name)).collect()
}

pub(super) fn own_name(statement: &Utility) -> Option<&str> {
    match statement {
        Utility::CreateIndex(index) => index.name.as_deref(),
        Utility::AlterTable { commands, .. } => match commands.first()? {
            AlterCommand::AddUnique { name, .. } | AlterCommand::AddExclusion { name, .. } => name.as_deref(),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn part_name(own: &str, number: usize) -> String {
    quote_identifier(&derived_name(own, &format!("s{number:04}")))
}

/// The definition on one shard, with a name of its own.
pub(super) fn on_shard(
    text: &str,
    own: Option<&str>,
    root: &QualifiedName,
    shard: &QualifiedName,
    number: usize,
) -> String {
    let Some(own) = own else { return text.replacen(&root.to_string(), &shard.to_string(), 1) };
    let (old, new) = (quote_identifier(own), part_name(own, number));
    // The two forms that `anatomy.sql` writes.
    let index = |table: &QualifiedName, name: &str| format!(" INDEX {name} ON {table} ");
    let constraint =
        |table: &QualifiedName, name: &str| format!("ALTER TABLE {table} ADD CONSTRAINT {name} ");
    let text = text.replacen(&index(root, &old), &index(shard, &new), 1);
    text.replacen(&constraint(root, &old), &constraint(shard, &new), 1)
}

/// The replica identity of the table and of every partition.
#[must_use]
pub fn identify(armed: &Armed<'_>, anatomy: &Anatomy, on_shards: &[&str]) -> Vec<String> {
    let root = armed.relation;
    if let Some(word) = &anatomy.replica_identity {
        let partitions = armed.layout.names().map(|name| root.sibling(name));
        return std::iter::once(root.clone())
            .chain(partitions)
            .map(|table| format!("ALTER TABLE {table} REPLICA IDENTITY {word}"))
            .collect();
    }
    let Some(index) = &anatomy.identified_by else { return Vec::new() };
    let mut all = with_parts(armed, index, on_shards, false, "REPLICA IDENTITY USING INDEX");
    if !on_shards.contains(&index.as_str()) {
        all.insert(0, format!("ALTER TABLE {root} REPLICA IDENTITY USING INDEX {}", quote_identifier(index)));
    }
    all
}

/// `ALTER TABLE … words …` with its own part of an index, for every shard or
/// for every partition. The server chose the names of the parts, unless the
/// index is on the shards only.
#[must_use]
pub fn with_parts<N: AsRef<str>>(
    armed: &Armed<'_>,
    index: &str,
    on_shards: &[N],
    shards_only: bool,
    words: &str,
) -> Vec<String> {
    if on_shards.iter().any(|name| name.as_ref() == index) {
        let shards = shards_by_name(armed).into_iter().enumerate();
        return shards
            .map(|(at, shard)| format!("ALTER TABLE {shard} {words} {}", part_name(index, at + 1)))
            .collect();
    }
    let leaves = if shards_only { "t.isleaf AND " } else { "" };
    let name = quote_literal(&armed.relation.sibling(index).to_string());
    vec![ddl::block(&format!(
        "DECLARE part record;
BEGIN
    FOR part IN
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS shard, x.relname AS index
        FROM pg_catalog.pg_partition_tree({}::pg_catalog.regclass) AS t
        JOIN pg_catalog.pg_class AS x ON x.oid = t.relid
        JOIN pg_catalog.pg_index AS i ON i.indexrelid = x.oid
        JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {leaves}t.level > 0
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s {words} %I', part.shard, part.index);
    END LOOP;
END",
        name.trim_start()
    ))]
}
