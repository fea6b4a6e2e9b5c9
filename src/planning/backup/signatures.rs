//! Functions and operators of a dump, with what their other functions say of
//! them: the result of an aggregate is that of its final function, everything
//! of an operator but its operands that of the one behind it.
//!
//! Functions are found as the dump names them, by name and types. Those of the
//! server and of extensions are not in a dump: what rests on them is left out,
//! and named.

use std::collections::BTreeMap;

use crate::model::dump::DefinedFunction;
use crate::model::dump::DefinedOperator;
use crate::model::dump::FinalFunction;
use crate::model::name::QualifiedName;
use crate::model::profile::TypeName;
use crate::model::signature::Function;
use crate::model::signature::Operator;

use super::build::is_users;
use super::draft::Draft;
use super::draft::texts;

/// As many as a capture takes.
const FUNCTIONS_MAX: usize = 10_000;
const OPERATORS_MAX: usize = 1_000;

/// What no statement can call is known by its result or its arguments.
const RESULTS_UNCALLABLE: &[&str] = &["trigger", "event_trigger", "internal", "cstring", "language_handler"];
const ARGUMENTS_UNCALLABLE: &[&str] = &["internal", "cstring"];

/// Some of what was left out are named.
const NAMED: usize = 5;

/// Signatures, in the order of a profile.
#[derive(Debug, Default)]
pub struct Signatures {
    pub functions: Vec<Function>,
    pub operators: Vec<Operator>,
    left_out: Vec<String>,
}

impl Signatures {
    /// All types of arguments, results and operands.
    pub fn types(&self) -> impl Iterator<Item = &TypeName> {
        let of_functions = self.functions.iter().flat_map(|function| {
            let columns = function.columns.iter().map(|column| &column.type_name);
            function.arguments.iter().chain([&function.result]).chain(columns)
        });
        let of_operators = self
            .operators
            .iter()
            .flat_map(|operator| operator.left.iter().chain([&operator.right, &operator.result]));
        of_functions.chain(of_operators)
    }

    /// What the notes of a profile say.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let mut names: Vec<String> = self.left_out.iter().take(NAMED).cloned().collect();
        if self.left_out.len() > NAMED {
            names.push(format!("{} more", self.left_out.len() - NAMED));
        }
        (!names.is_empty()).then(|| {
            format!(
                "aggregates and operators whose functions the dump does not define are left out: {}",
                names.join(", ")
            )
        })
    }
}

/// Of user schemas, as a capture takes them.
#[must_use]
pub fn of(draft: &Draft) -> Signatures {
    let mut found = Signatures::default();
    let by_arity = by_arity(draft);
    for ((name, _), defined) in &draft.functions {
        if !is_users(&name.schema) || found.functions.len() == FUNCTIONS_MAX {
            continue;
        }
        match function(draft, &by_arity, defined) {
            Some(function) if is_callable(&function) => found.functions.push(function),
            Some(_) => {}
            None => found.left_out.push(name.to_string()),
        }
    }
    for ((name, _), defined) in &draft.operators {
        if !is_users(&name.schema) || found.operators.len() == OPERATORS_MAX {
            continue;
        }
        match operator(draft, defined) {
            Some(operator) => found.operators.push(operator),
            None => found.left_out.push(name.to_string()),
        }
    }
    found
}

fn is_one_of(name: &TypeName, names: &[&str]) -> bool {
    name.schema == "pg_catalog" && !name.array && names.contains(&name.name.as_str())
}

fn is_callable(function: &Function) -> bool {
    !is_one_of(&function.result, RESULTS_UNCALLABLE)
        && !function.arguments.iter().any(|argument| is_one_of(argument, ARGUMENTS_UNCALLABLE))
}

/// Functions by name and number of arguments; none where there are several.
type ByArity<'a> = BTreeMap<(&'a QualifiedName, usize), Option<&'a Function>>;

fn by_arity(draft: &Draft) -> ByArity<'_> {
    let mut found = ByArity::new();
    for ((name, arguments), defined) in &draft.functions {
        found
            .entry((name, arguments.len()))
            .and_modify(|only| *only = None)
            .or_insert(Some(&defined.signature));
    }
    found
}

fn function(draft: &Draft, by_arity: &ByArity<'_>, defined: &DefinedFunction) -> Option<Function> {
    let mut function = defined.signature.clone();
    if let Some(last) = &defined.final_function {
        function.result = result_of(draft, by_arity, last)?;
    }
    Some(function)
}

/// The result of a final function: of the one with these arguments, or of the
/// only one with as many, which takes them by a coercion.
fn result_of(draft: &Draft, by_arity: &ByArity<'_>, wanted: &FinalFunction) -> Option<TypeName> {
    let exact = draft.functions.get(&(wanted.name.clone(), texts(&wanted.arguments)));
    let exact = exact.map(|defined| &defined.signature.result);
    if let Some(result) = exact {
        return Some(result.clone());
    }
    let only = (*by_arity.get(&(&wanted.name, wanted.arguments.len()))?)?;
    // A polymorphic result depends on the arguments.
    let polymorphic = only.result.schema == "pg_catalog" && only.result.name.starts_with("any");
    (!polymorphic).then(|| only.result.clone())
}

fn operator(draft: &Draft, defined: &DefinedOperator) -> Option<Operator> {
    let operands = texts(defined.left.iter().chain([&defined.right]));
    let function = &draft.functions.get(&(defined.function.clone(), operands))?.signature;
    Some(Operator {
        schema: defined.name.schema.clone(),
        name: defined.name.name.clone(),
        left: defined.left.clone(),
        right: defined.right.clone(),
        result: function.result.clone(),
        volatility: function.volatility,
        strict: function.strict,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dump::Definition;
    use crate::model::signature::FunctionKind;
    use crate::model::signature::Volatility;

    fn name_of(name: &str) -> QualifiedName {
        QualifiedName::new("s", name)
    }

    fn builtin(text: &str) -> TypeName {
        TypeName {
            schema: "pg_catalog".to_owned(),
            name: text.to_owned(),
            text: text.to_owned(),
            array: false,
        }
    }

    fn defined(schema: &str, name: &str, arguments: &[&str], result: &str) -> DefinedFunction {
        let signature = Function {
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: FunctionKind::Function,
            arguments: arguments.iter().map(|text| builtin(text)).collect(),
            argument_names: Vec::new(),
            defaults: 0,
            variadic: false,
            result: builtin(result),
            returns_set: false,
            columns: Vec::new(),
            volatility: Volatility::Stable,
            strict: true,
        };
        DefinedFunction { signature, final_function: None }
    }

    fn aggregate(name: &str, argument: &str, state: &str, last: &str) -> DefinedFunction {
        let mut made = defined("s", name, &[argument], state);
        made.signature.kind = FunctionKind::Aggregate;
        made.final_function = Some(FinalFunction { name: name_of(last), arguments: vec![builtin(state)] });
        made
    }

    fn operator(name: &str, left: Option<&str>, right: &str, function: &str) -> Definition {
        Definition::Operator(DefinedOperator {
            name: name_of(name),
            left: left.map(builtin),
            right: builtin(right),
            function: name_of(function),
        })
    }

    fn draft(functions: impl IntoIterator<Item = DefinedFunction>) -> Draft {
        let mut draft = Draft::default();
        functions.into_iter().for_each(|function| draft.apply(Definition::Function(function)));
        draft
    }

    #[test]
    fn what_no_statement_can_call_stays_behind() {
        let found = of(&draft([
            defined("s", "kept", &["int4"], "bool"),
            defined("s", "kept", &["text"], "void"),
            defined("s", "fired", &[], "trigger"),
            defined("s", "fired_too", &[], "event_trigger"),
            defined("s", "input", &["cstring"], "int4"),
            defined("s", "output", &["int4"], "cstring"),
            defined("s", "state", &["int4", "internal"], "int4"),
            defined("pg_temp_3", "away", &[], "int4"),
            defined("presplit", "ours", &[], "int4"),
        ]));
        let names: Vec<_> = found.functions.iter().map(|f| (f.name.as_str(), f.arguments.len())).collect();
        assert_eq!(names, [("kept", 1), ("kept", 1)]);
        assert_eq!(found.left_out(), None);
    }

    #[test]
    fn an_array_of_what_cannot_be_passed_can() {
        let mut function = defined("s", "f", &["cstring"], "int4");
        function.signature.arguments[0].array = true;
        assert_eq!(of(&draft([function])).functions.len(), 1);
    }

    #[test]
    fn an_aggregate_has_the_result_of_its_final_function() {
        let found = of(&draft([
            defined("s", "exact", &["internal"], "numeric"),
            defined("s", "exact", &["int8"], "date"),
            defined("s", "coerced", &["text"], "uuid"),
            defined("s", "doubtful", &["text"], "uuid"),
            defined("s", "doubtful", &["varchar"], "date"),
            defined("s", "polymorphic", &["anyarray"], "anyelement"),
            aggregate("a", "int4", "internal", "exact"),
            aggregate("b", "int4", "varchar", "coerced"),
            aggregate("c", "int4", "bpchar", "doubtful"),
            aggregate("d", "int4", "_int4", "polymorphic"),
            aggregate("e", "int4", "int4", "missing"),
        ]));
        let results: Vec<_> = found
            .functions
            .iter()
            .filter(|function| function.kind == FunctionKind::Aggregate)
            .map(|function| (function.name.as_str(), function.result.name.as_str()))
            .collect();
        assert_eq!(results, [("a", "numeric"), ("b", "uuid")]);
        assert!(found.left_out().unwrap().ends_with("left out: s.c, s.d, s.e"));
    }

    #[test]
    fn an_operator_is_what_its_function_is() {
        let mut draft = draft([
            defined("s", "both", &["int4", "text"], "bool"),
            defined("s", "both", &["text", "int4"], "date"),
            defined("s", "one", &["int4"], "int8"),
        ]);
        for made in [
            operator("===", Some("int4"), "text", "both"),
            operator("!!", None, "int4", "one"),
            operator("@@", Some("int4"), "int4", "both"),
        ] {
            draft.apply(made);
        }
        let found = of(&draft);
        let results: Vec<_> = found
            .operators
            .iter()
            .map(|operator| (operator.name.as_str(), operator.result.name.as_str(), operator.strict))
            .collect();
        assert_eq!(results, [("!!", "int8", true), ("===", "bool", true)]);
        assert!(found.left_out().unwrap().contains("s.\"@@\""));
    }

    #[test]
    fn there_are_as_many_as_a_capture_takes() {
        let names = (0..FUNCTIONS_MAX + 5).map(|n| defined("s", &format!("f{n:06}"), &["int4"], "int4"));
        let mut draft = draft(names);
        for n in 0..OPERATORS_MAX + 5 {
            draft.apply(operator(&"+".repeat(n + 1), None, "int4", "f000000"));
        }
        let found = of(&draft);
        assert_eq!((found.functions.len(), found.operators.len()), (FUNCTIONS_MAX, OPERATORS_MAX));
        assert_eq!(found.functions[FUNCTIONS_MAX - 1].name, "f009999");
    }

    #[test]
    fn a_long_list_of_what_was_left_out_is_cut() {
        let found = of(&draft((0..9).map(|n| aggregate(&format!("a{n}"), "int4", "int4", "missing"))));
        assert!(found.left_out().unwrap().ends_with("s.a4, 4 more"));
    }
}
