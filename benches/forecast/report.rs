//! The scores as Markdown, and whether the targets are reached.

use crate::HISTORIES;
use crate::HORIZONS;
use crate::Scored;
use crate::opponents::METHODS;
use crate::opponents::OURS;
use crate::opponents::THEIL_SEN;
use crate::score::Summary;
use crate::speed::Times;

/// Two errors that are both this small, in units of the typical change, are
/// equally good: their ratio says nothing.
const SAME: f64 = 0.01;

fn summary(scored: &[Scored], keep: impl Fn(&Scored) -> bool) -> Summary {
    Summary::of(scored.iter().filter(|one| keep(one)).map(|one| &one.outcome))
}

fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

fn head(cells: &[&str]) {
    row(cells.iter().map(|cell| (*cell).to_owned()));
    println!("|---{}|", "|--:".repeat(cells.len() - 1));
}

fn pair(summary: &Summary) -> String {
    if summary.count == 0 {
        "–".to_owned()
    } else {
        format!("{:.3} / {:.2}", summary.median, summary.clipped_mean)
    }
}

fn number(value: f64) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.2}") }
}

/// Errors of all methods by history, all families together.
pub fn errors(set: &str, scored: &[Scored]) {
    for (horizon, _) in HORIZONS {
        println!("**{horizon} days ahead, {set} set**\n");
        head(&["history", "1 day", "3 days", "14 days", "56 days"]);
        for method in METHODS {
            let cell = |history| {
                let keep =
                    |one: &Scored| (one.history, one.horizon, one.method) == (history, horizon, method.name);
                pair(&summary(scored, keep))
            };
            row(std::iter::once(method.name.to_owned()).chain(HISTORIES.map(cell)));
        }
        println!();
    }
}

/// What intervals cover, on the way and at the horizon, and their score.
pub fn intervals(set: &str, scored: &[Scored]) {
    println!(
        "**90 % intervals, {set} set**: share of the way covered / of the horizons / median interval score; MASE \
         is the median, per day of growth\n"
    );
    head(&["method, horizon", "1 day", "3 days", "14 days", "56 days", "MASE, 14 days"]);
    for method in METHODS {
        for (horizon, _) in HORIZONS {
            let of = |history| {
                summary(scored, |one| {
                    (one.history, one.horizon, one.method) == (history, horizon, method.name)
                })
            };
            let cell = |history| {
                let found = of(history);
                let figures = [found.inside, found.inside_at_horizon, found.interval_score].map(number);
                figures.join(" / ")
            };
            let name = format!("{}, {horizon} days", method.name);
            let cells = HISTORIES.map(cell);
            row(std::iter::once(name).chain(cells).chain([number(of(14).mase)]));
        }
    }
    println!();
}

/// Ours and Theil–Sen, family by family.
pub fn families(set: &str, scored: &[Scored]) {
    println!("**By family, {set} set**: pg_presplit against Theil–Sen, and what our intervals cover\n");
    head(&[
        "family, horizon",
        "14 days: ours",
        "Theil–Sen",
        "covered",
        "56 days: ours",
        "Theil–Sen",
        "covered",
    ]);
    by_family(scored);
}

fn names(scored: &[Scored]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = scored.iter().map(|one| one.family).collect();
    names.dedup();
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

fn by_family(scored: &[Scored]) {
    for family in names(scored) {
        for (horizon, _) in HORIZONS {
            let mut cells = vec![format!("{family}, {horizon} days")];
            for history in [14, 56] {
                let of = |method: &str| {
                    summary(scored, |one| {
                        (one.family, one.history, one.horizon) == (family, history, horizon)
                            && one.method == method
                    })
                };
                let ours = of(OURS.name);
                cells.extend([pair(&ours), pair(&of(THEIL_SEN.name)), number(ours.inside)]);
            }
            row(cells);
        }
    }
    println!();
}

pub fn real(scored: &[Scored]) {
    println!("### Real series\n");
    if scored.is_empty() {
        println!("Not here: `make bench-forecast` fetches them.\n");
        return;
    }
    println!("Sums of what was counted by the hour or day, up to twelve origins each.\n");
    errors("real", scored);
    intervals("real", scored);
    families("real", scored);
}

/// The places where ours is more than a tenth worse than Theil–Sen.
fn worse(scored: &[Scored]) -> Vec<String> {
    let mut found = Vec::new();
    for family in names(scored) {
        for (history, (horizon, _)) in
            HISTORIES.into_iter().flat_map(|h| HORIZONS.map(|horizon| (h, horizon)))
        {
            let of = |method: &str| {
                summary(scored, |one| {
                    (one.family, one.history, one.horizon) == (family, history, horizon)
                        && one.method == method
                })
            };
            let (ours, theirs) = (of(OURS.name), of(THEIL_SEN.name));
            for (what, a, b) in
                [("median", ours.median, theirs.median), ("mean", ours.clipped_mean, theirs.clipped_mean)]
            {
                if a > 1.1 * b && a > b + SAME {
                    found.push(format!("{family}, {history} → {horizon} days, {what} {a:.3} to {b:.3}"));
                }
            }
        }
    }
    found
}

/// What was promised, and what was measured.
pub fn targets(sets: &[(&str, Vec<Scored>)], real: &[Scored], times: &Times) {
    println!("### Targets\n");
    head(&["target", "tuning", "held out", "real"]);
    let all: Vec<&[Scored]> = sets.iter().map(|(_, scored)| &scored[..]).chain([real]).collect();
    let figure = |name: &str, value: &dyn Fn(&[Scored]) -> String| {
        row(std::iter::once(name.to_owned()).chain(all.iter().map(|scored| value(scored))));
    };
    let ours = |scored: &[Scored], horizon: i64, least: i64, most: i64| {
        summary(scored, |one| {
            one.method == OURS.name && one.horizon == horizon && (least..=most).contains(&one.history)
        })
    };
    figure("7 days ahead from 14 days: median error ≤ 0.10", &|s| {
        format!("{:.3}", ours(s, 7, 14, 14).median)
    });
    figure("the same at the horizon itself", &|s| format!("{:.3}", ours(s, 7, 14, 14).median_at_horizon));
    for (horizon, aim) in [(7, "85–97 %"), (30, "≥ 80 %")] {
        for (text, least, most) in
            [("14 days", 14, 14), ("56 days", 56, 56), ("3 days", 3, 3), ("1 day", 1, 1)]
        {
            let aim = if least < 14 { "no promise" } else { aim };
            figure(&format!("covered {horizon} days ahead from {text}, way / horizon: {aim}"), &|s| {
                let found = ours(s, horizon, least, most);
                format!("{:.1} / {:.1} %", 100.0 * found.inside, 100.0 * found.inside_at_horizon)
            });
        }
    }
    figure("places (of family, history, horizon) > 10 % worse than Theil–Sen: 0", &|s| {
        worse(s).len().to_string()
    });
    println!("\n{}\n", times.text());
    for (name, scored) in sets.iter().map(|(name, scored)| (*name, &scored[..])).chain([("real", real)]) {
        let places = worse(scored);
        if !places.is_empty() {
            println!("Worse than Theil–Sen, {name}: {}.\n", places.join("; "));
        }
    }
}
