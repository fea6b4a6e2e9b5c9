//! Stored proposals: found by number, the same decision only once.
//!
//! A decision never changes. What was estimated of it is brought up to date
//! when it is made again, as long as it is only proposed: what a person chose,
//! and what was armed or applied, stays as it was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::settings::Settings;
use crate::pg::clock::Clock;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::server;
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

/// Stores a proposal; the number of the one with the same decision if the user
/// has made it before, whose numbers are kept.
pub fn store(proposal: &Proposal, user: &str) -> Result<i64, ErrorReport> {
    Ok(store_new(proposal, &header(proposal), user)?.0)
}

/// The same for what was found from a profile of that name, or from what is
/// here; with the numbers of this moment, if the proposal is not in use.
pub fn store_or_refresh(proposal: &Proposal, profile: Option<&str>, user: &str) -> Result<i64, ErrorReport> {
    let mut header = header(proposal);
    header["found_from"] = json!({"profile": profile});
    let (id, is_new) = store_new(proposal, &header, user)?;
    if !is_new {
        refresh(id, proposal, &header, user)?;
    }
    Ok(id)
}

/// The layouts that a user was proposed last for each table, from a profile of
/// that name, under the same settings and for about as long; none = to leave
/// the table whole.
pub fn earlier(
    user: &str,
    profile: Option<&str>,
    settings: &Settings,
    horizon_micros: i64,
) -> Result<BTreeMap<QualifiedName, Option<Layout>>, ErrorReport> {
    #[derive(Deserialize)]
    struct Proposed {
        relation: QualifiedName,
        layout: Option<Layout>,
    }
    let found = as_extension_owner(|| {
        spi::rows::<Proposed>(
            // A month may have 28 days or 31.
            "SELECT DISTINCT ON (r.schema_name, r.table_name)
                    jsonb_build_object('relation', r.content->'relation', 'layout', r.content->'layout')::text
             FROM presplit.proposal_relations AS r
             JOIN presplit.stored_proposals AS p USING (proposal_id)
             WHERE p.created_by = $1
               AND p.settings->'found_from' = $2::jsonb
               AND p.settings->'settings' = $3::jsonb
               AND abs((p.settings->>'horizon_micros')::float8 - $4) <= 0.1 * $4
             ORDER BY r.schema_name, r.table_name, coalesce((p.settings->>'found_at')::timestamptz, p.created_at) DESC, r.proposal_id DESC",
            &[
                user.into(),
                json!({"profile": profile}).to_string().as_str().into(),
                json!(settings).to_string().as_str().into(),
                (horizon_micros as f64).into(),
            ],
        )
    })?;
    Ok(found.into_iter().map(|proposed| (proposed.relation, proposed.layout)).collect())
}

/// How long the end of another transaction is waited for that stores the same
/// decision.
const SAME_WAIT: Duration = Duration::from_millis(500);

/// Stores a proposal unless the user has the same decision; its number, and
/// whether it is new. A transaction that stays open is not waited for: if it
/// has stored the same decision, there will be two numbers for that, of which
/// the lower one is found from then on.
fn store_new(proposal: &Proposal, header: &Value, user: &str) -> Result<(i64, bool), ErrorReport> {
    let identity = json!([user, proposal.identity()]).to_string();
    let settings = header.to_string();
    as_extension_owner(|| {
        let digest = spi::one::<String>(
            "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')",
            &[identity.as_str().into()],
        )?
        .unwrap_or_default();
        if let Some(known) = known(&digest)? {
            return Ok((known, false));
        }
        let own = if is_alone_with(&digest)? {
            // Who was, may have stored it meanwhile.
            if let Some(known) = known(&digest)? {
                return Ok((known, false));
            }
            digest
        } else {
            format!("{digest} {}", server::transaction_id())
        };
        // A dump that was restored here beside what is here has set its own number.
        spi::one::<i64>(
            "SELECT setval('presplit.stored_proposals_proposal_id_seq', known.last)
             FROM (SELECT max(proposal_id) AS last FROM presplit.stored_proposals) AS known,
                  presplit.stored_proposals_proposal_id_seq AS next
             WHERE known.last > next.last_value OR known.last = next.last_value AND NOT next.is_called",
            &[],
        )?;
        // Above READ COMMITTED one may be there that this snapshot does not have: a
        // failure to serialize, as core words it, for the caller to try again.
        let id = spi::one::<i64>(
            "INSERT INTO presplit.stored_proposals (digest, settings, created_by)
             VALUES ($1, $2::jsonb, $3) ON CONFLICT (digest) DO NOTHING RETURNING proposal_id",
            &[own.as_str().into(), settings.as_str().into(), user.into()],
        )?
        .unwrap_or_default();
        for (position, relation) in (0_i32..).zip(&proposal.relations) {
            pgrx::check_for_interrupts!();
            spi::run(
                "INSERT INTO presplit.proposal_relations
                     (proposal_id, position, schema_name, table_name, content, shards)
                 VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb)",
                &[
                    id.into(),
                    position.into(),
                    relation.relation.schema.as_str().into(),
                    relation.relation.name.as_str().into(),
                    json!(relation).to_string().as_str().into(),
                    shards_json(relation.layout.as_ref()).to_string().as_str().into(),
                ],
            )?;
        }
        Ok((id, true))
    })
}

/// The number of a decision, by its digest, which may have a transaction's
/// number behind it.
fn known(digest: &str) -> Result<Option<i64>, ErrorReport> {
    spi::one::<i64>(
        "SELECT min(proposal_id) FROM presplit.stored_proposals
         WHERE digest >= $1 AND digest < $1 || 'g' AND split_part(digest, ' ', 1) = $1",
        &[digest.into()],
    )
}

/// Whether no other transaction is storing the same decision; one that ends
/// soon is waited for.
fn is_alone_with(digest: &str) -> Result<bool, ErrorReport> {
    let clock = Clock::start();
    loop {
        let alone = spi::one::<bool>(
            "SELECT pg_try_advisory_xact_lock(hashtext('presplit.proposals'), hashtext($1))",
            &[digest.into()],
        )?;
        if alone == Some(true) || clock.elapsed() > SAME_WAIT {
            return Ok(alone == Some(true));
        }
        spi::run("SELECT pg_sleep(0.01)", &[])?;
    }
}

/// What is stored once for all tables.
fn header(proposal: &Proposal) -> Value {
    let mut settings = json!({"settings": proposal.settings, "horizon_micros": proposal.horizon_micros,
                          "unique_policy": proposal.settings.unique_policy});
    if let Some(search) = &proposal.search {
        settings["search"] = json!(search);
    }
    settings
}

/// Puts the numbers of this moment into a proposal that decides the same, if it
/// was found here and none of its tables has been armed or applied.
fn refresh(id: i64, fresh: &Proposal, header: &Value, user: &str) -> Result<(), ErrorReport> {
    let known = load(id, user)?.proposal;
    let refreshed = known.refreshed(fresh);
    as_extension_owner(|| {
        // Who is at it brings the numbers of the same moment. Who arms one of the
        // tables meanwhile finds the same decision, before or after.
        let locked = spi::one::<bool>(
            "SELECT (SELECT count(*) FROM (SELECT FROM presplit.stored_proposals WHERE proposal_id = $1
                                           FOR UPDATE SKIP LOCKED) AS p) = 1
                AND (SELECT count(*) FROM (SELECT FROM presplit.proposal_relations WHERE proposal_id = $1
                                           FOR UPDATE SKIP LOCKED) AS r) = $2",
            &[id.into(), i64::try_from(refreshed.relations.len()).unwrap_or(0).into()],
        )?;
        if locked != Some(true) {
            return Ok(());
        }
        let in_use = spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM presplit.proposal_relations WHERE proposal_id = $1 AND state <> 'proposed')
                 OR EXISTS (SELECT FROM presplit.armed_tables WHERE proposal_id = $1)
                 OR EXISTS (SELECT FROM presplit.stored_proposals WHERE proposal_id = $1 AND NOT settings ? 'found_from')",
            &[id.into()],
        )?;
        if in_use.unwrap_or(true) {
            return Ok(());
        }
        spi::run(
            "UPDATE presplit.stored_proposals
             SET settings = $2::jsonb || jsonb_build_object('found_at', clock_timestamp())
             WHERE proposal_id = $1",
            &[id.into(), header.to_string().as_str().into()],
        )?;
        for (position, relation) in (0_i32..).zip(&refreshed.relations) {
            pgrx::check_for_interrupts!();
            spi::run(
                "UPDATE presplit.proposal_relations SET content = $3::jsonb, shards = $4::jsonb
                 WHERE proposal_id = $1 AND position = $2 AND state = 'proposed'",
                &[
                    id.into(),
                    position.into(),
                    json!(relation).to_string().as_str().into(),
                    shards_json(relation.layout.as_ref()).to_string().as_str().into(),
                ],
            )?;
        }
        Ok(())
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
