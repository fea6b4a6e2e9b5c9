//! What settings of the server would gain that let joins and aggregates go
//! shard by shard, and are off.
//!
//! Such a gain is named and never counted. Not here: the planning itself.

use crate::model::access::AccessKind;
use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::planning::proposal::CostConstants;

/// The planner's costs of one statement under the layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ByShard {
    pub calls: f64,
    pub cost: f64,
    /// With the settings on.
    pub then: f64,
}

/// Whether a statement joins some of these tables, or groups rows of one.
#[must_use]
pub fn could_go_by_shard(analysis: &Analysis, divided: &[&QualifiedName]) -> bool {
    let Analysis::Facts(facts) = analysis else { return false };
    let mut mentions = facts.mentions.iter().filter(|mention| divided.contains(&&mention.relation));
    let grouped =
        mentions.clone().any(|one| one.accesses.iter().any(|access| access.kind == AccessKind::GroupBy));
    grouped || mentions.nth(1).is_some()
}

/// What a table's statements would gain with the settings that are `off`, a
/// full sentence; none if that is less than shards have to gain.
#[must_use]
pub fn forgone(statements: &[ByShard], off: &[&str], constants: &CostConstants) -> Option<String> {
    let better: Vec<&ByShard> = statements
        .iter()
        .filter(|one| one.calls > 0.0 && one.then < one.cost * (1.0 - constants.gain_min))
        .collect();
    let sum = |cost: fn(&ByShard) -> f64| better.iter().map(|one| one.calls * cost(one)).sum::<f64>();
    let (cost, then) = (sum(|one| one.cost), sum(|one| one.then));
    if off.is_empty() || cost <= 0.0 {
        return None;
    }
    let settings = off.iter().map(|name| format!("{name} = on")).collect::<Vec<_>>().join(" and ");
    let (count, verb) = match better.len() {
        1 => ("1 statement".to_owned(), "costs"),
        more => (format!("{more} statements"), "cost"),
    };
    Some(format!(
        "With {settings}, {count} on the table {verb} {:.0} % less by PostgreSQL's planner, which is not counted.",
        100.0 * (1.0 - then / cost)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Access;
    use crate::model::access::Mention;
    use crate::model::access::StatementFacts;

    #[test]
    fn a_gain_is_named_by_what_it_is_worth_together() {
        let constants = CostConstants::default();
        let one = |calls, cost, then| ByShard { calls, cost, then };
        let both = ["enable_partitionwise_join", "enable_partitionwise_aggregate"];
        // 1 × 100 and 3 × 200 become 1 × 50 and 3 × 100.
        let told = forgone(&[one(1.0, 100.0, 50.0), one(3.0, 200.0, 100.0)], &both, &constants).unwrap();
        assert_eq!(
            told,
            "With enable_partitionwise_join = on and enable_partitionwise_aggregate = on, 2 statements on the \
             table cost 50 % less by PostgreSQL's planner, which is not counted."
        );
        // What gains little, or gets worse, is not mixed in.
        let mixed = [one(1.0, 100.0, 25.0), one(1e6, 100.0, 95.0), one(1e6, 100.0, 300.0)];
        let told = forgone(&mixed, &both[..1], &constants).unwrap();
        assert!(told.starts_with("With enable_partitionwise_join = on, 1 statement on the table costs 75 %"));
        assert_eq!(forgone(&mixed[1..], &both, &constants), None);
        assert_eq!(forgone(&mixed, &[], &constants), None);
        assert_eq!(forgone(&[one(0.0, 100.0, 1.0)], &both, &constants), None);
    }

    #[test]
    fn joins_of_two_divided_tables_and_groups_could_go_by_shard() {
        let [t, u, small] = ["t", "u", "small"].map(|name| QualifiedName::new("app", name));
        let mention = |name: &QualifiedName, kind| Mention {
            relation: name.clone(),
            accesses: vec![Access::of(kind, "k")],
        };
        let of = |mentions: Vec<Mention>| {
            Analysis::Facts(StatementFacts { mentions, ..StatementFacts::default() })
        };
        let divided = [&t, &u];
        for (mentions, expected) in [
            (vec![mention(&t, AccessKind::Join), mention(&u, AccessKind::Join)], true),
            (vec![mention(&t, AccessKind::Join), mention(&small, AccessKind::Join)], false),
            (vec![mention(&t, AccessKind::GroupBy)], true),
            (vec![mention(&small, AccessKind::GroupBy), mention(&t, AccessKind::Equality)], false),
            (vec![mention(&t, AccessKind::Equality)], false),
        ] {
            assert_eq!(could_go_by_shard(&of(mentions.clone()), &divided), expected, "{mentions:?}");
        }
    }
}
