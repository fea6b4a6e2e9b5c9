//! An empty table that exists becomes a sharded one, in the caller's transaction.
//!
//! The table is recreated: its columns by `LIKE`, then everything that a dump
//! would restore after the data (keys, indexes, foreign keys, owner, grants),
//! decided by the same rules as in a restore. What cannot be carried over is
//! refused by name beforehand; nothing is lost silently.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::derived_name;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::report::SqlState;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::operations::provision::server_major;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::hook;
use crate::pg::spi;
use crate::pg::utility;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::provision::rewrite;
use crate::planning::provision::rewrite::Action;
use crate::planning::provision::rewrite::Armed;

/// What has to be rebuilt, and what stands in the way.
#[derive(Deserialize)]
struct Anatomy {
    owner: String,
    unlogged: bool,
    options: Vec<String>,
    access_method: Option<String>,
    comment: Option<String>,
    /// Descriptions of objects that would be lost.
    obstacles: Vec<String>,
    /// `ALTER TABLE … ADD CONSTRAINT` and `CREATE INDEX`, in order.
    definitions: Vec<String>,
    /// Statements that run as they are, after the definitions.
    afterwards: Vec<String>,
    /// Sequences of serial columns, which move to the new table.
    sequences: Vec<(String, String)>,
    identities: Vec<Identity>,
    /// The index that the table was clustered on.
    clustered: Option<String>,
}

/// An identity column and its sequence, whose name a later restore of the
/// data alone relies on.
#[derive(Deserialize)]
struct Identity {
    column: String,
    /// In the table's schema.
    name: String,
    /// None if no value was taken yet.
    last: Option<i64>,
    /// What follows `GRANT`.
    grants: Vec<String>,
}

/// Shards an empty table.
///
/// # Errors
/// 0A000 naming every object that could not be carried over; refusals of the
/// rewrite rules; errors of the statements themselves are raised.
pub fn shard_empty_table(name: &QualifiedName, layout: &Layout, stored: &Stored) -> Result<(), ErrorReport> {
    with_pinned_search_path(|| {
        hook::bypass(|| {
            spi::run(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"), &[])?;
            if !relations::is_empty(name)? {
                return Err(error::new(
                    SqlState::ObjectNotInPrerequisiteState,
                    format!("table \"{name}\" has rows"),
                    None,
                    None,
                ));
            }
            let anatomy = dissect(name)?;
            if !anatomy.obstacles.is_empty() {
                return Err(error::new(
                    SqlState::FeatureNotSupported,
                    format!("cannot shard table \"{name}\" in place"),
                    Some(format!("These would be lost: {}.", anatomy.obstacles.join(", "))),
                    Some("Drop them first, or shard the table while it is restored.".to_owned()),
                ));
            }
            // The table is in the database's own tablespace, or it would have been refused.
            with_settings(&[(c"default_tablespace", c"")], || rebuild(name, layout, stored, &anatomy))
        })
    })
}

fn rebuild(
    name: &QualifiedName,
    layout: &Layout,
    stored: &Stored,
    anatomy: &Anatomy,
) -> Result<(), ErrorReport> {
    let run = |sql: &str| spi::run(sql, &[]).map(|_| ());
    let temporary = name.sibling(derived_name(&name.name, "presplit_new"));
    run(&format!(
        "CREATE TABLE {temporary} (LIKE {name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
         INCLUDING IDENTITY INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS) {}",
        ddl::partition_by(layout)
    ))?;
    // A sequence belongs to the owner of its table.
    run(&format!("ALTER TABLE {temporary} OWNER TO {}", quote_identifier(&anatomy.owner)))?;
    for (sequence, column) in &anatomy.sequences {
        run(&format!("ALTER SEQUENCE {sequence} OWNED BY {temporary}.{}", quote_identifier(column)))?;
    }
    run(&format!("DROP TABLE {name}"))?;
    run(&format!("ALTER TABLE {temporary} RENAME TO {}", quote_identifier(&name.name)))?;
    for identity in &anatomy.identities {
        restore_identity(name, identity)?;
    }
    let storage = ShardStorage {
        unlogged: anatomy.unlogged,
        options: anatomy.options.clone(),
        access_method: anatomy.access_method.clone(),
    };
    for statement in ddl::create_shards(name, layout, &storage) {
        run(&statement)?;
    }
    let armed = Armed {
        relation: name,
        layout,
        unique_policy: stored.proposal.settings.unique_policy,
        server: server_major(),
        empty: true,
    };
    for definition in &anatomy.definitions {
        define(definition, &armed)?;
    }
    for shard in relations::shards(name)?.iter().chain([name]) {
        run(&format!("ALTER TABLE {shard} OWNER TO {}", quote_identifier(&anatomy.owner)))?;
    }
    run(&ddl::revoke_grants(name))?;
    for statement in &anatomy.afterwards {
        run(statement)?;
    }
    if let Some(index) = &anatomy.clustered {
        for (shard, part) in relations::shard_indexes(name, index)? {
            run(&format!("ALTER TABLE {shard} CLUSTER ON {}", quote_identifier(&part)))?;
        }
    }
    if let Some(comment) = &anatomy.comment {
        run(&format!("COMMENT ON TABLE {name} IS {}", quote_literal(comment)))?;
    }
    Ok(())
}

/// Gives the new sequence of an identity column what the old one had.
fn restore_identity(table: &QualifiedName, identity: &Identity) -> Result<(), ErrorReport> {
    let run = |sql: &str| spi::run(sql, &[]).map(|_| ());
    let made = spi::one::<String>(
        "SELECT pg_get_serial_sequence($1, $2)",
        &[table.to_string().into(), identity.column.as_str().into()],
    )?;
    let Some(made) = made else { return Ok(()) };
    run(&format!("ALTER SEQUENCE {made} RENAME TO {}", quote_identifier(&identity.name)))?;
    if let Some(last) = identity.last {
        let sequence = table.sibling(&identity.name).to_string();
        run(&format!("SELECT setval({}, {last})", quote_literal(&sequence).trim_start()))?;
    }
    for grant in &identity.grants {
        run(&format!("GRANT {grant}"))?;
    }
    Ok(())
}

/// Runs one definition as the rewrite rules decide. Definitions come from the
/// server's own deparser without `ONLY`, so that only a key has to be changed.
fn define(definition: &str, armed: &Armed<'_>) -> Result<(), ErrorReport> {
    let read = utility::read_text(definition)
        .map_err(|caught| error::new(SqlState::SyntaxError, caught.message, None, None))?;
    let Some(statement) = read.first() else { return Ok(()) };
    for decision in rewrite::decide(statement, armed)? {
        for action in decision.actions {
            match action {
                Action::Root(edits) => {
                    let mut text = definition.to_owned();
                    for edit in edits {
                        if let Edit::AppendKey(columns) = edit {
                            text = ddl::append_key(&text, &columns);
                        }
                    }
                    spi::run(&text, &[])?;
                }
                Action::Shards => on_shards(definition, statement, armed)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// The definition on every shard, with the names of the shards in it.
fn on_shards(definition: &str, statement: &Utility, armed: &Armed<'_>) -> Result<(), ErrorReport> {
    let root = armed.relation.to_string();
    let own = match statement {
        Utility::CreateIndex(index) => index.name.clone(),
        Utility::AlterTable { commands, .. } => commands.first().and_then(|command| match command {
            crate::model::utility::AlterCommand::AddUnique { name, .. }
            | crate::model::utility::AlterCommand::AddExclusion { name, .. } => name.clone(),
            _ => None,
        }),
        _ => None,
    };
    for (number, shard) in relations::shards(armed.relation)?.iter().enumerate() {
        let mut text = definition.to_owned();
        match &own {
            Some(own) => {
                let new = quote_identifier(&derived_name(own, &format!("s{:04}", number + 1)));
                let own = quote_identifier(own);
                // The two forms that `anatomy.sql` writes.
                text = text.replacen(
                    &format!(" INDEX {own} ON {root} "),
                    &format!(" INDEX {new} ON {shard} "),
                    1,
                );
                let constraint =
                    |table: &str, name: &str| format!("ALTER TABLE {table} ADD CONSTRAINT {name} ");
                text = text.replacen(&constraint(&root, &own), &constraint(&shard.to_string(), &new), 1);
            }
            None => text = text.replacen(&root, &shard.to_string(), 1),
        }
        spi::run(&text, &[])?;
    }
    Ok(())
}

fn dissect(name: &QualifiedName) -> Result<Anatomy, ErrorReport> {
    let found = spi::rows::<Anatomy>(
        include_str!("../catalog/queries/anatomy.sql"),
        &[name.schema.as_str().into(), name.name.as_str().into()],
    )?;
    found.into_iter().next().ok_or_else(|| {
        error::new(SqlState::UndefinedTable, format!("relation \"{name}\" does not exist"), None, None)
    })
}
