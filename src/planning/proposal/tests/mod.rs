//! Cases of this room: a fixture is proposed for, and the answer compared
//! with one line of text. Properties stand beside the examples.

mod alignment;
mod choices;
mod disqualified;
mod divided;
pub mod fixture;
mod followers;
mod hand;
mod identity;
mod joins;
mod kept;
mod laws;
mod levels;
mod odd;
mod predicted;
mod prices;
mod rules;
mod stability;
mod strategies;
mod tpcc;
mod tpch;
mod values;
mod words;
