//! Which columns of two tables belong together: statements join them, or a
//! foreign key leads from one to the other.
//!
//! Not here: what it gains to cut both tables by them (`cost`). Invariant:
//! only columns of one type and collation are linked; PostgreSQL does not
//! join others shard by shard.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name::QualifiedName;
use crate::model::profile::Column;
use crate::model::profile::ConstraintKind;
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::subject::Subject;

/// Two tables and the columns that link them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub a: usize,
    /// Greater than `a`.
    pub b: usize,
    /// Of `a` and of `b`.
    columns: BTreeSet<(String, String)>,
}

impl Link {
    /// Whether the keys of two ways are linked column by column, level by
    /// level.
    pub fn joins(&self, a: &Weighed, b: &Weighed) -> bool {
        let (Some(left), Some(right)) = (&a.candidate, &b.candidate) else { return false };
        let linked = |mine: &[KeyColumn], theirs: &[KeyColumn]| {
            mine.len() == theirs.len()
                && mine
                    .iter()
                    .zip(theirs)
                    .all(|(mine, theirs)| self.columns.contains(&(mine.name.clone(), theirs.name.clone())))
        };
        left.strategy == right.strategy
            && linked(&left.key.first, &right.key.first)
            && linked(&left.key.second, &right.key.second)
    }
}

/// The links between the subjects, ascending.
pub fn links(subjects: &[Subject]) -> Vec<Link> {
    let places: BTreeMap<&QualifiedName, usize> =
        subjects.iter().enumerate().map(|(at, subject)| (&subject.name, at)).collect();
    let mut found: BTreeMap<(usize, usize), BTreeSet<(String, String)>> = BTreeMap::new();
    let mut add = |at: usize, column: &str, other: &QualifiedName, other_column: &str| {
        let Some(&place) = places.get(other) else { return };
        let types = (subjects[at].table.column(column), subjects[place].table.column(other_column));
        let (Some(mine), Some(theirs)) = types else { return };
        if place == at || !same_type(mine, theirs) {
            return;
        }
        let (mine, theirs) = (column.to_owned(), other_column.to_owned());
        let pair = if at < place { (mine, theirs) } else { (theirs, mine) };
        found.entry((at.min(place), at.max(place))).or_default().insert(pair);
    };
    for (at, subject) in subjects.iter().enumerate() {
        for (column, other, other_column) in subject.traffic.uses.iter().flat_map(|one| &one.joins) {
            add(at, column, other, other_column);
        }
        for key in subject.table.constraints.iter().filter(|one| one.kind == ConstraintKind::ForeignKey) {
            let Some(target) = &key.references else { continue };
            for (column, other_column) in key.columns.iter().zip(&target.columns) {
                add(at, column, &target.name(), other_column);
            }
        }
    }
    found.into_iter().map(|((a, b), columns)| Link { a, b, columns }).collect()
}

/// The same links and one more, between a column of each of two tables.
pub fn with(mut links: Vec<Link>, one: (usize, &str), other: (usize, &str)) -> Vec<Link> {
    let (a, b) = if one.0 < other.0 { (one, other) } else { (other, one) };
    let pair = (a.1.to_owned(), b.1.to_owned());
    match links.binary_search_by_key(&(a.0, b.0), |link| (link.a, link.b)) {
        Ok(at) => {
            links[at].columns.insert(pair);
        }
        Err(at) => links.insert(at, Link { a: a.0, b: b.0, columns: BTreeSet::from([pair]) }),
    }
    links
}

fn same_type(a: &Column, b: &Column) -> bool {
    a.type_name.schema == b.type_name.schema
        && a.type_name.name == b.type_name.name
        && a.type_name.array == b.type_name.array
        && a.collation == b.collation
}
