//! One query level: its tables, what is written, grouped and ordered, and all
//! levels below it. Conditions are taken apart in `condition`.

use std::rc::Rc;

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::access::Arbiter;
use crate::pg::analyze::join_tree::Place;
use crate::pg::analyze::join_tree::flatten;
use crate::pg::analyze::scope::Link;
use crate::pg::analyze::scope::Mentioned;
use crate::pg::analyze::scope::Scope;
use crate::pg::analyze::scope::Walk;
use crate::pg::analyze::scope::pulled_up;
use crate::pg::analyze::tree::Command;
use crate::pg::analyze::tree::Cte;
use crate::pg::analyze::tree::Entry;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::Query;
use crate::pg::analyze::tree::Write;

/// Query levels beyond which `WITH` queries are no longer put in place.
const SCOPES_MAX: usize = 1000;

impl<'q> Walk<'q> {
    /// Looks at a level and all below it; returns its number.
    pub fn visit(&mut self, query: &'q Query, parent: Option<usize>, link: Link) -> usize {
        let count = query.entries.len();
        let scope = self.scopes.len();
        let flat = flatten(query);
        self.scopes.push(Scope {
            query,
            parent,
            mentions: vec![None; count],
            children: vec![None; count],
            ctes: vec![None; query.ctes.len()],
            live: Rc::clone(&flat.live),
            link,
        });
        let mut used = flat.used;
        for entry in query.result.iter().chain(query.set_operation.iter().flat_map(|set| &set.arms)) {
            if let Some(slot) = used.get_mut(*entry) {
                *slot = true;
            }
        }
        self.mention(scope, &used);
        self.visit_ctes(scope);
        self.visit_entries(scope, &used, &flat.live);
        for (condition, place) in flat.conditions {
            self.filter(scope, condition, &place);
        }
        self.having(scope, &flat.live);
        self.record_writes(scope);
        if query.set_operation.is_none() {
            self.record_grouping(scope);
        }
        for expr in query.targets.iter().map(|target| &target.expr).chain(&query.others) {
            self.subqueries(scope, expr);
        }
        scope
    }

    fn mention(&mut self, scope: usize, used: &[bool]) {
        let query = self.scopes[scope].query;
        for (at, entry) in query.entries.iter().enumerate() {
            if let Entry::Table(table) = entry
                && used[at]
            {
                self.scopes[scope].mentions[at] = Some(self.mentions.len());
                self.mentions.push(Mentioned { table: Rc::clone(table), accesses: Vec::new() });
            }
        }
    }

    fn visit_ctes(&mut self, scope: usize) {
        let query = self.scopes[scope].query;
        for (number, cte) in query.ctes.iter().enumerate() {
            if self.in_place(cte) {
                continue;
            }
            // Known before it is visited: a recursive one mentions itself.
            self.scopes[scope].ctes[number] = Some(self.scopes.len());
            self.visit(&cte.query, Some(scope), Link::default());
        }
    }

    /// Whether each mention of a `WITH` query is a query of its own. Queries
    /// that mention each other twice multiply, hence the limit.
    fn in_place(&self, cte: &Cte) -> bool {
        cte.inlined && self.scopes.len() < SCOPES_MAX
    }

    /// The level of a `WITH` query that stands in place of its mention.
    fn visit_in_place(&mut self, scope: usize, name: &str, levels_up: usize) -> Option<usize> {
        let owner = self.ancestor(scope, levels_up)?;
        let query = self.scopes[owner].query;
        let number = query.ctes.iter().position(|cte| cte.name == name)?;
        if self.scopes[owner].ctes[number].is_some() {
            return None;
        }
        let cte = &query.ctes[number];
        if !self.in_place(cte) {
            self.scopes[owner].ctes[number] = Some(self.scopes.len());
            self.visit(&cte.query, Some(owner), Link::default());
            return None;
        }
        Some(self.visit(&cte.query, Some(owner), Link::default()))
    }

    fn visit_entries(&mut self, scope: usize, used: &[bool], live: &Rc<[bool]>) {
        let query = self.scopes[scope].query;
        for (at, entry) in query.entries.iter().enumerate() {
            match entry {
                Entry::Subquery(subquery) if used[at] => {
                    let joined = pulled_up(subquery);
                    let to_outer = (joined && live[at]).then(|| Rc::clone(live));
                    let link = Link { from_outer: joined, to_outer };
                    let child = self.visit(subquery, Some(scope), link);
                    self.scopes[scope].children[at] = Some(child);
                }
                Entry::Cte { name, levels_up, .. } if used[at] => {
                    self.scopes[scope].children[at] = self.visit_in_place(scope, name, *levels_up);
                }
                Entry::Values(_, exprs) => exprs.iter().for_each(|expr| self.subqueries(scope, expr)),
                _ => {}
            }
        }
    }

    /// Conditions of `HAVING` without aggregates filter rows before grouping.
    fn having(&mut self, scope: usize, live: &Rc<[bool]>) {
        let query = self.scopes[scope].query;
        let Some(having) = &query.having else { return };
        let grouped = !query.group.is_empty() && !query.grouping_sets;
        let place = Place { receives: Rc::clone(live), joins_subqueries: false, of_full_join: false };
        let mut pending = vec![having];
        while let Some(expr) = pending.pop() {
            match expr {
                Expr::And(parts) => pending.extend(parts.iter().rev()),
                _ if grouped && !expr.aggregates() => self.filter(scope, expr, &place),
                _ => self.subqueries(scope, expr),
            }
        }
    }

    /// Visits the subqueries inside an expression that is no condition: their
    /// values are parameters at run time.
    pub fn subqueries(&mut self, scope: usize, expr: &'q Expr) {
        if let Expr::Subquery(subquery) = expr {
            self.visit(&subquery.query, Some(scope), Link::default());
        }
        for child in expr.children() {
            self.subqueries(scope, child);
        }
    }

    fn record_writes(&mut self, scope: usize) {
        let query = self.scopes[scope].query;
        let Some(mention) = query.result.and_then(|entry| self.scopes[scope].mentions[entry]) else { return };
        if let Some(arbiter) = &query.arbiter {
            let table = &self.mentions[mention].table;
            let columns = arbiter.columns.iter().filter_map(|at| table.column(*at)).map(str::to_owned);
            self.arbiters.push(Arbiter {
                relation: table.relation.clone(),
                columns: columns.collect(),
                constraint: arbiter.constraint.clone(),
            });
        }
        for write in &query.writes {
            let mentioned = &mut self.mentions[mention];
            if let Some(access) = written(write, mentioned) {
                mentioned.accesses.push(access);
            }
        }
    }

    fn record_grouping(&mut self, scope: usize) {
        let query = self.scopes[scope].query;
        self.record_order(scope, AccessKind::GroupBy, &query.group);
        self.record_order(scope, AccessKind::GroupBy, &query.distinct);
        for window in &query.windows {
            self.record_order(scope, AccessKind::GroupBy, &window.partition);
            self.record_order(scope, AccessKind::OrderBy, &window.order);
        }
        self.record_order(scope, AccessKind::OrderBy, &query.order);
    }

    /// One access for each mention, with its plain columns in their order.
    fn record_order(&mut self, scope: usize, kind: AccessKind, references: &[u32]) {
        let query = self.scopes[scope].query;
        let mut found: Vec<(usize, Vec<String>)> = Vec::new();
        for reference in references {
            let Some(target) = query.targets.iter().find(|target| target.reference == *reference) else {
                continue;
            };
            for below in self.below(scope, &target.expr) {
                if below.wrapped.is_some() {
                    continue;
                }
                for base in self.bases(below.node).into_iter().filter(|base| base.plain) {
                    let table = &self.mentions[base.mention].table;
                    let Some(column) = table.column(base.attribute).map(str::to_owned) else { continue };
                    match found.iter_mut().find(|(mention, _)| *mention == base.mention) {
                        Some((_, columns)) if columns.contains(&column) => {}
                        Some((_, columns)) => columns.push(column),
                        None => found.push((base.mention, vec![column])),
                    }
                }
            }
        }
        for (mention, columns) in found {
            let access = Access { columns, prunable: false, ..Access::of(kind, "") };
            if !self.mentions[mention].accesses.contains(&access) {
                self.mentions[mention].accesses.push(access);
            }
        }
    }
}

fn written(write: &Write, mentioned: &Mentioned) -> Option<Access> {
    let table = &mentioned.table;
    let kind = match write.command {
        Command::Insert => AccessKind::Insert,
        Command::Delete => AccessKind::Delete,
        Command::Update if write.columns.iter().any(|column| table.key.contains(column)) => {
            AccessKind::UpdateKey
        }
        Command::Update => AccessKind::Update,
        Command::Select | Command::Merge => return None,
    };
    let columns = match kind {
        AccessKind::Delete => Vec::new(),
        _ => write.columns.iter().filter_map(|at| table.column(*at)).map(str::to_owned).collect(),
    };
    Some(Access { columns, prunable: false, ..Access::of(kind, "") })
}
