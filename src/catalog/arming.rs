//! Armed tables, and the log of what was rewritten for them.

use std::cell::RefCell;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::settings::UniquePolicy;
use crate::pg::announced;
use crate::pg::announced::State;
use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// What an arming says about a table.
#[derive(Debug, Clone, Deserialize)]
pub struct Arming {
    pub proposal_id: i64,
    /// Whether a table of that name is to be dropped first.
    pub replaces: bool,
    pub layout: Layout,
    pub unique_policy: UniquePolicy,
}

const TABLE: &CStr = c"armed_tables";

/// The names of armed tables in one state of the table.
type Known = Option<(State, Rc<[QualifiedName]>)>;

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(None) };
}

/// The names of all armed tables, as far as they are known without looking:
/// what is asked of every statement.
pub fn known_names() -> Option<Rc<[QualifiedName]>> {
    match announced::state(TABLE) {
        Some(state) => KNOWN.with_borrow(|known| {
            known.as_ref().filter(|(at, _)| *at == state).map(|(_, names)| Rc::clone(names))
        }),
        None => Some(Rc::new([])),
    }
}

/// The state that [`known_names`] are of; none if they are not known.
pub fn known_state() -> Option<State> {
    let state = announced::state(TABLE)?;
    KNOWN.with_borrow(|known| known.as_ref().map(|(at, _)| *at)).filter(|at| *at == state)
}

/// The names of all armed tables, valid or not.
pub fn names() -> Result<Rc<[QualifiedName]>, ErrorReport> {
    if let Some(names) = known_names() {
        return Ok(names);
    }
    let before = announced::state(TABLE);
    let names: Rc<[_]> = as_extension_owner(|| {
        spi::rows::<QualifiedName>(
            "SELECT jsonb_build_object('schema', schema_name, 'name', table_name)::text FROM presplit.armed_tables",
            &[],
        )
    })?
    .into();
    if let Some(state) = before
        && announced::sees_latest()
        && announced::state(TABLE) == before
    {
        KNOWN.set(Some((state, Rc::clone(&names))));
    }
    Ok(names)
}

/// The valid arming of a table.
pub fn find(relation: &QualifiedName) -> Result<Option<Arming>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Arming>(
            "SELECT jsonb_build_object(
                'proposal_id', a.proposal_id, 'replaces', a.replaces, 'layout', r.content->'layout',
                'unique_policy', p.settings->'unique_policy')::text
             FROM presplit.armed AS a
             JOIN presplit.proposal_relations AS r USING (proposal_id, schema_name, table_name)
             JOIN presplit.stored_proposals AS p USING (proposal_id)
             WHERE a.schema_name = $1 AND a.table_name = $2",
            &[relation.schema.as_str().into(), relation.name.as_str().into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// Arms a table, replacing an earlier arming, whose proposal is superseded.
pub fn arm(
    relation: &QualifiedName,
    proposal_id: i64,
    replaces: bool,
    valid_for: pgrx::datum::Interval,
    armed_by: &str,
) -> Result<(), ErrorReport> {
    announced::announce(TABLE);
    as_extension_owner(|| {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        spi::run(
            "UPDATE presplit.proposal_relations AS r SET state = 'superseded'
             FROM presplit.armed_tables AS a
             WHERE a.schema_name = $1 AND a.table_name = $2 AND a.proposal_id <> $3
               AND r.proposal_id = a.proposal_id AND r.schema_name = $1 AND r.table_name = $2
               AND r.state = 'proposed'",
            &[schema.into(), name.into(), proposal_id.into()],
        )?;
        spi::run(
            "INSERT INTO presplit.armed_tables (schema_name, table_name, proposal_id, replaces, valid_for, armed_by)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (schema_name, table_name) DO UPDATE SET
                 proposal_id = EXCLUDED.proposal_id, replaces = EXCLUDED.replaces,
                 valid_for = EXCLUDED.valid_for, armed_at = clock_timestamp(), armed_by = EXCLUDED.armed_by",
            &[schema.into(), name.into(), proposal_id.into(), replaces.into(), valid_for.into(), armed_by.into()],
        )?;
        Ok(())
    })
}

/// Ends an arming; false if there was none.
pub fn disarm(relation: &QualifiedName) -> Result<bool, ErrorReport> {
    announced::announce(TABLE);
    as_extension_owner(|| {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        spi::run(
            "UPDATE presplit.proposal_relations AS r SET state = 'disarmed'
             FROM presplit.armed_tables AS a
             WHERE a.schema_name = $1 AND a.table_name = $2
               AND r.proposal_id = a.proposal_id AND r.schema_name = $1 AND r.table_name = $2
               AND r.state = 'proposed'",
            &[schema.into(), name.into()],
        )?;
        let ended = spi::one::<i64>(
            "WITH ended AS (
                 DELETE FROM presplit.armed_tables WHERE schema_name = $1 AND table_name = $2 RETURNING 1)
             SELECT count(*) FROM ended",
            &[schema.into(), name.into()],
        )?;
        Ok(ended.unwrap_or(0) > 0)
    })
}

/// One rewritten statement.
pub struct Rewritten<'a> {
    pub relation: &'a QualifiedName,
    pub proposal_id: i64,
    pub kind: &'a str,
    pub original: &'a str,
    pub executed: &'a str,
    pub note: &'a str,
    pub rows_loaded: Option<i64>,
}

/// Writes one line of `presplit.restore_report`.
pub fn log(line: &Rewritten<'_>) -> Result<(), ErrorReport> {
    let user = current_user()?;
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.restore_log
                 (schema_name, table_name, proposal_id, statement_kind, original, executed, note, rows_loaded, logged_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                line.relation.schema.as_str().into(),
                line.relation.name.as_str().into(),
                line.proposal_id.into(),
                line.kind.into(),
                line.original.into(),
                line.executed.into(),
                line.note.into(),
                line.rows_loaded.into(),
                user.as_str().into(),
            ],
        )?;
        Ok(())
    })
}

/// Remembers that a table was created in shards.
pub fn mark_sharded(relation: &QualifiedName, proposal_id: i64) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        spi::run(
            // Past rows that another restore is removing: it may take hours to commit.
            "DELETE FROM presplit.sharded_tables WHERE relation IN (
                 SELECT t.relation FROM presplit.sharded_tables AS t
                 WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.relation)
                 FOR UPDATE SKIP LOCKED)",
            &[],
        )?;
        spi::run(
            "INSERT INTO presplit.sharded_tables (relation, proposal_id)
             SELECT c.oid::regclass, $3 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2
             ON CONFLICT (relation) DO UPDATE SET proposal_id = EXCLUDED.proposal_id, created_at = clock_timestamp()",
            &[schema.into(), name.into(), proposal_id.into()],
        )?;
        mark_applied(relation, proposal_id)
    })
}

/// Remembers that a table was made whole, as a proposal says.
pub fn mark_whole(relation: &QualifiedName, proposal_id: i64) -> Result<(), ErrorReport> {
    as_extension_owner(|| mark_applied(relation, proposal_id))
}

fn mark_applied(relation: &QualifiedName, proposal_id: i64) -> Result<(), ErrorReport> {
    spi::run(
        "UPDATE presplit.proposal_relations SET state = 'applied'
         WHERE proposal_id = $3 AND schema_name = $1 AND table_name = $2 AND state <> 'applied'",
        &[relation.schema.as_str().into(), relation.name.as_str().into(), proposal_id.into()],
    )
    .map(|_| ())
}

/// Whether a table was created in shards.
pub fn is_sharded(table: pgrx::pg_sys::Oid) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM presplit.sharded_tables WHERE relation = $1::oid::regclass)",
            &[table.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The name of the current user, before any change of role of ours.
pub fn current_user() -> Result<String, ErrorReport> {
    spi::one::<String>("SELECT pg_catalog.text(current_user)", &[]).map(Option::unwrap_or_default)
}
