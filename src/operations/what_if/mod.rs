//! What PostgreSQL's planner makes of a proposal, before it is made.
//!
//! ```text
//! propose ─→ plan today's tables and the proposed shards, one group at a time
//!    ↑                       │
//!    └── disqualified ←── objection        no objection ─→ evidence, stored
//! ```
//!
//! Where the planner cannot be asked (a read-only transaction, no privilege to
//! create schemas, too few locks) the proposal is made without, and says so.

mod finalist;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::calibration;
use crate::catalog::layouts;
use crate::model::access::Analysis;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::settings::UniquePolicy;
use crate::model::what_if::NotPlanned;
use crate::model::what_if::Parameter;
use crate::model::what_if::Planned;
use crate::model::what_if::Plans;
use crate::model::what_if::Supposed;
use crate::operations::advise;
use crate::operations::advise::Facts;
use crate::operations::what_if::finalist::Ground;
use crate::pg::hook;
use crate::pg::what_if;
use crate::pg::what_if::Question;
use crate::planning::proposal::CostConstants;
use crate::planning::proposal::Disqualification;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::evidence;
use crate::planning::proposal::evidence::ByShard;
use crate::planning::proposal::evidence::Evidence;
use crate::planning::proposal::evidence::batch::batches;
use crate::planning::proposal::evidence::draw;
use crate::planning::proposal::evidence::draw::Source;
use crate::planning::proposal::evidence::referred;
use crate::planning::proposal::evidence::represent::Represented;
use crate::planning::proposal::evidence::represent::represent;
use crate::planning::proposal::evidence::suppose;
use crate::planning::workload;
use crate::planning::workload::AnalyzedWorkload;

/// Most proposals that are tried; what still has an objection then is proposed
/// with a warning.
const ROUNDS_MAX: usize = 4;

/// How a warning begins that says why there is no evidence.
const NOT_ASKED: &str = "PostgreSQL's planner could not be asked: ";

/// Schemas of the server itself, whose relations have no shadow.
const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// Proposes shards that the planner has no objection to.
pub fn proposed(facts: &Facts, only: Option<&QualifiedName>) -> Result<Proposal, ErrorReport> {
    let mut trial = Trial::new(&facts.profile, &facts.workload, &facts.hashes, facts.applied())?;
    let mut disqualified: Vec<Disqualification> = Vec::new();
    loop {
        let mut proposal = facts.propose(only.cloned(), &disqualified)?;
        let mut objections = trial.judge(&mut proposal);
        // What is there already is not compared with the table as if it were whole.
        objections.retain(|one| !facts.keeps(&proposal, &one.relation));
        if objections.is_empty() {
            return Ok(proposal);
        }
        if trial.rounds >= ROUNDS_MAX {
            for objection in objections {
                let found = proposal.relations.iter_mut().find(|one| one.relation == objection.relation);
                found.into_iter().for_each(|one| one.warnings.push(objection.reason.clone()));
            }
            return Ok(proposal);
        }
        disqualified.extend(objections);
    }
}

/// The evidence for a proposal that has none: made by hand, or from before.
pub fn evidence(proposal: &Proposal) -> Result<Vec<(QualifiedName, Vec<Evidence>)>, ErrorReport> {
    let missing = proposal.relations.iter().any(|one| one.layout.is_some() && one.evidence.is_empty());
    let mut proposal = proposal.clone();
    if missing {
        let mut profile = advise::meant(None)?;
        let workload = advise::weighed(&mut profile)?;
        let hashes = advise::hash_values(&profile)?;
        let mut fresh = proposal.clone();
        let applied = layouts::present(&profile)?;
        Trial::new(&profile, &workload, &hashes, &applied)?.judge(&mut fresh);
        for (old, new) in proposal.relations.iter_mut().zip(fresh.relations) {
            if old.evidence.is_empty() {
                // Why there is none is told in place of it.
                let told = new.warnings.into_iter().rfind(|warning| warning.starts_with(NOT_ASKED));
                old.evidence = new.evidence;
                if old.evidence.is_empty() {
                    old.evidence.extend(told.map(Evidence::none));
                }
            }
        }
    }
    Ok(proposal.relations.into_iter().map(|one| (one.relation, one.evidence)).collect())
}

/// Tables and how they are divided.
type Layouts = Vec<(QualifiedName, Layout)>;

/// Layouts of so few shards that there are locks for them.
fn represent_all(
    layouts: &[(QualifiedName, Layout)],
    most: usize,
) -> Result<Vec<(QualifiedName, Represented)>, String> {
    let one = |(name, layout): &(QualifiedName, Layout)| {
        let fewer = represent(layout, most).ok_or_else(|| {
            format!("{most} shards, for which there are locks, cannot stand for those of table {name}")
        })?;
        Ok((name.clone(), fewer))
    };
    layouts.iter().map(one).collect()
}

/// What became of a group of tables.
type Outcome = Result<BTreeMap<QualifiedName, Judged>, String>;

/// What became of one table.
#[derive(Clone)]
struct Judged {
    evidence: Vec<Evidence>,
    /// Shards that the planner was asked about in place of all.
    stood_for: Option<(usize, usize)>,
    /// What settings would gain that are off.
    forgone: Option<String>,
}

/// Tables that were judged together, and the statements by which.
struct Group {
    layouts: Vec<(QualifiedName, Layout)>,
    statements: Vec<usize>,
    outcome: Outcome,
}

/// Plans that were made; those of today and those of the same layouts are made
/// once.
struct Trial<'f> {
    profile: &'f Profile,
    workload: &'f AnalyzedWorkload,
    hashes: &'f crate::planning::proposal::HashValues,
    /// How tables are divided today.
    applied: &'f BTreeMap<QualifiedName, Layout>,
    texts: Vec<(String, Vec<String>)>,
    ground: Ground,
    constants: CostConstants,
    /// Settings that are off and would let statements go shard by shard.
    off: Vec<&'static str>,
    today: BTreeMap<usize, Result<Planned, NotPlanned>>,
    groups: Vec<Group>,
    rounds: usize,
}

impl<'f> Trial<'f> {
    fn new(
        profile: &'f Profile,
        workload: &'f AnalyzedWorkload,
        hashes: &'f crate::planning::proposal::HashValues,
        applied: &'f BTreeMap<QualifiedName, Layout>,
    ) -> Result<Self, ErrorReport> {
        Ok(Self {
            profile,
            workload,
            hashes,
            applied,
            texts: workload::prepared(&profile.workload),
            ground: Ground::read()?,
            constants: CostConstants::calibrated(&calibration::load()?),
            off: advise::server_facts().off(),
            today: BTreeMap::new(),
            groups: Vec::new(),
            rounds: 0,
        })
    }

    /// Puts the evidence into a proposal; returns what speaks against it.
    fn judge(&mut self, proposal: &mut Proposal) -> Vec<Disqualification> {
        self.rounds += 1;
        let together: Vec<Vec<RelationProposal>> = proposal
            .sharded_together()
            .into_iter()
            .map(|group| group.into_iter().cloned().collect())
            .collect();
        let names: Vec<QualifiedName> = together.iter().flatten().map(|one| one.relation.clone()).collect();
        let weighty = evidence::weighty(self.workload, &names.iter().collect::<Vec<_>>(), &self.constants);
        let mut objections = Vec::new();
        for group in together {
            let layouts: Vec<(QualifiedName, Layout)> =
                group.iter().filter_map(|one| Some((one.relation.clone(), one.layout.clone()?))).collect();
            let statements = self.statements(&weighty, &layouts);
            let known =
                self.groups.iter().find(|known| known.layouts == layouts && known.statements == statements);
            let outcome = match known {
                Some(known) => known.outcome.clone(),
                None => {
                    let unique = &proposal.settings.unique_policy;
                    let outcome = self.group(&layouts, &statements, *unique);
                    self.groups.push(Group { layouts, statements, outcome: outcome.clone() });
                    outcome
                }
            };
            for one in
                proposal.relations.iter_mut().filter(|one| group.iter().any(|g| g.relation == one.relation))
            {
                objections.extend(self.settle(one, &outcome));
            }
        }
        objections
    }

    /// Writes down what became of a table; returns what speaks against it.
    fn settle(&self, one: &mut RelationProposal, outcome: &Outcome) -> Option<Disqualification> {
        match outcome {
            Err(reason) => {
                one.warnings.push(format!("{NOT_ASKED}{reason}."));
                None
            }
            Ok(judged) => {
                let judged = judged.get(&one.relation)?;
                one.evidence.clone_from(&judged.evidence);
                if let Some((made, all)) = judged.stood_for {
                    one.warnings.push(format!(
                        "PostgreSQL's planner was asked with {made} shards in place of {all}."
                    ));
                }
                one.warnings.extend(judged.forgone.clone());
                let reason = evidence::objection(&judged.evidence, &self.constants)?;
                if self.outgrows_today(one) && evidence::failure(&judged.evidence).is_none() {
                    one.warnings.push(format!("At the size of today: {reason}"));
                    return None;
                }
                let shard_key = one.layout.as_ref()?.shard_key().to_vec();
                Some(Disqualification {
                    relation: one.relation.clone(),
                    strategy: one.strategy,
                    shard_key,
                    reason: format!("PostgreSQL's planner objects. {reason}"),
                })
            }
        }
    }

    /// Whether a table is to become so large that plans of today say little of
    /// what statements will cost.
    fn outgrows_today(&self, one: &RelationProposal) -> bool {
        let today = self.profile.table(&one.relation).map_or(0.0, |table| table.total_bytes());
        one.bytes_at_horizon > today * self.constants.evidence_growth_max
    }

    /// The statements among these that are on the tables of a group and on
    /// tables of the profile alone.
    fn statements(&self, weighty: &[usize], layouts: &[(QualifiedName, Layout)]) -> Vec<usize> {
        let wanted = |at: &&usize| match &self.workload.statements[**at].analysis {
            Analysis::Facts(facts) => {
                let relations = || facts.mentions.iter().map(|mention| &mention.relation);
                relations().any(|name| layouts.iter().any(|(of, _)| of == name))
                    && relations().all(|name| {
                        SYSTEM_SCHEMAS.contains(&name.schema.as_str()) || self.profile.table(name).is_some()
                    })
            }
            Analysis::Refused { .. } => false,
        };
        weighty.iter().filter(wanted).copied().collect()
    }

    /// Has the planner plan a group's statements, as it is and as it would be.
    fn group(
        &mut self,
        layouts: &[(QualifiedName, Layout)],
        statements: &[usize],
        unique: UniquePolicy,
    ) -> Outcome {
        if statements.is_empty() {
            return Ok(BTreeMap::new());
        }
        let needs: Vec<_> = statements.iter().map(|at| finalist::needed(self.workload, *at)).collect();
        let part = finalist::part_of(self.profile, self.workload, statements);
        let (today, others) = self.as_today(&part, layouts);
        let all = [layouts, others.as_slice()].concat();
        let most = self.ground.shards_max(&part, &all, &needs, &self.constants)?;
        let represented = represent_all(layouts, most)?;
        let today = represent_all(&today, most)?;
        let unplanned: Vec<usize> =
            statements.iter().filter(|at| !self.today.contains_key(at)).copied().collect();
        if !unplanned.is_empty() {
            let plans = self.plans(&today, &unplanned, unique)?;
            self.today.extend(unplanned.into_iter().zip(plans));
        }
        let divided = [represented.as_slice(), &represent_all(&others, most)?].concat();
        let plans = self.plans(&divided, statements, unique)?;
        let mut judged = BTreeMap::new();
        for (name, represented) in &represented {
            let (mut found, mut by_shard) = (Vec::new(), Vec::new());
            for (at, after) in statements.iter().zip(&plans) {
                let statement = &self.workload.statements[*at];
                let Analysis::Facts(facts) = &statement.analysis else { continue };
                if facts.mentions.iter().any(|mention| mention.relation == *name)
                    && let Some(before) = self.today.get(at)
                {
                    by_shard.extend(after.as_ref().ok().and_then(|after| {
                        Some(ByShard {
                            calls: statement.calls,
                            cost: after.cost,
                            then: after.shard_by_shard?,
                        })
                    }));
                    let before_of = today.iter().find(|(of, _)| of == name).map(|(_, layout)| layout);
                    found.push(Evidence::of(
                        statement,
                        name,
                        (before, |shards| before_of.map_or(shards, |layout| layout.scaled(shards))),
                        (after, |shards| represented.scaled(shards)),
                    ));
                }
            }
            let made = represented.layout.shards().len();
            let stood_for = (!represented.is_whole()).then_some((made, represented.shards));
            let forgone = evidence::forgone(&by_shard, &self.off, &self.constants);
            judged.insert(name.clone(), Judged { evidence: found, stood_for, forgone });
        }
        Ok(judged)
    }

    /// How tables of a part are divided today: all, and those that are not of
    /// the group.
    fn as_today(&self, part: &Profile, layouts: &[(QualifiedName, Layout)]) -> (Layouts, Layouts) {
        let divided = part.tables.iter().map(Table::name);
        let today: Layouts =
            divided.filter_map(|name| Some((name.clone(), self.applied.get(&name)?.clone()))).collect();
        let other = |(name, _): &&(QualifiedName, Layout)| !layouts.iter().any(|(of, _)| of == name);
        let others = today.iter().filter(other).cloned().collect();
        (today, others)
    }

    /// Has the planner plan statements where some tables are divided, so many
    /// at once that a cancel need not wait long.
    fn plans(
        &self,
        divided: &[(QualifiedName, Represented)],
        statements: &[usize],
        unique: UniquePolicy,
    ) -> Result<Plans, String> {
        let weight = |table: &Table| {
            let layout = divided.iter().find(|(name, _)| *name == table.name());
            let shards = layout.map_or(0, |(_, layout)| layout.layout.shards().len());
            finalist::of_whole(table) + shards * finalist::of_shard(table)
        };
        let weights: Vec<usize> = self.profile.tables.iter().map(weight).collect();
        let numbers: BTreeMap<QualifiedName, usize> =
            self.profile.tables.iter().map(Table::name).zip(0..).collect();
        let need = |at: &usize| {
            let names = finalist::needed(self.workload, *at);
            names.into_iter().filter_map(|name| numbers.get(name).copied()).collect::<BTreeSet<_>>()
        };
        let needs: Vec<_> = statements.iter().map(need).collect();
        let mut plans = BTreeMap::new();
        for batch in batches(&needs, |number| weights[number], finalist::OF_STATEMENTS_MAX) {
            let of: Vec<usize> = batch.iter().map(|at| statements[*at]).collect();
            plans.extend(batch.into_iter().zip(self.plans_of(divided, &of, unique)?));
        }
        Ok(plans.into_values().collect())
    }

    /// The same, all at once.
    fn plans_of(
        &self,
        divided: &[(QualifiedName, Represented)],
        statements: &[usize],
        unique: UniquePolicy,
    ) -> Result<Plans, String> {
        let part = &finalist::part_of(self.profile, self.workload, statements);
        let needed = divided.iter().filter(|(name, _)| part.table(name).is_some());
        let divided = &needed.cloned().collect::<Vec<_>>();
        let shadow = self.ground.shadow(part, divided, unique);
        let mut supposed: Vec<Supposed> = Vec::new();
        for table in &part.tables {
            let layout = divided.iter().find(|(name, _)| *name == table.name());
            match layout {
                Some((_, layout)) => {
                    let counted = referred::counted(table, |name| self.profile.table(name));
                    supposed.extend(suppose::divided(&counted, layout, self.hashes, &self.constants));
                }
                None => supposed.push(suppose::whole(table, 0.0, &self.constants)),
            }
        }
        let texts: Vec<_> = statements.iter().map(|at| self.texts[*at].clone()).collect();
        let draws = |at: usize, parameters: &[Parameter], times: usize| {
            let source = Source {
                profile: self.profile,
                statement: &self.profile.workload.statements[statements[at]],
                analysis: &self.workload.statements[statements[at]].analysis,
                constants: &self.constants,
            };
            draw::draws(&source, parameters, times)
        };
        let names: Vec<&QualifiedName> = divided.iter().map(|(name, _)| name).collect();
        let by_shard = |at: usize| {
            let analysis = &self.workload.statements[statements[at]].analysis;
            !self.off.is_empty() && evidence::could_go_by_shard(analysis, &names)
        };
        let question = Question {
            shadow: &shadow,
            supposed: &supposed,
            statements: &texts,
            moment: self.profile.captured_micros().unwrap_or(0),
            draws: &draws,
            shard_by_shard: &by_shard,
        };
        hook::bypass(|| what_if::plans(&question)).map_err(|failure| {
            let reason = failure.reason.trim_end_matches('.').to_owned();
            match failure.relation {
                Some(relation) => format!("table {relation} could not be rebuilt ({reason})"),
                None => reason,
            }
        })
    }
}
