//! Stored proposals: immutable, found by number, the same content only once.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::settings::Settings;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::spi;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::SearchSummary;

/// A proposal as it was stored.
pub struct Stored {
    pub proposal_id: i64,
    pub proposal: Proposal,
}

impl Stored {
    /// The relations that would be sharded.
    pub fn sharded(&self) -> impl Iterator<Item = (&RelationProposal, &Layout)> {
        self.proposal.relations.iter().filter_map(|relation| Some((relation, relation.layout.as_ref()?)))
    }
}

/// The pinned form of a layout's shards, and whether each is made ahead; on
/// two levels with the partition that each is in, and its bound.
#[must_use]
pub fn shards_json(layout: Option<&Layout>) -> Value {
    layout.map_or_else(
        || json!([]),
        |layout| {
            layout
                .shards()
                .iter()
                .map(|shard| {
                    let mut shown = json!({"name": shard.name, "bound": shard.bound.sql(), "rows": shard.rows,
                           "bytes": shard.bytes, "tablespace": shard.tablespace, "future": shard.future});
                    if let Some(branch) = layout.branch_of(shard) {
                        shown["of"] = json!(branch.name);
                        shown["of_bound"] = json!(branch.bound.sql());
                    }
                    shown
                })
                .collect()
        },
    )
}

/// Stores a proposal; the number of the one with the same content if the user
/// has made it before.
pub fn store(proposal: &Proposal, user: &str) -> Result<i64, ErrorReport> {
    let mut settings = json!({"settings": proposal.settings, "horizon_micros": proposal.horizon_micros,
                          "unique_policy": proposal.settings.unique_policy});
    if let Some(search) = &proposal.search {
        settings["search"] = json!(search);
    }
    let (mut content, mut bare) = (Vec::new(), Vec::new());
    for relation in &proposal.relations {
        pgrx::check_for_interrupts!();
        let mut written = json!(relation);
        content.push(written.to_string());
        // What the planner made of it is no part of its identity.
        if let Some(fields) = written.as_object_mut() {
            fields.remove("evidence");
        }
        bare.push(written.to_string());
    }
    let identity = format!("[{},{settings},[{}]]", json!(user), bare.join(","));
    as_extension_owner(|| {
        let digest = spi::one::<String>(
            "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')",
            &[identity.as_str().into()],
        )?
        .unwrap_or_default();
        // One at a time, so that two sessions do not store the same twice.
        spi::run("LOCK TABLE presplit.stored_proposals IN SHARE ROW EXCLUSIVE MODE", &[])?;
        let known = spi::one::<i64>(
            "SELECT proposal_id FROM presplit.stored_proposals WHERE digest = $1",
            &[digest.as_str().into()],
        )?;
        if let Some(known) = known {
            return Ok(known);
        }
        let id = spi::one::<i64>(
            "INSERT INTO presplit.stored_proposals (digest, settings, created_by)
             VALUES ($1, $2::jsonb, $3) RETURNING proposal_id",
            &[digest.as_str().into(), settings.to_string().as_str().into(), user.into()],
        )?
        .unwrap_or_default();
        for (position, (relation, content)) in (0_i32..).zip(proposal.relations.iter().zip(&content)) {
            spi::run(
                "INSERT INTO presplit.proposal_relations
                     (proposal_id, position, schema_name, table_name, content, shards)
                 VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb)",
                &[
                    id.into(),
                    position.into(),
                    relation.relation.schema.as_str().into(),
                    relation.relation.name.as_str().into(),
                    content.as_str().into(),
                    shards_json(relation.layout.as_ref()).to_string().as_str().into(),
                ],
            )?;
        }
        Ok(id)
    })
}

/// Loads a proposal that the user may see.
///
/// # Errors
/// 42704 if there is none of that number.
pub fn load(proposal_id: i64, user: &str) -> Result<Stored, ErrorReport> {
    #[derive(Deserialize)]
    struct Header {
        settings: Settings,
        horizon_micros: i64,
        #[serde(default)]
        search: Option<SearchSummary>,
    }
    let (header, relations) = as_extension_owner(|| {
        let header = spi::rows::<Header>(
            "SELECT settings::text FROM presplit.stored_proposals
             WHERE proposal_id = $1
               AND (created_by = $2 OR pg_has_role($2, 'pg_read_all_data', 'USAGE'))",
            &[proposal_id.into(), user.into()],
        )?;
        let relations = spi::rows::<RelationProposal>(
            "SELECT content::text FROM presplit.proposal_relations WHERE proposal_id = $1 ORDER BY position",
            &[proposal_id.into()],
        )?;
        Ok::<_, ErrorReport>((header, relations))
    })?;
    let Some(header) = header.into_iter().next() else {
        return Err(error::new(
            SqlState::UndefinedObject,
            format!("proposal {proposal_id} does not exist"),
            None,
            Some("View \"presplit.proposals\" lists the proposals that you may see.".to_owned()),
        ));
    };
    let Header { settings, horizon_micros, search } = header;
    let proposal = Proposal { settings, horizon_micros, relations, search };
    Ok(Stored { proposal_id, proposal })
}

/// The layouts of the tables that were created in shards here and still
/// exist under the name that they had.
pub fn applied() -> Result<BTreeMap<QualifiedName, Layout>, ErrorReport> {
    let relations = as_extension_owner(|| {
        spi::rows::<RelationProposal>(
            "SELECT r.content::text
             FROM presplit.sharded_tables AS t
             JOIN pg_class AS c ON c.oid = t.relation AND c.relkind = 'p'
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             JOIN presplit.proposal_relations AS r
                  ON r.proposal_id = t.proposal_id AND r.schema_name = n.nspname AND r.table_name = c.relname
             ORDER BY r.schema_name, r.table_name",
            &[],
        )
    })?;
    Ok(relations.into_iter().filter_map(|found| Some((found.relation, found.layout?))).collect())
}

/// Whether the user may read the texts of the statements that a proposal was
/// judged by.
pub fn shows_texts(proposal_id: i64, user: &str) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        let shows = spi::one::<bool>(
            "SELECT created_by = $2 OR pg_has_role($2, 'pg_read_all_stats', 'USAGE')
             FROM presplit.stored_proposals WHERE proposal_id = $1",
            &[proposal_id.into(), user.into()],
        )?;
        Ok(shows.unwrap_or(false))
    })
}
