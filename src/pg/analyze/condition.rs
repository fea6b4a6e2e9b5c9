//! Conditions taken apart into predicates on columns and equalities of two.

use std::rc::Rc;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::PrunedBy;
use crate::pg::analyze::alternatives::common;
use crate::pg::analyze::join_tree::Place;
use crate::pg::analyze::scope::Below;
use crate::pg::analyze::scope::Edge;
use crate::pg::analyze::scope::Link;
use crate::pg::analyze::scope::Predicate;
use crate::pg::analyze::scope::Walk;
use crate::pg::analyze::scope::pulled_up;
use crate::pg::analyze::scope::pulled_up_for_existence;
use crate::pg::analyze::scope::wrapping;
use crate::pg::analyze::tree::Comparison;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::Order;
use crate::pg::analyze::tree::Query;
use crate::pg::analyze::tree::Side;
use crate::pg::analyze::tree::Subquery;
use crate::pg::analyze::tree::SubqueryKind;
use crate::pg::analyze::tree::Test;

/// Why a condition beside an outer join prunes nothing.
pub const OUTER_JOIN: &str = "an outer join keeps rows without a match";

/// Most constants of a list that are kept.
const CONSTANTS_MAX: usize = 1000;

/// What a condition says.
#[derive(Debug, Clone)]
pub enum Finding {
    Predicate(Predicate),
    Edge(Edge),
}

/// How a reason names what `USING` of a full join makes of two columns.
const COALESCED: &str = "expression on the column: coalesce(...)";

/// The shape in which a comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    AnyOf,
    Distinct,
    Row,
}

impl<'q> Walk<'q> {
    /// Records what a condition says.
    pub fn filter(&mut self, scope: usize, condition: &'q Expr, place: &Place) {
        for finding in self.findings(scope, condition, place) {
            match finding {
                Finding::Predicate(predicate) => self.predicates.push(predicate),
                Finding::Edge(edge) => {
                    let [left, right] = edge.nodes;
                    if edge.carried[0] {
                        self.nodes[right].equal.push((left, edge.by[0]));
                    }
                    if edge.carried[1] {
                        self.nodes[left].equal.push((right, edge.by[1]));
                    }
                    self.edges.push(edge);
                }
            }
        }
    }

    /// What a condition says; every subquery in it is visited once.
    fn findings(&mut self, scope: usize, condition: &'q Expr, place: &Place) -> Vec<Finding> {
        match condition {
            Expr::And(parts) => parts.iter().flat_map(|part| self.findings(scope, part, place)).collect(),
            Expr::Or(parts) => {
                let place = Place { joins_subqueries: false, ..place.clone() };
                common(parts.iter().map(|part| self.findings(scope, part, &place)).collect())
            }
            Expr::Comparison(comparison) => {
                self.subqueries(scope, condition);
                self.compared(scope, comparison, Shape::Plain, place)
            }
            Expr::AnyOf(comparison) => {
                self.subqueries(scope, condition);
                self.compared(scope, comparison, Shape::AnyOf, place)
            }
            Expr::NotDistinct(comparison) => {
                self.subqueries(scope, condition);
                self.compared(scope, comparison, Shape::Distinct, place)
            }
            Expr::Row(comparison, _) => {
                self.subqueries(scope, condition);
                self.compared(scope, comparison, Shape::Row, place)
            }
            Expr::NullTest { argument, is_null } => {
                self.subqueries(scope, condition);
                let mut access = Access::of(AccessKind::NullTest, "");
                if !is_null {
                    access.prunable = false;
                    access.reason = Some("IS NOT NULL excludes nulls alone".to_owned());
                }
                let predicate = Predicate { strict: !is_null, ..plain_predicate(access) };
                self.predicates_on(scope, argument, &predicate, place)
            }
            Expr::Truth { argument, value } => {
                self.subqueries(scope, condition);
                let mut access = Access::of(AccessKind::Equality, "");
                access.constants = vec![if *value { "t" } else { "f" }.to_owned()];
                self.predicates_on(scope, argument, &plain_predicate(access), place)
            }
            Expr::Subquery(subquery) => self.subquery(scope, subquery, place),
            other => {
                self.subqueries(scope, other);
                Vec::new()
            }
        }
    }

    /// `EXISTS`, `IN` and their like: a join with the subquery where the
    /// planner would make it one.
    fn subquery(&mut self, scope: usize, subquery: &'q Subquery, place: &Place) -> Vec<Finding> {
        let joined = match subquery.kind {
            SubqueryKind::Exists | SubqueryKind::NotExists => pulled_up_for_existence(&subquery.query),
            SubqueryKind::Any => pulled_up(&subquery.query) && joinable(&subquery.query),
            SubqueryKind::Other => false,
        };
        let link = if joined && place.joins_subqueries {
            let both_ways = subquery.kind != SubqueryKind::NotExists;
            Link { from_outer: true, to_outer: both_ways.then(|| Rc::clone(&place.receives)) }
        } else {
            Link::default()
        };
        let child = self.visit(&subquery.query, Some(scope), link);
        let Some(test) = &subquery.test else { return Vec::new() };
        if subquery.kind == SubqueryKind::Any && place.joins_subqueries && joinable(&subquery.query) {
            let around = self.any.replace(child);
            let found = self.findings(scope, test, place);
            self.any = around;
            found
        } else {
            self.subqueries(scope, test);
            Vec::new()
        }
    }

    fn compared(
        &mut self,
        scope: usize,
        comparison: &'q Comparison,
        shape: Shape,
        place: &Place,
    ) -> Vec<Finding> {
        let Comparison { left, right, sides, .. } = comparison;
        match (left.has_local_columns(), right.has_local_columns()) {
            (true, true) if shape == Shape::Plain => self.local_edge(scope, comparison, place),
            (true, false) => self.key(scope, comparison, (left, right, sides[0]), shape, place),
            (false, true) if shape != Shape::AnyOf => {
                self.key(scope, comparison, (right, left, sides[1]), shape, place)
            }
            _ => Vec::new(),
        }
    }

    /// A comparison whose one side is made of this level's columns and whose
    /// other side is not.
    fn key(
        &mut self,
        scope: usize,
        comparison: &'q Comparison,
        (key, other, side): (&'q Expr, &'q Expr, Option<Side>),
        shape: Shape,
        place: &Place,
    ) -> Vec<Finding> {
        let Some(side) = side else { return Vec::new() };
        let equal = side.test == Test::Order(Order::Equal) && shape == Shape::Plain;
        let of_subquery = other.has_subquery_output();
        if equal && matches!(other.stripped(), Expr::Column(_) | Expr::SubqueryOutput(_)) {
            return self.outer_edge(scope, comparison, (key, other), side, place);
        }
        if of_subquery {
            return Vec::new();
        }
        let Some(mut access) = access(side.test, shape) else { return Vec::new() };
        if access.kind != AccessKind::Range {
            access.by = side.by;
        }
        access.constants = constants(other);
        if !begins_with_text(side.test, &access.constants) {
            return Vec::new();
        }
        if let Some(reason) = obstacle(comparison, key, other, side, shape) {
            access.prunable = false;
            access.reason = Some(reason);
        }
        let predicate = Predicate {
            strict: shape != Shape::Distinct,
            leaky: comparison.leaky,
            carries: equal && side.by != PrunedBy::Hash,
            ..plain_predicate(access)
        };
        if equal
            && predicate.access.prunable
            && let Some(nodes) = self.fully_joined_in(scope, key)
        {
            let both = nodes.map(|node| Finding::Predicate(Predicate { node, ..predicate.clone() }));
            return both.into();
        }
        self.predicates_on(scope, key, &predicate, place)
    }

    /// The two columns that a full join makes one, if the key is just that.
    fn fully_joined_in(&mut self, scope: usize, key: &'q Expr) -> Option<[usize; 2]> {
        let below = self.below(scope, key);
        let [left, right] = &below[..] else { return None };
        let nodes = [left.node, right.node];
        let coalesced = below.iter().all(|one| one.wrapped.as_deref() == Some(COALESCED));
        (coalesced && self.fully_joined.contains(&nodes)).then_some(nodes)
    }

    /// The predicate on every column of the key, prunable where the place
    /// lets it filter.
    fn predicates_on(
        &mut self,
        scope: usize,
        key: &'q Expr,
        predicate: &Predicate,
        place: &Place,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for below in self.below(scope, key) {
            if self.nodes[below.node].scope != scope {
                continue;
            }
            let mut predicate = Predicate { node: below.node, ..predicate.clone() };
            let access = &mut predicate.access;
            if let Some(reason) = below.wrapped {
                access.prunable = false;
                access.reason = Some(reason);
                access.constants.clear();
            }
            if !self.receives(scope, below.node, place) {
                access.prunable = false;
                access.reason = Some(OUTER_JOIN.to_owned());
            }
            found.push(Finding::Predicate(predicate));
        }
        found
    }

    fn receives(&self, scope: usize, node: usize, place: &Place) -> bool {
        let node = &self.nodes[node];
        node.scope == scope && place.receives.get(node.entry).copied().unwrap_or(false)
    }

    /// `a.x = b.x` within a level.
    fn local_edge(&mut self, scope: usize, comparison: &'q Comparison, place: &Place) -> Vec<Finding> {
        let [Some(left_side), Some(right_side)] = comparison.sides else { return Vec::new() };
        if left_side.test != Test::Order(Order::Equal) {
            return Vec::new();
        }
        let by = [left_side.by, right_side.by];
        let Some(left) = plain(self.below(scope, &comparison.left)) else { return Vec::new() };
        let Some(right) = plain(self.below(scope, &comparison.right)) else { return Vec::new() };
        if self.nodes[left].entry == self.nodes[right].entry {
            return Vec::new();
        }
        let receives = [left, right].map(|node| self.receives(scope, node, place));
        let clean = [
            obstacle_of_key(comparison, &comparison.left, left_side).is_none(),
            obstacle_of_key(comparison, &comparison.right, right_side).is_none(),
        ];
        let equated = clean[0] && clean[1] && !by.contains(&PrunedBy::Hash);
        if place.of_full_join && equated {
            self.fully_joined.extend([[left, right], [right, left]]);
        }
        let carried = receives.map(|receives| receives && equated);
        let prunes = [receives[0] && clean[0], receives[1] && clean[1]];
        vec![Finding::Edge(Edge { nodes: [left, right], carried, prunes, by })]
    }

    /// `b.x = a.x` where `a` is of a level further out, and `a.x` against the
    /// output of the subquery of `IN`.
    fn outer_edge(
        &mut self,
        scope: usize,
        comparison: &'q Comparison,
        (key, other): (&'q Expr, &'q Expr),
        side: Side,
        place: &Place,
    ) -> Vec<Finding> {
        let Some(local) = plain(self.below(scope, key)) else {
            let predicate = plain_predicate(Access::of(AccessKind::Equality, ""));
            return self.predicates_on(scope, key, &predicate, place);
        };
        let Some(outer) = plain(self.below(scope, other)) else { return Vec::new() };
        let fits = self.receives(scope, local, place) && obstacle_of_key(comparison, key, side).is_none();
        let link = &self.scopes[scope].link;
        let (from_outer, to_outer) = match other.stripped() {
            Expr::SubqueryOutput(_) => (true, true),
            Expr::Column(column) if column.levels_up == 1 => {
                let entry = self.nodes[outer].entry;
                let receives = link.to_outer.as_ref().and_then(|receives| receives.get(entry));
                (link.from_outer, receives.copied().unwrap_or(false))
            }
            _ => (false, false),
        };
        let equated = fits && side.by != PrunedBy::Hash;
        vec![Finding::Edge(Edge {
            nodes: [local, outer],
            carried: [equated && from_outer, equated && to_outer],
            prunes: [fits, fits && to_outer],
            by: [side.by; 2],
        })]
    }
}

/// Whether `IN` and `= ANY` of the subquery become a join.
#[cfg(any(feature = "pg15", feature = "pg16"))]
fn joinable(query: &Query) -> bool {
    let mut outer = Vec::new();
    query.columns(1, &mut outer);
    outer.is_empty()
}

/// Whether `IN` and `= ANY` of the subquery become a join: since PostgreSQL 17
/// also if it depends on the row around it.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const fn joinable(_: &Query) -> bool {
    true
}

/// A predicate of a node that is still to be said.
const fn plain_predicate(access: Access) -> Predicate {
    Predicate { node: 0, access, strict: true, leaky: false, carries: false }
}

/// Whether a pattern begins with text, as far as it is known; other tests do.
fn begins_with_text(test: Test, patterns: &[String]) -> bool {
    match test {
        Test::Order(_) => true,
        Test::Prefix => !patterns.iter().any(|text| text.starts_with(['%', '_'])),
        Test::Pattern => {
            let anchored = |text: &String| {
                text.strip_prefix('^').is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
            };
            !patterns.is_empty() && patterns.iter().all(anchored)
        }
    }
}

/// The node, if there is one column and nothing around it.
fn plain(below: Vec<Below>) -> Option<usize> {
    match &below[..] {
        [only] if only.wrapped.is_none() => Some(only.node),
        _ => None,
    }
}

fn access(test: Test, shape: Shape) -> Option<Access> {
    let order = match test {
        Test::Prefix | Test::Pattern => {
            return (shape == Shape::Plain).then(|| Access::of(AccessKind::Prefix, ""));
        }
        Test::Order(order) => order,
    };
    match (order, shape) {
        (Order::Equal, Shape::Plain | Shape::Distinct) => Some(Access::of(AccessKind::Equality, "")),
        (Order::Equal, Shape::AnyOf) => Some(Access::of(AccessKind::InList, "")),
        (Order::Equal, Shape::Row) | (_, Shape::Distinct) => None,
        (order, _) => {
            let lower = matches!(order, Order::Greater | Order::GreaterEqual);
            Some(Access { lower, upper: !lower, ..Access::of(AccessKind::Range, "") })
        }
    }
}

/// The constants among the values compared with.
fn constants(other: &Expr) -> Vec<String> {
    match other.stripped() {
        Expr::Constant(text) => text.iter().cloned().collect(),
        Expr::List(elements) => elements.iter().take(CONSTANTS_MAX).flat_map(constants).collect(),
        Expr::Other(other) => other.constant.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Why PostgreSQL could not prune by the comparison.
fn obstacle(comparison: &Comparison, key: &Expr, other: &Expr, side: Side, shape: Shape) -> Option<String> {
    if side.test == Test::Prefix {
        return Some("LIKE does not prune partitions".to_owned());
    }
    if side.test == Test::Pattern {
        return Some("a regular expression does not prune partitions".to_owned());
    }
    if shape == Shape::Distinct {
        return Some("IS NOT DISTINCT FROM does not prune partitions".to_owned());
    }
    if shape == Shape::Row {
        return Some("a row comparison does not prune partitions".to_owned());
    }
    if shape == Shape::AnyOf && !matches!(other.stripped(), Expr::List(_)) && !other.known_at_planning() {
        return Some("array is not known when the statement is planned".to_owned());
    }
    obstacle_of_key(comparison, key, side)
        .or_else(|| other.volatile_by_row().then(|| "volatile function".to_owned()))
}

fn obstacle_of_key(comparison: &Comparison, key: &Expr, side: Side) -> Option<String> {
    if !side.own_family {
        return Some(wrapping(key));
    }
    let Expr::Column(column) = key.stripped() else { return None };
    (column.collation != 0 && column.collation != comparison.collation)
        .then(|| "another collation than the column's".to_owned())
}
