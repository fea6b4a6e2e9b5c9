//! One leaf between two looks: what it counted, and whether its rows were
//! taken away or written anew.

use std::collections::BTreeMap;

use crate::planning::forecast::ledger::Counted;
use crate::planning::forecast::ledger::Known;
use crate::planning::forecast::ledger::Leaf;
use crate::planning::forecast::ledger::Look;
use crate::planning::forecast::ledger::State;

/// A new file that holds less than this share of the rows that there should
/// be was emptied; estimates of rows are not exact.
const TRUNCATED_BELOW: f64 = 0.75;

/// The same for the bytes of a heap, where rows are not known: VACUUM FULL
/// makes heaps smaller too.
const TRUNCATED_BYTES_BELOW: f64 = 0.25;

/// What happened to a leaf.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Happened {
    pub(super) known: Known,
    pub(super) counted: Counted,
    /// Rows that a TRUNCATE took; none = there was none.
    pub(super) truncated: Option<f64>,
    /// Whether all of it was written anew.
    pub(super) rewritten: bool,
}

/// Whether counters of all leaves began anew between a state and a look.
///
/// After a promotion they did, and after a crash, which the server tells.
/// After a reset of everything most of them are smaller than before; after
/// that of a single table one is, though both show alike.
pub(super) fn all_restarted(state: &State, look: &Look) -> bool {
    let (then, now) = (&state.server, &look.server);
    let crashed = then.started != now.started && then.counts_since != now.counts_since;
    if then.timeline != now.timeline || crashed {
        return true;
    }
    if then == now {
        return false;
    }
    let now: BTreeMap<u32, &Leaf> = look.leaves.iter().map(|leaf| (leaf.oid, leaf)).collect();
    let counting = |known: &&Known| known.counted.any() && now.contains_key(&known.oid);
    let counting: Vec<&Known> = state.leaves.iter().filter(counting).collect();
    let fell = counting.iter().filter(|known| now[&known.oid].counted.fell(&known.counted)).count();
    fell > 0 && 2 * fell > counting.len()
}

/// What happened to a leaf that was there before.
pub(super) fn continued(leaf: &Leaf, before: &Known, all_restarted: bool) -> Happened {
    let restarted =
        all_restarted || leaf.counted.fell(&before.counted) || (before.maintained && !leaf.maintained);
    let counted = if restarted && (all_restarted || leaf.counted.fell(&before.counted)) {
        leaf.counted
    } else {
        leaf.counted.since(&before.counted)
    };
    let bytes = leaf.bytes.unwrap_or(before.bytes);
    let mut base = if restarted { before.rows } else { before.base };
    let rewritten = leaf.filenode != before.filenode;
    let expected = (before.rows + counted.inserted - counted.deleted).max(0.0);
    if rewritten && !leaf.maintained && bytes.heap < TRUNCATED_BYTES_BELOW * before.bytes.heap {
        base = 0.0;
    }
    let rows = if leaf.maintained { leaf.live } else { (base + leaf.live).max(0.0) };
    let truncated =
        (rewritten && expected >= 1.0 && rows < TRUNCATED_BELOW * expected).then_some(expected - rows);
    let known = known(leaf, rows, if leaf.maintained { 0.0 } else { base }, before);
    Happened { known, counted, truncated, rewritten }
}

/// A leaf that was not there before: its counters are its whole life.
pub(super) fn appeared(leaf: &Leaf) -> Happened {
    let rows = if leaf.maintained { leaf.live } else { leaf.live.max(leaf.estimated).max(0.0) };
    let base = if leaf.maintained { 0.0 } else { rows - leaf.live };
    let known = Known {
        oid: leaf.oid,
        name: leaf.name.clone(),
        root: leaf.root.clone(),
        filenode: leaf.filenode,
        rows,
        base,
        maintained: leaf.maintained,
        bytes: leaf.bytes.unwrap_or_default(),
        counted: leaf.counted,
    };
    Happened { known, counted: leaf.counted, truncated: None, rewritten: false }
}

fn known(leaf: &Leaf, rows: f64, base: f64, before: &Known) -> Known {
    Known {
        oid: leaf.oid,
        name: leaf.name.clone(),
        root: leaf.root.clone(),
        filenode: leaf.filenode,
        rows,
        base,
        maintained: leaf.maintained,
        bytes: leaf.bytes.unwrap_or(before.bytes),
        counted: leaf.counted,
    }
}
