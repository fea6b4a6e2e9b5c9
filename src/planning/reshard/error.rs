//! Why shards cannot be replaced as it was asked.
//!
//! Not here: what objects of a shard stand in the way (`operations::reshard`).

use thiserror::Error;

use crate::model::name::QualifiedName;
use crate::model::report::Report;
use crate::model::report::SqlState;

/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 200;

/// A request that comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReshardError {
    #[error("split point \"{point}\" is not a row literal")]
    NotARow { point: String, why: &'static str, columns: Vec<String> },
    #[error("split point \"{point}\" does not have a value for each column of the shard key")]
    Fields { point: String, found: usize, columns: Vec<String> },
    #[error("split point \"{point}\" has a null")]
    NullInPoint { point: String },
    #[error("split point \"{point}\" goes on after an open end")]
    AfterOpenEnd { point: String },
    #[error("new shard {number} is not an array literal")]
    NotAList { number: usize, text: String, why: &'static str },
    #[error("new shard {number} has no values")]
    EmptyList { number: usize },
    #[error("value \"{value}\" is not valid for shard key column \"{column}\"")]
    Value { value: String, column: String, type_text: String, said: String },
    #[error("split point \"{point}\" is outside shard \"{shard:#}\"")]
    Outside { point: String, shard: QualifiedName, lower: String, upper: String },
    #[error("split point \"{point}\" is the {} bound of shard \"{shard:#}\"", if *.lower { "lower" } else { "upper" })]
    OnBound { point: String, shard: QualifiedName, lower: bool },
    #[error("split points are not in ascending order")]
    NotAscending { first: String, second: String },
    #[error("split point \"{point}\" is there twice")]
    Twice { point: String },
    #[error("split of shard \"{shard:#}\" takes two split points or more")]
    OnePoint { shard: QualifiedName },
    #[error("split of shard \"{shard:#}\" takes split points")]
    NoPoints { shard: QualifiedName, lists: bool },
    #[error("new shard from \"{lower}\" to \"{upper}\" would overlap shard \"{shard:#}\"")]
    Overlap { lower: String, upper: String, shard: QualifiedName, bound: String },
    #[error("shard \"{shard:#}\" does not accept value \"{value}\"")]
    NotAccepted { value: String, shard: QualifiedName },
    #[error("value \"{value}\" belongs to shard \"{other:#}\"")]
    Taken { value: String, shard: QualifiedName, other: QualifiedName },
    #[error("value \"{value}\" is in two new shards")]
    InTwo { value: String, first: usize, second: usize },
    #[error("new shards leave nothing of shard \"{shard:#}\" to another")]
    Whole { shard: QualifiedName },
    #[error("cannot split shard \"{shard:#}\" into {parts}")]
    FewValues { shard: QualifiedName, parts: u32, values: usize },
    #[error("at names no split points")]
    NothingAt,
    #[error("hash shard \"{shard:#}\" has no split points")]
    PointsOfHash { shard: QualifiedName },
    #[error("cannot split hash shard \"{shard:#}\" into {parts}")]
    PowerOfTwo { shard: QualifiedName, parts: u32 },
    #[error("cannot split shard \"{shard:#}\" into {parts}")]
    Parts { shard: QualifiedName, parts: i64 },
    #[error("parts does not fit the split points")]
    Contradiction { parts: u32, shards: usize },
    #[error("modulus {modulus} does not fit that of shard \"{other:#}\"")]
    Moduli { modulus: u64, other: QualifiedName, other_modulus: u32 },
    #[error("modulus {modulus} is too large")]
    Modulus { modulus: u64 },
    #[error("table would have {count} shards")]
    TooMany { count: usize, limit: usize },
    #[error("cannot split shard \"{shard:#}\" by size")]
    Hot { shard: QualifiedName, column: String, value: String, percent: u32 },
    #[error("cannot split shard \"{shard:#}\" by size")]
    NoSize { shard: QualifiedName, why: String },
    #[error("a merge takes two shards or more")]
    OneShard,
    #[error("shard \"{shard:#}\" is named twice")]
    NamedTwice { shard: QualifiedName },
    #[error("cannot merge shard \"{first:#}\" with shard \"{second:#}\"")]
    NotAdjacent { first: QualifiedName, second: QualifiedName, upper: String, lower: String },
    #[error("cannot merge shard \"{first:#}\" with shard \"{second:#}\"")]
    UnequalModuli { first: QualifiedName, second: QualifiedName, moduli: (u32, u32) },
    #[error("cannot merge hash shards of modulus {modulus} with remainders {}", numbers(.remainders))]
    NotSiblings { modulus: u32, remainders: Vec<u32>, siblings: Vec<u32> },
    #[error("shard \"{shard:#}\" is in tablespace \"{tablespace}\" already")]
    SameTablespace { shard: QualifiedName, tablespace: String },
}

impl Report for ReshardError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Hot { .. } | Self::NoSize { .. } | Self::SameTablespace { .. } => {
                SqlState::ObjectNotInPrerequisiteState
            }
            Self::TooMany { .. } | Self::Modulus { .. } => SqlState::ProgramLimitExceeded,
            Self::NotAdjacent { .. } | Self::UnequalModuli { .. } | Self::NotSiblings { .. } => {
                SqlState::InvalidObjectDefinition
            }
            _ => SqlState::InvalidParameterValue,
        }
    }

    fn detail(&self) -> Option<String> {
        let text = match self {
            Self::NotARow { why, .. } | Self::NotAList { why, .. } => (*why).to_owned(),
            Self::Fields { found, columns, .. } => {
                format!("The shard key is ({}); values given: {found}.", columns.join(", "))
            }
            Self::Value { type_text, said, .. } => {
                format!("The column has type {type_text}. PostgreSQL says: {}.", said.trim_end_matches('.'))
            }
            Self::Outside { lower, upper, .. } => {
                format!("The shard accepts values from {lower} up to but not including {upper}.")
            }
            Self::OnBound { .. } => "One of the new shards would accept nothing.".to_owned(),
            Self::NotAscending { first, second } => format!("Split point {first} is followed by {second}."),
            Self::OnePoint { .. } => {
                "The new shards are the ranges between the points; what is outside of them stays in a DEFAULT shard."
                    .to_owned()
            }
            Self::NoPoints { .. } => "What a DEFAULT shard accepts has no ends that it could be cut between.".to_owned(),
            Self::Overlap { bound, .. } => format!("The shard has bound {bound}."),
            Self::Taken { shard, .. } => format!("Shard {shard} accepts only values that no other shard does."),
            Self::InTwo { first, second, .. } => format!("They are number {first} and number {second} of the new shards."),
            Self::Whole { .. } => "The only new shard would accept the same values as this one.".to_owned(),
            Self::FewValues { values, .. } => format!("Values that it accepts: {values}."),
            Self::PointsOfHash { .. } => "Rows are placed by a hash of the key, which has no order.".to_owned(),
            Self::PowerOfTwo { .. } => {
                "A hash shard is split by doubling its modulus, so that later splits and merges stay possible."
                    .to_owned()
            }
            Self::Parts { .. } => "A split gives two shards or more.".to_owned(),
            Self::Contradiction { parts, shards } => {
                format!("The split points make {shards} shards, parts is {parts}.")
            }
            Self::Moduli { modulus, other_modulus, .. } => format!(
                "Of any two moduli of a table one must divide the other; {other_modulus} and {modulus} do not."
            ),
            Self::Modulus { .. } => format!("The limit is {}.", i32::MAX),
            Self::TooMany { limit, .. } => format!("The limit is {limit}."),
            Self::Hot { column, value, percent, .. } => format!(
                "Value {value} of column {column} has {percent} % of its rows, and all rows of a value belong to one shard."
            ),
            Self::NoSize { why, .. } => why.clone(),
            Self::NotAdjacent { upper, lower, .. } => {
                format!("The lower bound of the latter ({lower}) is not the upper bound of the former ({upper}).")
            }
            Self::UnequalModuli { moduli: (first, second), .. } => {
                format!("The moduli of the two are {first} and {second}.")
            }
            Self::NotSiblings { siblings, modulus, remainders } if siblings.is_empty() => {
                format!("Modulus {modulus} cannot be divided by {}, the number of shards.", remainders.len())
            }
            Self::NotSiblings { siblings, modulus, .. } => format!(
                "Those that become one shard of modulus {} are the remainders {}.",
                *modulus as usize / siblings.len(),
                numbers(siblings)
            ),
            Self::NullInPoint { .. } | Self::AfterOpenEnd { .. } | Self::EmptyList { .. } | Self::Twice { .. } => {
                return None;
            }
            Self::NothingAt => return None,
            Self::NotAccepted { .. } | Self::OneShard | Self::NamedTwice { .. } | Self::SameTablespace { .. } => {
                return None;
            }
        };
        Some(text)
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotARow { columns, .. } | Self::Fields { columns, .. } => {
                return Some(format!(
                    "Write a split point as a row literal of ({}); MINVALUE stands for the lowest of a column.",
                    columns.join(", ")
                ));
            }
            Self::NullInPoint { .. } => {
                "Ranges have no nulls; MINVALUE stands for the lowest value of a column."
            }
            Self::AfterOpenEnd { .. } => "After MINVALUE or MAXVALUE all further columns must have the same.",
            Self::NotAList { .. } | Self::EmptyList { .. } => {
                "Write one array literal for each new shard, as in at => ARRAY['{a,b}', '{c,NULL}']."
            }
            Self::Value { .. } => "Write the values in the text form of the column's type.",
            Self::Outside { .. } | Self::OnBound { .. } => {
                "View \"presplit.shards\" lists the bounds of all shards."
            }
            Self::NotAscending { .. } => {
                "Write them in the order of the key, as its type and collation have it."
            }
            Self::Twice { .. } => "Name each split point once.",
            Self::OnePoint { .. } => "Name both ends of each new shard; MINVALUE and MAXVALUE are open ends.",
            Self::NoPoints { lists: false, .. } => {
                "Name the ends of the new shards, as in at => ARRAY['100', '200', 'MAXVALUE']."
            }
            Self::NoPoints { lists: true, .. } => {
                "Name the values of the new shards, as in at => ARRAY['{a,b}', '{c,NULL}']."
            }
            Self::Overlap { .. } => "Name only values that no shard but this one accepts.",
            Self::NotAccepted { .. } => {
                "Name only values that the shard accepts; those left out stay together."
            }
            Self::Taken { .. } => "Split that shard, or leave the value out.",
            Self::InTwo { .. } => "Name each value once.",
            Self::Whole { .. } => "Leave out some values, or divide them among several new shards.",
            Self::FewValues { .. } => {
                "Divide the shard by another column: its values cannot be divided further."
            }
            Self::NothingAt => "Name at least one, or leave at out: then the shard is divided by size.",
            Self::PointsOfHash { .. } => "Leave at out, and give parts => 2, 4, 8 or another power of two.",
            Self::PowerOfTwo { .. } => "Use parts => 2, 4, 8 or another power of two.",
            Self::Parts { .. } => "Use parts => 2 or more, or name split points.",
            Self::Contradiction { .. } => "Leave parts out where at is given.",
            Self::Moduli { .. } => "Split or merge the other shard first, so that the moduli are multiples.",
            Self::TooMany { .. } => "Split into fewer shards, or raise presplit.max_shards_per_table.",
            Self::Hot { .. } => "Name split points with at, or divide the table by another column.",
            Self::NoSize { .. } => "Name split points with at.",
            Self::OneShard => "Name the shards that are to become one.",
            Self::NamedTwice { .. } => "Name each shard once.",
            Self::NotAdjacent { .. } => {
                "Merge only shards whose ranges follow each other; view \"presplit.shards\" lists the bounds."
            }
            Self::UnequalModuli { .. } => {
                "Split the one with the smaller modulus, or merge the other one first."
            }
            Self::NotSiblings { .. } => {
                "Merge shards of one modulus whose remainders are equal when divided by the smaller modulus, all of them."
            }
            Self::Modulus { .. } | Self::SameTablespace { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// For a message: a value may be as long as a document.
#[must_use]
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// An entry of a list for people.
#[must_use]
pub fn shown_entry(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), shown)
}

fn numbers(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
