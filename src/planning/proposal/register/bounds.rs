//! Bounds of one level as someone writes them: split points, intervals, lists.
//!
//! Invariant: what comes out is in the text form of the key's types as far as
//! their form is known here; of others PostgreSQL decides.

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
use crate::model::layout::LayoutError;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::calendar::Interval;
use crate::planning::proposal::hash;
use crate::planning::proposal::range;
use crate::planning::proposal::subject::Subject;

/// Bounds, and the rows that are expected within.
pub type Parts = Vec<(Bound, f64)>;

/// One level of a layout under way.
pub struct Level<'a> {
    pub input: &'a ProposalInput<'a>,
    pub subject: &'a Subject<'a>,
    /// Of the whole layout, for messages.
    pub strategy: Strategy,
    /// What this level is divided by.
    pub columns: Vec<&'a Column>,
}

/// The count, if the settings permit so many shards.
pub fn limited(input: &ProposalInput, count: usize) -> Result<usize, ProposalError> {
    let limit = input.settings.shards_per_table_max;
    if count > limit { Err(ProposalError::TooMany { count, limit }) } else { Ok(count) }
}

impl Level<'_> {
    pub fn kinds(&self) -> Vec<KeyType> {
        self.columns.iter().map(|column| column.type_name.key_type()).collect()
    }

    pub fn wrong(&self, reason: impl Into<String>) -> ProposalError {
        ProposalError::Bounds { strategy: self.strategy, reason: reason.into() }
    }

    /// Whether there is a DEFAULT partition: true if it is not said.
    pub fn default(&self, object: &Map<String, Value>) -> Result<bool, ProposalError> {
        match object.get("default") {
            None => Ok(true),
            Some(Value::Bool(default)) => Ok(*default),
            Some(_) => Err(self.wrong("\"default\" is not true or false.")),
        }
    }

    /// Ranges by either form.
    pub fn by_ranges(&self, object: &Map<String, Value>) -> Result<Parts, ProposalError> {
        let default = self.default(object)?;
        if object.contains_key("split_points") {
            self.by_split_points(object, default)
        } else {
            self.by_interval(object, default)
        }
    }

    pub fn modulus(&self, object: &Map<String, Value>) -> Result<u32, ProposalError> {
        let found = object.get("modulus").and_then(Value::as_u64).and_then(|found| u32::try_from(found).ok());
        let Some(modulus) = found.filter(|modulus| *modulus > 1) else {
            return Err(self.wrong("\"modulus\" is not a whole number of at least 2."));
        };
        limited(self.input, modulus as usize)?;
        Ok(modulus)
    }

    /// Hash bounds of a modulus, which share the rows.
    pub fn by_hash(&self, modulus: u32, rows: f64) -> Parts {
        let whole = self.subject.size.rows;
        let shares: Vec<f64> = match self.columns.as_slice() {
            columns @ [_] if whole > 0.0 => {
                let divided = hash::divide(self.input, self.subject, columns, modulus).rows;
                divided.into_iter().map(|rows| rows / whole).collect()
            }
            _ => vec![1.0 / f64::from(modulus); modulus as usize],
        };
        let bounds = (0..modulus).map(|remainder| Bound::Hash { modulus, remainder });
        bounds.zip(shares).map(|(bound, share)| (bound, rows * share)).collect()
    }

    fn by_split_points(&self, object: &Map<String, Value>, default: bool) -> Result<Parts, ProposalError> {
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

    fn by_interval(&self, object: &Map<String, Value>, default: bool) -> Result<Parts, ProposalError> {
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
        if kind == KeyType::Date && !interval.is_of_days() {
            return Err(self.wrong(format!(
                "Column {} has type {}, and a step of {interval} is not one of whole days.",
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
            limited(self.input, points.len())?;
        }
        self.between(points, default)
    }

    /// Ranges between consecutive points.
    fn between(&self, points: Vec<RangePoint>, default: bool) -> Result<Parts, ProposalError> {
        limited(self.input, points.len() - 1 + usize::from(default))?;
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
        Ok(shards)
    }

    /// Rows of a range where the column's values are known, else equal parts.
    fn rows_between(&self, lower: &[RangeDatum], upper: &[RangeDatum], count: usize) -> f64 {
        let equal = self.subject.size.rows / count.max(1) as f64;
        let ([column], [lower], [upper]) = (self.columns.as_slice(), lower, upper) else { return equal };
        let kind = column.type_name.key_type();
        let Some(spread) = self.subject.spreads.get(column.name.as_str()) else { return equal };
        let position = |datum: &RangeDatum| match datum {
            RangeDatum::MinValue => Some(f64::NEG_INFINITY),
            RangeDatum::MaxValue => Some(f64::INFINITY),
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

    pub fn by_lists(&self, object: &Map<String, Value>) -> Result<Parts, ProposalError> {
        let default = self.default(object)?;
        let Some(Value::Array(lists)) = object.get("lists") else {
            return Err(self.wrong("\"lists\" is not an array."));
        };
        limited(self.input, lists.len() + usize::from(default))?;
        let Some(&column) = self.columns.first() else { return Err(self.wrong("The key has no column.")) };
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
        Ok(shards)
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
            kind if beyond(kind, &text) => Ok(text),
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
        said: None,
    }
}

/// Values that their types have, and that are not counted with here: numbers
/// beyond a float and none, times beyond our calendar.
fn beyond(kind: KeyType, text: &str) -> bool {
    let word = text.trim_start_matches('-').to_ascii_lowercase();
    match kind {
        KeyType::Numeric => {
            let digits = word.replacen('.', "", 1);
            matches!(word.as_str(), "nan" | "infinity")
                || !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ if kind.is_time() => {
            let year = word.bytes().take_while(u8::is_ascii_digit).count();
            word == "infinity" || word.ends_with(" bc") || year > 4
        }
        _ => false,
    }
}
