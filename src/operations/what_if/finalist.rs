//! The shadow of a finalist: the tables that some statements need, with their
//! indexes, some of them divided into shards.
//!
//! Left out are indexes on expressions and conditions, and all whose operator
//! classes could be foreign: the planner asks some of them how they would look
//! for a value.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::access::Analysis;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Constraint;
use crate::model::profile::ConstraintKind;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::profile::TypeName;
use crate::model::profile::UserTypeKind;
use crate::model::settings::UniquePolicy;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowPlan;
use crate::model::shadow::ShadowStep;
use crate::operations::advise;
use crate::pg::context::with_pinned_search_path;
use crate::pg::spi;
use crate::planning::proposal::CostConstants;
use crate::planning::proposal::evidence::represent::Represented;
use crate::planning::provision::ddl;
use crate::planning::provision::ddl::ShardStorage;
use crate::planning::workload::AnalyzedWorkload;
use crate::planning::workload::shadow;
use crate::planning::workload::shadow::Existing;

/// Part of the names of the shadow schemas.
const SHADOW_TAG: &str = "what_if";

/// Index methods of the server whose estimates run no function of an operator
/// class.
const METHODS: [&str; 5] = ["btree", "hash", "gist", "spgist", "brin"];

/// Relations that a table takes besides its indexes: itself, TOAST and its index.
const LOCKS_PER_TABLE: usize = 3;

/// Share of the lock table that may be taken.
const LOCK_SHARE: f64 = 0.5;

/// Relations of a group's shadows: making one takes about a millisecond.
const RELATIONS_MAX: usize = 2_000;

/// Relations of a shadow for one statement, which are given up together: a
/// cancel waits for that, about 35 milliseconds for so many.
const OF_STATEMENT_MAX: usize = 600;

/// Relations of a shadow for several statements.
pub const OF_STATEMENTS_MAX: usize = 300;

/// Columns of all shards of a table together: each is a row in a catalog.
const COLUMNS_MAX: usize = 16_384;

/// What finalists are built on: what is here, and what the server allows.
pub struct Ground {
    existing: Existing,
    /// Index method and type of the default operator classes of users' own.
    foreign_classes: BTreeSet<(String, String, String)>,
    /// Locks for which there is room beside those that are held.
    lock_slots: f64,
}

impl Ground {
    pub fn read() -> Result<Self, ErrorReport> {
        let foreign_classes = with_pinned_search_path(|| {
            spi::rows::<(String, String, String)>(
                "SELECT json_build_array(m.amname, n.nspname, t.typname)::text
                 FROM pg_opclass AS c JOIN pg_am AS m ON m.oid = c.opcmethod
                 JOIN pg_type AS t ON t.oid = c.opcintype JOIN pg_namespace AS n ON n.oid = t.typnamespace
                 WHERE c.opcdefault AND c.oid >= 16384",
                &[],
            )
        })?;
        // Locks of the fast path take no room.
        let held = with_pinned_search_path(|| {
            spi::one::<i64>("SELECT count(*) FROM pg_lock_status() WHERE NOT fastpath", &[])
        })?;
        Ok(Self {
            existing: advise::existing()?,
            foreign_classes: foreign_classes.into_iter().collect(),
            lock_slots: (advise::server_facts().lock_slots - held.unwrap_or(0) as f64).max(0.0),
        })
    }

    /// Most shards that each table of a group may have, whose statements need
    /// these tables.
    pub fn shards_max(
        &self,
        part: &Profile,
        layouts: &[(QualifiedName, Layout)],
        needs: &[BTreeSet<&QualifiedName>],
        constants: &CostConstants,
    ) -> Result<usize, String> {
        let divided: Vec<&Table> = layouts.iter().filter_map(|(name, _)| part.table(name)).collect();
        let locks = (self.lock_slots * LOCK_SHARE) as usize;
        let whole: usize = part.tables.iter().map(of_whole).sum();
        let each: usize = divided.iter().map(|table| of_shard(table)).sum();
        let room = locks.min(RELATIONS_MAX).saturating_sub(whole);
        let columns = divided.iter().map(|table| table.columns.len()).max().unwrap_or(1);
        let most = (room / each.max(1)).min(constants.evidence_shards_max).min(COLUMNS_MAX / columns.max(1));
        let at_once = |need: &BTreeSet<&QualifiedName>| {
            let whole: usize = need.iter().filter_map(|name| part.table(name)).map(of_whole).sum();
            let needed = divided.iter().filter(|table| need.contains(&table.name()));
            let each: usize = needed.map(|table| of_shard(table)).sum();
            (OF_STATEMENT_MAX.saturating_sub(whole) / each.max(1)).max(2)
        };
        let most = needs.iter().map(at_once).fold(most, usize::min);
        if most < 2 {
            let too_many = if locks <= RELATIONS_MAX {
                "would take more locks than \"max_locks_per_transaction\" leaves room for"
            } else {
                "are more than can be made at once"
            };
            return Err(format!("{whole} relations and their shards {too_many}"));
        }
        Ok(most)
    }

    /// What to make for a part of a profile.
    pub fn shadow(
        &self,
        part: &Profile,
        divided: &[(QualifiedName, Represented)],
        unique: UniquePolicy,
    ) -> ShadowPlan {
        let mut plan = shadow::plan(part, &self.existing, SHADOW_TAG);
        let steps = std::mem::take(&mut plan.steps);
        let mut without_keys = false;
        for mut step in steps {
            let named = match &step.makes {
                ShadowPart::Table(name) => part.table(name),
                ShadowPart::Key if without_keys => continue,
                _ => None,
            };
            without_keys = false;
            let Some(table) = named else {
                plan.steps.push(step);
                continue;
            };
            let Some(schema) = plan.schemas.get(&table.schema) else { continue };
            let root = QualifiedName::new(schema, &table.table);
            let builder = Builder { ground: self, part, table, root: &root };
            match divided.iter().find(|(name, _)| *name == table.name()) {
                None => {
                    plan.steps.push(step);
                    plan.steps.extend(builder.indexes());
                }
                Some((name, layout)) => {
                    without_keys = true;
                    if let Some(why) = builder.foreign_key(&layout.layout) {
                        plan.failed.insert(name.clone(), why);
                    }
                    step.sql = format!("{} {}", step.sql, ddl::partition_by(&layout.layout));
                    plan.steps.push(step);
                    plan.steps.extend(builder.divided(&layout.layout, unique));
                }
            }
        }
        let whole: Vec<&Table> = (part.tables.iter())
            .filter(|table| !divided.iter().any(|(name, _)| *name == table.name()))
            .collect();
        plan.steps.extend(references(&whole, &plan.schemas));
        plan
    }
}

/// Foreign keys from one whole table to another, by which the planner tells how
/// many rows a join has; those of partitioned tables it does not look at.
fn references(whole: &[&Table], schemas: &BTreeMap<String, String>) -> Vec<ShadowStep> {
    let shadow = |table: &Table| Some(QualifiedName::new(schemas.get(&table.schema)?, &table.table));
    let mut steps = Vec::new();
    for table in whole {
        for constraint in &table.constraints {
            let target = constraint.references.as_ref().and_then(|reference| {
                let name = reference.name();
                Some((
                    reference,
                    shadow(
                        whole.iter().find(|other| other.table == name.name && other.schema == name.schema)?,
                    )?,
                ))
            });
            if let (Some((reference, target)), Some(from)) = (target, shadow(table)) {
                steps.push(ShadowStep {
                    sql: format!(
                        "ALTER TABLE {from} ADD FOREIGN KEY ({}) REFERENCES {target} ({}) NOT VALID",
                        quote_identifiers(&constraint.columns),
                        quote_identifiers(&reference.columns)
                    ),
                    makes: ShadowPart::Key,
                });
            }
        }
    }
    steps
}

/// Relations of a table without its shards.
pub fn of_whole(table: &Table) -> usize {
    LOCKS_PER_TABLE + indexes(table)
}

/// Relations of a shard, which has no TOAST.
pub fn of_shard(table: &Table) -> usize {
    1 + indexes(table)
}

/// Indexes that a table of the shadow has at most.
fn indexes(table: &Table) -> usize {
    let unique = |one: &&Constraint| matches!(one.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique);
    table.constraints.iter().filter(unique).count()
        + table.indexes.iter().filter(|index| !index.of_constraint).count()
}

struct Builder<'a> {
    ground: &'a Ground,
    part: &'a Profile,
    table: &'a Table,
    root: &'a QualifiedName,
}

impl Builder<'_> {
    fn step(&self, sql: String, makes: ShadowPart) -> ShadowStep {
        ShadowStep { sql, makes }
    }

    /// Why no shard of the layout may be made here: the key compares by
    /// foreign functions.
    fn foreign_key(&self, layout: &Layout) -> Option<String> {
        let foreign = |name: &String| {
            let column = self.table.column(name)?;
            let safe = ["btree", "hash"].iter().all(|method| self.safe(method, &column.type_name));
            (!safe).then(|| format!("values of column {name:?} are compared by functions of users' own"))
        };
        layout.key_columns().iter().find_map(foreign)
    }

    /// Keys, indexes and shards, after the root.
    fn divided(&self, layout: &Layout, unique: UniquePolicy) -> Vec<ShadowStep> {
        let root = self.root;
        // Without TOAST there are fewer relations to make and to lock.
        let plain: Vec<String> = (self.table.columns.iter())
            .map(|column| format!("ALTER COLUMN {} SET STORAGE PLAIN", quote_identifier(&column.name)))
            .collect();
        let mut steps = vec![self.step(format!("ALTER TABLE {root} {}", plain.join(", ")), ShadowPart::Key)];
        let key = layout.key_columns();
        for (primary, columns) in self.unique() {
            let missing: Vec<String> =
                key.iter().filter(|column| !columns.contains(column)).cloned().collect();
            let word = if primary { "PRIMARY KEY" } else { "UNIQUE" };
            let sql = match unique {
                _ if missing.is_empty() => {
                    format!("ALTER TABLE {root} ADD {word} ({})", quote_identifiers(&columns))
                }
                UniquePolicy::Extend => {
                    let columns = [columns, missing].concat();
                    format!("ALTER TABLE {root} ADD {word} ({})", quote_identifiers(&columns))
                }
                // No key of the table, but an index of each shard.
                UniquePolicy::Strict | UniquePolicy::PerShard => {
                    format!("CREATE INDEX ON {root} ({})", quote_identifiers(&columns))
                }
            };
            steps.push(self.step(sql, ShadowPart::Key));
        }
        steps.extend(self.indexes());
        let name = self.table.name();
        // Their tablespaces need not exist here.
        for sql in ddl::create_shards(root, &layout.without_tablespaces(), &ShardStorage::default()) {
            steps.push(self.step(sql, ShadowPart::Shard(name.clone())));
        }
        steps
    }

    /// Columns of unique constraints and plain unique indexes, and whether
    /// they are the primary key.
    fn unique(&self) -> Vec<(bool, Vec<String>)> {
        let known = |columns: &Vec<String>| {
            !columns.is_empty() && columns.iter().all(|column| self.table.column(column).is_some())
        };
        let of_constraint = |constraint: &Constraint| match constraint.kind {
            ConstraintKind::PrimaryKey => Some((true, constraint.columns.clone())),
            ConstraintKind::Unique => Some((false, constraint.columns.clone())),
            _ => None,
        };
        let plain =
            |index: &&crate::model::profile::Index| index.unique && !index.partial && !index.of_constraint;
        let constraints = self.table.constraints.iter().filter_map(of_constraint);
        let indexes = self.table.indexes.iter().filter(plain).filter_map(|index| {
            Some((false, index.columns.iter().cloned().collect::<Option<Vec<String>>>()?))
        });
        let mut seen = BTreeSet::new();
        constraints
            .chain(indexes)
            .filter(|(_, columns)| known(columns) && seen.insert(columns.clone()))
            .collect()
    }

    /// Indexes that are not unique.
    fn indexes(&self) -> Vec<ShadowStep> {
        let mut steps = Vec::new();
        for index in self.table.indexes.iter().filter(|index| !index.unique && !index.partial) {
            let Some(columns) = index.columns.iter().cloned().collect::<Option<Vec<String>>>() else {
                continue;
            };
            let types: Option<Vec<&TypeName>> =
                columns.iter().map(|name| Some(&self.table.column(name)?.type_name)).collect();
            let safe = types.is_some_and(|types| types.iter().all(|of| self.safe(&index.method, of)));
            if safe && METHODS.contains(&index.method.as_str()) {
                let sql = format!(
                    "CREATE INDEX ON {} USING {} ({})",
                    self.root,
                    quote_identifier(&index.method),
                    quote_identifiers(&columns)
                );
                steps.push(self.step(sql, ShadowPart::Key));
            }
        }
        steps
    }

    /// Whether values of the type compare by the server's own functions.
    fn safe(&self, method: &str, of: &TypeName) -> bool {
        let class = (method.to_owned(), of.schema.clone(), of.name.clone());
        if self.ground.foreign_classes.contains(&class) {
            return false;
        }
        of.schema == "pg_catalog"
            || self.part.types.iter().any(|user| {
                user.schema == of.schema
                    && user.name == of.name
                    && match &user.kind {
                        UserTypeKind::Enum { .. } => true,
                        UserTypeKind::Domain { base, .. } => {
                            base.schema == "pg_catalog" && self.safe(method, base)
                        }
                        _ => false,
                    }
            })
    }
}

/// The tables that a statement needs.
pub fn needed(workload: &AnalyzedWorkload, at: usize) -> BTreeSet<&QualifiedName> {
    match &workload.statements[at].analysis {
        Analysis::Facts(facts) => facts.mentions.iter().map(|mention| &mention.relation).collect(),
        Analysis::Refused { .. } => BTreeSet::new(),
    }
}

/// The part of a profile that some statements need. In place of domains its
/// columns have what these are based on: the planner looks at a domain's checks
/// where a column is not given a value, and bounds of shards are checked by
/// them.
pub fn part_of(profile: &Profile, workload: &AnalyzedWorkload, statements: &[usize]) -> Profile {
    let names: BTreeSet<&QualifiedName> = statements.iter().flat_map(|at| needed(workload, *at)).collect();
    let mut part = Profile {
        tables: profile.tables.iter().filter(|table| names.contains(&table.name())).cloned().collect(),
        history: Vec::new(),
        ..profile.clone()
    };
    for column in part.tables.iter_mut().flat_map(|table| &mut table.columns) {
        column.type_name = profile.below_domains(&column.type_name);
    }
    part.workload.statements = statements.iter().map(|at| profile.workload.statements[*at].clone()).collect();
    // Views on other tables could not be made, and are not needed.
    let mentioned = |name: &str| part.workload.statements.iter().any(|one| one.query.contains(name));
    let mut views: Vec<_> = profile.views.iter().filter(|view| mentioned(&view.view)).cloned().collect();
    loop {
        let inner = |view: &&crate::model::profile::View| {
            !views.contains(view) && views.iter().any(|outer| outer.definition.contains(&view.view))
        };
        let more: Vec<_> = profile.views.iter().filter(inner).cloned().collect();
        if more.is_empty() {
            break;
        }
        views.extend(more);
    }
    part.views = views;
    part
}
