//! Tables that cannot be sharded at all.
//!
//! Invariant: what is refused says why, in a full sentence.

use crate::model::profile::TableKind;
use crate::planning::proposal::subject::Subject;

/// Why a table cannot be sharded at all; `None` if it can. One that is
/// partitioned can be cut anew.
pub fn never_sharded(subject: &Subject) -> Option<String> {
    let table = subject.table;
    let schema = table.schema.as_str();
    let reason = if table.kind == TableKind::Foreign {
        "It is a foreign table: its rows are elsewhere."
    } else if schema == "information_schema" || schema == "pg_catalog" || schema.starts_with("pg_toast") {
        "It is a table of the server itself."
    } else if schema.starts_with("pg_temp") {
        "It is a temporary table: it ends with its session."
    } else if table.extension {
        "It belongs to an extension, which would not find it changed."
    } else if table.inheritance {
        "It has parents or children by inheritance; a partitioned table cannot."
    } else {
        return None;
    };
    Some(reason.to_owned())
}
