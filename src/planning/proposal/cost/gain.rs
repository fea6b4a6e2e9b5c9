//! What two tables gain that are divided alike: joined shard by shard, each
//! hash table holds one shard's part.
//!
//! Not here: which tables are aligned (`colocation`). Invariant: a gain is not
//! negative, the same from either side, and zero for layouts that PostgreSQL
//! would not join shard by shard.

use crate::model::name::QualifiedName;
use crate::model::profile::ConstraintKind;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::cost::join::Side;
use crate::planning::proposal::cost::join::excess;
use crate::planning::proposal::cost::join::hashes;
use crate::planning::proposal::cost::join::spilled_ms;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::traffic::Use;

/// Milliseconds per second that two tables are credited with if they are so
/// divided: what hash tables of single shards save where
/// `enable_partitionwise_join` is on, `colocation_share` of it where it is
/// off; and `colocation_gain`, so that of layouts as good as each other the
/// aligned one is taken.
pub fn join_gain(
    input: &ProposalInput,
    a: &Subject,
    division_a: &Division,
    b: &Subject,
    division_b: &Division,
) -> f64 {
    if !aligned(a, division_a, b, division_b) {
        return 0.0;
    }
    let joined = Joined::of(input, (a, division_a), (b, division_b));
    let key = references(a, division_a, b, division_b) || references(b, division_b, a, division_a);
    if joined.statements == 0 && !key {
        return 0.0;
    }
    let counted = if input.server.partitionwise_join { 1.0 } else { input.constants.colocation_share };
    input.constants.colocation_gain + counted * joined.saved
}

/// Milliseconds per second that would be saved if two aligned tables were
/// joined shard by shard, whether the server does it or not.
pub fn join_gain_possible(
    input: &ProposalInput,
    a: &Subject,
    division_a: &Division,
    b: &Subject,
    division_b: &Division,
) -> f64 {
    if aligned(a, division_a, b, division_b) {
        Joined::of(input, (a, division_a), (b, division_b)).saved
    } else {
        0.0
    }
}

/// The statements that join two aligned tables by their keys.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Joined {
    statements: usize,
    /// By hashing them shard by shard, milliseconds per second.
    saved: f64,
}

impl Joined {
    fn of(input: &ProposalInput, a: (&Subject, &Division), b: (&Subject, &Division)) -> Self {
        let mut found = Self::default();
        let pruning = Pruning::of(a.1);
        for one in a.0.traffic.uses.iter().filter(|one| one.reads && one.place.is_some()) {
            if !joined_by_keys(one, &a.1.key.columns(), &b.0.name, &b.1.key.columns()) {
                continue;
            }
            let other = b.0.traffic.uses.iter().find(|other| {
                other.place.map(|place| place.0) == one.place.map(|place| place.0) && other.place != one.place
            });
            let Some(other) = other else { continue };
            found.statements += 1;
            if !hashes(one) || !hashes(other) {
                continue;
            }
            let (left, right) = (Side::of(a.0, one), Side::of(b.0, other));
            let hashed = left.bytes.min(right.bytes);
            let spilled =
                |parts| spilled_ms(input, (left.bytes + right.bytes) * excess(input, hashed, parts));
            let whole = spilled(1.0);
            // As many hash tables as shards with rows: unequal ones count as fewer.
            let parts = pruning.touch(one).share / a.1.concentration();
            found.saved += one.calls_per_second * (whole - spilled(parts)).max(0.0);
        }
        found
    }
}

/// Whether a use joins every column of one key with its counterpart.
fn joined_by_keys(one: &Use, key: &[String], other: &QualifiedName, other_key: &[String]) -> bool {
    !key.is_empty()
        && key.len() == other_key.len()
        && key.iter().zip(other_key).all(|(mine, theirs)| {
            one.joins.iter().any(|join| join.0 == *mine && join.1 == *other && join.2 == *theirs)
        })
}

/// Whether a foreign key leads from one table's key to the other's.
fn references(a: &Subject, division_a: &Division, b: &Subject, division_b: &Division) -> bool {
    let (key, other_key) = (division_a.key.columns(), division_b.key.columns());
    a.table.constraints.iter().any(|constraint| {
        let Some(target) = &constraint.references else { return false };
        constraint.kind == ConstraintKind::ForeignKey
            && target.name() == b.name
            && key.len() == other_key.len()
            && key.iter().zip(&other_key).all(|(mine, theirs)| {
                let mut pairs = constraint.columns.iter().zip(&target.columns);
                pairs.any(|(column, referenced)| column == mine && referenced == theirs)
            })
    })
}

/// Whether PostgreSQL could join two tables, so divided, shard by shard on
/// their keys: the same strategy, types and collations, the same bounds.
fn aligned(a: &Subject, division_a: &Division, b: &Subject, division_b: &Division) -> bool {
    let (key, other_key) = (division_a.key.columns(), division_b.key.columns());
    let same_type = |(mine, theirs): (&String, &String)| {
        let (Some(mine), Some(theirs)) = (a.table.column(mine), b.table.column(theirs)) else { return false };
        mine.type_name.schema == theirs.type_name.schema
            && mine.type_name.name == theirs.type_name.name
            && mine.type_name.array == theirs.type_name.array
            && mine.collation == theirs.collation
    };
    key.len() == other_key.len()
        && !key.is_empty()
        && key.iter().zip(&other_key).all(same_type)
        && division_a.key.first.len() == division_b.key.first.len()
        && division_a.same_bounds(division_b)
}
