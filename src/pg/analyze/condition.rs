//! Conditions taken apart into predicates on columns and equalities of two.

use std::rc::Rc;

use crate::model::access::Access;
use crate::model::access::AccessKind;
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
use crate::pg::analyze::tree::Side;
use crate::pg::analyze::tree::Subquery;
use crate::pg::analyze::tree::SubqueryKind;
use crate::pg::analyze::tree::Test;

/// Most constants of a list that are kept.
const CONSTANTS_MAX: usize = 1000;

/// What a condition says.
#[derive(Debug, Clone)]
pub enum Finding {
    Predicate(Predicate),
    Edge(Edge),
}

/// The shape in which a comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    AnyOf,
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
                        self.nodes[right].equal.push(left);
                    }
                    if edge.carried[1] {
                        self.nodes[left].equal.push(right);
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
                self.predicates_on(scope, argument, &access, place)
            }
            Expr::Truth { argument, value } => {
                self.subqueries(scope, condition);
                let mut access = Access::of(AccessKind::Equality, "");
                access.constants = vec![if *value { "t" } else { "f" }.to_owned()];
                self.predicates_on(scope, argument, &access, place)
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
            SubqueryKind::Any => pulled_up(&subquery.query),
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
        if subquery.kind == SubqueryKind::Any && place.joins_subqueries {
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
        access.constants = constants(other);
        if side.test == Test::Prefix && access.constants.iter().any(|text| text.starts_with(['%', '_'])) {
            return Vec::new();
        }
        if let Some(reason) = obstacle(comparison, key, other, side, shape) {
            access.prunable = false;
            access.reason = Some(reason);
        }
        self.predicates_on(scope, key, &access, place)
    }

    /// The predicate on every column of the key that the place lets filter.
    fn predicates_on(&mut self, scope: usize, key: &'q Expr, access: &Access, place: &Place) -> Vec<Finding> {
        let mut found = Vec::new();
        for below in self.below(scope, key) {
            if !self.receives(scope, below.node, place) {
                continue;
            }
            let mut access = access.clone();
            if let Some(reason) = below.wrapped {
                access.prunable = false;
                access.reason = Some(reason);
                access.constants.clear();
            }
            let strict = access.kind != AccessKind::NullTest || !access.prunable;
            found.push(Finding::Predicate(Predicate { node: below.node, access, strict }));
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
        let carried = receives.map(|receives| receives && clean[0] && clean[1]);
        let prunes = [receives[0] && clean[0], receives[1] && clean[1]];
        vec![Finding::Edge(Edge { nodes: [left, right], carried, prunes })]
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
            let access = Access::of(AccessKind::Equality, "");
            return self.predicates_on(scope, key, &access, place);
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
        vec![Finding::Edge(Edge {
            nodes: [local, outer],
            carried: [fits && from_outer, fits && to_outer],
            prunes: [fits, fits && to_outer],
        })]
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
        Test::Prefix if shape == Shape::Plain => return Some(Access::of(AccessKind::Prefix, "")),
        Test::Prefix => return None,
        Test::Order(order) => order,
    };
    match (order, shape) {
        (Order::Equal, Shape::Plain) => Some(Access::of(AccessKind::Equality, "")),
        (Order::Equal, Shape::AnyOf) => Some(Access::of(AccessKind::InList, "")),
        (Order::Equal, Shape::Row) | (_, Shape::AnyOf) => None,
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
    if shape == Shape::Row {
        return Some("a row comparison does not prune partitions".to_owned());
    }
    if shape == Shape::AnyOf && !matches!(other.stripped(), Expr::List(_)) && !other.known_at_planning() {
        return Some("array is not known when the statement is planned".to_owned());
    }
    obstacle_of_key(comparison, key, side)
        .or_else(|| other.volatile().then(|| "volatile function".to_owned()))
}

fn obstacle_of_key(comparison: &Comparison, key: &Expr, side: Side) -> Option<String> {
    if !side.own_family {
        return Some(wrapping(key));
    }
    let Expr::Column(column) = key.stripped() else { return None };
    (column.collation != 0 && column.collation != comparison.collation)
        .then(|| "another collation than the column's".to_owned())
}
