//! Values of bounds as PostgreSQL reads them: before a proposal by hand is laid
//! out, its own type input, order and equality are asked, as CREATE TABLE …
//! PARTITION OF would.
//!
//! Invariant: what comes out is in the text form of the column's type, whatever
//! the settings of the session that creates the shards, ascends, and names no
//! value in two lists. What cannot be asked here (a type that is not here) is
//! left to the creation of the shards.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Map;
use serde_json::Value;

use crate::catalog::relations::Asked;
use crate::model::bound::RangeDatum;
use crate::model::bound::write_point;
use crate::model::key::Strategy;
use crate::model::layout::LayoutError;
use crate::model::profile::Column;
use crate::model::profile::Table;
use crate::model::report::SqlState;
use crate::pg::document::Document;
use crate::pg::error;
use crate::pg::key_value::ReadValue;
use crate::pg::key_value::Unreadable;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::inexact_number;

/// Bounds with every value of the first level as its column's type writes it.
/// What has not the form of the strategy stays as it is, for `planning` to
/// refuse.
///
/// # Errors
/// 22023 if a value is not one of its column's type, points are not in
/// ascending order, or lists share a value.
pub fn read(
    table: &Table,
    strategy: Strategy,
    key: &[String],
    document: &Document,
) -> Result<Value, ErrorReport> {
    let bounds = document.read()?;
    if let Some(number) = inexact_number(document.text()) {
        return Err(inexact(number));
    }
    let key = match strategy {
        Strategy::Range => key,
        Strategy::RangeHash | Strategy::List | Strategy::ListHash => key.get(..1).unwrap_or_default(),
        Strategy::Hash | Strategy::None => &[],
    };
    let columns: Option<Vec<&Column>> = key.iter().map(|name| table.column(name)).collect();
    let (Some(columns), Value::Object(mut object)) =
        (columns.filter(|found| !found.is_empty()), bounds.clone())
    else {
        return Ok(bounds);
    };
    let columns = columns
        .into_iter()
        .map(|column| KeyColumn::of(table, column))
        .collect::<Result<Vec<_>, ErrorReport>>()?;
    match strategy {
        Strategy::Range | Strategy::RangeHash => {
            points(&mut object, &columns)?;
            ends(&mut object, &columns)?;
        }
        _ => lists(&mut object, &columns[0])?,
    }
    Ok(Value::Object(object))
}

/// A column of the first level.
pub struct KeyColumn<'a> {
    pub column: &'a Column,
    /// None if it cannot be asked.
    asked: Option<Asked>,
}

impl<'a> KeyColumn<'a> {
    pub fn of(table: &Table, column: &'a Column) -> Result<Self, ErrorReport> {
        Ok(Self { column, asked: Asked::of(table, column)? })
    }

    /// None if PostgreSQL cannot be asked.
    pub fn read(&self, values: &[Option<String>]) -> Result<Option<Vec<ReadValue>>, ErrorReport> {
        let Some(asked) = &self.asked else { return Ok(None) };
        let borrowed: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        let column = self.column;
        match asked.read(&borrowed) {
            Ok(read) => Ok(Some(read)),
            Err(Unreadable::Value(at, said)) => Err(ProposalError::Value {
                value: shortened(values.get(at).and_then(Option::as_deref).unwrap_or("null")),
                column: column.name.clone(),
                type_text: column.type_name.text.clone(),
                said: Some(shortened(&said)),
            }
            .into()),
            Err(Unreadable::Order(said)) => Err(error::new(
                SqlState::InvalidParameterValue,
                format!("values of shard key column \"{}\" cannot be compared", column.name),
                Some(format!("The column has type {}. PostgreSQL says: {said}.", column.type_name.text)),
                Some("Choose another shard key, or strategy hash.".to_owned()),
            )),
            // `planning` says so, with the strategy.
            Err(Unreadable::NoOrder) => Ok(None),
        }
    }
}

/// For a message: a value may be as long as a document.
pub fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The text of a value; none if it is none.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn inexact(text: &str) -> ErrorReport {
    error::new(
        SqlState::InvalidParameterValue,
        format!("number {} in bounds has more digits than are kept", shortened(text)),
        None,
        Some("Write it as a string, in quotes.".to_owned()),
    )
}

/// `"split_points"`.
fn points(object: &mut Map<String, Value>, columns: &[KeyColumn<'_>]) -> Result<(), ErrorReport> {
    let Some(Value::Array(written)) = object.get_mut("split_points") else { return Ok(()) };
    let mut points: Vec<Vec<Option<String>>> = Vec::with_capacity(written.len());
    for value in written.iter() {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        let texts: Option<Vec<String>> = values.iter().map(text_of).collect();
        let Some(texts) = texts.filter(|texts| texts.len() == columns.len()) else { return Ok(()) };
        points.push(texts.into_iter().map(Some).collect());
    }
    // By column, of each point; none from the first column on that cannot be asked.
    let mut ranks: Vec<Option<Vec<usize>>> = Vec::new();
    let mut texts = points.clone();
    for (at, column) in columns.iter().enumerate() {
        let values: Vec<Option<String>> = points.iter().map(|point| point[at].clone()).collect();
        let read = column.read(&values)?;
        for (point, value) in texts.iter_mut().zip(read.iter().flatten()) {
            point[at].clone_from(&value.text);
        }
        ranks.push(read.map(|read| read.into_iter().map(|value| value.rank).collect()));
    }
    for at in 1..points.len() {
        if !ascends(&ranks, at) {
            let shown = |at: usize| {
                let data: Vec<RangeDatum> =
                    points[at].iter().flatten().cloned().map(RangeDatum::Value).collect();
                write_point(&data)
            };
            return Err(LayoutError::NotAscending { first: shown(at - 1), second: shown(at) }.into());
        }
    }
    for (value, point) in written.iter_mut().zip(texts) {
        *value = Value::Array(point.into_iter().flatten().map(Value::String).collect());
    }
    Ok(())
}

/// Whether a point is greater than the one before, as far as that is known.
fn ascends(ranks: &[Option<Vec<usize>>], at: usize) -> bool {
    for column in ranks {
        let Some(column) = column else { return true };
        if column[at - 1] != column[at] {
            return column[at - 1] < column[at];
        }
    }
    false
}

/// `"from"` and `"to"`.
fn ends(object: &mut Map<String, Value>, columns: &[KeyColumn<'_>]) -> Result<(), ErrorReport> {
    let [column] = columns else { return Ok(()) };
    if !column.column.type_name.key_type().is_time() {
        return Ok(());
    }
    for end in ["from", "to"] {
        let Some(Value::String(text)) = object.get_mut(end) else { continue };
        let read = column.read(&[Some(text.clone())])?;
        if let Some(read) = read.into_iter().flatten().next().and_then(|value| value.text) {
            *text = read;
        }
    }
    Ok(())
}

/// `"lists"`: a value that is twice in one list is one.
fn lists(object: &mut Map<String, Value>, column: &KeyColumn<'_>) -> Result<(), ErrorReport> {
    let Some(Value::Array(written)) = object.get_mut("lists") else { return Ok(()) };
    let mut values: Vec<Option<String>> = Vec::new();
    let mut sizes = Vec::with_capacity(written.len());
    for list in written.iter() {
        let Value::Array(list) = list else { return Ok(()) };
        for value in list {
            values.push(match value {
                Value::Null => None,
                value => match text_of(value) {
                    Some(text) => Some(text),
                    None => return Ok(()),
                },
            });
        }
        sizes.push(list.len());
    }
    let Some(read) = column.read(&values)? else { return Ok(()) };
    let mut known: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut at = 0;
    for (number, (list, size)) in written.iter_mut().zip(sizes).enumerate() {
        let mut kept = Vec::with_capacity(size);
        for (place, value) in read.iter().enumerate().skip(at).take(size) {
            match known.get(&value.rank) {
                Some((other, _)) if *other == number => {}
                Some((other, first)) => {
                    return Err(ProposalError::Shared {
                        lists: (other + 1, number + 1),
                        values: (
                            values[*first].as_deref().map(shortened),
                            values[place].as_deref().map(shortened),
                        ),
                    }
                    .into());
                }
                None => {
                    known.insert(value.rank, (number, place));
                    kept.push(value.text.clone().map_or(Value::Null, Value::String));
                }
            }
        }
        at += size;
        *list = Value::Array(kept);
    }
    Ok(())
}
