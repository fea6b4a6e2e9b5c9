//! What the analysis needs of a `Query` tree, as owned values.
//!
//! `read` fills them from PostgreSQL's nodes once; everything after that is
//! safe code that cannot meet a dangling node. Numbers of range table entries
//! count from zero here (PostgreSQL's from one).

use std::rc::Rc;

use crate::model::access::PrunedBy;
use crate::model::name::QualifiedName;

/// The verb of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
}

/// One query level.
#[derive(Debug)]
pub struct Query {
    pub command: Command,
    pub entries: Vec<Entry>,
    pub ctes: Vec<Cte>,
    pub from: From,
    /// The entry that is written to.
    pub result: Option<usize>,
    /// The output columns; of a writing statement with `RETURNING` those.
    pub targets: Vec<Target>,
    /// The columns that each write sets.
    pub writes: Vec<Write>,
    /// Of an `INSERT`, by what it tells that a row is there already.
    pub arbiter: Option<Arbiter>,
    /// Expressions that only need a look for subqueries: limits, values.
    pub others: Vec<Expr>,
    pub having: Option<Expr>,
    /// Conditions of row security on one entry each, below all joins.
    pub guards: Vec<(usize, Expr)>,
    /// Sort-group references of `GROUP BY`, `DISTINCT`, `DISTINCT ON` and
    /// `ORDER BY`.
    pub group: Vec<u32>,
    pub distinct: Vec<u32>,
    pub distinct_on: bool,
    pub order: Vec<u32>,
    pub windows: Vec<Window>,
    pub set_operation: Option<SetOperation>,
    pub grouping_sets: bool,
    pub aggregates: bool,
    pub window_functions: bool,
    pub returns_sets: bool,
    pub limited: bool,
    pub locks_rows: bool,
    /// Whether a function in it may answer differently from row to row.
    pub volatile: bool,
    /// Whether it is a view that conditions which leak rows must not enter.
    pub barrier: bool,
}

/// A write to the result relation: the verb and the columns that it sets.
#[derive(Debug)]
pub struct Write {
    pub command: Command,
    /// Attribute numbers.
    pub columns: Vec<i16>,
}

/// The columns of an `ON CONFLICT`; expressions are left out.
#[derive(Debug)]
pub struct Arbiter {
    /// Attribute numbers.
    pub columns: Vec<i16>,
    /// The constraint, if one is named.
    pub constraint: Option<String>,
}

/// A window: sort-group references.
#[derive(Debug)]
pub struct Window {
    pub partition: Vec<u32>,
    pub order: Vec<u32>,
}

/// A tree of set operations, flat: the entries of its arms in order.
#[derive(Debug)]
pub struct SetOperation {
    pub arms: Vec<usize>,
    pub except: bool,
    /// Whether all of it is `UNION ALL` of arms of the same types.
    pub union_all: bool,
    /// Types of the columns; an arm of another type is cast.
    pub types: Vec<u32>,
}

/// One entry of the range table.
#[derive(Debug)]
pub enum Entry {
    Table(Rc<TableFacts>),
    Subquery(Box<Query>),
    /// The expressions behind the columns of a join.
    Join(Vec<Expr>),
    Cte {
        name: String,
        levels_up: usize,
        recursive_reference: bool,
    },
    /// The grouping expressions (PostgreSQL 18).
    #[cfg_attr(not(feature = "pg18"), expect(dead_code, reason = "since PostgreSQL 18"))]
    Group(Vec<Expr>),
    /// A function, values list or the like, and what it calls itself.
    Values(&'static str, Vec<Expr>),
    /// Nothing that counts: a view that was expanded, `excluded`.
    Nothing,
}

/// A base table.
#[derive(Debug)]
pub struct TableFacts {
    pub relation: QualifiedName,
    /// By attribute number minus one; empty for a dropped column.
    pub columns: Vec<String>,
    /// Attribute numbers that are part of a unique key.
    pub key: Vec<i16>,
}

impl TableFacts {
    pub fn column(&self, attribute: i16) -> Option<&str> {
        let at = usize::try_from(attribute).ok()?.checked_sub(1)?;
        self.columns.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// A `WITH` query.
#[derive(Debug)]
pub struct Cte {
    pub name: String,
    pub query: Query,
    /// Whether PostgreSQL would put its text in place of its one mention.
    pub inlined: bool,
}

/// The join tree.
#[derive(Debug)]
pub enum From {
    Entry(usize),
    Join { kind: JoinKind, left: Box<From>, right: Box<From>, on: Option<Expr> },
    List { items: Vec<From>, conditions: Vec<Expr> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// One output column, or a hidden one that only sorts or groups.
#[derive(Debug)]
pub struct Target {
    pub number: i16,
    pub expr: Expr,
    /// Sort-group reference; 0 = none.
    pub reference: u32,
    pub hidden: bool,
    pub of_type: u32,
}

/// How two values compare, in the order of btree strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

/// What a comparison says of the key that stands on one of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    Order(Order),
    /// `LIKE` or `^@`.
    Prefix,
    /// `~`, a prefix if the pattern begins with `^`.
    Pattern,
}

/// One side of a comparison taken as the key.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// By the default operator family of the side's own type.
    pub test: Test,
    /// Whether the family is also that of the column below a binary cast:
    /// otherwise the cast is in the way.
    pub own_family: bool,
    /// The strategies whose operator families have the comparison.
    pub by: PrunedBy,
}

/// `left operator right`.
#[derive(Debug)]
pub struct Comparison {
    pub left: Expr,
    pub right: Expr,
    /// What it says of the left and of the right side; none = no comparison
    /// that an index or a partition bound knows.
    pub sides: [Option<Side>; 2],
    pub strict: bool,
    pub collation: u32,
    /// Whether it could tell something of rows that its reader must not see.
    pub leaky: bool,
}

/// An expression, as far as the analysis looks at it.
#[derive(Debug)]
pub enum Expr {
    Column(Column),
    /// A constant: its text, if it is of a built-in type and not null.
    Constant(Option<String>),
    /// `$1`.
    Parameter,
    /// Output column of the subquery of the `ANY` in which it stands.
    SubqueryOutput(usize),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Comparison(Box<Comparison>),
    /// `left = ANY (right)` or `ALL`, in the shape of a comparison.
    AnyOf(Box<Comparison>),
    /// `left IS NOT DISTINCT FROM right`, in the shape of a comparison.
    NotDistinct(Box<Comparison>),
    /// A row comparison other than equality: decided by its first pair first.
    Row(Box<Comparison>, Vec<Expr>),
    NullTest {
        argument: Box<Expr>,
        is_null: bool,
    },
    /// `argument IS TRUE`, or plain `argument`, as a condition.
    Truth {
        argument: Box<Expr>,
        value: bool,
    },
    /// A cast that changes no bits, or COLLATE.
    Relabel {
        argument: Box<Expr>,
        type_name: String,
    },
    List(Vec<Expr>),
    Subquery(Box<Subquery>),
    Other(Box<Other>),
}

/// A column of an entry of this level or of one further out.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub levels_up: usize,
    pub entry: usize,
    pub attribute: i16,
    pub collation: u32,
}

/// A subquery inside an expression.
#[derive(Debug)]
pub struct Subquery {
    pub kind: SubqueryKind,
    /// Compares with [`Expr::SubqueryOutput`].
    pub test: Option<Expr>,
    pub query: Query,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubqueryKind {
    Exists,
    NotExists,
    Any,
    Other,
}

/// Any other expression.
#[derive(Debug)]
pub struct Other {
    /// As it is named in a reason: `date_trunc(...)`; the type of a cast.
    pub what: String,
    pub cast: bool,
    pub aggregate: bool,
    pub volatile: bool,
    /// Whether it depends on its arguments alone.
    pub immutable: bool,
    /// Whether it is null as soon as an argument is.
    pub strict: bool,
    /// Text of the constant that it only casts.
    pub constant: Option<String>,
    pub children: Vec<Expr>,
}

impl Expr {
    /// The parts of the expression, subqueries' queries left out.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Column(_) | Self::Constant(_) | Self::Parameter | Self::SubqueryOutput(_) => Vec::new(),
            Self::And(parts) | Self::Or(parts) | Self::List(parts) => parts.iter().collect(),
            Self::Comparison(comparison) | Self::AnyOf(comparison) | Self::NotDistinct(comparison) => {
                vec![&comparison.left, &comparison.right]
            }
            Self::Row(first, rest) => [&first.left, &first.right].into_iter().chain(rest).collect(),
            Self::NullTest { argument, .. }
            | Self::Truth { argument, .. }
            | Self::Relabel { argument, .. } => vec![argument],
            Self::Subquery(subquery) => subquery.test.iter().collect(),
            Self::Other(other) => other.children.iter().collect(),
        }
    }

    /// Whether a function in it may answer differently from row to row.
    pub fn volatile(&self) -> bool {
        match self {
            Self::Other(other) if other.volatile => true,
            Self::Subquery(subquery) if subquery.query.volatile => true,
            _ => self.children().into_iter().any(Self::volatile),
        }
    }

    /// Whether its value may differ from row to row; a subquery that needs no
    /// row is run once.
    pub fn volatile_by_row(&self) -> bool {
        match self {
            Self::Other(other) if other.volatile => true,
            Self::Subquery(_) => false,
            _ => self.children().into_iter().any(Self::volatile_by_row),
        }
    }

    /// Whether its value is known when the statement is planned for given
    /// parameters.
    pub fn known_at_planning(&self) -> bool {
        match self {
            Self::Column(_) | Self::SubqueryOutput(_) | Self::Subquery(_) => false,
            Self::Other(other) if !other.immutable => false,
            _ => self.children().into_iter().all(Self::known_at_planning),
        }
    }

    /// The expression below casts that change no bits.
    pub fn stripped(&self) -> &Self {
        match self {
            Self::Relabel { argument, .. } => argument.stripped(),
            other => other,
        }
    }

    /// Whether it counts or sums rows.
    pub fn aggregates(&self) -> bool {
        match self {
            Self::Other(other) if other.aggregate => true,
            _ => self.children().into_iter().any(Self::aggregates),
        }
    }

    /// Adds the columns that belong to the level `depth` levels out, those in
    /// subqueries too.
    pub fn columns(&self, depth: usize, found: &mut Vec<Column>) {
        match self {
            Self::Column(column) if column.levels_up == depth => {
                found.push(Column { levels_up: 0, ..*column });
            }
            Self::Subquery(subquery) => subquery.query.columns(depth + 1, found),
            _ => {}
        }
        for child in self.children() {
            child.columns(depth, found);
        }
    }

    /// Whether a column of this level is in it.
    pub fn has_local_columns(&self) -> bool {
        let mut found = Vec::new();
        self.columns(0, &mut found);
        !found.is_empty()
    }

    /// Whether it mentions the output of the subquery that it is compared with.
    pub fn has_subquery_output(&self) -> bool {
        matches!(self, Self::SubqueryOutput(_)) || self.children().into_iter().any(Self::has_subquery_output)
    }
}

impl Query {
    /// Whether a volatile function is in it; of levels below that is known.
    pub fn has_volatile(&self) -> bool {
        let targets = self.targets.iter().map(|target| &target.expr);
        let guards = self.guards.iter().map(|(_, guard)| guard);
        targets.chain(&self.others).chain(&self.having).chain(guards).any(Expr::volatile)
            || self.from.has_volatile()
            || self.ctes.iter().any(|cte| cte.query.volatile)
            || self.entries.iter().any(|entry| match entry {
                Entry::Subquery(query) => query.volatile,
                Entry::Values(_, exprs) => exprs.iter().any(Expr::volatile),
                _ => false,
            })
    }

    /// Adds the columns that belong to the level `depth` levels out.
    pub fn columns(&self, depth: usize, found: &mut Vec<Column>) {
        for target in &self.targets {
            target.expr.columns(depth, found);
        }
        let guards = self.guards.iter().map(|(_, guard)| guard);
        for expr in self.others.iter().chain(&self.having).chain(guards) {
            expr.columns(depth, found);
        }
        self.from.columns(depth, found);
        for entry in &self.entries {
            match entry {
                Entry::Subquery(query) => query.columns(depth + 1, found),
                Entry::Values(_, exprs) => exprs.iter().for_each(|expr| expr.columns(depth, found)),
                _ => {}
            }
        }
        for cte in &self.ctes {
            cte.query.columns(depth + 1, found);
        }
    }
}

impl From {
    fn has_volatile(&self) -> bool {
        match self {
            Self::Entry(_) => false,
            Self::Join { left, right, on, .. } => {
                left.has_volatile() || right.has_volatile() || on.iter().any(Expr::volatile)
            }
            Self::List { items, conditions } => {
                items.iter().any(Self::has_volatile) || conditions.iter().any(Expr::volatile)
            }
        }
    }

    fn columns(&self, depth: usize, found: &mut Vec<Column>) {
        match self {
            Self::Entry(_) => {}
            Self::Join { left, right, on, .. } => {
                left.columns(depth, found);
                right.columns(depth, found);
                on.iter().for_each(|on| on.columns(depth, found));
            }
            Self::List { items, conditions } => {
                items.iter().for_each(|item| item.columns(depth, found));
                conditions.iter().for_each(|condition| condition.columns(depth, found));
            }
        }
    }
}
