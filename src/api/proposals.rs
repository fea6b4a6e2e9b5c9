//! Proposals: made, explained, changed, carried elsewhere, written as DDL.

use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::iter::SetOfIterator;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

use crate::api::facts::table_of;
use crate::api::required;
use crate::api::without_nulls;
use crate::api::writes;
use crate::catalog::arming::current_user;
use crate::catalog::proposals;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::operations::advise;
use crate::operations::advise::Facts;
use crate::operations::imported;
use crate::operations::script;
use crate::operations::values;
use crate::operations::what_if;
use crate::pg::document::Document;
use crate::pg::error;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::RelationProposal;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn propose_shards(
    relation: default!(Option<&str>, "NULL"),
    profile: default!(Option<&str>, "NULL"),
    horizon: default!(Option<Interval>, "'90 days'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(proposal_id, i64),
            name!(relation, String),
            name!(strategy, String),
            name!(shard_key, Vec<String>),
            name!(shard_count, i32),
            name!(colocation_group, Option<i32>),
            name!(rows_scanned_share, f64),
            name!(skew, f64),
            name!(bytes_at_horizon, f64),
            name!(confidence, String),
            name!(reason, String),
            name!(warnings, Vec<String>),
            name!(shards, JsonB),
        ),
    >,
    ErrorReport,
> {
    writes("propose_shards")?;
    let horizon = required(horizon, "horizon")?;
    let (name, user) = (profile, current_user()?);
    let profile = advise::meant(name)?;
    let only =
        relation.map(|text| table_of(&profile, text).map(crate::model::profile::Table::name)).transpose()?;
    let facts = Facts::read(profile, horizon)?.with_earlier(name, &user)?;
    let proposal = what_if::proposed(&facts, only.as_ref())?;
    let id = proposals::store_or_refresh(&proposal, name, &user)?;
    let rows = proposal.relations.into_iter().map(move |proposed| {
        let (key, count) = key_and_count(&proposed);
        (
            id,
            proposed.relation.to_string(),
            proposed.strategy.word().to_owned(),
            key,
            count,
            proposed.colocation_group.and_then(|group| i32::try_from(group).ok()),
            proposed.rows_scanned_share,
            proposed.skew,
            proposed.bytes_at_horizon,
            proposed.confidence.word().to_owned(),
            proposed.reason.clone(),
            proposed.warnings.clone(),
            JsonB(pinned_shards(&proposed)),
        )
    });
    Ok(TableIterator::new(rows))
}

fn key_and_count(proposed: &RelationProposal) -> (Vec<String>, i32) {
    proposed.layout.as_ref().map_or_else(
        || (Vec::new(), 1),
        |layout| (layout.shard_key().to_vec(), i32::try_from(layout.shards().len()).unwrap_or(i32::MAX)),
    )
}

/// The shards in the pinned form.
fn pinned_shards(proposed: &RelationProposal) -> serde_json::Value {
    let mut shards = proposals::shards_json(proposed.layout.as_ref());
    for shard in shards.as_array_mut().into_iter().flatten() {
        if let Some(shard) = shard.as_object_mut() {
            shard.remove("future");
        }
    }
    shards
}

pub fn load(proposal_id: i64) -> Result<Stored, ErrorReport> {
    proposals::load(proposal_id, &current_user()?)
}

/// The relations of a proposal that a list names; all if there is no list.
pub fn chosen(
    stored: &Stored,
    names: Option<Vec<Option<String>>>,
) -> Result<Vec<&RelationProposal>, ErrorReport> {
    let Some(names) = names else { return Ok(stored.proposal.relations.iter().collect()) };
    without_nulls(names, "relations")?.iter().map(|text| one(stored, text)).collect()
}

/// The relation of a proposal that a text names.
fn one<'a>(stored: &'a Stored, text: &str) -> Result<&'a RelationProposal, ErrorReport> {
    let name = name_in(stored, text)?;
    stored.proposal.relations.iter().find(|relation| relation.relation == name).ok_or_else(|| {
        error::new(
            SqlState::UndefinedTable,
            format!("proposal {} says nothing about table \"{name:#}\"", stored.proposal_id),
            None,
            Some(format!(
                "SELECT relation FROM presplit.proposals WHERE proposal_id = {} lists its tables.",
                stored.proposal_id
            )),
        )
    })
}

/// What a text names, given the tables of a proposal.
pub fn name_in(stored: &Stored, text: &str) -> Result<QualifiedName, ErrorReport> {
    let known: Vec<_> = stored.proposal.relations.iter().map(|relation| relation.relation.clone()).collect();
    relations::resolve(text, &known)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn explain_proposal(
    proposal_id: Option<i64>,
    relations: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(rank, i32),
            name!(strategy, String),
            name!(shard_key, Vec<String>),
            name!(shard_count, i32),
            name!(cost, f64),
            name!(cost_share, f64),
            name!(legal, bool),
            name!(reason, String),
            name!(relation, String),
            name!(terms, JsonB),
        ),
    >,
    ErrorReport,
> {
    let stored = load(required(proposal_id, "proposal_id")?)?;
    let mut rows = Vec::new();
    for proposed in chosen(&stored, relations)? {
        for candidate in &proposed.candidates {
            rows.push((
                i32::try_from(candidate.rank).unwrap_or(i32::MAX),
                candidate.strategy.word().to_owned(),
                candidate.shard_key.clone(),
                i32::try_from(candidate.shard_count).unwrap_or(i32::MAX),
                candidate.cost,
                candidate.cost_share,
                candidate.legal,
                candidate.reason.clone(),
                proposed.relation.to_string(),
                JsonB(json!(candidate.terms)),
            ));
        }
    }
    Ok(TableIterator::new(rows))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn choose_alternative(
    proposal_id: Option<i64>,
    relation: Option<&str>,
    rank: Option<i32>,
) -> Result<i64, ErrorReport> {
    writes("choose_alternative")?;
    let (proposal_id, relation) = (required(proposal_id, "proposal_id")?, required(relation, "relation")?);
    let rank = required(rank, "rank")?;
    let stored = load(proposal_id)?;
    let name = one(&stored, relation)?.relation.clone();
    let changed = stored.proposal.choose(&name, rank)?;
    proposals::store(&changed, &current_user()?)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn proposal_ddl(
    proposal_id: Option<i64>,
    relations: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let stored = load(required(proposal_id, "proposal_id")?)?;
    let statements = script::statements(&stored, &chosen(&stored, relations)?)?;
    Ok(SetOfIterator::new(statements))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn export_proposal(proposal_id: Option<i64>) -> Result<JsonB, ErrorReport> {
    let stored = load(required(proposal_id, "proposal_id")?)?;
    Ok(JsonB(stored.proposal.without_evidence().to_json()))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn import_proposal(proposal: Option<Document>) -> Result<i64, ErrorReport> {
    writes("import_proposal")?;
    let mut read = Proposal::from_json(&required(proposal, "proposal")?.read()?)?;
    imported::read(&mut read, &advise::meant(None)?)?;
    proposals::store(&read, &current_user()?)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn register_proposal(
    relation: Option<&str>,
    strategy: Option<&str>,
    shard_key: Option<Vec<Option<String>>>,
    bounds: Option<Document>,
) -> Result<i64, ErrorReport> {
    writes("register_proposal")?;
    let (relation, strategy) = (required(relation, "relation")?, required(strategy, "strategy")?);
    let (shard_key, bounds) = (required(shard_key, "shard_key")?, required(bounds, "bounds")?);
    let Some(strategy) = Strategy::from_word(strategy) else {
        return Err(error::new(
            SqlState::InvalidParameterValue,
            format!("strategy \"{strategy}\" does not exist"),
            None,
            Some("Use none, range, hash, list, range_hash or list_hash.".to_owned()),
        ));
    };
    let profile = advise::meant(None)?;
    let table = table_of(&profile, relation)?;
    let name = table.name();
    let key = without_nulls(shard_key, "shard_key")?;
    let bounds = values::read(table, strategy, &key, &bounds)?;
    let facts = Facts::read(profile, Interval::from_seconds(90.0 * 86_400.0))?;
    let proposal = facts.by_hand(&name, strategy, &key, &bounds)?;
    proposals::store(&proposal, &current_user()?)
}
