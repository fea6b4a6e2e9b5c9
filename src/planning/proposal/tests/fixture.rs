//! Builders of tables, growth and statements for the cases.

use std::collections::BTreeMap;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::Mention;
use crate::model::access::StatementFacts;
use crate::model::bound::Bound;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Counters;
use crate::model::profile::FORMAT;
use crate::model::profile::Index;
use crate::model::profile::Profile;
use crate::model::profile::Reference;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::profile::TypeName;
use crate::model::profile::VERSION;
use crate::model::profile::Workload;
use crate::model::retention::RetentionPolicy;
use crate::model::settings::Settings;
use crate::planning::forecast::EventTime;
use crate::planning::forecast::Flow;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Growth;
use crate::planning::forecast::Observation;
use crate::planning::proposal::CostConstants;
use crate::planning::proposal::Disqualification;
use crate::planning::proposal::HashValues;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::ServerFacts;
use crate::planning::proposal::propose;
use crate::planning::workload::AnalyzedStatement;
use crate::planning::workload::AnalyzedWorkload;

pub const GB: f64 = 1024.0 * 1024.0 * 1024.0;
pub const DAY: i64 = 86_400_000_000;

pub fn name(table: &str) -> QualifiedName {
    QualifiedName::new("app", table)
}

pub fn micros(text: &str) -> i64 {
    match KeyType::Timestamp.read(text) {
        Some(KeyValue::Micros(micros)) => micros,
        other => panic!("{text}: {other:?}"),
    }
}

/// Everything that `propose` takes, owned.
#[derive(Clone)]
pub struct Fixture {
    pub profile: Profile,
    pub workload: AnalyzedWorkload,
    pub growth: BTreeMap<QualifiedName, Growth>,
    pub only: Option<QualifiedName>,
    pub horizon_days: i64,
    pub settings: Settings,
    pub retention: BTreeMap<QualifiedName, RetentionPolicy>,
    pub hash_values: HashValues,
    pub cores: u32,
    pub server: ServerFacts,
    pub version: u32,
    pub constants: CostConstants,
    pub disqualified: Vec<Disqualification>,
    pub applied: BTreeMap<QualifiedName, Layout>,
    pub unlike_ours: BTreeMap<QualifiedName, String>,
    pub earlier: BTreeMap<QualifiedName, Option<Layout>>,
}

impl Fixture {
    pub fn new() -> Self {
        Self {
            profile: Profile {
                format: FORMAT.to_owned(),
                version: VERSION,
                captured_at: "2026-01-15T00:00:00Z".to_owned(),
                server_version_num: 150_020,
                database: "app".to_owned(),
                values_of: Vec::new(),
                hidden_statistics_of: Vec::new(),
                types: Vec::new(),
                collations: Vec::new(),
                functions: Vec::new(),
                operators: Vec::new(),
                tables: Vec::new(),
                views: Vec::new(),
                history: Vec::new(),
                workload: Workload::default(),
                live: BTreeMap::new(),
            },
            workload: AnalyzedWorkload { seconds: Some(86_400.0), statements: Vec::new() },
            growth: BTreeMap::new(),
            only: None,
            horizon_days: 90,
            settings: Settings::default(),
            retention: BTreeMap::new(),
            hash_values: HashValues::new(),
            cores: 4,
            server: ServerFacts::default(),
            version: 150_000,
            constants: CostConstants::default(),
            disqualified: Vec::new(),
            applied: BTreeMap::new(),
            unlike_ours: BTreeMap::new(),
            earlier: BTreeMap::new(),
        }
    }

    /// A table of `gigabytes`, a tenth of it growth within the horizon, over
    /// 2025 where it has a column `ts`.
    pub fn table(mut self, table: Table, gigabytes: f64) -> Self {
        let growth = growth(&table, gigabytes * GB, 0.1);
        self.growth.insert(table.name(), growth);
        self.profile.tables.push(table);
        self
    }

    /// A statement of `calls` a day on some tables.
    pub fn statement(mut self, calls: f64, exec_ms: f64, mentions: &[(&str, &[Access])]) -> Self {
        let mentions = mentions
            .iter()
            .map(|(table, accesses)| Mention { relation: name(table), accesses: accesses.to_vec() })
            .collect();
        self.workload.statements.push(AnalyzedStatement {
            queryid: self.workload.statements.len() as i64 + 1,
            query: String::new(),
            calls,
            exec_ms,
            rows: calls,
            analysis: Analysis::Facts(StatementFacts {
                mentions,
                arbiters: Vec::new(),
                limited: false,
                aggregated: true,
            }),
        });
        self
    }

    /// The same with a size that is declared for a table, as the forecast tells it.
    pub fn declared(self, table: &str, gigabytes: f64) -> Self {
        self.with(|fixture| {
            let growth = fixture.growth.get_mut(&name(table)).expect("the table grows");
            let scale = gigabytes * GB / growth.bytes.last().expect("a forecast").value;
            for point in growth.rows.iter_mut().chain(&mut growth.bytes) {
                point.value *= scale;
                point.lower *= scale;
                point.upper *= scale;
            }
            growth.scale = Some(scale);
        })
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn edit(self, table: &str, change: impl FnOnce(&mut Table)) -> Self {
        self.with(|fixture| {
            let found = fixture.profile.tables.iter_mut().find(|found| found.table == table);
            change(found.expect("the table is in the fixture"));
        })
    }

    pub fn input(&self) -> ProposalInput<'_> {
        ProposalInput {
            profile: &self.profile,
            workload: &self.workload,
            growth: &self.growth,
            only: self.only.clone(),
            horizon_micros: self.horizon_days * DAY,
            settings: &self.settings,
            retention: &self.retention,
            hash_values: &self.hash_values,
            cores: self.cores,
            cache_bytes: 8.0 * GB,
            server: self.server,
            target_version_num: self.version,
            constants: &self.constants,
            disqualified: &self.disqualified,
            applied: &self.applied,
            unlike_ours: &self.unlike_ours,
            earlier: &self.earlier,
        }
    }

    pub fn propose(&self) -> Result<Proposal, ProposalError> {
        propose(&self.input())
    }

    pub fn relation(&self, table: &str) -> RelationProposal {
        let proposal = self.propose().expect("the input is good");
        let found = proposal.relations.into_iter().find(|found| found.relation == name(table));
        found.expect("the table is in the proposal")
    }
}

/// One line: strategy, key, number of shards, and the first bound.
pub fn shape(proposal: &RelationProposal) -> String {
    let Some(layout) = &proposal.layout else { return proposal.strategy.word().to_owned() };
    let shards = layout.shards();
    let first = match &shards[0].bound {
        Bound::Range { .. } => format!(", {}", shards[0].bound.sql()),
        _ => String::new(),
    };
    let key = layout.shard_key().join(", ");
    format!("{}({key}) x {}{first}", proposal.strategy.word(), shards.len())
}

/// Proposes and compares the answer for one table.
#[track_caller]
pub fn check(fixture: &Fixture, table: &str, expected: &str) -> RelationProposal {
    let found = fixture.relation(table);
    assert_eq!(shape(&found), expected, "{} {:#?}", found.reason, found.warnings);
    found
}

pub fn column(name: &str, type_text: &str) -> Column {
    let type_name = match type_text {
        "bigint" => "int8",
        "integer" => "int4",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    };
    let no_order = type_text == "json";
    Column {
        name: name.to_owned(),
        type_name: TypeName {
            schema: "pg_catalog".to_owned(),
            name: type_name.to_owned(),
            text: type_text.to_owned(),
            array: false,
        },
        not_null: true,
        generated: false,
        identity: false,
        collation: None,
        orderable: !no_order,
        hashable: !no_order,
        statistics: Some(ColumnStatistics {
            width: 8.0,
            distinct: -1.0,
            correlation: Some(0.0),
            ..ColumnStatistics::default()
        }),
        sampled: Vec::new(),
    }
}

/// An ordinary table without keys and indexes; sizes come from the growth.
pub fn table(name: &str, columns: &[(&str, &str)]) -> Table {
    Table {
        schema: "app".to_owned(),
        table: name.to_owned(),
        kind: TableKind::Ordinary,
        rows: 1e9,
        heap_bytes: 80.0 * GB,
        index_bytes: 20.0 * GB,
        toast_bytes: 0.0,
        unlogged: false,
        extension: false,
        inheritance: false,
        partition_key: None,
        row_security: false,
        counters: Counters::default(),
        columns: columns.iter().map(|(name, type_text)| column(name, type_text)).collect(),
        extended_statistics: Vec::new(),
        constraints: Vec::new(),
        indexes: Vec::new(),
        triggers: Vec::new(),
    }
}

pub fn constraint(name: &str, kind: ConstraintKind, columns: &[&str]) -> Constraint {
    Constraint {
        name: name.to_owned(),
        kind,
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        references: None,
        deferrable: false,
        validated: true,
        equal_columns: None,
    }
}

pub fn foreign_key(name: &str, columns: &[&str], table: &str, target: &[&str]) -> Constraint {
    let references = Reference {
        schema: "app".to_owned(),
        table: table.to_owned(),
        columns: target.iter().map(|column| (*column).to_owned()).collect(),
    };
    Constraint { references: Some(references), ..constraint(name, ConstraintKind::ForeignKey, columns) }
}

pub fn index(name: &str, unique: bool, columns: &[Option<&str>]) -> Index {
    Index {
        name: name.to_owned(),
        method: "btree".to_owned(),
        unique,
        columns: columns.iter().map(|column| column.map(str::to_owned)).collect(),
        partial: false,
        of_constraint: false,
    }
}

impl Table {
    /// Adds a primary key with its index.
    pub fn keyed(mut self, columns: &[&str]) -> Self {
        let key = format!("{}_pkey", self.table);
        self.constraints.push(constraint(&key, ConstraintKind::PrimaryKey, columns));
        let columns: Vec<_> = columns.iter().map(|column| Some(*column)).collect();
        self.indexes.push(Index { of_constraint: true, ..index(&key, true, &columns) });
        self
    }
}

/// Growth by `share` within 90 days; 10,000 rows per megabyte.
pub fn growth(table: &Table, bytes: f64, share: f64) -> Growth {
    let origin = micros("2026-01-15");
    let rows = bytes / 100.0;
    let point = |value: f64| ForecastPoint {
        at: origin + 90 * DAY,
        value: value * (1.0 + share),
        lower: value,
        upper: value * (1.0 + 2.0 * share),
    };
    let start = micros("2025-01-01");
    let steps = 379;
    let curve = (0..=steps)
        .map(|day| Observation { at: start + day * DAY, value: rows * day as f64 / steps as f64 })
        .collect();
    let event_time = table.column("ts").map(|column| EventTime {
        column: "ts".to_owned(),
        key_type: column.type_name.key_type(),
        curve,
    });
    Growth {
        rows_now: rows,
        bytes_now: bytes,
        rows: vec![point(rows)],
        bytes: vec![point(bytes)],
        origin,
        stale: false,
        event_time,
        model: "by hand".to_owned(),
        flow: Flow::default(),
        scale: None,
    }
}

pub fn equality(column: &str) -> Access {
    Access::of(AccessKind::Equality, column)
}

/// A range whose ends are parameters.
pub fn range(column: &str) -> Access {
    Access { lower: true, upper: true, ..Access::of(AccessKind::Range, column) }
}

pub fn since(column: &str) -> Access {
    Access { lower: true, ..Access::of(AccessKind::Range, column) }
}

pub fn join(column: &str, other: &str) -> Access {
    Access { reason: Some(other.to_owned()), ..Access::of(AccessKind::Join, column) }
}

/// Events by time, nothing in the way.
pub fn events(gigabytes: f64) -> Fixture {
    let columns =
        [("id", "bigint"), ("ts", "timestamp with time zone"), ("tenant", "bigint"), ("body", "text")];
    Fixture::new()
        .table(table("events", &columns), gigabytes)
        .statement(8640.0, 9e6, &[("events", &[range("ts")])])
        .statement(864.0, 1e6, &[("events", &[equality("tenant")])])
}

/// Accounts looked up by their key.
pub fn accounts(gigabytes: f64) -> Fixture {
    let columns = [("id", "bigint"), ("born", "date"), ("email", "text")];
    let keyed = table("accounts", &columns).keyed(&["id"]);
    Fixture::new()
        .table(keyed, gigabytes)
        .statement(864_000.0, 1e6, &[("accounts", &[equality("id")])])
        .statement(86_400.0, 1e5, &[("accounts", &[equality("id"), Access::of(AccessKind::Update, "email")])])
}
