//! `"sub"` of bounds: which lists are divided once more, by what.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::register::bounds::Level;

/// How one partition of the first level is divided.
pub struct Sub<'a> {
    pub names: Vec<String>,
    pub columns: Vec<&'a Column>,
    pub modulus: u32,
}

/// Reads `"sub"`: by the place of the list, or the number of lists for the
/// DEFAULT. `further` are the columns of one that names none.
pub fn read<'a>(
    level: &Level<'a>,
    object: &Map<String, Value>,
    lists: usize,
    further: &[String],
    column: impl Fn(&str) -> Result<&'a Column, ProposalError>,
) -> Result<BTreeMap<usize, Sub<'a>>, ProposalError> {
    let default = level.default(object)?;
    let entries = match object.get("sub") {
        Some(Value::Array(entries)) if !entries.is_empty() => entries,
        Some(Value::Array(_)) | None => {
            return Err(level.wrong("\"sub\" is missing or empty; without it the strategy is list."));
        }
        Some(_) => return Err(level.wrong("\"sub\" is not an array.")),
    };
    let mut subs = BTreeMap::new();
    for entry in entries {
        let Some(entry) = entry.as_object() else {
            return Err(level.wrong("An entry of \"sub\" is not a JSON object."));
        };
        let forms = ["of", "shard_key", "modulus"];
        if let Some(other) = entry.keys().find(|key| !forms.contains(&key.as_str())) {
            return Err(level.wrong(format!("{other:?} in \"sub\" is not one of {}.", forms.join(", "))));
        }
        let of = place(level, entry, lists, default)?;
        let names = names(level, entry, further)?;
        let columns = names.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
        let sub = Sub { names, columns, modulus: level.modulus(entry)? };
        if subs.insert(of, sub).is_some() {
            let shown = entry.get("of").unwrap_or(&Value::Null);
            return Err(level.wrong(format!("\"sub\" has two entries of {shown}.")));
        }
    }
    Ok(subs)
}

fn place(
    level: &Level<'_>,
    entry: &Map<String, Value>,
    lists: usize,
    default: bool,
) -> Result<usize, ProposalError> {
    match entry.get("of") {
        Some(Value::String(word)) if word == "default" => {
            if default {
                Ok(lists)
            } else {
                Err(level.wrong("\"of\" names the DEFAULT, which \"default\": false leaves out."))
            }
        }
        Some(Value::Number(number)) => {
            number.as_u64().and_then(|at| usize::try_from(at).ok()).filter(|at| *at < lists).ok_or_else(
                || level.wrong(format!("\"of\": {number} names no list; they count from 0 and are {lists}.")),
            )
        }
        Some(other) => {
            Err(level.wrong(format!("\"of\": {other} is neither the number of a list nor \"default\".")))
        }
        None => Err(level.wrong("\"of\" is missing in an entry of \"sub\".")),
    }
}

fn names(
    level: &Level<'_>,
    entry: &Map<String, Value>,
    further: &[String],
) -> Result<Vec<String>, ProposalError> {
    let names = match entry.get("shard_key") {
        None if further.is_empty() => {
            return Err(level.wrong("\"shard_key\" is missing in an entry of \"sub\"."));
        }
        None => further.to_vec(),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .filter(|names| !names.is_empty())
            .ok_or_else(|| {
                level.wrong("\"shard_key\" of \"sub\" is not an array of column names, or is empty.")
            })?,
        Some(_) => return Err(level.wrong("\"shard_key\" of \"sub\" is not an array of column names.")),
    };
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, twice)) => Err(level.wrong(format!(
            "Column {} appears twice in a \"shard_key\" of \"sub\".",
            quote_identifier(twice)
        ))),
        None => Ok(names),
    }
}
