//! Signatures of functions, aggregates and operators, from raw parse trees.
//! Bodies and defaults are passed over.

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::FunctionParameterMode as Mode;
use pgrx::pg_sys::NodeTag;

use crate::model::dump::DefinedFunction;
use crate::model::dump::DefinedOperator;
use crate::model::dump::Definition;
use crate::model::dump::FinalFunction;
use crate::model::name::QualifiedName;
use crate::model::profile::Attribute;
use crate::model::profile::TypeName;
use crate::model::signature::Function;
use crate::model::signature::FunctionKind;
use crate::model::signature::Volatility;
use crate::pg::utility::text_of;

use super::qualified;
use super::types::signature_type;
use super::types::system_or_qualified;

/// PostgreSQL has none with more.
const ARGUMENTS_MAX: usize = 100;
const COLUMNS_MAX: usize = 1600;

/// Parameters by what they are for.
#[derive(Default)]
struct Parameters {
    arguments: Vec<TypeName>,
    names: Vec<String>,
    defaults: usize,
    variadic: bool,
    columns: Vec<Attribute>,
}

/// # Safety
/// Parameters of a raw parse tree.
unsafe fn parameters(list: *mut pg_sys::List) -> Option<Parameters> {
    let mut found = Parameters::default();
    let mut named = false;
    // SAFETY: lists and strings of a parse tree are what the grammar makes them.
    unsafe {
        for parameter in PgList::<pg_sys::FunctionParameter>::from_pg(list).iter_ptr() {
            let parameter = &*parameter;
            let type_name = signature_type(parameter.argType)?;
            let name = text_of(parameter.name).unwrap_or_default();
            named |= !name.is_empty();
            if [Mode::FUNC_PARAM_OUT, Mode::FUNC_PARAM_INOUT, Mode::FUNC_PARAM_TABLE]
                .contains(&parameter.mode)
            {
                found.columns.push(Attribute { name: name.clone(), type_name: type_name.clone() });
            }
            if ![Mode::FUNC_PARAM_OUT, Mode::FUNC_PARAM_TABLE].contains(&parameter.mode) {
                found.arguments.push(type_name);
                found.names.push(name);
                found.defaults += usize::from(!parameter.defexpr.is_null());
                found.variadic |= parameter.mode == Mode::FUNC_PARAM_VARIADIC;
            }
        }
    }
    if !named {
        found.names.clear();
    }
    (found.arguments.len() <= ARGUMENTS_MAX && found.columns.len() <= COLUMNS_MAX).then_some(found)
}

/// # Safety
/// A raw `CREATE FUNCTION` or `CREATE PROCEDURE`; no statement that a profile
/// holds calls the latter.
pub unsafe fn function(statement: &pg_sys::CreateFunctionStmt) -> Option<Definition> {
    if statement.is_procedure {
        return None;
    }
    // SAFETY: as in `parameters`; each cast follows the node's tag.
    unsafe {
        let name = qualified(statement.funcname)?;
        let parameters = parameters(statement.parameters)?;
        let returned = statement.returnType;
        let result = match (signature_type(returned), &parameters.columns[..]) {
            (Some(result), _) => result,
            (None, [column]) if returned.is_null() => column.type_name.clone(),
            (None, [_, _, ..]) if returned.is_null() => record(),
            _ => return None,
        };
        let is_set = |wanted| matches!(option(statement.options, wanted), Some(value) if is_true(value));
        let volatility = option(statement.options, "volatility")
            .filter(|value| (**value).type_ == NodeTag::T_String)
            .and_then(|value| text_of((*value.cast::<pg_sys::String>()).sval));
        Some(Definition::Function(DefinedFunction {
            signature: Function {
                kind: if is_set("window") { FunctionKind::Window } else { FunctionKind::Function },
                returns_set: !returned.is_null() && (*returned).setof,
                volatility: match volatility.as_deref() {
                    Some("immutable") => Volatility::Immutable,
                    Some("stable") => Volatility::Stable,
                    _ => Volatility::Volatile,
                },
                strict: is_set("strict"),
                ..plain(name, parameters, result)
            },
            final_function: None,
        }))
    }
}

fn record() -> TypeName {
    TypeName {
        schema: "pg_catalog".to_owned(),
        name: "record".to_owned(),
        text: "record".to_owned(),
        array: false,
    }
}

fn plain(name: QualifiedName, parameters: Parameters, result: TypeName) -> Function {
    Function {
        schema: name.schema,
        name: name.name,
        kind: FunctionKind::Function,
        arguments: parameters.arguments,
        argument_names: parameters.names,
        defaults: parameters.defaults,
        variadic: parameters.variadic,
        result,
        returns_set: false,
        columns: parameters.columns,
        volatility: Volatility::Volatile,
        strict: false,
    }
}

/// # Safety
/// A raw `CREATE AGGREGATE`. That of before PostgreSQL 8.2, which names its
/// argument as an option, is passed over.
pub unsafe fn aggregate(statement: &pg_sys::DefineStmt) -> Option<Definition> {
    // SAFETY: as in `parameters`; the grammar makes the arguments a pair of
    // the parameters and the number of direct ones, negative if it has none.
    unsafe {
        if statement.oldstyle {
            return None;
        }
        let written = PgList::<pg_sys::Node>::from_pg(statement.args);
        let direct = written.get_ptr(1).filter(|node| (**node).type_ == NodeTag::T_Integer)?;
        let direct = usize::try_from((*direct.cast::<pg_sys::Integer>()).ival).unwrap_or(0);
        let list = written.get_ptr(0).unwrap_or(std::ptr::null_mut());
        let parameters = parameters(list.cast())?;
        let state = signature_type(type_of(statement.definition, "stype")?)?;
        let final_function = type_of(statement.definition, "finalfunc").and_then(|function| {
            // All arguments, or those that are not aggregated.
            let all = option(statement.definition, "finalfunc_extra").is_some_and(|value| is_true(value));
            let passed = if all { parameters.arguments.len() } else { direct };
            let passed = parameters.arguments.iter().take(passed).cloned();
            Some(FinalFunction {
                name: system_or_qualified((*function).names)?,
                arguments: std::iter::once(state.clone()).chain(passed).collect(),
            })
        });
        Some(Definition::Function(DefinedFunction {
            signature: Function {
                kind: FunctionKind::Aggregate,
                // Its functions make no difference: so pg_proc has it.
                volatility: Volatility::Immutable,
                ..plain(qualified(statement.defnames)?, parameters, state)
            },
            final_function,
        }))
    }
}

/// # Safety
/// A raw `CREATE OPERATOR`.
pub unsafe fn operator(statement: &pg_sys::DefineStmt) -> Option<Definition> {
    // SAFETY: as in `parameters`.
    unsafe {
        let options = statement.definition;
        let function = type_of(options, "function").or_else(|| type_of(options, "procedure"))?;
        let left = match type_of(options, "leftarg") {
            Some(left) => Some(signature_type(left)?),
            None => None,
        };
        Some(Definition::Operator(DefinedOperator {
            name: qualified(statement.defnames)?,
            left,
            right: signature_type(type_of(options, "rightarg")?)?,
            function: system_or_qualified((*function).names)?,
        }))
    }
}

/// The value of an option of that name.
///
/// # Safety
/// Options of a raw parse tree.
unsafe fn option(options: *mut pg_sys::List, wanted: &str) -> Option<*mut pg_sys::Node> {
    // SAFETY: the caller's promise.
    unsafe {
        PgList::<pg_sys::DefElem>::from_pg(options)
            .iter_ptr()
            .find(|option| text_of((**option).defname).as_deref() == Some(wanted))
            .map(|option| (*option).arg)
    }
}

/// The value of an option that is a type, or the name of a function.
///
/// # Safety
/// Options of a raw parse tree.
pub unsafe fn type_of(options: *mut pg_sys::List, wanted: &str) -> Option<*mut pg_sys::TypeName> {
    // SAFETY: the cast follows the node's tag.
    unsafe {
        option(options, wanted)
            .filter(|arg| !arg.is_null() && (**arg).type_ == NodeTag::T_TypeName)
            .map(|arg| arg.cast())
    }
}

/// # Safety
/// The value of an option that is on or off; null if it is merely named.
unsafe fn is_true(value: *mut pg_sys::Node) -> bool {
    // SAFETY: the casts follow the node's tag.
    unsafe {
        if value.is_null() {
            return true;
        }
        match (*value).type_ {
            NodeTag::T_Boolean => (*value.cast::<pg_sys::Boolean>()).boolval,
            NodeTag::T_Integer => (*value.cast::<pg_sys::Integer>()).ival != 0,
            // The word is a keyword, or is read as a type.
            NodeTag::T_String => is_word_true(text_of((*value.cast::<pg_sys::String>()).sval)),
            NodeTag::T_TypeName => is_word_true(
                system_or_qualified((*value.cast::<pg_sys::TypeName>()).names).map(|name| name.name),
            ),
            _ => false,
        }
    }
}

fn is_word_true(word: Option<String>) -> bool {
    word.is_some_and(|word| ["true", "on"].contains(&word.to_ascii_lowercase().as_str()))
}
