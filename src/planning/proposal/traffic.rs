//! What the statements ask of one table, as rates and narrowings.
//!
//! Not here: shards. A narrowing says which share of the rows a predicate
//! leaves and whether PostgreSQL can prune by it; `touch` turns it into
//! shards. Invariant: shares lie in 0..=1, rates are per second and finite.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::access::Mention;
use crate::model::access::StatementFacts;
use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::name::WrittenName;
use crate::model::profile::ConstraintKind;
use crate::model::sample::Access as Sampled;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::demand;
use crate::planning::proposal::edge::position_of;
use crate::planning::proposal::subject::Subject;
use crate::planning::workload::AnalyzedStatement;

/// The part of a column's values that a predicate leaves.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// Some values, known or not: positions of those that have one, and
    /// texts of all that are known.
    Values { count: f64, known: Vec<f64>, texts: Vec<String> },
    /// NULL alone.
    Null,
    /// Known ends; none = open.
    Exact { lower: Option<f64>, upper: Option<f64> },
    /// Two unknown ends around this share of the rows.
    Closed(f64),
    /// This share of the rows, up to the newest or highest.
    Newest(f64),
    /// This share of the rows, from the oldest or lowest.
    Oldest(f64),
}

/// What a mention's predicates do to one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrowing {
    pub window: Window,
    /// Share of the rows that it leaves.
    pub selectivity: f64,
    /// Whether partitions of some strategy can be pruned by it, at plan time.
    pub prunable: bool,
    /// Whether ranges and lists can.
    pub by_order: bool,
    /// Whether hash partitions can, as far as values are known.
    pub by_hash: bool,
    /// Whether they can only be pruned while running: by the rows of another
    /// table in a nested loop.
    pub at_run_time: bool,
}

impl Narrowing {
    /// One unknown value.
    fn of_value(selectivity: f64, at_run_time: bool) -> Self {
        let window = Window::Values { count: 1.0, known: Vec::new(), texts: Vec::new() };
        let prunes = !at_run_time;
        Self { window, selectivity, prunable: prunes, by_order: prunes, by_hash: prunes, at_run_time }
    }

    /// Whether partitions of that strategy, keyed by the column, can be
    /// pruned at plan time.
    pub fn prunes(&self, strategy: Strategy) -> bool {
        let by_values = matches!(self.window, Window::Values { .. } | Window::Null);
        match strategy {
            Strategy::None => false,
            Strategy::Hash => self.by_hash && by_values,
            _ => self.by_order,
        }
    }

    fn of_share(window: Window, selectivity: f64, prunable: bool) -> Self {
        Self { window, selectivity, prunable, by_order: prunable, by_hash: false, at_run_time: false }
    }
}

/// One mention of the table in one statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Use {
    /// Places of the statement in the workload and of the mention in it; none
    /// where the use is only supposed.
    pub place: Option<(usize, usize)>,
    pub calls_per_second: f64,
    /// Execution time in the observed time, or calls where no time is known.
    pub weight: f64,
    pub rows_per_call: f64,
    /// Whether the statement has another table.
    pub joined: bool,
    /// The column that a limited statement of one table without aggregates
    /// orders by first.
    pub walks: Option<String>,
    pub narrowings: BTreeMap<String, Narrowing>,
    pub reads: bool,
    pub inserts: bool,
    pub updates: bool,
    pub deletes: bool,
    /// Columns updated that are part of a key or could become one.
    pub updated: BTreeSet<String>,
    /// Join columns with the table and column on the other side.
    pub joins: Vec<(String, QualifiedName, String)>,
    /// Columns that it groups by.
    pub groups: Vec<String>,
}

/// All uses of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traffic {
    pub uses: Vec<Use>,
    /// Whether the uses are priors because there is no workload at all.
    pub assumed: bool,
    /// Calls of the table's statements in the observed time.
    pub calls: f64,
    /// Whether `weight` is execution time.
    pub weighed_by_time: bool,
}

impl Traffic {
    /// The uses of `subject`'s table, or priors where no statement says
    /// anything of any table of the profile.
    pub fn of(input: &ProposalInput, subject: &Subject) -> Self {
        let statements = &input.workload.statements;
        let rate = Rate::of(input);
        // Statements that could not be analysed, or that concern other things, say nothing.
        let told = statements.iter().any(|statement| match &statement.analysis {
            Analysis::Facts(facts) => {
                facts.mentions.iter().any(|mention| input.profile.table(&mention.relation).is_some())
            }
            Analysis::Refused { .. } => false,
        });
        if !told {
            return Self { uses: assumed(input, subject), assumed: true, ..Self::default() };
        }
        let mentioned: Vec<_> = statements
            .iter()
            .enumerate()
            .filter_map(|(number, statement)| match &statement.analysis {
                Analysis::Facts(facts) => Some((number, statement, facts)),
                Analysis::Refused { .. } => None,
            })
            .filter(|(_, _, facts)| facts.mentions.iter().any(|mention| mention.relation == subject.name))
            .collect();
        let weighed_by_time = mentioned.iter().any(|(_, statement, _)| statement.exec_ms > 0.0);
        let mut traffic = Self {
            calls: mentioned.iter().map(|(_, statement, _)| statement.calls).sum(),
            weighed_by_time,
            ..Self::default()
        };
        for (number, statement, facts) in mentioned {
            for (at, mention) in facts.mentions.iter().enumerate() {
                if mention.relation == subject.name {
                    let mut one = read_use(input, subject, statement, facts, at);
                    one.place = Some((number, at));
                    one.calls_per_second = statement.calls * rate.per_call;
                    one.weight = if weighed_by_time { statement.exec_ms } else { statement.calls };
                    traffic.uses.push(one);
                }
            }
        }
        traffic.uses = merged(traffic.uses);
        traffic
    }

    /// Rows inserted per second by statements.
    pub fn inserted_per_second(&self) -> f64 {
        let inserts = self.uses.iter().filter(|one| one.inserts);
        inserts.map(|one| one.calls_per_second * one.rows_per_call.max(1.0)).sum()
    }

    /// Share of the weight of the uses that satisfy `wanted`, of those that
    /// read; none where nothing reads.
    pub fn share_of_reads(&self, wanted: impl Fn(&Use) -> bool) -> Option<f64> {
        let total: f64 = self.uses.iter().filter(|one| one.reads).map(|one| one.weight).sum();
        let part: f64 = self.uses.iter().filter(|one| one.reads && wanted(one)).map(|one| one.weight).sum();
        (total > 0.0).then(|| part / total)
    }
}

/// Uses that do the same to one table alone, taken together: what a division
/// makes of them differs only by their rates.
fn merged(uses: Vec<Use>) -> Vec<Use> {
    let mut merged: Vec<Use> = Vec::with_capacity(uses.len());
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for one in uses {
        if one.joined {
            merged.push(one);
            continue;
        }
        let alike = places.entry(one.fingerprint()).or_default();
        match alike.iter().copied().find(|at| merged[*at].does_the_same(&one)) {
            Some(at) => merged[at].take(&one),
            None => {
                alike.push(merged.len());
                merged.push(one);
            }
        }
    }
    merged
}

impl Use {
    /// A number that uses which do the same have in common.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.reads, self.inserts, self.updates, self.deletes, &self.walks).hash(&mut hasher);
        (&self.updated, &self.groups).hash(&mut hasher);
        for (column, narrowing) in &self.narrowings {
            (column, narrowing.selectivity.to_bits()).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn does_the_same(&self, other: &Self) -> bool {
        let rows_matter = self.walks.is_some() || self.inserts || self.updates;
        self.narrowings == other.narrowings
            && self.walks == other.walks
            && self.updated == other.updated
            && self.groups == other.groups
            && (self.reads, self.inserts, self.updates, self.deletes)
                == (other.reads, other.inserts, other.updates, other.deletes)
            && (!rows_matter || self.rows_per_call.to_bits() == other.rows_per_call.to_bits())
    }

    /// Adds the rates of another use.
    fn take(&mut self, other: &Self) {
        let calls = self.calls_per_second + other.calls_per_second;
        if calls > 0.0 {
            let rows =
                self.rows_per_call * self.calls_per_second + other.rows_per_call * other.calls_per_second;
            self.rows_per_call = rows / calls;
        }
        self.calls_per_second = calls;
        self.weight += other.weight;
    }
}

/// Calls per second of a call counted.
struct Rate {
    per_call: f64,
}

impl Rate {
    fn of(input: &ProposalInput) -> Self {
        let seconds = input.workload.seconds.filter(|seconds| *seconds > 0.0);
        let calls: f64 = input.workload.statements.iter().map(|statement| statement.calls).sum();
        let counted = 1.0 / seconds.unwrap_or(input.constants.workload_seconds);
        let per_call = match input.settings.peak_qps {
            Some(peak) if calls > 0.0 => peak / calls,
            _ => counted,
        };
        Self { per_call }
    }
}

/// Calls per second of calls counted.
pub fn per_second(input: &ProposalInput, calls: f64) -> f64 {
    calls * Rate::of(input).per_call
}

fn read_use(
    input: &ProposalInput,
    subject: &Subject,
    statement: &AnalyzedStatement,
    facts: &StatementFacts,
    at: usize,
) -> Use {
    let mention = &facts.mentions[at];
    let rows_per_call = if statement.calls > 0.0 { statement.rows / statement.calls } else { 0.0 };
    let tells = !facts.limited && !facts.aggregated && facts.mentions.len() == 1;
    let returned = (tells && statement.rows > 0.0).then_some(rows_per_call);
    let has = |kinds: &[AccessKind]| mention.accesses.iter().any(|access| kinds.contains(&access.kind));
    let inserts = has(&[AccessKind::Insert]);
    let updated = mention
        .accesses
        .iter()
        .filter(|access| matches!(access.kind, AccessKind::Update | AccessKind::UpdateKey))
        .flat_map(|access| access.columns.iter().cloned())
        .collect();
    let joins = joins_of(mention);
    let grouping = mention.accesses.iter().filter(|access| access.kind == AccessKind::GroupBy);
    let groups = grouping.flat_map(|access| access.columns.iter().cloned()).collect();
    let mut narrowings = narrowings(input, subject, mention, returned);
    for (column, other, _) in &joins {
        // Without an index there is no nested loop to prune by.
        let looked_up = subject.table.indexes.iter().any(|index| {
            !index.partial && index.columns.first().is_some_and(|first| first.as_ref() == Some(column))
        });
        if looked_up && narrows_to_few(facts, at, other) && !narrowings.contains_key(column) {
            let selectivity = 1.0 / subject.distinct(column, input.constants.distinct_values);
            narrowings.insert(column.clone(), Narrowing::of_value(selectivity, true));
        }
    }
    let order = mention.accesses.iter().find(|access| access.kind == AccessKind::OrderBy);
    let walks = order
        .filter(|_| facts.limited && !facts.aggregated && facts.mentions.len() == 1)
        .and_then(|access| access.columns.first().cloned());
    Use {
        place: None,
        calls_per_second: 0.0,
        weight: 0.0,
        rows_per_call,
        joined: facts.mentions.len() > 1,
        walks,
        narrowings,
        reads: !inserts,
        inserts,
        updates: has(&[AccessKind::Update, AccessKind::UpdateKey]),
        deletes: has(&[AccessKind::Delete]),
        updated,
        joins,
        groups,
    }
}

/// Join columns, with the other side as `reason` names it.
fn joins_of(mention: &Mention) -> Vec<(String, QualifiedName, String)> {
    let joins = mention.accesses.iter().filter(|access| access.kind == AccessKind::Join && access.prunable);
    joins
        .filter_map(|access| {
            let (relation, column) = other_side(access.reason.as_deref()?)?;
            Some((access.columns.first()?.clone(), relation, column))
        })
        .collect()
}

/// Reads `schema.table(column)`.
pub fn other_side(text: &str) -> Option<(QualifiedName, String)> {
    let open = text.rfind('(')?;
    let column = WrittenName::parse(text[open + 1..].strip_suffix(')')?).ok()?;
    let table = WrittenName::parse(&text[..open]).ok()?;
    Some((QualifiedName::new(table.schema?, table.name), column.name))
}

/// Whether another mention of `other` in the statement is narrowed to a few
/// rows, so that a nested loop looks up this table by the join column.
fn narrows_to_few(facts: &StatementFacts, at: usize, other: &QualifiedName) -> bool {
    facts.mentions.iter().enumerate().any(|(place, mention)| {
        place != at
            && mention.relation == *other
            && mention.accesses.iter().any(|access| {
                access.prunable && matches!(access.kind, AccessKind::Equality | AccessKind::InList)
            })
    })
}

fn narrowings(
    input: &ProposalInput,
    subject: &Subject,
    mention: &Mention,
    returned: Option<f64>,
) -> BTreeMap<String, Narrowing> {
    let mut by_column: BTreeMap<&str, Vec<&Access>> = BTreeMap::new();
    for access in &mention.accesses {
        // A predicate around the column, as f(key) = c, helps no index either.
        let useful = access.prunable || access.kind == AccessKind::Prefix;
        if access.kind.narrows() && useful && access.columns.len() == 1 {
            by_column.entry(&access.columns[0]).or_default().push(access);
        }
    }
    let alone = by_column.len() == 1 && mention.accesses.iter().filter(|a| a.kind.narrows()).count() <= 2;
    let returned = returned.filter(|_| alone && subject.table.rows > 0.0);
    let returned = returned.map(|rows| (rows / subject.table.rows).clamp(0.0, 1.0));
    by_column
        .into_iter()
        .map(|(column, accesses)| (column.to_owned(), narrowing(input, subject, column, &accesses, returned)))
        .collect()
}

fn narrowing(
    input: &ProposalInput,
    subject: &Subject,
    column: &str,
    accesses: &[&Access],
    returned: Option<f64>,
) -> Narrowing {
    let constants = input.constants;
    let key_type = subject.table.column(column).map(|found| found.type_name.key_type());
    let read = |text: &String| key_type.and_then(|kind| position_of(kind, text));
    let of = |kind| accesses.iter().copied().find(move |access| access.kind == kind);
    let per_value = 1.0 / subject.distinct(column, constants.distinct_values);
    if let Some(access) = of(AccessKind::Equality).or_else(|| of(AccessKind::InList)) {
        let listed = access.constants.len() as f64;
        let count = match access.kind {
            AccessKind::Equality => 1.0,
            _ if listed > 0.0 => listed,
            _ => constants.in_list_values,
        };
        let known = access.constants.iter().filter_map(read).collect();
        let selectivity = (per_value * count).min(1.0);
        let window = Window::Values { count, known, texts: access.constants.clone() };
        return Narrowing {
            window,
            selectivity,
            prunable: access.prunable,
            by_order: access.prunes(Strategy::Range),
            by_hash: access.prunes(Strategy::Hash),
            at_run_time: false,
        };
    }
    let ranges = || accesses.iter().filter(|access| access.kind == AccessKind::Range);
    if ranges().next().is_none() {
        if let Some(test) = of(AccessKind::NullTest) {
            let by_order = test.prunes(Strategy::Range);
            let found = Narrowing::of_share(Window::Null, subject.null_share(column), by_order);
            return Narrowing { by_hash: test.prunes(Strategy::Hash), ..found };
        }
        let selectivity = returned.unwrap_or(constants.prefix_share);
        return Narrowing::of_share(Window::Closed(selectivity), selectivity, false);
    }
    let lower = ranges().any(|access| access.lower);
    let upper = ranges().any(|access| access.upper);
    let mut known: Vec<f64> = ranges().flat_map(|access| access.constants.iter()).filter_map(read).collect();
    known.sort_by(f64::total_cmp);
    let seen = |access| {
        let (column, spread) = (subject.table.column(column)?, subject.spreads.get(column)?);
        demand::mean_below(column, access, spread, constants)
    };
    let window = match (lower, upper, known.as_slice()) {
        (true, true, [low, .., high]) => Window::Exact { lower: Some(*low), upper: Some(*high) },
        (true, false, [low, ..]) => Window::Exact { lower: Some(*low), upper: None },
        (false, true, [.., high]) => Window::Exact { lower: None, upper: Some(*high) },
        (true, false, []) => {
            let recent = subject
                .table
                .column(column)
                .is_some_and(|found| subject.follows_time(found, constants.follow_share));
            let prior = if recent { constants.recent_share } else { constants.half_open_share };
            let sampled = || Some(1.0 - seen(Sampled::RangeLower)?);
            Window::Newest(returned.or_else(sampled).unwrap_or(prior))
        }
        (false, true, []) => {
            let sampled = || seen(Sampled::RangeUpper);
            Window::Oldest(returned.or_else(sampled).unwrap_or(constants.half_open_share))
        }
        _ => {
            // Of differences the mean is the difference of the means.
            let sampled = || Some((seen(Sampled::RangeUpper)? - seen(Sampled::RangeLower)?).max(0.0));
            let sampled = || sampled().filter(|_| lower && upper && known.is_empty());
            Window::Closed(returned.or_else(sampled).unwrap_or(constants.window_share))
        }
    };
    let selectivity = share_of(&window, subject, column, constants.window_share);
    let by_order = ranges().any(|access| access.prunes(Strategy::Range));
    Narrowing::of_share(window, selectivity, by_order)
}

/// Share of the rows within a window.
fn share_of(window: &Window, subject: &Subject, column: &str, unknown: f64) -> f64 {
    match window {
        Window::Closed(share) | Window::Newest(share) | Window::Oldest(share) => *share,
        Window::Values { .. } | Window::Null => unknown,
        Window::Exact { lower, upper } => subject.spreads.get(column).map_or(unknown, |spread| {
            let below = |end: &Option<f64>, open: f64| end.map_or(open, |end| spread.below(end));
            (below(upper, 1.0) - below(lower, 0.0)).clamp(0.0, 1.0)
        }),
    }
}

/// What is supposed of a table where there is no workload at all: lookups by
/// primary key, and scans of a window of event time.
fn assumed(input: &ProposalInput, subject: &Subject) -> Vec<Use> {
    let constants = input.constants;
    let each = constants.lookups_per_second + constants.scans_per_second;
    let tables = input.profile.tables.len().max(1) as f64;
    let scale = input.settings.peak_qps.map_or(1.0, |peak| peak / (each * tables));
    let mut uses = Vec::new();
    let mut add = |rate: f64, columns: &[String], narrowing: Narrowing| {
        uses.push(Use {
            place: None,
            calls_per_second: rate * scale,
            weight: rate,
            rows_per_call: 1.0,
            joined: false,
            walks: None,
            narrowings: columns.iter().map(|column| (column.clone(), narrowing.clone())).collect(),
            reads: true,
            inserts: false,
            updates: false,
            deletes: false,
            updated: BTreeSet::new(),
            joins: Vec::new(),
            groups: Vec::new(),
        });
    };
    let primary = subject.table.constraints.iter().find(|found| found.kind == ConstraintKind::PrimaryKey);
    if let Some(primary) = primary {
        let one = Narrowing::of_value(1.0 / subject.size.rows.max(1.0), false);
        add(constants.lookups_per_second, &primary.columns, one);
    }
    if let Some(time) = subject.growth.and_then(|growth| growth.event_time.as_ref()) {
        let share = constants.window_share;
        let window = Narrowing::of_share(Window::Closed(share), share, true);
        add(constants.scans_per_second, std::slice::from_ref(&time.column), window);
    }
    uses
}
