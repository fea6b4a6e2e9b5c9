//! What was altered while an operation is under way, and whether it goes on.
//!
//! What the swap reads anew (rights, triggers, rules, policies, publications,
//! foreign keys of other tables) comes along whenever it was made. What the new
//! shards have been made with does not: then the operation ends, and says what
//! it was.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::model::finding::Severity;
use crate::model::report::SqlState;
use crate::operations::reshard::check;
use crate::pg::error;

/// Kinds of things that the swap reads anew.
const CARRIED: &[&str] =
    &["foreign key of another table", "policy", "privilege", "publication", "rule", "trigger"];

/// Kinds of things that shards have by their table: where that is replaced too,
/// the new shards get them from the new one.
const CARRIED_BY_TABLE: &[&str] = &["trigger of the table"];

/// Things that are named at most.
const NAMED_MAX: usize = 5;

/// Looks whether the tables are what they were; true if not, and the operation
/// goes on with them as they are.
///
/// # Errors
/// If it cannot go on with them.
pub fn look(job: &Job) -> Result<bool, ErrorReport> {
    let shape = check::shape(&job.change)?;
    if shape.fingerprint == job.fingerprint {
        return Ok(false);
    }
    let changed = differences(&jobs::shape(job.id)?, &shape.lines);
    let said = said(&changed);
    let whole = job.change.rebuilt.is_some();
    let carried = |kind: &str| CARRIED.contains(&kind) || whole && CARRIED_BY_TABLE.contains(&kind);
    if changed.is_empty() || !changed.iter().all(|(kind, ..)| carried(kind)) {
        return Err(error(job, said));
    }
    let found = check::findings(&job.change)?;
    if let Some(against) = found.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(error(
            job,
            format!("{said} Now {}: {}.", against.object, against.problem.trim_end_matches('.')),
        ));
    }
    jobs::set_shape(job.id, &shape)?;
    jobs::note(job.id, job.phase, None, &format!("goes on with the table as it is now: {said}"))?;
    Ok(true)
}

/// The error of a change whose tables are no more what they were.
pub fn error(job: &Job, detail: String) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("table \"{}\" was altered while the operation was under way", job.change.root),
        Some(detail),
        Some(format!("Begin it anew with SELECT resume_operation({}).", job.id)),
    )
}

/// Kind, object and what became of it.
type Alteration = (String, String, &'static str);

/// Lines of one shape that the other has not.
fn differences(before: &str, now: &str) -> Vec<Alteration> {
    let (before, now) = (things(before), things(now));
    let mut found = Vec::new();
    for (thing, text) in &now {
        match before.get(thing) {
            None => found.push((thing.0.to_owned(), thing.1.to_owned(), "is new")),
            Some(old) if old != text => found.push((thing.0.to_owned(), thing.1.to_owned(), "is different")),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|thing| !now.contains_key(*thing));
    found.extend(gone.map(|(kind, object)| ((*kind).to_owned(), (*object).to_owned(), "is gone")));
    found
}

/// What a shape has: kind and object, with all that is said of it.
fn things(lines: &str) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut things: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in lines.split('\n') {
        let mut parts = line.splitn(3, '\u{1}');
        if let (Some(kind), Some(object), Some(text)) = (parts.next(), parts.next(), parts.next()) {
            things.entry((kind, object)).or_default().push(text);
        }
    }
    things
}

fn said(changed: &[Alteration]) -> String {
    if changed.is_empty() {
        return "Its shards are no more what the new ones were made after.".to_owned();
    }
    let named: Vec<String> = changed
        .iter()
        .take(NAMED_MAX)
        .map(|(kind, object, what)| format!("{kind} {object} {what}"))
        .collect();
    let more = changed.len().saturating_sub(NAMED_MAX);
    let and = if more > 0 { format!(", and {more} more") } else { String::new() };
    let text = format!("{}{and}.", named.join(", "));
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod pure_tests {
    use super::differences;
    use super::said;

    #[test]
    fn what_was_altered_is_named() {
        let before = "column\u{1}s.t.a\u{1}a int4\ncolumn\u{1}s.t.b\u{1}b text\nprivilege\u{1}s.t\u{1}1 x\n";
        let now = "column\u{1}s.t.a\u{1}a int8\nprivilege\u{1}s.t\u{1}1 x\nprivilege\u{1}s.t\u{1}2 y\ntrigger\u{1}g on s.t\u{1}g\n";
        assert_eq!(
            said(&differences(before, now)),
            "Column s.t.a is different, privilege s.t is different, trigger g on s.t is new, column s.t.b is gone."
        );
        assert!(differences(now, now).is_empty());
    }
}
