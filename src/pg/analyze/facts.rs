//! From predicates and equalities to the accesses of each mention: constants
//! are carried along equal columns, conditions down to base columns.

use std::collections::BTreeSet;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Mention;
use crate::model::access::PrunedBy;
use crate::model::access::StatementFacts;
use crate::model::name::quote_identifier;
use crate::pg::analyze::condition::OUTER_JOIN;
use crate::pg::analyze::scope::Below;
use crate::pg::analyze::scope::Edge;
use crate::pg::analyze::scope::Link;
use crate::pg::analyze::scope::Node;
use crate::pg::analyze::scope::Predicate;
use crate::pg::analyze::scope::Walk;
use crate::pg::analyze::tree::Query;

/// What the statement does that was rewritten to these queries.
pub fn facts(queries: &[Query]) -> StatementFacts {
    let mut found = StatementFacts::default();
    for query in queries {
        let mut walk = Walk::default();
        walk.visit(query, None, Link::default());
        walk.spread();
        walk.join();
        found.limited |= query.limited;
        found.aggregated |= query.aggregates
            || !query.group.is_empty()
            || !query.distinct.is_empty()
            || query.grouping_sets
            || query.having.is_some();
        found.arbiters.append(&mut walk.arbiters);
        found.mentions.extend(walk.mentions.into_iter().map(|mentioned| Mention {
            relation: mentioned.table.relation.clone(),
            accesses: mentioned.accesses,
        }));
    }
    found
}

impl Walk<'_> {
    /// Carries every predicate to the base columns that it filters.
    fn spread(&mut self) {
        for predicate in std::mem::take(&mut self.predicates) {
            self.spread_one(&predicate);
        }
    }

    fn spread_one(&mut self, predicate: &Predicate) {
        let mut seen = BTreeSet::new();
        let mut pending = vec![(predicate.node, None::<String>, predicate.access.by)];
        while let Some((node, hindered, by)) = pending.pop() {
            if !seen.insert((node, hindered.is_some())) {
                continue;
            }
            if let Some((mention, attribute)) = self.nodes[node].base {
                let mut access = Access { by, ..predicate.access.clone() };
                if let Some(reason) = &hindered {
                    access.prunable = false;
                    access.reason = Some(reason.clone());
                    access.constants.clear();
                }
                self.record(mention, attribute, access);
            }
            let node = &self.nodes[node];
            for below in &node.below {
                let stopped = self.stopped(predicate, below);
                // What is made of other columns is not what they are filtered by.
                if stopped.is_some() && below.wrapped.is_some() {
                    continue;
                }
                let reason = stopped.map(str::to_owned).or_else(|| below.wrapped.clone());
                pending.push((below.node, hindered.clone().or(reason), by));
            }
            if predicate.carries
                && predicate.access.kind == AccessKind::Equality
                && predicate.access.prunable
                && hindered.is_none()
            {
                pending.extend(node.equal.iter().map(|(equal, of_edge)| {
                    // The comparison is one with the constant's type there too.
                    let by = if *of_edge == PrunedBy::Order { PrunedBy::Order } else { by };
                    (*equal, None, by)
                }));
            }
        }
    }

    /// Why a condition is not applied to a column below.
    fn stopped(&self, predicate: &Predicate, below: &Below) -> Option<&'static str> {
        let under = &self.nodes[below.node];
        let live = self.scopes[under.scope].live.get(under.entry).is_some_and(|live| *live);
        if below.stopped.is_some() {
            below.stopped
        } else if below.guarded && predicate.leaky {
            Some("applied after the security barrier of a view")
        } else if !predicate.strict && !live {
            // True of the nulls that an outer join fills in there, it says
            // nothing of the rows below that join.
            Some(OUTER_JOIN)
        } else {
            None
        }
    }

    /// Records every equality of two columns on both sides.
    fn join(&mut self) {
        for edge in std::mem::take(&mut self.edges) {
            let Edge { nodes, prunes, by, .. } = edge;
            for (this, other) in [(0, 1), (1, 0)] {
                self.join_side((nodes[this], nodes[other]), (prunes[this], by[this]));
            }
        }
    }

    fn join_side(&mut self, (this, other): (usize, usize), (prunes, by): (bool, PrunedBy)) {
        let mut others: Vec<(Option<usize>, String)> = Vec::new();
        for base in self.bases(other).into_iter().filter(|base| base.plain) {
            let table = &self.mentions[base.mention].table;
            if let Some(column) = table.column(base.attribute) {
                let column = quote_identifier(column);
                others.push((Some(base.mention), format!("{}({column})", table.relation)));
            }
        }
        if others.is_empty() {
            others.push((None, self.source(other).unwrap_or("subquery").to_owned()));
        }
        for base in self.bases(this).into_iter().filter(|base| base.plain) {
            for (mention, reason) in &others {
                if *mention != Some(base.mention) {
                    let mut access = Access::of(AccessKind::Join, "");
                    access.prunable = prunes && base.merged;
                    access.by = by;
                    access.reason = Some(reason.clone());
                    self.record(base.mention, base.attribute, access);
                }
            }
        }
    }

    /// What a column comes from that is of no table: `function`, `values`.
    fn source(&self, node: usize) -> Option<&'static str> {
        let Node { source, below, .. } = &self.nodes[node];
        source.or_else(|| match &below[..] {
            [only] if only.wrapped.is_none() => self.source(only.node),
            _ => None,
        })
    }

    /// Adds an access to a mention, or to a like one that is there.
    fn record(&mut self, mention: usize, attribute: i16, mut access: Access) {
        let mentioned = &mut self.mentions[mention];
        let Some(column) = mentioned.table.column(attribute) else { return };
        access.columns = vec![column.to_owned()];
        let join = access.kind == AccessKind::Join;
        let like = |known: &&mut Access| {
            known.kind == access.kind
                && known.columns == access.columns
                && known.reason == access.reason
                && (join || (known.prunable == access.prunable && known.by == access.by))
        };
        let Some(known) = mentioned.accesses.iter_mut().find(like) else {
            mentioned.accesses.push(access);
            return;
        };
        known.prunable |= access.prunable;
        known.lower |= access.lower;
        known.upper |= access.upper;
        for constant in access.constants {
            if !known.constants.contains(&constant) {
                known.constants.push(constant);
            }
        }
    }
}
