//! How a table is cut now, and what another way has to gain to replace it.
//!
//! Not here: words (`explain`). Invariant: the present way is priced at the
//! horizon as any other, with the ranges that will be made ahead of it until
//! then.

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyValue;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::candidate::Candidate;
use crate::planning::proposal::candidate::Generator;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::option::Wanted;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::range_plan;
use crate::planning::proposal::option::replanned;
use crate::planning::proposal::range::RangePlan;
use crate::planning::proposal::subject::Subject;

/// The present way of a table, if it has shards of a form that is priced
/// here: hash by one column, calendar ranges, or exactly one of `cut`.
pub fn of(input: &ProposalInput, subject: &Subject, cut: &[Weighed]) -> Option<Weighed> {
    let Some(layout) = input.applied.get(&subject.name) else { return by_someone_else(cut) };
    let known = cut.iter().find(|one| {
        let key = one.candidate.as_ref().map(|candidate| candidate.key.columns());
        one.strategy() == layout.strategy() && key.as_deref() == Some(layout.key_columns().as_slice())
    });
    let same = known.filter(|known| {
        let cut = known.division.layout(subject);
        cut.is_some_and(|cut| {
            cut.shards().iter().map(|shard| &shard.bound).eq(layout.shards().iter().map(|shard| &shard.bound))
        })
    });
    if let Some(same) = same {
        return Some(accepted(same.clone()));
    }
    let [column] = layout.shard_key() else { return None };
    let column = subject.table.column(column)?;
    let wanted = match layout.strategy() {
        Strategy::Hash => Wanted::Modulus(u32::try_from(layout.shards().len()).ok()?),
        Strategy::Range => Wanted::Range(continued(known, calendar_plan(layout)?)),
        _ => return None,
    };
    let way = known.cloned().unwrap_or_else(|| {
        let mut whole = crate::planning::proposal::option::whole(input, subject);
        whole.candidate = Some(unsuggested(layout.strategy(), ShardKey::of(column)));
        whole
    });
    replanned(input, subject, &way, wanted).map(accepted)
}

/// A table that is partitioned without us is taken to be cut as we would by
/// its key: the profile does not have its bounds.
fn by_someone_else(cut: &[Weighed]) -> Option<Weighed> {
    let there = cut.iter().find(|one| {
        let candidate = one.candidate.as_ref();
        candidate.is_some_and(|found| found.generators.contains(&Generator::PresentKey))
    });
    there.filter(|one| one.impossible.is_none()).cloned().map(accepted)
}

/// A key that nothing suggests but its being there.
fn unsuggested(strategy: Strategy, key: ShardKey) -> Candidate {
    Candidate { strategy, key, generators: vec![Generator::PresentKey], stands_for: None }
}

/// What is there is legal.
fn accepted(weighed: Weighed) -> Weighed {
    let verdict = Verdict { warnings: weighed.verdict.warnings.clone(), ..Verdict::default() };
    Weighed { verdict, impossible: None, ..weighed }
}

/// The unit and ends of ranges that follow each other by the calendar.
fn calendar_plan(layout: &Layout) -> Option<RangePlan> {
    let kind = layout.key_types().first().copied()?;
    let point = |point: &[RangeDatum]| match point {
        [RangeDatum::Value(text)] => match kind.read(text)? {
            KeyValue::Micros(micros) => Some(micros),
            _ => None,
        },
        _ => None,
    };
    let mut edges: Vec<(i64, i64)> = Vec::new();
    for shard in layout.shards() {
        match &shard.bound {
            Bound::Range { lower, upper } => edges.push((point(lower)?, point(upper)?)),
            Bound::Default => {}
            _ => return None,
        }
    }
    let (first, end) = (edges.first()?.0, edges.last()?.1);
    let follows = |unit: &CalendarUnit| {
        unit.floor(first) == Some(first)
            && edges.iter().zip(0_i64..).all(|((lower, upper), at)| {
                unit.add(first, at) == Some(*lower) && unit.add(first, at + 1) == Some(*upper)
            })
    };
    let unit = CalendarUnit::ALL.into_iter().find(follows)?;
    Some(RangePlan { unit, first, end })
}

/// The plan with the ranges that the table will need until the horizon.
fn continued(known: Option<&Weighed>, plan: RangePlan) -> RangePlan {
    let own = known.and_then(|known| range_plan(&known.division));
    let end = own.and_then(|own| plan.unit.ceil(own.end)).unwrap_or(plan.end);
    RangePlan { end: plan.end.max(end), ..plan }
}

/// What another way has to save at least, milliseconds per second: a share of
/// the present cost, and enough to pay for moving the rows.
pub fn gain_least(input: &ProposalInput, subject: &Subject, present: &Weighed) -> f64 {
    let share = present.cost.total() * input.constants.change_gain_min;
    let move_ms = move_ms(input, subject);
    share.max(move_ms / input.constants.change_payback_seconds)
}

/// Milliseconds to move all rows.
fn move_ms(input: &ProposalInput, subject: &Subject) -> f64 {
    subject.size.rows_past * input.constants.change_row_ms
}

/// Seconds after which a gain has paid for the move; none if it never does.
pub fn payback_seconds(input: &ProposalInput, subject: &Subject, gain: f64) -> Option<f64> {
    (gain > 0.0).then(|| move_ms(input, subject) / gain)
}
