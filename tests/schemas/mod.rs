//! Schemas that are made up: tables with keys, sizes and foreign keys, and
//! statements that look up, scan, join and write.
//!
//! The same seed makes the same schema.

use std::collections::BTreeMap;

use pg_presplit::model::access::Access;
use pg_presplit::model::access::AccessKind;
use pg_presplit::model::access::Analysis;
use pg_presplit::model::access::Mention;
use pg_presplit::model::access::StatementFacts;
use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::profile::FORMAT;
use pg_presplit::model::profile::Profile;
use pg_presplit::model::profile::VERSION;
use pg_presplit::model::sample::random::Random;
use pg_presplit::model::settings::Settings;
use pg_presplit::planning::forecast::EventTime;
use pg_presplit::planning::forecast::ForecastPoint;
use pg_presplit::planning::forecast::Growth;
use pg_presplit::planning::forecast::Observation;
use pg_presplit::planning::proposal::CostConstants;
use pg_presplit::planning::proposal::HashValues;
use pg_presplit::planning::proposal::ProposalInput;
use pg_presplit::planning::proposal::ServerFacts;
use pg_presplit::planning::workload::AnalyzedStatement;
use pg_presplit::planning::workload::AnalyzedWorkload;
use serde_json::Value;
use serde_json::json;

const DAY: i64 = 86_400_000_000;
/// 2026-01-15, when every profile was captured.
const NOW: i64 = 1_768_435_200_000_000;
const HORIZON: i64 = 90 * DAY;
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// Everything that a proposal is made from, owned.
pub struct Schema {
    pub profile: Profile,
    pub workload: AnalyzedWorkload,
    pub growth: BTreeMap<QualifiedName, Growth>,
    settings: Settings,
    hash_values: HashValues,
    constants: CostConstants,
    pub server: ServerFacts,
    retention: BTreeMap<QualifiedName, pg_presplit::model::retention::RetentionPolicy>,
    applied: BTreeMap<QualifiedName, pg_presplit::model::layout::Layout>,
    unlike_ours: BTreeMap<QualifiedName, String>,
    earlier: BTreeMap<QualifiedName, Option<pg_presplit::model::layout::Layout>>,
}

/// One table as it is drawn.
struct Drawn {
    name: String,
    rows: f64,
    width: f64,
    /// Whether the primary key begins with the first parent's key.
    nested: bool,
    /// Tables that columns `p0`, `p1` … reference.
    parents: Vec<usize>,
    timed: bool,
}

impl Schema {
    /// So many tables, and statements on them.
    pub fn generated(seed: u64, tables: usize, statements: usize) -> Self {
        let mut random = Random::new(seed);
        let mut drawn: Vec<Drawn> = Vec::new();
        for number in 0..tables {
            let mut parents: Vec<usize> = (0..random.below(3))
                .filter(|_| number > 0)
                .map(|_| random.below(number as u64) as usize)
                .collect();
            parents.dedup();
            drawn.push(Drawn {
                name: format!("t{number}"),
                rows: 10_f64.powf(5.0 + random.unit() * 5.0).round(),
                width: 50.0 + (random.unit() * 400.0).round(),
                nested: !parents.is_empty() && random.below(2) == 0,
                parents,
                timed: random.below(2) == 0,
            });
        }
        let listed: Vec<Value> = drawn.iter().map(|table| of_table(table, &drawn)).collect();
        let profile = json!({
            "format": FORMAT, "version": VERSION, "captured_at": "2026-01-15T00:00:00Z",
            "server_version_num": 150_000, "database": "generated", "tables": listed,
        });
        let profile: Profile = serde_json::from_value(profile).expect("a profile");
        let growth = drawn.iter().map(|table| (name(table), growth(table))).collect();
        let statements = (1..=statements as i64).map(|id| statement(id, &drawn, &mut random)).collect();
        Self {
            profile,
            workload: AnalyzedWorkload { seconds: Some(86_400.0), statements },
            growth,
            settings: Settings::default(),
            hash_values: HashValues::new(),
            constants: CostConstants::default(),
            server: ServerFacts {
                partitionwise_join: random.below(2) == 0,
                hash_mem_bytes: 256.0 * MEGABYTE,
                ..ServerFacts::default()
            },
            retention: BTreeMap::new(),
            applied: BTreeMap::new(),
            unlike_ours: BTreeMap::new(),
            earlier: BTreeMap::new(),
        }
    }

    pub fn input(&self) -> ProposalInput<'_> {
        ProposalInput {
            profile: &self.profile,
            workload: &self.workload,
            growth: &self.growth,
            only: None,
            horizon_micros: HORIZON,
            settings: &self.settings,
            retention: &self.retention,
            hash_values: &self.hash_values,
            cores: 8,
            cache_bytes: 16_384.0 * MEGABYTE,
            server: self.server,
            target_version_num: 150_000,
            constants: &self.constants,
            disqualified: &[],
            applied: &self.applied,
            unlike_ours: &self.unlike_ours,
            earlier: &self.earlier,
        }
    }
}

fn name(table: &Drawn) -> QualifiedName {
    QualifiedName::new("app", &table.name)
}

fn of_table(table: &Drawn, all: &[Drawn]) -> Value {
    let column = |name: &str, type_name: &str, text: &str, statistics: Value| {
        json!({
            "name": name, "not_null": true, "orderable": true, "hashable": true, "statistics": statistics,
            "type": {"schema": "pg_catalog", "name": type_name, "text": text, "array": false},
        })
    };
    let distinct =
        |values: f64| json!({"null_fraction": 0.0, "width": 8.0, "distinct": values, "correlation": 0.1});
    let mut columns = vec![column("id", "int8", "bigint", distinct(-1.0))];
    for (at, parent) in table.parents.iter().enumerate() {
        let values = all[*parent].rows.min(table.rows);
        columns.push(column(&format!("p{at}"), "int8", "bigint", distinct(values)));
    }
    columns.push(column("kind", "int4", "integer", distinct(12.0)));
    columns.push(column("ts", "timestamptz", "timestamp with time zone", distinct(-0.9)));
    let key = if table.nested { json!(["p0", "id"]) } else { json!(["id"]) };
    let mut constraints =
        vec![json!({"name": format!("{}_pkey", table.name), "kind": "primary_key", "columns": key})];
    for (at, parent) in table.parents.iter().enumerate() {
        // A nested parent is not referenced by its id alone.
        if !all[*parent].nested {
            constraints.push(json!({
                "name": format!("{}_p{at}", table.name), "kind": "foreign_key", "columns": [format!("p{at}")],
                "references": {"schema": "app", "table": all[*parent].name, "columns": ["id"]},
            }));
        }
    }
    let bytes = table.rows * table.width;
    json!({
        "schema": "app", "table": table.name, "kind": "ordinary", "rows": table.rows,
        "heap_bytes": bytes * 0.8, "index_bytes": bytes * 0.2, "toast_bytes": 0.0, "columns": columns,
        "constraints": constraints,
        "indexes": [{"name": format!("{}_pkey", table.name), "method": "btree", "unique": true,
                     "columns": key, "of_constraint": true}],
    })
}

fn growth(table: &Drawn) -> Growth {
    let point = |value: f64| ForecastPoint {
        at: NOW + HORIZON,
        value: value * 1.1,
        lower: value,
        upper: value * 1.2,
    };
    let start = NOW - 365 * DAY;
    let curve = (0..=52)
        .map(|week| Observation { at: start + week * 7 * DAY, value: table.rows * week as f64 / 52.0 })
        .collect();
    let key_type = pg_presplit::model::key::KeyType::TimestampTz;
    Growth {
        rows_now: table.rows,
        bytes_now: table.rows * table.width,
        rows: vec![point(table.rows)],
        bytes: vec![point(table.rows * table.width)],
        origin: NOW,
        stale: false,
        event_time: table.timed.then(|| EventTime { column: "ts".to_owned(), key_type, curve }),
        model: "generated".to_owned(),
        flow: pg_presplit::planning::forecast::Flow::default(),
        scale: None,
    }
}

fn statement(id: i64, tables: &[Drawn], random: &mut Random) -> AnalyzedStatement {
    let at = random.below(tables.len() as u64) as usize;
    let table = &tables[at];
    let equality = |column: &str| Access::of(AccessKind::Equality, column);
    let mut mentions = vec![Mention { relation: name(table), accesses: Vec::new() }];
    let accesses = &mut mentions[0].accesses;
    match random.below(6) {
        0 => accesses.push(equality("id")),
        1 => accesses.push(equality("kind")),
        2 => accesses.push(Access { lower: true, upper: true, ..Access::of(AccessKind::Range, "ts") }),
        3 => accesses.push(Access { columns: Vec::new(), ..Access::of(AccessKind::Insert, "") }),
        4 => accesses.extend([equality("id"), Access::of(AccessKind::Update, "kind")]),
        _ => {}
    }
    if !table.parents.is_empty()
        && random.below(2) == 0
        && accesses.iter().all(|one| one.kind != AccessKind::Insert)
    {
        let parent = random.below(table.parents.len() as u64) as usize;
        let other = &tables[table.parents[parent]];
        let join = |column: &str, other: &Drawn, theirs: &str| Access {
            reason: Some(format!("{}({theirs})", name(other))),
            ..Access::of(AccessKind::Join, column)
        };
        if random.below(3) == 0 {
            accesses.push(equality(&format!("p{parent}")));
        } else {
            let mine = format!("p{parent}");
            accesses.push(join(&mine, other, "id"));
            mentions.push(Mention { relation: name(other), accesses: vec![join("id", table, &mine)] });
        }
    }
    // What looks rows up by a key comes often, what scans comes rarely.
    let by_key = |access: &Access| access.kind == AccessKind::Equality && access.columns[0] != "kind";
    let often = mentions[0].accesses.iter().any(by_key);
    let calls = 10_f64.powf(random.unit() * if often { 5.0 } else { 1.0 }).round();
    AnalyzedStatement {
        queryid: id,
        query: String::new(),
        calls,
        exec_ms: calls * 10_f64.powf(random.unit() * 4.0 - 2.0),
        rows: calls,
        analysis: Analysis::Facts(StatementFacts { mentions, aggregated: true, ..StatementFacts::default() }),
    }
}
