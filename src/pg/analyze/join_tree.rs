//! The join tree made flat: which condition may filter which entries.
//!
//! An outer join whose nullable side cannot be null in the end is an inner
//! join, as the planner makes it. Then a condition filters the entries below
//! its place that no outer join in between can fill with nulls; the condition
//! of an outer join filters its nullable side alone.

use std::rc::Rc;

use crate::pg::analyze::tree::Column;
use crate::pg::analyze::tree::Entry;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::From;
use crate::pg::analyze::tree::JoinKind;
use crate::pg::analyze::tree::Query;

/// Where a condition stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// By entry: whether the condition filters it.
    pub receives: Rc<[bool]>,
    /// Whether `EXISTS` and `IN` here become joins.
    pub joins_subqueries: bool,
    /// Whether it is the condition of a full join.
    pub of_full_join: bool,
}

/// The join tree of one level.
pub struct Flat<'q> {
    pub conditions: Vec<(&'q Expr, Place)>,
    /// By entry: in the join tree at all.
    pub used: Vec<bool>,
    /// By entry: in it, and not on a nullable side.
    pub live: Rc<[bool]>,
}

/// Flattens the join tree of a level.
pub fn flatten(query: &Query) -> Flat<'_> {
    let count = query.entries.len();
    let mut flattener = Flattener { query, conditions: Vec::new() };
    let members = flattener.from(&query.from, &vec![false; count]);
    for (entry, guard) in &query.guards {
        let receives: Vec<bool> = (0..count).map(|at| at == *entry).collect();
        flattener.place(guard, &receives, false);
    }
    Flat { conditions: flattener.conditions, used: members.all, live: members.live.into() }
}

struct Flattener<'q> {
    query: &'q Query,
    conditions: Vec<(&'q Expr, Place)>,
}

/// The entries below a place in the tree.
struct Members {
    all: Vec<bool>,
    /// Those that are not filled with nulls below that place.
    live: Vec<bool>,
}

impl<'q> Flattener<'q> {
    /// `solid` are the entries of which conditions above demand that they are
    /// not all null.
    fn from(&mut self, from: &'q From, solid: &[bool]) -> Members {
        let count = self.query.entries.len();
        match from {
            From::Entry(entry) => {
                let mut all = vec![false; count];
                if let Some(slot) = all.get_mut(*entry) {
                    *slot = true;
                }
                Members { live: all.clone(), all }
            }
            From::List { items, conditions } => {
                let mut solid = solid.to_vec();
                for condition in conditions {
                    unite(&mut solid, &self.demanded(condition));
                }
                let mut members = Members { all: vec![false; count], live: vec![false; count] };
                for item in items {
                    let found = self.from(item, &solid);
                    unite(&mut members.all, &found.all);
                    unite(&mut members.live, &found.live);
                }
                for condition in conditions {
                    self.place(condition, &members.live, true);
                }
                members
            }
            From::Join { kind, left, right, on } => self.join(*kind, (left, right), on.as_ref(), solid),
        }
    }

    fn join(
        &mut self,
        kind: JoinKind,
        (left, right): (&'q From, &'q From),
        on: Option<&'q Expr>,
        solid: &[bool],
    ) -> Members {
        let kind = self.reduced(kind, left, right, solid);
        let mut within = on.map_or_else(|| vec![false; solid.len()], |on| self.demanded(on));
        unite(&mut within, solid);
        let (of_left, of_right) = match kind {
            JoinKind::Inner => (&within[..], &within[..]),
            JoinKind::Left => (solid, &within[..]),
            JoinKind::Right => (&within[..], solid),
            JoinKind::Full => (solid, solid),
        };
        let left = self.from(left, of_left);
        let right = self.from(right, of_right);
        let nothing = vec![false; solid.len()];
        let mut both = left.live.clone();
        unite(&mut both, &right.live);
        let (receives, live) = match kind {
            JoinKind::Inner => (both.clone(), both),
            JoinKind::Left => (right.live, left.live),
            JoinKind::Right => (left.live, right.live),
            JoinKind::Full => (nothing.clone(), nothing),
        };
        if let Some(on) = on {
            self.place(on, &receives, kind == JoinKind::Inner);
            if let Some((_, place)) = self.conditions.last_mut() {
                place.of_full_join = kind == JoinKind::Full;
            }
        }
        let mut all = left.all;
        unite(&mut all, &right.all);
        Members { all, live }
    }

    /// The kind of join that it amounts to.
    fn reduced(&self, kind: JoinKind, left: &From, right: &From, solid: &[bool]) -> JoinKind {
        let demanded = |side: &From| {
            let mut entries = Vec::new();
            entries_of(side, &mut entries);
            entries.into_iter().any(|entry| solid.get(entry).copied().unwrap_or(false))
        };
        match (kind, demanded(left), demanded(right)) {
            (JoinKind::Left, _, true) | (JoinKind::Right, true, _) | (JoinKind::Full, true, true) => {
                JoinKind::Inner
            }
            (JoinKind::Full, true, false) => JoinKind::Left,
            (JoinKind::Full, false, true) => JoinKind::Right,
            (kind, _, _) => kind,
        }
    }

    fn place(&mut self, condition: &'q Expr, receives: &[bool], joins_subqueries: bool) {
        let place = Place { receives: receives.into(), joins_subqueries, of_full_join: false };
        self.conditions.push((condition, place));
    }

    /// The entries that cannot be all null where the condition is true.
    fn demanded(&self, condition: &Expr) -> Vec<bool> {
        let mut found = vec![false; self.query.entries.len()];
        match condition {
            Expr::And(parts) => parts.iter().for_each(|part| unite(&mut found, &self.demanded(part))),
            Expr::Or(parts) => {
                let mut arms = parts.iter().map(|part| self.demanded(part));
                if let Some(first) = arms.next() {
                    found = arms.fold(first, |common, arm| {
                        common.iter().zip(arm).map(|(common, arm)| *common && arm).collect()
                    });
                }
            }
            Expr::Comparison(comparison) | Expr::Row(comparison, _) if comparison.strict => {
                self.strictly(&comparison.left, &mut found);
                self.strictly(&comparison.right, &mut found);
            }
            Expr::AnyOf(comparison) if comparison.strict => self.strictly(&comparison.left, &mut found),
            Expr::NullTest { argument, is_null: false } => self.strictly(argument, &mut found),
            Expr::Truth { argument, .. } => self.strictly(argument, &mut found),
            Expr::Subquery(subquery) => {
                if let Some(test) = &subquery.test
                    && subquery.kind == crate::pg::analyze::tree::SubqueryKind::Any
                {
                    found = self.demanded(test);
                }
            }
            Expr::Other(_) => self.strictly(condition, &mut found),
            _ => {}
        }
        found
    }

    /// Marks the entries whose nulls make `expr` null.
    fn strictly(&self, expr: &Expr, found: &mut [bool]) {
        match expr.stripped() {
            Expr::Column(column) if column.levels_up == 0 => self.column(*column, found),
            Expr::Other(other) if other.strict => {
                other.children.iter().for_each(|child| self.strictly(child, found));
            }
            _ => {}
        }
    }

    fn column(&self, column: Column, found: &mut [bool]) {
        match self.query.entries.get(column.entry) {
            Some(Entry::Join(exprs) | Entry::Group(exprs)) => {
                let at = usize::try_from(column.attribute).ok().and_then(|at| at.checked_sub(1));
                if let Some(expr) = at.and_then(|at| exprs.get(at)) {
                    self.strictly(expr, found);
                }
            }
            Some(_) => {
                if let Some(slot) = found.get_mut(column.entry) {
                    *slot = true;
                }
            }
            None => {}
        }
    }
}

fn entries_of(from: &From, found: &mut Vec<usize>) {
    match from {
        From::Entry(entry) => found.push(*entry),
        From::Join { left, right, .. } => {
            entries_of(left, found);
            entries_of(right, found);
        }
        From::List { items, .. } => items.iter().for_each(|item| entries_of(item, found)),
    }
}

fn unite(all: &mut [bool], more: &[bool]) {
    all.iter_mut().zip(more).for_each(|(all, more)| *all |= more);
}
