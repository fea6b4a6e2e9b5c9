//! What the arms of an `OR` have in common: a column that every arm tests is
//! tested by the whole, an equality of two columns in every arm is one of the
//! whole.

use std::collections::BTreeSet;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::PrunedBy;
use crate::pg::analyze::condition::Finding;
use crate::pg::analyze::scope::Edge;
use crate::pg::analyze::scope::Predicate;

/// The findings that hold whichever arm is true.
pub fn common(arms: Vec<Vec<Finding>>) -> Vec<Finding> {
    let Some((first, rest)) = arms.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for finding in first {
        match finding {
            Finding::Edge(edge) => {
                let merged = rest.iter().try_fold(edge.clone(), |edge, arm| same_edge(&edge, arm));
                found.extend(merged.map(Finding::Edge));
            }
            Finding::Predicate(predicate) if !seen.contains(&predicate.node) => {
                seen.push(predicate.node);
                let node = predicate.node;
                let tests: Option<Vec<Access>> = arms.iter().map(|arm| tested(node, arm)).collect();
                let Some(tests) = tests else { continue };
                let strict = arms.iter().all(|arm| arm.iter().any(|finding| strictly_of(node, finding)));
                if let Some(access) = alternatives(&tests) {
                    let carries = false;
                    let leaky = arms.iter().flatten().any(|finding| leaky_on(node, finding));
                    found.push(Finding::Predicate(Predicate { node, access, strict, leaky, carries }));
                }
            }
            Finding::Predicate(_) => {}
        }
    }
    let missed = missed(&arms, &found);
    found.extend(missed);
    found
}

/// The tests of columns that not every arm tests: they prune nothing.
fn missed(arms: &[Vec<Finding>], common: &[Finding]) -> Vec<Finding> {
    let of = |finding: &Finding| match finding {
        Finding::Predicate(predicate) => Some(predicate.node),
        Finding::Edge(_) => None,
    };
    let mut seen: BTreeSet<(usize, AccessKind)> = BTreeSet::new();
    let known: BTreeSet<usize> = common.iter().filter_map(of).collect();
    let mut found = Vec::new();
    for finding in arms.iter().flatten() {
        let Finding::Predicate(predicate) = finding else { continue };
        if known.contains(&predicate.node) || !seen.insert((predicate.node, predicate.access.kind)) {
            continue;
        }
        let mut predicate = Predicate { strict: false, carries: false, ..predicate.clone() };
        predicate.access.constants.clear();
        if predicate.access.prunable {
            predicate.access.prunable = false;
            predicate.access.reason = Some("another alternative of the OR does not prune".to_owned());
        }
        found.push(Finding::Predicate(predicate));
    }
    found
}

fn leaky_on(node: usize, finding: &Finding) -> bool {
    matches!(finding, Finding::Predicate(predicate) if predicate.node == node && predicate.leaky)
}

fn same_edge(edge: &Edge, arm: &[Finding]) -> Option<Edge> {
    arm.iter().find_map(|finding| {
        let Finding::Edge(other) = finding else { return None };
        let turned = other.nodes == [edge.nodes[1], edge.nodes[0]];
        if other.nodes != edge.nodes && !turned {
            return None;
        }
        let pick = |flags: [bool; 2], at: usize| flags[if turned { 1 - at } else { at }];
        Some(Edge {
            by: edge.by,
            nodes: edge.nodes,
            carried: [0, 1].map(|at| edge.carried[at] && pick(other.carried, at)),
            prunes: [0, 1].map(|at| edge.prunes[at] && pick(other.prunes, at)),
        })
    })
}

fn strictly_of(node: usize, finding: &Finding) -> bool {
    matches!(finding, Finding::Predicate(predicate) if predicate.node == node && predicate.strict)
}

/// The strictest test of the column in one arm.
fn tested(node: usize, arm: &[Finding]) -> Option<Access> {
    let mut best: Option<Access> = None;
    for finding in arm {
        let Finding::Predicate(Predicate { node: of, access, .. }) = finding else { continue };
        if *of != node || (access.kind == AccessKind::NullTest && !access.prunable) {
            continue;
        }
        best = Some(match best.take() {
            None => access.clone(),
            Some(known) => stricter(known, access),
        });
    }
    best
}

fn stricter(known: Access, other: &Access) -> Access {
    const fn rank(kind: AccessKind) -> usize {
        match kind {
            AccessKind::Equality => 0,
            AccessKind::InList => 1,
            AccessKind::NullTest => 2,
            AccessKind::Range => 3,
            _ => 4,
        }
    }
    let key = |access: &Access| (!access.prunable, rank(access.kind));
    if known.kind == AccessKind::Range && other.kind == AccessKind::Range && known.prunable == other.prunable
    {
        let mut both = known;
        both.lower |= other.lower;
        both.upper |= other.upper;
        both.constants.extend(other.constants.iter().cloned());
        return both;
    }
    if key(other) < key(&known) { other.clone() } else { known }
}

/// One test of a column that stands for its alternatives.
fn alternatives(tests: &[Access]) -> Option<Access> {
    let all = |kinds: &[AccessKind]| tests.iter().all(|test| kinds.contains(&test.kind));
    let kind = if all(&[AccessKind::NullTest]) {
        AccessKind::NullTest
    } else if all(&[AccessKind::Prefix]) {
        AccessKind::Prefix
    } else if all(&[AccessKind::Equality, AccessKind::InList, AccessKind::NullTest]) {
        AccessKind::InList
    } else if all(&[AccessKind::Equality, AccessKind::InList, AccessKind::NullTest, AccessKind::Range]) {
        AccessKind::Range
    } else {
        return None;
    };
    let ends = |of: fn(&Access) -> bool| {
        kind == AccessKind::Range && tests.iter().all(|test| test.kind != AccessKind::Range || of(test))
    };
    let mut constants: Vec<String> = Vec::new();
    for constant in tests.iter().flat_map(|test| &test.constants) {
        if !constants.contains(constant) {
            constants.push(constant.clone());
        }
    }
    let by = |by: PrunedBy| tests.iter().any(|test| test.by == by);
    Some(Access {
        prunable: tests.iter().all(|test| test.prunable) && !(by(PrunedBy::Order) && by(PrunedBy::Hash)),
        by: match (by(PrunedBy::Order), by(PrunedBy::Hash)) {
            (true, _) => PrunedBy::Order,
            (false, true) => PrunedBy::Hash,
            (false, false) => PrunedBy::All,
        },
        reason: tests.iter().find_map(|test| test.reason.clone()),
        lower: ends(|test| test.lower),
        upper: ends(|test| test.upper),
        constants,
        ..Access::of(kind, "")
    })
}
