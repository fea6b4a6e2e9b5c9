//! From facts to a proposal: reads what is known, has the statements analysed
//! by PostgreSQL, and asks `planning`.
//!
//! Invariant: reads only; nothing that it creates for the analysis is left.

use std::collections::BTreeMap;

use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Value;

use crate::catalog::calibration;
use crate::catalog::layouts;
use crate::catalog::layouts::Divided;
use crate::catalog::profiles;
use crate::catalog::proposals;
use crate::catalog::relations;
use crate::catalog::settings;
use crate::catalog::statistics;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::Profile;
use crate::model::profile::TypeName;
use crate::model::profile::UserType;
use crate::model::profile::UserTypeKind;
use crate::model::report::Report;
use crate::model::retention::RetentionError;
use crate::model::retention::RetentionPolicy;
use crate::operations::growth;
use crate::operations::provision::server_major;
use crate::pg::analyze;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::hook;
use crate::pg::moment;
use crate::pg::server;
use crate::pg::spi;
use crate::pg::threads::on_threads;
use crate::planning::forecast;
use crate::planning::forecast::Growth;
use crate::planning::proposal;
use crate::planning::proposal::CostConstants;
use crate::planning::proposal::Disqualification;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::ServerFacts;
use crate::planning::workload;
use crate::planning::workload::AnalyzedWorkload;
use crate::planning::workload::shadow;
use crate::planning::workload::shadow::Existing;

/// Part of the names of the shadow schemas.
const SHADOW_TAG: &str = "of_profile";

crate::pg::error::reports!(
    forecast::ForecastError,
    proposal::ProposalError,
    proposal::AlternativeError,
    proposal::DocumentError,
    RetentionError
);

/// The statements of a profile, analysed, and its live tables with the
/// statistics of all columns that may be a key.
pub fn weighed(profile: &mut Profile) -> Result<AnalyzedWorkload, ErrorReport> {
    let workload = analyzed(profile)?;
    let columns = proposal::columns_weighed(profile, &workload);
    statistics::complete(profile, &columns)?;
    Ok(workload)
}

/// The statements of a profile, analysed against empty copies of its tables.
pub fn analyzed(profile: &Profile) -> Result<AnalyzedWorkload, ErrorReport> {
    let plan = shadow::plan(profile, &existing()?, SHADOW_TAG);
    let statements = workload::prepared(&profile.workload);
    let analyses = hook::bypass(|| analyze::analyze(&plan, &statements));
    Ok(workload::analyzed(&profile.workload, analyses))
}

/// What exists here already and need not be built for the analysis.
pub fn existing() -> Result<Existing, ErrorReport> {
    #[derive(Deserialize)]
    struct Found {
        types: Vec<(String, String)>,
        collations: Vec<(String, String)>,
        functions: Vec<(String, String)>,
        operators: Vec<(String, String)>,
        schemas: Vec<String>,
    }
    let found = with_pinned_search_path(|| {
        spi::rows::<Found>(
            "SELECT jsonb_build_object(
                'types', (SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, t.typname)), '[]')
                          FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
                          WHERE n.nspname !~ '^pg_' AND t.typtype <> 'p'),
                'collations', (SELECT jsonb_agg(jsonb_build_array(n.nspname, c.collname))
                               FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace
                               WHERE c.collencoding IN (-1, (SELECT d.encoding FROM pg_database AS d
                                                             WHERE d.datname = current_database()))),
                'functions', (SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, p.proname)), '[]')
                              FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                              WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
                'operators', (SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, o.oprname)), '[]')
                              FROM pg_operator AS o JOIN pg_namespace AS n ON n.oid = o.oprnamespace
                              WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
                'schemas', (SELECT jsonb_agg(nspname) FROM pg_namespace))::text",
            &[],
        )
    })?;
    Ok(found.into_iter().next().map_or_else(Existing::default, |found| Existing {
        types: found.types.into_iter().collect(),
        collations: found.collations.into_iter().collect(),
        functions: found.functions.into_iter().collect(),
        operators: found.operators.into_iter().collect(),
        schemas: found.schemas.into_iter().collect(),
    }))
}

/// An interval in microseconds, counted from the moment of the profile.
pub fn micros(interval: Interval, profile: &Profile) -> Result<i64, ErrorReport> {
    /// Twice the longest horizon: beyond it the calendar itself may end.
    const COUNTED_MAX: i64 = 73_050 * 86_400_000_000;
    let rough = moment::duration(&interval);
    if rough.saturating_abs() > COUNTED_MAX {
        return Ok(rough);
    }
    let captured = profile.captured_at.as_str();
    // What is longer, even infinite, is refused by the forecast in its own words.
    let micros = with_pinned_search_path(|| {
        spi::one::<i64>(
            "SELECT (greatest(-1e12, least(1e12,
                 extract(epoch FROM ($1::timestamptz + $2) - $1::timestamptz))) * 1000000)::bigint",
            &[captured.into(), interval.into()],
        )
    })?;
    Ok(micros.unwrap_or(0))
}

/// Hash values of the common values of columns that could be a hash key.
pub fn hash_values(profile: &Profile) -> Result<proposal::HashValues, ErrorReport> {
    let mut values = BTreeMap::new();
    for table in &profile.tables {
        for column in table.columns.iter().filter(|column| column.hashable && !column.type_name.array) {
            let Some(statistics) = &column.statistics else { continue };
            if statistics.common_values.is_empty() {
                continue;
            }
            let live = profile.live.contains_key(&table.name());
            let computed = match hashed_as(profile, &column.type_name, live) {
                Some(type_name) if is_deterministic(column)? => {
                    relations::partition_hashes(&type_name, &statistics.common_values)?
                }
                _ => None,
            };
            let hashes = computed.or_else(|| travelled(&statistics.common_hashes));
            if let Some(hashes) = hashes {
                values.insert((table.name(), column.name.clone()), hashes);
            }
        }
    }
    Ok(values)
}

/// The type whose hash values of a type have, where only PostgreSQL's own code
/// runs to find it: a domain's base, and an enum of this server, which hashes
/// oids.
fn hashed_as(profile: &Profile, type_name: &TypeName, live: bool) -> Option<String> {
    let below = profile.below_domains(type_name);
    let of = |user: &&UserType| (&user.schema, &user.name) == (&below.schema, &below.name);
    let user = profile.types.iter().find(of).map(|user| &user.kind);
    let own = below.schema == "pg_catalog" || live && matches!(user, Some(UserTypeKind::Enum { .. }));
    (own && !below.array).then(|| QualifiedName::new(&below.schema, &below.name).to_string())
}

/// Whether equal values are the same text: what hashes alike is not known
/// otherwise.
fn is_deterministic(column: &Column) -> Result<bool, ErrorReport> {
    let Some(collation) = column.collation.as_ref().filter(|collation| collation.schema != "pg_catalog")
    else {
        return Ok(true);
    };
    let found = with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT bool_and(c.collisdeterministic)
             FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace
             WHERE n.nspname = $1 AND c.collname = $2",
            &[collation.schema.as_str().into(), collation.name.as_str().into()],
        )
    })?;
    Ok(found.unwrap_or(false))
}

/// Hashes that the source computed, for values that this server does not read.
fn travelled(hashes: &[u64]) -> Option<Vec<u64>> {
    (!hashes.is_empty()).then(|| hashes.to_vec())
}

/// What tables are configured to keep.
fn retention(profile: &Profile) -> Result<BTreeMap<QualifiedName, RetentionPolicy>, ErrorReport> {
    let configured = settings::all()?;
    let mut found = BTreeMap::new();
    for name in profile.tables.iter().map(|table| table.name()) {
        let own = configured.get(&name).and_then(|settings| settings.values.get("data_retention_policy"));
        if let Some(policy) = own.and_then(Value::as_str) {
            let parsed = RetentionPolicy::parse(policy).map_err(|cause| unfit(&name, &cause))?;
            found.insert(name, parsed);
        }
    }
    Ok(found)
}

/// Older releases stored any text as the policy of a table.
fn unfit(name: &QualifiedName, cause: &RetentionError) -> ErrorReport {
    error::new(
        cause.sqlstate(),
        format!("retention policy of table \"{name:#}\" cannot be followed"),
        cause.detail(),
        Some("Set \"data_retention_policy\" of the table anew with configure_shards().".to_owned()),
    )
}

/// Everything that a proposal is made from.
pub struct Facts {
    pub profile: Profile,
    pub workload: AnalyzedWorkload,
    growth: BTreeMap<QualifiedName, Growth>,
    retention: BTreeMap<QualifiedName, RetentionPolicy>,
    pub hashes: proposal::HashValues,
    constants: CostConstants,
    horizon_micros: i64,
    /// Tables that are cut here already.
    divided: Divided,
    /// What was proposed before.
    earlier: BTreeMap<QualifiedName, Option<Layout>>,
}

impl Facts {
    /// Reads them.
    pub fn read(mut profile: Profile, horizon: Interval) -> Result<Self, ErrorReport> {
        let horizon_micros = micros(horizon, &profile)?;
        let growth = growth::all(&profile, horizon_micros)?;
        let retention = retention(&profile)?;
        let workload = weighed(&mut profile)?;
        let hashes = hash_values(&profile)?;
        let constants = CostConstants::calibrated(&calibration::load()?);
        let divided = layouts::divided(&profile)?;
        let earlier = BTreeMap::new();
        Ok(Self { profile, workload, growth, retention, hashes, constants, horizon_micros, divided, earlier })
    }

    /// The same with what the user was proposed before from a profile of that
    /// name, or from what is here.
    pub fn with_earlier(mut self, profile: Option<&str>, user: &str) -> Result<Self, ErrorReport> {
        self.earlier = proposals::earlier(user, profile, &guc::settings(), self.horizon_micros)?;
        Ok(self)
    }

    /// Tables that are divided here already, and how.
    pub const fn applied(&self) -> &BTreeMap<QualifiedName, Layout> {
        &self.divided.layouts
    }

    fn with_input<R>(
        &self,
        only: Option<QualifiedName>,
        disqualified: &[Disqualification],
        work: impl FnOnce(&ProposalInput<'_>) -> R,
    ) -> R {
        /// `effective_cache_size` counts pages of this many bytes.
        const PAGE_BYTES: f64 = 8192.0;
        let settings = guc::settings();
        let pages = guc::core_text(c"effective_cache_size").parse::<f64>().unwrap_or(0.0);
        work(&ProposalInput {
            profile: &self.profile,
            workload: &self.workload,
            growth: &self.growth,
            only,
            horizon_micros: self.horizon_micros,
            settings: &settings,
            retention: &self.retention,
            hash_values: &self.hashes,
            cores: server::cores(),
            cache_bytes: pages * PAGE_BYTES,
            server: server_facts(),
            target_version_num: server_major() * 10_000,
            constants: &self.constants,
            disqualified,
            applied: &self.divided.layouts,
            unlike_ours: &self.divided.unlike_ours,
            earlier: &self.earlier,
        })
    }

    /// Whether a proposal leaves the partitions of a table as they are.
    pub fn keeps(&self, proposal: &Proposal, relation: &QualifiedName) -> bool {
        let present = self.divided.layouts.get(relation);
        let proposed = proposal.relations.iter().find(|one| one.relation == *relation);
        let proposed = proposed.and_then(|one| one.layout.as_ref());
        proposed.zip(present).is_some_and(|(proposed, present)| proposed.names().eq(present.names()))
    }

    /// Proposes shards for one table or for all, in other ways than those that
    /// are disqualified.
    pub fn propose(
        &self,
        only: Option<QualifiedName>,
        disqualified: &[Disqualification],
    ) -> Result<Proposal, ErrorReport> {
        Ok(self.with_input(only, disqualified, |input| {
            on_threads(|stop| proposal::propose_unless(input, stop))
        })?)
    }

    /// A proposal made by hand, checked by the same laws.
    pub fn by_hand(
        &self,
        relation: &QualifiedName,
        strategy: Strategy,
        shard_key: &[String],
        bounds: &Value,
    ) -> Result<Proposal, ErrorReport> {
        let relations: Vec<RelationProposal> = vec![self.with_input(None, &[], |input| {
            proposal::by_hand(input, relation, strategy, shard_key, bounds)
        })?];
        Ok(Proposal {
            settings: guc::settings(),
            horizon_micros: self.horizon_micros,
            relations,
            search: None,
        })
    }
}

/// Settings of this server, in this session.
pub fn server_facts() -> ServerFacts {
    const KILOBYTE: f64 = 1024.0;
    let on = |name| guc::core_text(name) == "on";
    let number = |name| guc::core_text(name).parse::<f64>().ok().filter(|value| *value > 0.0);
    let work_mem_bytes = number(c"work_mem").map_or(0.0, |kilobytes| kilobytes * KILOBYTE);
    let connections = number(c"max_connections").unwrap_or(1.0);
    let transactions = connections + number(c"max_prepared_transactions").unwrap_or(0.0);
    let each = number(c"max_parallel_workers_per_gather").unwrap_or(0.0);
    ServerFacts {
        partitionwise_join: on(c"enable_partitionwise_join"),
        partitionwise_aggregate: on(c"enable_partitionwise_aggregate"),
        work_mem_bytes,
        hash_mem_bytes: work_mem_bytes * number(c"hash_mem_multiplier").unwrap_or(1.0),
        lock_slots: number(c"max_locks_per_transaction").unwrap_or(1.0) * transactions,
        connections,
        parallel_workers: each.min(number(c"max_parallel_workers").unwrap_or(0.0)) as u32,
    }
}

/// The profile that an argument means, for the current user.
pub fn meant(name: Option<&str>) -> Result<Profile, ErrorReport> {
    let user = crate::catalog::arming::current_user()?;
    profiles::meant(name, &user)
}
