//! Where a column comes from: query levels, the columns that are looked at as
//! nodes of a graph, and the way from a view's or subquery's output column
//! down to the base columns behind it.
//!
//! Edges say what carries over. `below` leads from an output column to what
//! it is made of; a condition goes down it where PostgreSQL would push it
//! down. `equal` leads to a column that must have the same value whenever
//! this one is known to be a constant; it is directed, because an outer join
//! carries constants to its nullable side only.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::rc::Rc;

use crate::model::access::Access;
use crate::model::access::Arbiter;
use crate::model::access::PrunedBy;
use crate::pg::analyze::tree::Column;
use crate::pg::analyze::tree::Command;
use crate::pg::analyze::tree::Entry;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::Query;
use crate::pg::analyze::tree::SetOperation;
use crate::pg::analyze::tree::TableFacts;
use crate::pg::analyze::tree::Target;

/// The whole statement as it is being looked at.
#[derive(Default)]
pub struct Walk<'q> {
    pub scopes: Vec<Scope<'q>>,
    pub nodes: Vec<Node>,
    index: HashMap<(usize, usize, i16), usize>,
    pub mentions: Vec<Mentioned>,
    pub predicates: Vec<Predicate>,
    pub edges: Vec<Edge>,
    pub arbiters: Vec<Arbiter>,
    /// The subquery whose output the `ANY` at hand compares with.
    pub any: Option<usize>,
    /// Columns that a full join makes equal: a constant for both in one,
    /// as `USING` makes it, is one for each.
    pub fully_joined: Vec<[usize; 2]>,
}

/// A mention of a table, filled as the walk goes.
pub struct Mentioned {
    pub table: Rc<TableFacts>,
    pub accesses: Vec<Access>,
}

/// One query level.
pub struct Scope<'q> {
    pub query: &'q Query,
    pub parent: Option<usize>,
    /// By entry: the mention of its table.
    pub mentions: Vec<Option<usize>>,
    /// By entry: the level of its subquery.
    pub children: Vec<Option<usize>>,
    /// By `WITH` query: its level.
    pub ctes: Vec<Option<usize>>,
    /// By entry: in the join tree, and never filled with nulls.
    pub live: Rc<[bool]>,
    pub link: Link,
}

/// What carries over between a level and the one around it.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Constants of outer columns hold for inner ones that equal them.
    pub from_outer: bool,
    /// The outer entries for which constants of inner columns hold.
    pub to_outer: Option<Rc<[bool]>>,
}

/// A column of some level.
#[derive(Debug)]
pub struct Node {
    pub scope: usize,
    pub entry: usize,
    /// Mention and attribute, if it is a column of a table.
    pub base: Option<(usize, i16)>,
    /// What it comes from, if that is no table: `function`, `values`.
    pub source: Option<&'static str>,
    pub below: Vec<Below>,
    pub equal: Vec<(usize, PrunedBy)>,
}

/// A column that another column or an expression is made of.
#[derive(Debug, Clone)]
pub struct Below {
    pub node: usize,
    /// Why a condition from above does not reach it.
    pub stopped: Option<&'static str>,
    /// Whether only conditions that leak nothing reach it.
    pub guarded: bool,
    /// Whether the planner makes the levels in between one: only then can the
    /// rows of a join prune below.
    pub merged: bool,
    /// The expression around it, as a reason.
    pub wrapped: Option<String>,
}

impl Below {
    const fn plain(node: usize) -> Self {
        Self { node, stopped: None, guarded: false, merged: true, wrapped: None }
    }

    fn stop(&mut self, reason: Option<&'static str>) {
        self.stopped = self.stopped.or(reason);
    }
}

/// A condition on a column; `access.columns` is empty until the base column
/// is known.
#[derive(Debug, Clone)]
pub struct Predicate {
    pub node: usize,
    pub access: Access,
    /// Whether it is never true of nulls.
    pub strict: bool,
    /// Whether it could tell something of rows that its reader must not see.
    pub leaky: bool,
    /// Whether it holds for columns that equal this one.
    pub carries: bool,
}

/// An equality of two columns.
#[derive(Debug, Clone)]
pub struct Edge {
    pub nodes: [usize; 2],
    /// Whether constants of the other column hold for this one.
    pub carried: [bool; 2],
    /// Whether values of the other side could prune this one at run time.
    pub prunes: [bool; 2],
    pub by: [PrunedBy; 2],
}

/// A column of a base table that a node leads to.
#[derive(Debug, Clone)]
pub struct Base {
    pub mention: usize,
    pub attribute: i16,
    pub merged: bool,
    pub plain: bool,
}

impl<'q> Walk<'q> {
    /// The level `levels` out.
    pub fn ancestor(&self, scope: usize, levels: usize) -> Option<usize> {
        (0..levels).try_fold(scope, |scope, _| self.scopes[scope].parent)
    }

    /// The columns of which `expr` is made: one without `wrapped` if it is a
    /// plain column.
    pub fn below(&mut self, scope: usize, expr: &'q Expr) -> Vec<Below> {
        match expr.stripped() {
            Expr::Column(column) => self.column(scope, *column),
            Expr::SubqueryOutput(number) => {
                let Some(subquery) = self.any else { return Vec::new() };
                let attribute = i16::try_from(number + 1).unwrap_or(0);
                vec![Below::plain(self.output_node(subquery, attribute))]
            }
            other => {
                let mut columns = Vec::new();
                other.columns(0, &mut columns);
                let reason = wrapping(other);
                let mut found: Vec<Below> = Vec::new();
                for column in columns {
                    for mut below in self.column(scope, column) {
                        below.wrapped.get_or_insert_with(|| reason.clone());
                        if found.iter().all(|known| known.node != below.node) {
                            found.push(below);
                        }
                    }
                }
                found
            }
        }
    }

    /// The column itself, or what a join or group stands for.
    pub fn column(&mut self, scope: usize, column: Column) -> Vec<Below> {
        let Some(scope) = self.ancestor(scope, column.levels_up) else { return Vec::new() };
        let query = self.scopes[scope].query;
        let Some(at) = usize::try_from(column.attribute).ok().and_then(|at| at.checked_sub(1)) else {
            return Vec::new();
        };
        match query.entries.get(column.entry) {
            Some(Entry::Join(exprs) | Entry::Group(exprs)) => match exprs.get(at) {
                Some(expr) => self.below(scope, expr),
                None => Vec::new(),
            },
            Some(_) => {
                vec![Below::plain(self.node(scope, column.entry, column.attribute))]
            }
            None => Vec::new(),
        }
    }

    fn node(&mut self, scope: usize, entry: usize, attribute: i16) -> usize {
        if let Some(known) = self.index.get(&(scope, entry, attribute)) {
            return *known;
        }
        let at = self.new_node(scope, entry, attribute);
        let level = &self.scopes[scope];
        match &level.query.entries[entry] {
            Entry::Table(_) => {
                self.nodes[at].base = level.mentions[entry].map(|mention| (mention, attribute));
            }
            Entry::Subquery(_) => {
                if let Some(child) = level.children[entry] {
                    self.connect(at, child, attribute, None);
                }
            }
            Entry::Cte { name, levels_up, recursive_reference } => {
                if let Some(child) = level.children[entry] {
                    self.connect(at, child, attribute, None);
                    return at;
                }
                self.connect_cte(at, (scope, *levels_up), name, *recursive_reference, attribute);
            }
            Entry::Values(source, _) => self.nodes[at].source = Some(source),
            Entry::Join(_) | Entry::Group(_) | Entry::Nothing => {}
        }
        at
    }

    fn new_node(&mut self, scope: usize, entry: usize, attribute: i16) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node {
            scope,
            entry,
            base: None,
            source: None,
            below: Vec::new(),
            equal: Vec::new(),
        });
        self.index.insert((scope, entry, attribute), at);
        at
    }

    /// The output column of a subquery in an expression.
    fn output_node(&mut self, subquery: usize, attribute: i16) -> usize {
        if let Some(known) = self.index.get(&(subquery, usize::MAX, attribute)) {
            return *known;
        }
        let at = self.new_node(subquery, usize::MAX, attribute);
        self.connect(at, subquery, attribute, None);
        at
    }

    /// A recursive reference leads to the part that starts the recursion and
    /// no further.
    fn connect_cte(
        &mut self,
        at: usize,
        (scope, levels_up): (usize, usize),
        name: &str,
        recursive_reference: bool,
        attribute: i16,
    ) {
        let Some(owner) = self.ancestor(scope, levels_up) else { return };
        let ctes = &self.scopes[owner].query.ctes;
        let Some(number) = ctes.iter().position(|cte| cte.name == name) else { return };
        let Some(child) = self.scopes[owner].ctes[number] else { return };
        if !recursive_reference {
            self.connect(at, child, attribute, Some("the WITH query is computed on its own"));
            return;
        }
        let start = self.scopes[child].query.set_operation.as_ref().and_then(|set| set.arms.first());
        if let Some(start) = start.and_then(|arm| self.scopes[child].children[*arm]) {
            self.connect(at, start, attribute, Some("the WITH query is recursive"));
        }
    }

    fn connect(&mut self, at: usize, child: usize, attribute: i16, stopped: Option<&'static str>) {
        let mut below = self.outputs(child, attribute);
        let query = self.scopes[child].query;
        let merged = stopped.is_none() && (pulled_up(query) || appended(query));
        for one in &mut below {
            one.stop(stopped);
            one.guarded |= query.barrier;
            one.merged &= merged;
        }
        if let [only] = &below[..]
            && stopped.is_none()
            && only.wrapped.is_none()
            && pulled_up(query)
        {
            self.nodes[only.node].equal.push((at, PrunedBy::All));
        }
        self.nodes[at].below = below;
    }

    /// What an output column of a level is made of.
    fn outputs(&mut self, scope: usize, attribute: i16) -> Vec<Below> {
        let query = self.scopes[scope].query;
        if let Some(set) = &query.set_operation {
            let mut found = Vec::new();
            for arm in &set.arms {
                if let Some(child) = self.scopes[scope].children[*arm] {
                    let stopped = reached_arm(query, set, self.scopes[child].query, attribute);
                    let merged = pulled_up(self.scopes[child].query);
                    for mut below in self.outputs(child, attribute) {
                        below.stop(stopped);
                        below.merged &= merged;
                        found.push(below);
                    }
                }
            }
            return found;
        }
        let visible = |target: &&Target| target.number == attribute && !target.hidden;
        let Some(target) = query.targets.iter().find(visible) else { return Vec::new() };
        let stopped = reached(query, target).err();
        let mut found = self.below(scope, &target.expr);
        found.iter_mut().for_each(|below| below.stop(stopped));
        found
    }

    /// The base columns that a node leads to. Ways that meet again are gone
    /// once: their number can double with every level.
    pub fn bases(&self, node: usize) -> Vec<Base> {
        let mut found: Vec<Base> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut pending = vec![(node, true, true)];
        while let Some((node, merged, plain)) = pending.pop() {
            if !seen.insert((node, merged, plain)) {
                continue;
            }
            if let Some((mention, attribute)) = self.nodes[node].base {
                let known = found.iter().any(|base| base.mention == mention && base.attribute == attribute);
                if !known {
                    found.push(Base { mention, attribute, merged, plain });
                }
            }
            let below = self.nodes[node].below.iter().rev();
            pending.extend(
                below.map(|below| (below.node, merged && below.merged, plain && below.wrapped.is_none())),
            );
        }
        found
    }
}

/// Whether the planner makes the query part of the one around it.
pub fn pulled_up(query: &Query) -> bool {
    query.command == Command::Select
        && !query.barrier
        && !query.targets.iter().any(|target| target.expr.volatile())
        && query.set_operation.is_none()
        && query.ctes.is_empty()
        && query.group.is_empty()
        && query.distinct.is_empty()
        && query.order.is_empty()
        && query.having.is_none()
        && !query.grouping_sets
        && !query.aggregates
        && !query.window_functions
        && !query.returns_sets
        && !query.limited
        && !query.locks_rows
}

/// Whether the planner appends the arms to each other in the query around it.
fn appended(query: &Query) -> bool {
    let plain = query.order.is_empty() && !query.limited && !query.locks_rows && query.ctes.is_empty();
    plain && query.set_operation.as_ref().is_some_and(|set| set.union_all)
}

/// Whether the planner makes the subquery of an `EXISTS` part of the query
/// around it: what it selects, and in which order, does not matter.
pub fn pulled_up_for_existence(query: &Query) -> bool {
    query.command == Command::Select
        && query.set_operation.is_none()
        && query.ctes.is_empty()
        && query.having.is_none()
        && !query.grouping_sets
        && !query.aggregates
        && !query.window_functions
        && !query.returns_sets
        && !query.locks_rows
}

/// Why a condition on the output of a set operation is not applied in an arm.
fn reached_arm(query: &Query, set: &SetOperation, arm: &Query, attribute: i16) -> Option<&'static str> {
    let at = usize::try_from(attribute).ok().and_then(|at| at.checked_sub(1));
    let wanted = at.and_then(|at| set.types.get(at));
    let target = arm.targets.iter().find(|target| target.number == attribute && !target.hidden);
    if query.limited {
        Some("applied after LIMIT")
    } else if set.except {
        Some("applied after EXCEPT")
    } else if target.is_some_and(|target| wanted.is_some_and(|wanted| *wanted != target.of_type)) {
        Some("applied after the cast of an arm")
    } else {
        None
    }
}

/// Whether a condition on an output column may be applied below the query's
/// own grouping, windows and limit; the reason if not.
fn reached(query: &Query, target: &Target) -> Result<(), &'static str> {
    let among = |references: &[u32]| target.reference != 0 && references.contains(&target.reference);
    let grouped = query.aggregates || !query.group.is_empty() || query.having.is_some();
    let windowed = query.window_functions && !query.windows.iter().all(|window| among(&window.partition));
    if query.command != Command::Select {
        Err("applied to the rows that are written")
    } else if query.limited {
        Err("applied after LIMIT")
    } else if query.grouping_sets || (grouped && !among(&query.group)) {
        Err("applied after grouping")
    } else if windowed {
        Err("applied after a window function")
    } else if query.distinct_on && !among(&query.distinct) {
        Err("applied after DISTINCT ON")
    } else if target.expr.volatile() {
        Err("volatile function")
    } else {
        Ok(())
    }
}

/// The expression around a column, as a reason.
pub fn wrapping(expr: &Expr) -> String {
    match expr {
        Expr::Other(other) if other.cast => format!("cast to {}", other.what),
        Expr::Relabel { type_name, .. } => format!("cast to {type_name}"),
        Expr::Other(other) => format!("expression on the column: {}", other.what),
        _ => "expression on the column".to_owned(),
    }
}
