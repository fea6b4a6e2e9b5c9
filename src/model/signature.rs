//! Signatures of the functions and operators that a profile brings along: what
//! parse analysis needs to know of them, and what they promise. Bodies stay
//! behind.

use serde::Deserialize;
use serde::Serialize;

use crate::model::profile::Attribute;
use crate::model::profile::TypeName;

/// What a function promises of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// Kinds of function, by `prokind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    Function,
    Aggregate,
    Window,
}

/// The signature of a function; its body stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    pub schema: String,
    pub name: String,
    pub kind: FunctionKind,
    /// Of the arguments that a call passes, in order.
    #[serde(default)]
    pub arguments: Vec<TypeName>,
    /// Their names, or none.
    #[serde(default)]
    pub argument_names: Vec<String>,
    /// How many of the last arguments a call may leave out.
    #[serde(default)]
    pub defaults: usize,
    /// Whether the last argument stands for any number of them.
    #[serde(default)]
    pub variadic: bool,
    pub result: TypeName,
    #[serde(default)]
    pub returns_set: bool,
    /// The columns of the result, where the signature names them.
    #[serde(default)]
    pub columns: Vec<Attribute>,
    pub volatility: Volatility,
    #[serde(default)]
    pub strict: bool,
}

/// The signature of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub schema: String,
    pub name: String,
    /// None of a prefix operator.
    #[serde(default)]
    pub left: Option<TypeName>,
    pub right: TypeName,
    pub result: TypeName,
    pub volatility: Volatility,
    #[serde(default)]
    pub strict: bool,
}
