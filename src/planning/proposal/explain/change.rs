//! Why a table that is cut already stays so, or is to be cut anew.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::choice::Choice;
use crate::planning::proposal::choice::Standing;
use crate::planning::proposal::choice::same_key;
use crate::planning::proposal::explain::by;
use crate::planning::proposal::explain::words::duration;
use crate::planning::proposal::explain::words::percent;
use crate::planning::proposal::explain::words::short;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::present::gain_least;
use crate::planning::proposal::present::payback_seconds;
use crate::planning::proposal::subject::Subject;

/// The sentence; none for a table that is not cut yet.
pub fn told(input: &ProposalInput, subject: &Subject, choice: &Choice) -> Option<String> {
    let present = choice.present.as_ref()?;
    let chosen = choice.chosen();
    if same_key(chosen, present) && chosen.division.same_bounds(&present.division) {
        Some(kept(input, subject, choice, present))
    } else {
        Some(replaced(input, subject, chosen, present))
    }
}

/// A way with its number of shards, as `hash by id in 16 shards`.
fn shown(weighed: &Weighed) -> String {
    match weighed.shard_count() {
        1 if weighed.existing.is_some() => format!("{} in one shard", by(weighed)),
        1 => "the whole table".to_owned(),
        count => format!("{} in {count} shards", by(weighed)),
    }
}

fn kept(input: &ProposalInput, subject: &Subject, choice: &Choice, present: &Weighed) -> String {
    let free =
        choice.weighed.iter().skip(1).filter(|one| Standing::of(input, subject, one) == Standing::Good);
    let best = free.min_by(|a, b| a.cost.total().total_cmp(&b.cost.total()));
    let gain = |best: &Weighed| present.cost.total() - best.cost.total();
    let already = "It is cut so already";
    let Some(best) = best.filter(|best| gain(best) > 0.0) else {
        return format!("{already}.");
    };
    let gain = gain(best);
    let share = percent(gain / present.cost.total());
    let constants = input.constants;
    let why = if gain < present.cost.total() * constants.change_gain_min {
        format!("less than {}", percent(constants.change_gain_min))
    } else if gain < gain_least(input, subject, present) {
        let needed = payback_seconds(input, subject, gain).map_or(String::new(), days);
        format!(
            "but pays for moving {} rows only after {needed}, not within {}",
            short(subject.size.rows_past),
            days(constants.change_payback_seconds)
        )
    } else {
        "but would part it from its group".to_owned()
    };
    format!("{already}: {} would save {share} of the cost, {why}.", shown(best))
}

fn replaced(input: &ProposalInput, subject: &Subject, chosen: &Weighed, present: &Weighed) -> String {
    let gain = present.cost.total() - chosen.cost.total();
    let rows = short(subject.size.rows_past);
    match payback_seconds(input, subject, gain) {
        Some(seconds) => format!(
            "It is cut now as {}: the change saves {} of that cost and pays for moving {rows} rows within {}.",
            shown(present),
            percent(gain / present.cost.total()),
            days(seconds)
        ),
        None => format!("It is cut now as {}: the change aligns it with its group.", shown(present)),
    }
}

fn days(seconds: f64) -> String {
    duration((seconds * 1e6) as i64)
}
