//! Proposals made by hand: a key and bounds that someone names.
//!
//! Here they are checked and laid out, on one level or two; `bounds` reads
//! what is written. Nothing is weighed or bettered. Invariant: a proposal that
//! comes out is as legal and covers the key space as well as one of `propose`.

mod bounds;
mod number;
mod sub;

pub use crate::planning::proposal::register::number::inexact_number;

use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;

use crate::model::bound::Bound;
use crate::model::key::Strategy;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
use crate::model::name::branch_name;
use crate::model::name::default_shard_name;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::name::shard_name;
use crate::model::profile::Column;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::Confidence;
use crate::planning::proposal::Price;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::candidate::never_sharded;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::explain::bytes;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::option::rows_scanned_share;
use crate::planning::proposal::register::bounds::Level;
use crate::planning::proposal::register::bounds::Parts;
use crate::planning::proposal::register::bounds::limited;
use crate::planning::proposal::register::sub::Sub;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::subject::subjects;

/// `PARTITION_MAX_KEYS` of the server.
const COLUMNS_MAX: usize = 32;

/// Checks a key and bounds named by hand and lays them out.
///
/// `bounds` as in `register_proposal`: `{"modulus": n}` for hash,
/// `{"split_points": […]}` or `{"interval": "1 month", "from": …, "to": …}`
/// for range, `{"lists": [[…], …]}` for list; a form of range and `"modulus"`
/// for range_hash, whose key is the column of the ranges and that of the hash;
/// `{"lists": …, "sub": [{"of": 0, "shard_key": […], "modulus": n}, …]}` for
/// list_hash, where further columns of the key are those of a `sub` that
/// names none. `"default"` is true if absent. Times without an offset are UTC.
/// `input.only` is not looked at; sizes come from the profile and the growth,
/// and may be missing.
///
/// # Errors
/// [`ProposalError`] if the table or a column does not exist, the key does
/// not fit the strategy or the table's constraints, the bounds do not fit
/// the strategy, or there are more shards than the settings permit.
pub fn by_hand(
    input: &ProposalInput,
    relation: &QualifiedName,
    strategy: Strategy,
    shard_key: &[String],
    bounds: &Value,
) -> Result<RelationProposal, ProposalError> {
    let stems = stem::stems(input.profile);
    let only = ProposalInput { only: Some(relation.clone()), ..input.clone() };
    let subjects = subjects(&only, &stems, &|| false)?;
    let Some(subject) = subjects.first() else {
        return Err(ProposalError::undefined_table(relation, input.profile));
    };
    let hand = Hand { input, subject, strategy };
    if strategy == Strategy::None {
        hand.check_none(shard_key, bounds)?;
        return Ok(hand.proposal(None, Vec::new()));
    }
    if let Some(reason) = never_sharded(subject) {
        return Err(ProposalError::NotShardable { relation: relation.clone(), reason });
    }
    let layout = hand.layout(shard_key, bounds)?;
    let verdict = Rules::of(input).judge_layout(subject, &layout);
    if !verdict.obstacles.is_empty() {
        return Err(ProposalError::Illegal { relation: relation.clone(), obstacles: verdict.obstacles });
    }
    Ok(hand.proposal(Some(layout), verdict.warnings))
}

/// A proposal by hand under way.
struct Hand<'a> {
    input: &'a ProposalInput<'a>,
    subject: &'a Subject<'a>,
    strategy: Strategy,
}

impl<'a> Hand<'a> {
    fn layout(&self, shard_key: &[String], bounds: &Value) -> Result<Layout, ProposalError> {
        let forms: &[&str] = match self.strategy {
            Strategy::Hash => &["modulus"],
            Strategy::List => &["lists", "default"],
            Strategy::RangeHash => &["split_points", "interval", "from", "to", "default", "modulus"],
            Strategy::ListHash => &["lists", "sub", "default"],
            Strategy::Range | Strategy::None => &["split_points", "interval", "from", "to", "default"],
        };
        self.check_key(shard_key)?;
        let columns = |names: &[String], by| self.key_columns(names, by);
        let (level, subs): (_, &[String]) = match self.strategy {
            Strategy::RangeHash => (columns(&shard_key[..1], Strategy::Range)?, &shard_key[1..]),
            Strategy::ListHash => (columns(&shard_key[..1], Strategy::List)?, &shard_key[1..]),
            one => (columns(shard_key, one)?, &[]),
        };
        let level = self.level(level);
        let Some(object) = bounds.as_object() else { return Err(level.wrong("They are not a JSON object.")) };
        if let Some(other) = object.keys().find(|key| !forms.contains(&key.as_str())) {
            return Err(level.wrong(format!("{other:?} is not one of {}.", forms.join(", "))));
        }
        match self.strategy {
            Strategy::RangeHash => self.hashed_ranges(&level, shard_key, object),
            Strategy::ListHash => self.hashed_lists(&level, shard_key, subs, object),
            _ => self.one_level(&level, shard_key, object),
        }
    }

    fn level(&self, columns: Vec<&'a Column>) -> Level<'a> {
        Level { input: self.input, subject: self.subject, strategy: self.strategy, columns }
    }

    fn refuse_key(&self, reason: String) -> ProposalError {
        ProposalError::Key { relation: self.subject.name.clone(), strategy: self.strategy, reason }
    }

    /// A table that stays whole has no key and no bounds.
    fn check_none(&self, shard_key: &[String], bounds: &Value) -> Result<(), ProposalError> {
        if !shard_key.is_empty() {
            return Err(self.refuse_key("It has a column.".to_owned()));
        }
        if bounds.as_object().is_none_or(|bounds| !bounds.is_empty()) {
            return Err(self.level(Vec::new()).wrong("They are not an empty JSON object."));
        }
        Ok(())
    }

    /// How many columns the strategy takes, each once.
    fn check_key(&self, shard_key: &[String]) -> Result<(), ProposalError> {
        if shard_key.is_empty() {
            return Err(self.refuse_key("It has no column.".to_owned()));
        }
        if shard_key.len() > COLUMNS_MAX {
            return Err(self.refuse_key(format!("PostgreSQL takes at most {COLUMNS_MAX} columns.")));
        }
        if self.strategy == Strategy::List && shard_key.len() > 1 {
            return Err(self.refuse_key("PostgreSQL takes one column for list.".to_owned()));
        }
        if self.strategy == Strategy::RangeHash && shard_key.len() != 2 {
            return Err(self.refuse_key(
                "It is the column of the ranges, then the column that they are hashed by.".to_owned(),
            ));
        }
        let mut seen = BTreeSet::new();
        match shard_key.iter().find(|name| !seen.insert(*name)) {
            Some(twice) => Err(self.refuse_key(format!("Column {} appears twice.", quote_identifier(twice)))),
            None => Ok(()),
        }
    }

    /// Columns of the table, checked for what they are to divide by.
    fn key_columns(&self, names: &[String], by: Strategy) -> Result<Vec<&'a Column>, ProposalError> {
        names.iter().map(|name| self.key_column(name, by)).collect()
    }

    fn key_column(&self, name: &str, by: Strategy) -> Result<&'a Column, ProposalError> {
        let table = self.subject.table;
        let Some(column) = table.column(name) else {
            return Err(ProposalError::undefined_column(table, name.to_owned()));
        };
        let shown = quote_identifier(name);
        if column.generated {
            return Err(self.refuse_key(format!("Column {shown} is generated.")));
        }
        let (able, class) = match by {
            Strategy::Hash => (column.hashable, "hash"),
            _ => (column.orderable, "btree"),
        };
        if able {
            return Ok(column);
        }
        let type_text = &column.type_name.text;
        Err(self.refuse_key(format!(
            "Column {shown} has type {type_text}, which has no default {class} operator class."
        )))
    }

    fn one_level(
        &self,
        level: &Level<'_>,
        shard_key: &[String],
        object: &Map<String, Value>,
    ) -> Result<Layout, ProposalError> {
        let parts = match self.strategy {
            Strategy::Hash => level.by_hash(level.modulus(object)?, self.subject.size.rows),
            Strategy::List => level.by_lists(object)?,
            _ => level.by_ranges(object)?,
        };
        let mut names = Names::new(self.subject.stem);
        let shards = parts.into_iter().map(|part| self.shard(names.shard(&part.0), part, None)).collect();
        Ok(Layout::new(self.strategy, shard_key.to_vec(), level.kinds(), shards)?)
    }

    /// Every range is divided by the second column; what lies outside them
    /// all is not expected, and not worth dividing.
    fn hashed_ranges(
        &self,
        level: &Level<'_>,
        shard_key: &[String],
        object: &Map<String, Value>,
    ) -> Result<Layout, ProposalError> {
        let modulus = level.modulus(object)?;
        let columns = self.key_columns(&shard_key[1..], Strategy::Hash)?;
        let sub = Sub { names: shard_key[1..].to_vec(), columns, modulus };
        let parts = level.by_ranges(object)?;
        let divided: Vec<Option<&Sub<'_>>> =
            parts.iter().map(|part| (part.0 != Bound::Default).then_some(&sub)).collect();
        let kinds = level.kinds().into_iter().chain(self.level(sub.columns.clone()).kinds()).collect();
        let (branches, shards) = self.divided(parts, &divided)?;
        Ok(Layout::two_level(self.strategy, shard_key.to_vec(), kinds, branches, shards)?)
    }

    fn hashed_lists(
        &self,
        level: &Level<'_>,
        shard_key: &[String],
        further: &[String],
        object: &Map<String, Value>,
    ) -> Result<Layout, ProposalError> {
        let parts = level.by_lists(object)?;
        let lists = parts.iter().filter(|part| part.0 != Bound::Default).count();
        let subs = sub::read(level, object, lists, further, |name| self.key_column(name, Strategy::Hash))?;
        let used: BTreeSet<&String> = subs.values().flat_map(|sub| &sub.names).collect();
        if let Some(unused) = further.iter().find(|name| !used.contains(name)) {
            let shown = quote_identifier(unused);
            return Err(self.refuse_key(format!("Column {shown} divides no list and not the DEFAULT.")));
        }
        let divided: Vec<Option<&Sub<'_>>> = (0..parts.len()).map(|at| subs.get(&at)).collect();
        let (branches, shards) = self.divided(parts, &divided)?;
        Ok(Layout::two_level(self.strategy, shard_key[..1].to_vec(), level.kinds(), branches, shards)?)
    }

    /// Branches of what is divided, and the shards of all.
    fn divided(
        &self,
        parts: Parts,
        divided: &[Option<&Sub<'a>>],
    ) -> Result<(Vec<Branch>, Vec<Shard>), ProposalError> {
        let moduli = divided.iter().map(|sub| sub.map_or(1, |sub| sub.modulus as usize));
        limited(self.input, moduli.sum())?;
        let mut names = Names::new(self.subject.stem);
        let (mut branches, mut shards) = (Vec::new(), Vec::new());
        for (part, sub) in parts.into_iter().zip(divided) {
            let Some(sub) = sub else {
                shards.push(self.shard(names.shard(&part.0), part, None));
                continue;
            };
            let hashed = self.level(sub.columns.clone());
            for leaf in hashed.by_hash(sub.modulus, part.1) {
                shards.push(self.shard(names.shard(&leaf.0), leaf, Some(branches.len())));
            }
            branches.push(Branch {
                name: names.branch(&part.0),
                bound: part.0,
                shard_key: sub.names.clone(),
                key_types: hashed.kinds(),
            });
        }
        Ok((branches, shards))
    }

    fn shard(&self, name: String, (bound, rows): (Bound, f64), of: Option<usize>) -> Shard {
        let bytes = (rows * self.subject.size.bytes_per_row()).round();
        Shard { name, bound, rows: rows.round(), bytes, tablespace: None, future: false, of }
    }

    fn proposal(&self, layout: Option<Layout>, warnings: Vec<String>) -> RelationProposal {
        let subject = self.subject;
        let whole = Division::whole(subject.size.rows);
        let cost = Cost::of(self.input, subject, &whole);
        let key = layout.as_ref().map_or_else(Vec::new, |layout| layout.shard_key().to_vec());
        let shard_count = layout.as_ref().map_or(1, |layout| layout.shards().len());
        let skew = layout.as_ref().map_or(0.0, skew);
        let reason = match &layout {
            Some(layout) => format!(
                "Made by hand: {} by {}, {shard_count} shards; {} at the horizon.",
                self.strategy.word(),
                quote_identifiers(&layout.key_columns()),
                bytes(subject.size.bytes)
            ),
            None => "Made by hand: the table stays whole.".to_owned(),
        };
        let chosen = CandidateSummary {
            rank: 1,
            strategy: self.strategy,
            shard_key: key,
            shard_count,
            // What is made by hand is not weighed.
            cost: cost.total(),
            cost_share: 1.0,
            legal: true,
            reason: reason.clone(),
            generators: Vec::new(),
            price: Price::default(),
            terms: if layout.is_some() { Vec::new() } else { cost.terms() },
            layout: layout.clone(),
            rows_scanned_share: 1.0,
            skew,
            warnings: warnings.clone(),
        };
        let stays = CandidateSummary {
            rank: 2,
            strategy: Strategy::None,
            shard_key: Vec::new(),
            shard_count: 1,
            reason: "The whole table, as it is.".to_owned(),
            price: Price::default(),
            terms: cost.terms(),
            layout: None,
            skew: 0.0,
            warnings: Vec::new(),
            ..chosen.clone()
        };
        let candidates = if layout.is_some() { vec![chosen, stays] } else { vec![chosen] };
        RelationProposal {
            relation: subject.name.clone(),
            strategy: self.strategy,
            layout,
            colocation_group: None,
            rows_scanned_share: rows_scanned_share(subject, &whole),
            skew,
            bytes_at_horizon: subject.size.bytes,
            confidence: Confidence::Low,
            reason,
            warnings,
            candidates,
            evidence: Vec::new(),
        }
    }
}

/// Names are numbered in the order of the shards.
struct Names<'a> {
    stem: &'a str,
    shards: usize,
    branches: usize,
}

impl<'a> Names<'a> {
    const fn new(stem: &'a str) -> Self {
        Self { stem, shards: 0, branches: 0 }
    }

    fn shard(&mut self, bound: &Bound) -> String {
        if *bound == Bound::Default {
            return default_shard_name(self.stem);
        }
        self.shards += 1;
        shard_name(self.stem, self.shards)
    }

    fn branch(&mut self, bound: &Bound) -> String {
        if *bound == Bound::Default {
            return default_shard_name(self.stem);
        }
        self.branches += 1;
        branch_name(self.stem, self.branches)
    }
}

/// Largest over mean of non-default, non-empty shards, less 1.
fn skew(layout: &Layout) -> f64 {
    let shards = layout.shards().iter().filter(|shard| shard.bound != Bound::Default && shard.rows > 0.0);
    let rows: Vec<f64> = shards.map(|shard| shard.rows).collect();
    let mean = rows.iter().sum::<f64>() / rows.len().max(1) as f64;
    if mean > 0.0 { rows.iter().copied().fold(0.0, f64::max) / mean - 1.0 } else { 0.0 }
}
