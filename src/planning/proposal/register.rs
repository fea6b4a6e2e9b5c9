//! Proposals made by hand: a key and bounds that someone names.
//!
//! Here they are read and checked; nothing is weighed or bettered. Not here:
//! two levels. Invariant: a proposal that comes out is as legal and covers
//! the key space as well as one of `propose`.

use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::bound::RangePoint;
use crate::model::bound::compare_points;
use crate::model::bound::write_point;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::layout::Shard;
use crate::model::name::QualifiedName;
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
use crate::planning::proposal::calendar::Interval;
use crate::planning::proposal::candidate::never_sharded;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::explain::bytes;
use crate::planning::proposal::hash;
use crate::planning::proposal::legality::Rules;
use crate::planning::proposal::option::rows_scanned_share;
use crate::planning::proposal::range;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::subject::subjects;

/// Checks a key and bounds named by hand and lays them out.
///
/// `bounds` as in `register_proposal`: `{"modulus": n}` for hash,
/// `{"split_points": […]}` or `{"interval": "1 month", "from": …, "to": …}`
/// for range, `{"lists": [[…], …]}` for list. `"default"` is true if absent,
/// except with split points, which leave nothing outside. Times without an
/// offset are UTC. `input.only` is not looked at; sizes come from the profile
/// and the growth, and may be missing.
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
    if matches!(strategy, Strategy::RangeHash | Strategy::ListHash) {
        return Err(ProposalError::Strategy(strategy));
    }
    let stems = stem::stems(input.profile);
    let only = ProposalInput { only: Some(relation.clone()), ..input.clone() };
    let subjects = subjects(&only, &stems);
    let Some(subject) = subjects.first() else {
        return Err(ProposalError::undefined_table(relation, input.profile));
    };
    let hand = Hand { input, subject, strategy, columns: Vec::new() };
    if strategy == Strategy::None {
        return Ok(hand.proposal(None, Vec::new()));
    }
    if let Some(reason) = never_sharded(subject) {
        return Err(ProposalError::NotShardable { relation: relation.clone(), reason });
    }
    let hand = Hand { columns: key_columns(subject, strategy, shard_key)?, ..hand };
    let verdict = Rules::of(input).judge(subject, shard_key, strategy);
    if !verdict.obstacles.is_empty() {
        return Err(ProposalError::Illegal { relation: relation.clone(), obstacles: verdict.obstacles });
    }
    let shards = hand.shards(bounds)?;
    let layout = Layout::new(strategy, shard_key.to_vec(), hand.kinds(), shards)?;
    Ok(hand.proposal(Some(layout), verdict.warnings))
}

/// The columns of the key, checked against the strategy.
fn key_columns<'a>(
    subject: &Subject<'a>,
    strategy: Strategy,
    shard_key: &[String],
) -> Result<Vec<&'a Column>, ProposalError> {
    let refuse = |reason: String| ProposalError::Key { relation: subject.name.clone(), strategy, reason };
    if shard_key.is_empty() {
        return Err(refuse("It has no column.".to_owned()));
    }
    if strategy == Strategy::List && shard_key.len() > 1 {
        return Err(refuse("PostgreSQL takes one column for list.".to_owned()));
    }
    let mut seen = BTreeSet::new();
    let mut columns = Vec::new();
    for name in shard_key {
        let Some(column) = subject.table.column(name) else {
            return Err(ProposalError::UndefinedColumn {
                relation: subject.name.clone(),
                column: name.clone(),
                columns: subject.table.columns.iter().map(|column| column.name.clone()).collect(),
            });
        };
        let shown = quote_identifier(name);
        if !seen.insert(name) {
            return Err(refuse(format!("Column {shown} appears twice.")));
        }
        if column.generated {
            return Err(refuse(format!("Column {shown} is generated.")));
        }
        let (able, class) = match strategy {
            Strategy::Hash => (column.hashable, "hash"),
            _ => (column.orderable, "btree"),
        };
        if !able {
            let type_text = &column.type_name.text;
            return Err(refuse(format!(
                "Column {shown} has type {type_text}, which has no default {class} operator class."
            )));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// A proposal by hand under way.
struct Hand<'a> {
    input: &'a ProposalInput<'a>,
    subject: &'a Subject<'a>,
    strategy: Strategy,
    columns: Vec<&'a Column>,
}

impl Hand<'_> {
    fn kinds(&self) -> Vec<KeyType> {
        self.columns.iter().map(|column| column.type_name.key_type()).collect()
    }

    fn wrong(&self, reason: impl Into<String>) -> ProposalError {
        ProposalError::Bounds { strategy: self.strategy, reason: reason.into() }
    }

    fn limited(&self, count: usize) -> Result<usize, ProposalError> {
        let limit = self.input.settings.shards_per_table_max;
        if count > limit { Err(ProposalError::TooMany { count, limit }) } else { Ok(count) }
    }

    fn shards(&self, bounds: &Value) -> Result<Vec<Shard>, ProposalError> {
        let Some(object) = bounds.as_object() else { return Err(self.wrong("They are not a JSON object.")) };
        let forms: &[&str] = match self.strategy {
            Strategy::Hash => &["modulus"],
            Strategy::List => &["lists", "default"],
            _ => &["split_points", "interval", "from", "to", "default"],
        };
        if let Some(other) = object.keys().find(|key| !forms.contains(&key.as_str())) {
            return Err(self.wrong(format!("\"{other}\" is not one of {}.", forms.join(", "))));
        }
        let default = match object.get("default") {
            None => None,
            Some(Value::Bool(default)) => Some(*default),
            Some(_) => return Err(self.wrong("\"default\" is not true or false.")),
        };
        match self.strategy {
            Strategy::Hash => self.by_modulus(object),
            Strategy::List => self.by_lists(object, default.unwrap_or(true)),
            _ if object.contains_key("split_points") => {
                self.by_split_points(object, default.unwrap_or(false))
            }
            _ => self.by_interval(object, default.unwrap_or(true)),
        }
    }

    fn by_modulus(&self, object: &Map<String, Value>) -> Result<Vec<Shard>, ProposalError> {
        let found = object.get("modulus").and_then(Value::as_u64).and_then(|found| u32::try_from(found).ok());
        let Some(modulus) = found.filter(|modulus| *modulus > 0) else {
            return Err(self.wrong("\"modulus\" is not a positive whole number."));
        };
        self.limited(modulus as usize)?;
        let rows = match self.columns.as_slice() {
            [column] => hash::divide(self.input, self.subject, &[column], modulus).rows,
            _ => vec![self.subject.size.rows / f64::from(modulus); modulus as usize],
        };
        let bounds = (0..modulus).map(|remainder| Bound::Hash { modulus, remainder });
        Ok(self.named(bounds.zip(rows).collect()))
    }

    fn by_split_points(
        &self,
        object: &Map<String, Value>,
        default: bool,
    ) -> Result<Vec<Shard>, ProposalError> {
        if let Some(other) = ["interval", "from", "to"].into_iter().find(|key| object.contains_key(*key)) {
            return Err(self.wrong(format!("\"split_points\" and \"{other}\" exclude each other.")));
        }
        let Some(Value::Array(values)) = object.get("split_points") else {
            return Err(self.wrong("\"split_points\" is not an array."));
        };
        let mut points = vec![vec![RangeDatum::MinValue; self.columns.len()]];
        for value in values {
            points.push(self.point(value)?);
        }
        points.push(vec![RangeDatum::MaxValue; self.columns.len()]);
        self.between(points, default)
    }

    fn by_interval(&self, object: &Map<String, Value>, default: bool) -> Result<Vec<Shard>, ProposalError> {
        let text = |key: &str| match object.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.wrong(format!("\"{key}\" is not a string."))),
            None => Err(self.wrong(format!("\"{key}\" is missing."))),
        };
        let written = text("interval")?;
        let interval = Interval::parse(&written).ok_or(ProposalError::Interval(written))?;
        let [column] = self.columns.as_slice() else {
            return Err(self.wrong("An interval needs a shard key of one column."));
        };
        let kind = column.type_name.key_type();
        if !kind.is_time() {
            return Err(self.wrong(format!(
                "Column {} has type {}, which is not a time.",
                quote_identifier(&column.name),
                column.type_name.text
            )));
        }
        let (from, to) = (self.moment(column, &text("from")?)?, self.moment(column, &text("to")?)?);
        if from >= to {
            return Err(self.wrong("\"from\" is not before \"to\"."));
        }
        let mut points = Vec::new();
        for number in 0.. {
            let at = interval.after(from, number);
            let written = at.and_then(|at| kind.write_moment(at));
            let (Some(at), Some(written)) = (at, written) else {
                return Err(self.wrong("An interval ends outside the calendar."));
            };
            points.push(vec![RangeDatum::Value(written)]);
            if at >= to {
                break;
            }
            self.limited(points.len())?;
        }
        self.between(points, default)
    }

    /// Ranges between consecutive points.
    fn between(&self, points: Vec<RangePoint>, default: bool) -> Result<Vec<Shard>, ProposalError> {
        self.limited(points.len() - 1 + usize::from(default))?;
        let kinds = self.kinds();
        let mut shards = Vec::new();
        for pair in points.windows(2) {
            if compare_points(&pair[0], &pair[1], &kinds).is_some_and(std::cmp::Ordering::is_ge) {
                return Err(LayoutError::NotAscending {
                    first: write_point(&pair[0]),
                    second: write_point(&pair[1]),
                }
                .into());
            }
            let rows = self.rows_between(&pair[0], &pair[1], points.len() - 1);
            shards.push((Bound::Range { lower: pair[0].clone(), upper: pair[1].clone() }, rows));
        }
        if default {
            shards.push((Bound::Default, self.rest(&shards)));
        }
        Ok(self.named(shards))
    }

    /// Rows of a range where the column's values are known, else equal parts.
    fn rows_between(&self, lower: &[RangeDatum], upper: &[RangeDatum], count: usize) -> f64 {
        let equal = self.subject.size.rows / count.max(1) as f64;
        let ([column], [lower], [upper]) = (self.columns.as_slice(), lower, upper) else { return equal };
        let kind = column.type_name.key_type();
        let Some(spread) = self.subject.spreads.get(column.name.as_str()) else { return equal };
        let position = |datum: &RangeDatum| match datum {
            RangeDatum::MinValue => Some(f64::MIN),
            RangeDatum::MaxValue => Some(f64::MAX),
            RangeDatum::Value(value) => kind.read(value).map(|value| value.position()),
        };
        let (Some(lower), Some(upper)) = (position(lower), position(upper)) else { return equal };
        let follows = self.subject.follows_time(column, self.input.constants.follow_share);
        if kind.is_time() {
            let edge = (lower as i64, upper as i64);
            return range::rows_between(self.subject, spread, &column.name, follows, edge);
        }
        let valued = 1.0 - self.subject.null_share(&column.name);
        self.subject.size.rows * valued * spread.between(lower, upper)
    }

    fn by_lists(&self, object: &Map<String, Value>, default: bool) -> Result<Vec<Shard>, ProposalError> {
        let Some(Value::Array(lists)) = object.get("lists") else {
            return Err(self.wrong("\"lists\" is not an array."));
        };
        self.limited(lists.len() + usize::from(default))?;
        let Some(column) = self.columns.first() else { return Err(self.wrong("The key has no column.")) };
        let mut shards = Vec::new();
        for list in lists {
            let Some(list) = list.as_array().filter(|list| !list.is_empty()) else {
                return Err(self.wrong("A list is not an array of values, or is empty."));
            };
            let mut values = Vec::new();
            for value in list {
                values.push(match value {
                    Value::Null => None,
                    value => Some(self.value(column, value)?),
                });
            }
            let share: f64 = values.iter().map(|value| self.share_of(column, value.as_deref())).sum();
            shards.push((Bound::List { values }, self.subject.size.rows * share.min(1.0)));
        }
        if default {
            shards.push((Bound::Default, self.rest(&shards)));
        }
        Ok(self.named(shards))
    }

    /// Share of the rows that have a value, or NULL.
    fn share_of(&self, column: &Column, value: Option<&str>) -> f64 {
        let Some(found) = column.statistics.as_ref() else { return 0.0 };
        let Some(value) = value else { return found.null_fraction };
        let common = found.common_values.iter().position(|common| common == value);
        if let Some(fraction) = common.and_then(|at| found.common_fractions.get(at)) {
            return *fraction;
        }
        let in_common: f64 = found.common_fractions.iter().sum();
        let distinct = self.subject.distinct(&column.name, self.input.constants.distinct_values);
        let others = (distinct - found.common_values.len() as f64).max(1.0);
        (1.0 - found.null_fraction - in_common).max(0.0) / others
    }

    fn rest(&self, shards: &[(Bound, f64)]) -> f64 {
        (self.subject.size.rows - shards.iter().map(|shard| shard.1).sum::<f64>()).max(0.0)
    }

    fn point(&self, value: &Value) -> Result<RangePoint, ProposalError> {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        if values.len() != self.columns.len() {
            return Err(self.wrong("A split point does not have one value for each column of the key."));
        }
        let pairs = self.columns.iter().zip(values);
        pairs.map(|(column, value)| Ok(RangeDatum::Value(self.value(column, value)?))).collect()
    }

    /// A value in the text form of its column, checked where its type has an
    /// order here.
    fn value(&self, column: &Column, value: &Value) -> Result<String, ProposalError> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(self.wrong(format!("{value} is not a value.")));
            }
        };
        match column.type_name.key_type() {
            KeyType::Text | KeyType::Other => Ok(text),
            KeyType::TimestampTz => {
                let micros = self.moment(column, &text)?;
                KeyType::TimestampTz.write_moment(micros).ok_or_else(|| not_valid(column, &text))
            }
            KeyType::Integer => {
                let value = text.trim().parse::<i128>().ok();
                let fits = value.is_some_and(|value| integers(&column.type_name.name).contains(&value));
                if fits { Ok(text) } else { Err(not_valid(column, &text)) }
            }
            kind => kind.read(&text).map(|_| text.clone()).ok_or_else(|| not_valid(column, &text)),
        }
    }

    /// A moment of a time column; without an offset it is UTC.
    fn moment(&self, column: &Column, text: &str) -> Result<i64, ProposalError> {
        let kind = column.type_name.key_type();
        let read = kind.read(text).or_else(|| match kind {
            KeyType::TimestampTz => KeyType::Timestamp.read(text),
            _ => None,
        });
        match read {
            Some(KeyValue::Micros(micros)) => Ok(micros),
            _ => Err(not_valid(column, text)),
        }
    }

    fn named(&self, shards: Vec<(Bound, f64)>) -> Vec<Shard> {
        let per_row = self.subject.size.bytes_per_row();
        let stem = self.subject.stem;
        let mut number = 0;
        let mut name = |bound: &Bound| match bound {
            Bound::Default => default_shard_name(stem),
            _ => {
                number += 1;
                shard_name(stem, number)
            }
        };
        let shard = |(bound, rows): (Bound, f64)| Shard {
            name: name(&bound),
            rows: rows.round(),
            bytes: (rows * per_row).round(),
            tablespace: None,
            future: false,
            of: None,
            bound,
        };
        shards.into_iter().map(shard).collect()
    }

    fn proposal(&self, layout: Option<Layout>, warnings: Vec<String>) -> RelationProposal {
        let subject = self.subject;
        let whole = Division::whole(subject.size.rows);
        let cost = Cost::of(self.input, subject, &whole);
        let key: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let shard_count = layout.as_ref().map_or(1, |layout| layout.shards().len());
        let skew = layout.as_ref().map_or(0.0, skew);
        let reason = match layout {
            Some(_) => format!(
                "Made by hand: {} by {}, {shard_count} shards; {} at the horizon.",
                self.strategy.word(),
                quote_identifiers(&key),
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

/// Largest over mean of non-default, non-empty shards, less 1.
fn skew(layout: &Layout) -> f64 {
    let shards = layout.shards().iter().filter(|shard| shard.bound != Bound::Default && shard.rows > 0.0);
    let rows: Vec<f64> = shards.map(|shard| shard.rows).collect();
    let mean = rows.iter().sum::<f64>() / rows.len().max(1) as f64;
    if mean > 0.0 { rows.iter().copied().fold(0.0, f64::max) / mean - 1.0 } else { 0.0 }
}

/// The values of an integer type.
fn integers(type_name: &str) -> std::ops::RangeInclusive<i128> {
    match type_name {
        "int2" | "smallint" => i16::MIN.into()..=i16::MAX.into(),
        "int4" | "integer" => i32::MIN.into()..=i32::MAX.into(),
        "oid" => 0..=u32::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    }
}

fn not_valid(column: &Column, value: &str) -> ProposalError {
    ProposalError::Value {
        value: value.to_owned(),
        column: column.name.clone(),
        type_text: column.type_name.text.clone(),
    }
}
