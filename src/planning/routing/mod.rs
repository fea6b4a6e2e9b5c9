//! Rows of `COPY … FROM`, found without parsing them.
//!
//! A [`scanner::Scanner`] is fed the bytes of a `COPY` as they come, in pieces
//! of any length, and hands out whole rows: their raw bytes, the values of the
//! key columns, and the line number that PostgreSQL would print. Raw rows are
//! meant to be gathered per shard and then given to PostgreSQL's own `COPY` of
//! that shard, with the same options; what a batch begins with is said by
//! [`scanner::Scanner::first_line`].
//!
//! ```text
//! CopyFormat + KeyColumns ─→ Scanner ─→ Row { bytes, keys, line } … End │ Fault
//!      bytes of the source ──┘
//! ```
//!
//! `lines` finds the ends of rows of text and CSV, `fields` the key columns
//! within a row, `binary` does both for the binary format, `escape` undoes
//! backslashes and quotes.
//!
//! # Invariants
//!
//! - *Agreement*: the rows are those that PostgreSQL's `COPY` would find in
//!   the same bytes, with the same values of the key columns, for every input
//!   and every way to cut it into pieces. A row that PostgreSQL would refuse is
//!   either handed out as it is, so that PostgreSQL refuses it when it is given
//!   the row (too many columns, bytes that are not of the encoding, a quote
//!   without its end), or, where the refusal depends on what came before it
//!   (newlines of another style, a broken end-of-data marker), ends the scan
//!   with a [`fault::Fault`] that carries PostgreSQL's own message. Nothing is
//!   ever accepted that PostgreSQL would not accept.
//! - *Concatenation*: any rows of an input, in their order, each followed by its
//!   `ending`, are an input with the same rows again (binary: after
//!   [`binary::HEADER`]).
//! - *Memory*: what is kept is the row at hand, however the input is cut; a
//!   byte is looked at for row ends once. After the first rows nothing is
//!   allocated.
//!
//! What is refused beforehand, by name, is in [`format::Refusal`]. One input
//! is treated more strictly than by PostgreSQL: before 18, a *file* whose first
//! line has data before `\.` goes on after the marker there; here it is the
//! error that it is since 18.

pub mod binary;
pub mod escape;
pub mod fault;
mod fields;
pub mod format;
mod lines;
pub mod scanner;
