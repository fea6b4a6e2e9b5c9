//! What a division costs: named terms, each in milliseconds of server time
//! per second of workload.
//!
//! Numbers come from `CostConstants` alone. Not here: which division is
//! chosen. Invariant: every term is finite and not negative.

mod aggregate;
#[cfg_attr(not(test), expect(dead_code, reason = "for the search over several tables"))]
mod gain;
mod join;
mod parallel;
mod retention;
mod worsening;

pub use crate::planning::proposal::cost::gain::join_gain;
#[cfg_attr(not(test), expect(unused_imports, reason = "for the search over several tables"))]
pub use crate::planning::proposal::cost::gain::join_gain_possible;
pub use crate::planning::proposal::cost::worsening::worsened;

use crate::model::profile::Index;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::CostTerm;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::legality::index_growth;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::touch::Touch;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

/// The unit of every term.
pub const UNIT: &str = "ms/s";

/// The terms of one division.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Planning of statements, by the shards that are not pruned.
    pub planning: f64,
    /// Locking and opening the shards that are executed.
    pub opening: f64,
    /// Reading pages.
    pub pages: f64,
    /// Evaluating rows and descending indexes.
    pub cpu: f64,
    /// Hashing rows for joins, and what of them goes to disk and back.
    pub join: f64,
    /// Groups of aggregates that memory does not hold.
    pub aggregate: f64,
    /// Finding the shards of inserted rows.
    pub routing: f64,
    /// Moving rows whose key is updated.
    pub row_movement: f64,
    /// Reading index pages that inserted rows need and memory no longer has.
    pub write_locality: f64,
    /// Taking away rows that a policy does not keep.
    pub retention: f64,
    /// Keeping the unique indexes that grow by the shard key.
    pub widening: f64,
    /// Cleanups, by the size of their units, and the shards' own upkeep.
    pub upkeep: f64,
    /// What the largest shard makes worse than the mean.
    pub skew: f64,
}

impl Cost {
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, value)| value).sum()
    }

    const fn named(&self) -> [(&'static str, f64); 13] {
        [
            ("planning", self.planning),
            ("opening", self.opening),
            ("pages", self.pages),
            ("cpu", self.cpu),
            ("join", self.join),
            ("aggregate", self.aggregate),
            ("routing", self.routing),
            ("row_movement", self.row_movement),
            ("write_locality", self.write_locality),
            ("retention", self.retention),
            ("widening", self.widening),
            ("upkeep", self.upkeep),
            ("skew", self.skew),
        ]
    }

    pub fn terms(&self) -> Vec<CostTerm> {
        // An empty sum is minus zero, which JSON of PostgreSQL does not keep.
        let term = |(name, value): (&str, f64)| CostTerm {
            name: name.to_owned(),
            value: value + 0.0,
            unit: UNIT.to_owned(),
        };
        self.named().into_iter().map(term).collect()
    }

    /// The cost of a division of a table.
    pub fn of(input: &ProposalInput, subject: &Subject, division: &Division) -> Self {
        let mut cost = Self::default();
        let pruning = Pruning::of(division);
        for one in subject.traffic.uses.iter().filter(|one| one.reads) {
            let each = Execution::of(input, subject, &pruning, one);
            cost.planning += one.calls_per_second * each.planning;
            cost.opening += one.calls_per_second * each.opening;
            cost.pages += one.calls_per_second * each.access.pages;
            cost.cpu += one.calls_per_second * each.access.cpu;
        }
        cost.join = join::joins(input, subject);
        cost.aggregate = aggregate::aggregates(input, subject, division);
        cost.retention = retention::retention(input, subject, division);
        cost.add_writes(input, subject, division);
        cost.widening = widening(input, subject, division);
        cost.upkeep = upkeep(input, subject, division);
        let stretched = cost.pages + cost.cpu + cost.write_locality + cost.upkeep;
        cost.skew = input.constants.skew_weight * division.skew() * stretched;
        cost
    }

    fn add_writes(&mut self, input: &ProposalInput, subject: &Subject, division: &Division) {
        let constants = input.constants;
        self.write_locality = write_locality(input, subject, division);
        if matches!(division.cells, Cells::Whole) {
            return;
        }
        self.routing = subject.inserted_per_second * constants.route_ms;
        let elsewhere = 1.0 - division.concentration();
        let moving = subject
            .traffic
            .uses
            .iter()
            .filter(|one| one.updated.iter().any(|column| division.key.contains(column)));
        for one in moving {
            let rows = one.calls_per_second * one.rows_per_call.max(1.0);
            self.row_movement += rows * elsewhere * constants.move_ms;
        }
    }
}

/// What the server would save by aggregating shard by shard, if it does not.
pub fn gain_forgone(input: &ProposalInput, subject: &Subject, division: &Division) -> Option<String> {
    if input.server.partitionwise_aggregate {
        return None;
    }
    let saved = aggregate::aggregate_gain_possible(input, subject, division);
    (saved >= input.constants.gain_named_ms).then(|| {
        format!(
            "Aggregates by the shard key would save {saved:.1} {UNIT} with enable_partitionwise_aggregate = on, \
             which is not counted."
        )
    })
}

/// Milliseconds of one execution, without planning and opening.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessCost {
    pub pages: f64,
    pub cpu: f64,
}

impl AccessCost {
    pub fn total(&self) -> f64 {
        self.pages + self.cpu
    }
}

/// Milliseconds of one execution of a statement that reads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Execution {
    planning: f64,
    opening: f64,
    access: AccessCost,
}

impl Execution {
    fn of(input: &ProposalInput, subject: &Subject, pruning: &Pruning, one: &Use) -> Self {
        let touch = pruning.touch(one);
        Self {
            planning: input.constants.planning_ms(touch.planned, one.joined),
            opening: input.constants.open_ms * touch.opened,
            access: cheapest_access(input, subject, pruning.division, one, touch),
        }
    }

    fn total(&self) -> f64 {
        self.planning + self.opening + self.access.total()
    }
}

/// The cheaper of a scan of the shards touched and of every index that a
/// predicate or an order can use, as the planner would choose.
pub fn cheapest_access(
    input: &ProposalInput,
    subject: &Subject,
    division: &Division,
    one: &Use,
    touch: Touch,
) -> AccessCost {
    let mut best = parallel::sped_up(input, subject, touch, scan(input, subject, touch.share));
    for index in subject.table.indexes.iter().filter(|index| !index.partial) {
        let by_index = by_index(input, subject, division, one, touch, index);
        if let Some(found) = by_index
            && found.total() < best.total()
        {
            best = found;
        }
    }
    best
}

/// A scan of a share of the rows.
pub fn scan(input: &ProposalInput, subject: &Subject, share: f64) -> AccessCost {
    let constants = input.constants;
    let bytes = subject.size.bytes * subject.size.heap_share * share;
    let per_page = constants.page_cached_ms + constants.page_read_ms * miss(input.cache_bytes, bytes);
    AccessCost {
        pages: bytes / constants.page_bytes * per_page,
        cpu: subject.size.rows * share * constants.row_ms,
    }
}

/// Share of pages that memory does not have.
fn miss(cache_bytes: f64, bytes: f64) -> f64 {
    if bytes > cache_bytes { 1.0 - cache_bytes / bytes } else { 0.0 }
}

fn by_index(
    input: &ProposalInput,
    subject: &Subject,
    division: &Division,
    one: &Use,
    touch: Touch,
    index: &Index,
) -> Option<AccessCost> {
    let constants = input.constants;
    let leading = index.columns.first()?.as_deref()?;
    let correlation = subject.statistics(leading).and_then(|found| found.correlation).unwrap_or(0.0);
    let ordered = match index.method.as_str() {
        "btree" => correlation * correlation,
        "hash" => 0.0,
        // Block ranges say nothing about rows out of order.
        "brin" if correlation.abs() >= constants.ordered_correlation => 1.0,
        _ => return None,
    };
    let (rows, descents, hot_share) = match walked(input, subject, division, one, touch, index) {
        Some(found) => found,
        None => narrowed(subject, division, one, touch, index)?,
    };
    let heap_bytes = subject.size.bytes * subject.size.heap_share;
    let missed = miss(input.cache_bytes, heap_bytes * hot_share.clamp(0.0, 1.0));
    let in_sequence = rows * heap_bytes / subject.size.rows.max(1.0) / constants.page_bytes;
    let sequential = in_sequence * (constants.page_cached_ms + missed * constants.page_read_ms);
    let scattered = rows * (constants.page_cached_ms + missed * constants.page_random_ms);
    Some(AccessCost {
        pages: ordered * sequential + (1.0 - ordered) * scattered,
        cpu: descents * constants.descent_ms + rows * constants.row_ms,
    })
}

/// The same where an index hands out the rows in the order asked for, so that a
/// limit ends it: what stands before that column holds one value each. `None`
/// if this index does not.
fn walked(
    input: &ProposalInput,
    subject: &Subject,
    division: &Division,
    one: &Use,
    touch: Touch,
    index: &Index,
) -> Option<(f64, f64, f64)> {
    let order = one.walks.as_deref().filter(|_| index.method == "btree")?;
    let before = index.columns.iter().position(|column| column.as_deref() == Some(order))?;
    let (mut prefix, mut dropped) = (1.0, 1.0);
    for column in index.columns[..before].iter().flatten() {
        match one.narrowings.get(column).map(|found| (&found.window, found.selectivity)) {
            Some((Window::Values { count, .. }, selectivity)) if *count <= 1.0 => prefix *= selectivity,
            _ => return None,
        }
    }
    let known = |name: &String| index.columns[..=before].iter().flatten().any(|column| column == name);
    for (_, narrowing) in one.narrowings.iter().filter(|(name, _)| !known(name)) {
        dropped *= narrowing.selectivity;
    }
    let total = subject.size.rows.max(1.0);
    let there = total * prefix * one.narrowings.get(order).map_or(1.0, |found| found.selectivity);
    let limit = if one.rows_per_call > 0.0 { one.rows_per_call } else { input.constants.limit_rows };
    let rows = there.min(limit / dropped.max(f64::MIN_POSITIVE));
    // Ranges of the ordering column are read one after the other, until there are enough.
    let in_order = division.is_range() && division.key.leading() == order;
    let needed = (rows * touch.opened / there.max(1.0)).ceil().clamp(1.0, touch.opened.max(1.0));
    let descents = if in_order { needed } else { touch.opened };
    Some((rows, descents, (rows / prefix.max(f64::MIN_POSITIVE) / total).min(1.0)))
}

/// Rows that an index finds, descents, and the share of the heap that such
/// look-ups keep asking for; `None` if no predicate is on its leading column.
fn narrowed(
    subject: &Subject,
    division: &Division,
    one: &Use,
    touch: Touch,
    index: &Index,
) -> Option<(f64, f64, f64)> {
    let mut selectivity = 1.0;
    let mut values = 1.0;
    let mut used = 0;
    let mut holds_key = false;
    let mut hot_share: f64 = 1.0;
    for column in &index.columns {
        let Some(narrowing) = column.as_ref().and_then(|column| one.narrowings.get(column)) else { break };
        used += 1;
        selectivity *= narrowing.selectivity;
        holds_key |= column.as_ref().is_some_and(|column| division.key.contains(column));
        match &narrowing.window {
            Window::Values { count, .. } => values *= count,
            Window::Newest(share) => {
                hot_share = hot_share.min(*share);
                break;
            }
            _ => break,
        }
    }
    let equalities = index.columns.iter().flatten().filter_map(|column| one.narrowings.get(column));
    let bound = equalities.filter(|found| matches!(found.window, Window::Values { .. })).count();
    if used == 0 || (index.method == "hash" && bound == 0) {
        return None;
    }
    let mut rows = subject.size.rows * selectivity;
    if !holds_key {
        rows *= touch.share;
    }
    if index.unique && bound == index.columns.len() {
        rows = rows.min(values);
    }
    Some((rows, touch.opened * values, hot_share))
}

/// Random reads of index pages per second of insertion: an index whose
/// entries do not arrive in order needs the pages of all shards being written.
fn write_locality(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let constants = input.constants;
    let indexes = &subject.table.indexes;
    if indexes.is_empty() {
        return 0.0;
    }
    let scattered = indexes.iter().filter(|index| {
        let leading = index.columns.first().and_then(Option::as_deref);
        let statistics = leading.and_then(|column| subject.statistics(column));
        let correlation = statistics.and_then(|found| found.correlation).unwrap_or(0.0);
        let in_order = correlation.abs() >= constants.ordered_correlation
            || leading.is_some_and(|column| subject.is_event_time(column));
        !in_order
    });
    let scattered = scattered.count() as f64;
    let each = subject.size.bytes * (1.0 - subject.size.heap_share) / indexes.len() as f64;
    let written = if division.follows() { division.concentration() } else { 1.0 };
    let cache = input.cache_bytes * constants.index_cache_share;
    let missed = miss(cache, each * scattered * written);
    subject.inserted_per_second * scattered * missed * constants.page_random_ms
}

/// Writing and cleaning the bytes by which unique indexes grow if they take
/// the shard key in: also where the policy forbids it, as its price.
fn widening(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let key = division.key.columns();
    if key.is_empty() || input.settings.unique_policy == UniquePolicy::PerShard {
        return 0.0;
    }
    let constants = input.constants;
    let each = index_growth(subject.table, &key);
    let standing = match changes(subject, constants.rewritten_share) {
        Changes::None => 0.0,
        _ => subject.size.rows * each / constants.upkeep_seconds,
    };
    (standing + subject.inserted_per_second * each) * constants.upkeep_ms_per_byte
}

/// Cleanups of the units that are written. A unit larger than the knee is
/// gone through more than once.
fn upkeep(input: &ProposalInput, subject: &Subject, division: &Division) -> f64 {
    let constants = input.constants;
    let shards = match division.cells {
        Cells::Whole => 0.0,
        _ => division.shard_count() as f64,
    };
    let standing = shards * constants.shard_upkeep_ms;
    let changes = changes(subject, constants.rewritten_share);
    if changes == Changes::None {
        return standing;
    }
    let unit = |share: f64| {
        let bytes = subject.size.bytes * share;
        bytes * (1.0 + bytes / constants.upkeep_bytes_knee)
    };
    let newest_only = changes == Changes::Inserts && division.follows();
    let bytes: f64 = if newest_only {
        unit(division.concentration())
    } else {
        let rows = division.rows.iter().chain([&division.default_rows]);
        rows.map(|rows| unit(division.share(*rows))).sum()
    };
    standing + bytes * constants.upkeep_ms_per_byte / constants.upkeep_seconds
}

/// What happens to the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    None,
    /// Rows are added, and stay as they are.
    Inserts,
    All,
}

fn changes(subject: &Subject, rewritten_share: f64) -> Changes {
    let counters = &subject.table.counters;
    let uses = &subject.traffic.uses;
    let rewritten = uses.iter().any(|one| one.updates || one.deletes)
        || counters.updated + counters.deleted > counters.inserted * rewritten_share;
    if rewritten {
        Changes::All
    } else if subject.inserted_per_second > 0.0 || counters.inserted > 0.0 {
        Changes::Inserts
    } else {
        Changes::None
    }
}
