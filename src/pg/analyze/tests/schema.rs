//! The tables that the tests analyse against, and facts as lines of text.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::PrunedBy;
use crate::model::access::StatementFacts;
use crate::model::name::QualifiedName;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowPlan;
use crate::model::shadow::ShadowStep;
use crate::model::shadow::ShadowView;

/// Schema, table, definition. The tables of `tpch` follow that benchmark.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "app",
        "orders",
        "id int8 PRIMARY KEY, customer_id int8 NOT NULL, at timestamptz, day date, stamp timestamp, \
         status text, name varchar, amount numeric, active bool, tags text[], n int4, mood @.mood",
    ),
    (
        "app",
        "items",
        "order_id int8, line int4, product_id int8, qty int4, note text, PRIMARY KEY (order_id, line)",
    ),
    ("app", "customers", "id int8 PRIMARY KEY, region text, parent_id int8, email text UNIQUE, tier int4"),
    ("other", "orders", "id int8, remark text"),
    (
        "tpch",
        "lineitem",
        "l_orderkey int8, l_partkey int8, l_suppkey int8, l_linenumber int4, l_quantity numeric, \
         l_extendedprice numeric, l_discount numeric, l_tax numeric, l_returnflag bpchar, \
         l_linestatus bpchar, l_shipdate date, l_commitdate date, l_receiptdate date, \
         l_shipinstruct bpchar, l_shipmode bpchar, l_comment text, PRIMARY KEY (l_orderkey, l_linenumber)",
    ),
    (
        "tpch",
        "orders",
        "o_orderkey int8 PRIMARY KEY, o_custkey int8, o_orderstatus bpchar, o_totalprice numeric, \
         o_orderdate date, o_orderpriority bpchar, o_clerk bpchar, o_shippriority int4, o_comment text",
    ),
    (
        "tpch",
        "customer",
        "c_custkey int8 PRIMARY KEY, c_name text, c_address text, c_nationkey int4, c_phone bpchar, \
         c_acctbal numeric, c_mktsegment bpchar, c_comment text",
    ),
    (
        "tpch",
        "part",
        "p_partkey int8 PRIMARY KEY, p_name text, p_mfgr bpchar, p_brand bpchar, p_type text, p_size int4, \
         p_container bpchar, p_retailprice numeric, p_comment text",
    ),
    (
        "tpch",
        "supplier",
        "s_suppkey int8 PRIMARY KEY, s_name bpchar, s_address text, s_nationkey int4, s_phone bpchar, \
         s_acctbal numeric, s_comment text",
    ),
    (
        "tpch",
        "partsupp",
        "ps_partkey int8, ps_suppkey int8, ps_availqty int4, ps_supplycost numeric, ps_comment text, \
         PRIMARY KEY (ps_partkey, ps_suppkey)",
    ),
    ("tpch", "nation", "n_nationkey int4 PRIMARY KEY, n_name bpchar, n_regionkey int4, n_comment text"),
    ("tpch", "region", "r_regionkey int4 PRIMARY KEY, r_name bpchar, r_comment text"),
];

/// Views of schema `app`, those that build on others first: order must not
/// matter.
const VIEWS: &[(&str, &str)] = &[
    (
        "recent_eu",
        "SELECT r.id, r.at, c.region FROM app.recent r JOIN app.customers c ON c.id = r.customer_id",
    ),
    ("recent", "SELECT id, customer_id, at, status FROM app.orders WHERE at >= '2024-01-01'"),
    (
        "daily",
        "SELECT customer_id, date_trunc('day', at) AS day, count(*) AS n FROM app.orders \
         GROUP BY customer_id, date_trunc('day', at)",
    ),
    ("all_notes", "SELECT id, status AS note FROM app.orders UNION ALL SELECT order_id, note FROM app.items"),
    ("with_items", "SELECT o.id, i.qty, i.line FROM app.orders o LEFT JOIN app.items i ON i.order_id = o.id"),
    ("broken", "SELECT nothing FROM app.nowhere"),
];

/// The plan of these tables and views.
pub fn plan() -> ShadowPlan {
    let mut plan = ShadowPlan::default();
    for schema in ["app", "other", "tpch"] {
        let shadow = format!("presplit_shadow_{schema}");
        plan.steps.push(ShadowStep { sql: format!("CREATE SCHEMA {shadow}"), makes: ShadowPart::Schema });
        plan.schemas.insert(schema.to_owned(), shadow);
    }
    plan.steps.push(ShadowStep {
        sql: "CREATE TYPE presplit_shadow_app.mood AS ENUM ('good', 'bad')".to_owned(),
        makes: ShadowPart::Type(QualifiedName::new("app", "mood")),
    });
    for (schema, table, definition) in TABLES {
        let shadow = &plan.schemas[*schema];
        let definition = definition.replace('@', shadow);
        plan.steps.push(ShadowStep {
            sql: format!("CREATE TABLE {shadow}.{table} ({definition})"),
            makes: ShadowPart::Table(QualifiedName::new(*schema, *table)),
        });
    }
    plan.views.extend(VIEWS.iter().map(|(name, definition)| ShadowView {
        name: QualifiedName::new("app", *name),
        definition: (*definition).to_owned(),
        security_barrier: *name == "guarded",
    }));
    plan.failed.insert(QualifiedName::new("app", "cubes"), "type ext.cube does not exist here".to_owned());
    plan
}

/// The analysis of statements with `app, tpch` as search path.
pub fn analyses(statements: &[&str]) -> Vec<Analysis> {
    let path = vec!["app".to_owned(), "tpch".to_owned()];
    let statements: Vec<(String, Vec<String>)> =
        statements.iter().map(|sql| ((*sql).to_owned(), path.clone())).collect();
    crate::pg::analyze::analyze(&plan(), &statements)
}

/// The facts of one statement, a line for each access.
pub fn lines(sql: &str) -> Vec<String> {
    shown(&analyses(&[sql])[0])
}

/// An analysis as lines.
pub fn shown(analysis: &Analysis) -> Vec<String> {
    match analysis {
        Analysis::Facts(facts) => shown_facts(facts),
        Analysis::Refused { sqlstate, message } => vec![format!("{sqlstate} {message}")],
    }
}

fn shown_facts(facts: &StatementFacts) -> Vec<String> {
    let mut lines = Vec::new();
    for mention in &facts.mentions {
        let relation = match mention.relation.schema.as_str() {
            "app" | "tpch" => mention.relation.name.clone(),
            _ => mention.relation.to_string(),
        };
        if mention.accesses.is_empty() {
            lines.push(format!("{relation}: nothing"));
        }
        lines.extend(mention.accesses.iter().map(|access| format!("{relation}: {}", shown_access(access))));
    }
    lines.extend(facts.arbiters.iter().map(|arbiter| {
        let constraint = arbiter.constraint.iter().map(|name| format!(" of {name}")).collect::<String>();
        format!("on conflict {}({}){constraint}", arbiter.relation.name, arbiter.columns.join(", "))
    }));
    let flags = [(facts.limited, "limited"), (facts.aggregated, "aggregated")];
    lines.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned()));
    lines
}

fn shown_access(access: &Access) -> String {
    let mut line = format!("{}({})", access.kind.word(), access.columns.join(", "));
    for (set, word) in [(access.lower, " lower"), (access.upper, " upper")] {
        if set {
            line.push_str(word);
        }
    }
    if !access.constants.is_empty() {
        line.push_str(&format!(" {}", access.constants.join("|")));
    }
    let kind = access.kind;
    if access.prunable && kind != AccessKind::Range && access.by != PrunedBy::All {
        line.push_str(if access.by == PrunedBy::Hash { " by hash" } else { " by order" });
    }
    if !access.prunable && (kind.narrows() || kind == AccessKind::Join) {
        line.push_str(" unpruned");
    }
    if let Some(reason) = &access.reason {
        line.push_str(&format!(" - {}", reason.replace("app.", "").replace("tpch.", "")));
    }
    line
}
