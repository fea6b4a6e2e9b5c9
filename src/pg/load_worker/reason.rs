//! Why rows of a COPY are loaded in the session and not by workers.

/// Why a COPY is not loaded by workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is going to raise an error, or it is not a sharded table at all.
    Refused,
    SwitchedOff,
    Options,
    Condition,
    Header,
    InTransaction,
    Isolation,
    NotAlone,
    Decoding,
    Trigger,
    Index,
    Key,
    Storage,
    Locks,
    Default,
    Expression,
    NotEmpty,
    Encoding,
    Binary,
    Small,
    Busy,
    Cores,
    NoWorkers,
}

impl Reason {
    /// For people, after "because".
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused => "the table does not take them in any other way",
            Self::SwitchedOff => "presplit.parallel_copy is off",
            Self::Options => "an option of the COPY is about rows, not about their format",
            Self::Condition => "the COPY has a WHERE condition",
            Self::Header => "the header is to be compared with the columns",
            Self::InTransaction => "the transaction has changed tables, which workers could not see",
            Self::Isolation => "the transaction's isolation is above READ COMMITTED",
            Self::NotAlone => "the COPY is not a statement of its own, or a cursor is open on the table",
            Self::Decoding => "a logical replication slot would miss the rows",
            Self::Trigger => "a trigger, a foreign key or row security of the table concerns the rows",
            Self::Index => "the table has indexes already",
            Self::Key => "the shard key is generated, or not one of the columns",
            Self::Storage => "a shard is temporary, foreign, or of another kind of storage",
            Self::Locks => "max_locks_per_transaction is too small for so many shards",
            Self::Default => "a column that the COPY leaves out has a default",
            Self::Expression => "a check or a generated column calls functions that are not PostgreSQL's own",
            Self::NotEmpty => "a shard has rows already",
            Self::Encoding => "the rows are not in the encoding of the database",
            Self::Binary => "the rows are binary",
            Self::Small => "the rows are few",
            Self::Busy => "another COPY into the table is going on",
            Self::Cores => "no cores are free for workers",
            Self::NoWorkers => "no background worker is free",
        }
    }
}
