//! Stubs of the functions and operators that statements call: signatures
//! without a body, so that parse analysis finds them and nothing runs them.
//!
//! Only what a statement or view may mention by its name is made: a source may
//! have thousands of functions.

use std::collections::BTreeSet;

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::Profile;
use crate::model::profile::TypeName;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowStep;
use crate::model::signature::Function;
use crate::model::signature::FunctionKind;
use crate::model::signature::Operator;
use crate::model::signature::Volatility;
use crate::planning::workload::shadow::Planner;
use crate::planning::workload::shadow::identifier;

/// The characters that an operator may be made of.
const OPERATOR_CHARACTERS: &str = "+-*/<>=~!@#%^&|`?";

/// What every stub does, if something should run it.
const BODY: &str = "AS 'SELECT NULL'";

impl Planner<'_> {
    /// Plans the stubs, after the tables: their row types may be arguments.
    pub(super) fn stubs(&mut self, profile: &Profile) {
        let mentioned = Mentioned::of(profile);
        for (at, function) in profile.functions.iter().enumerate() {
            let here = (function.schema.clone(), function.name.clone());
            if !self.existing.functions.contains(&here) && mentioned.function(&function.name) {
                let made = self.function(function, at);
                self.record(&function.schema, &function.name, made);
            }
        }
        for (at, operator) in profile.operators.iter().enumerate() {
            let here = (operator.schema.clone(), operator.name.clone());
            if !self.existing.operators.contains(&here) && mentioned.signs.contains(&operator.name) {
                let made = self.operator(operator, at);
                self.record(&operator.schema, &operator.name, made);
            }
        }
    }

    fn record(&mut self, schema: &str, name: &str, made: Result<Vec<ShadowStep>, String>) {
        match made {
            Ok(steps) => self.plan.steps.extend(steps),
            // Of several of one name the first reason is as good as another.
            Err(reason) => {
                self.plan.failed_functions.entry(QualifiedName::new(schema, name)).or_insert(reason);
            }
        }
    }

    fn function(&self, function: &Function, at: usize) -> Result<Vec<ShadowStep>, String> {
        let name = self.shadow_name(&function.schema, &function.name)?;
        let original = QualifiedName::new(&function.schema, &function.name);
        let result = self.type_reference(&function.result)?;
        let volatility = function.volatility;
        if function.kind == FunctionKind::Aggregate {
            let types = self.types_of(&function.arguments)?;
            let inner = format!("presplit_step_{at}");
            let stub = self.shadow_name(&function.schema, &inner)?;
            let mut arguments = vec![result.clone()];
            arguments.extend(types.iter().cloned());
            let step = format!(
                "CREATE FUNCTION {stub} ({}) RETURNS {result} LANGUAGE sql {BODY}",
                arguments.join(", ")
            );
            let of = if types.is_empty() { "*".to_owned() } else { types.join(", ") };
            let sql = format!("CREATE AGGREGATE {name} ({of}) (SFUNC = {stub}, STYPE = {result})");
            return Ok(vec![
                function_step(step, &function.schema, inner, volatility),
                ShadowStep { sql, makes: ShadowPart::Aggregate(original) },
            ]);
        }
        let arguments = self.arguments(function)?.join(", ");
        let set = if function.returns_set { "SETOF " } else { "" };
        let strict = if function.strict { " STRICT" } else { "" };
        let window = if function.kind == FunctionKind::Window { " WINDOW" } else { "" };
        let sql = format!(
            "CREATE FUNCTION {name} ({arguments}) RETURNS {set}{result} LANGUAGE sql VOLATILE{strict}{window} {BODY}"
        );
        Ok(vec![ShadowStep { sql, makes: ShadowPart::Function(original, volatility) }])
    }

    /// The arguments as they are declared, those of the result at the end.
    fn arguments(&self, function: &Function) -> Result<Vec<String>, String> {
        let count = function.arguments.len();
        let mut declared = Vec::new();
        for (at, of) in function.arguments.iter().enumerate() {
            let mode = if function.variadic && at + 1 == count { "VARIADIC " } else { "" };
            let name = match function.argument_names.get(at).filter(|name| !name.is_empty()) {
                Some(name) => format!("{} ", identifier(name)?),
                None => String::new(),
            };
            let default = if at + function.defaults >= count { " DEFAULT NULL" } else { "" };
            declared.push(format!("{mode}{name}{}{default}", self.type_reference(of)?));
        }
        for column in &function.columns {
            let name = if column.name.is_empty() {
                String::new()
            } else {
                format!("{} ", identifier(&column.name)?)
            };
            declared.push(format!("OUT {name}{}", self.type_reference(&column.type_name)?));
        }
        Ok(declared)
    }

    fn types_of(&self, types: &[TypeName]) -> Result<Vec<String>, String> {
        types.iter().map(|of| self.type_reference(of)).collect()
    }

    fn operator(&self, operator: &Operator, at: usize) -> Result<Vec<ShadowStep>, String> {
        let sign = sign(&operator.name)?;
        let schema = self
            .plan
            .schemas
            .get(&operator.schema)
            .ok_or_else(|| format!("name {:?} is not valid", operator.schema))?;
        let inner = format!("presplit_operator_{at}");
        let stub = self.shadow_name(&operator.schema, &inner)?;
        let left = operator.left.as_ref().map(|of| self.type_reference(of)).transpose()?;
        let right = self.type_reference(&operator.right)?;
        let result = self.type_reference(&operator.result)?;
        let arguments: Vec<&str> = left.iter().map(String::as_str).chain([right.as_str()]).collect();
        let strict = if operator.strict { " STRICT" } else { "" };
        let function = format!(
            "CREATE FUNCTION {stub} ({}) RETURNS {result} LANGUAGE sql VOLATILE{strict} {BODY}",
            arguments.join(", ")
        );
        let left = left.map_or_else(String::new, |left| format!("LEFTARG = {left}, "));
        let sql = format!(
            "CREATE OPERATOR {}.{sign} ({left}RIGHTARG = {right}, FUNCTION = {stub})",
            quote_identifier(schema)
        );
        let original = QualifiedName::new(&operator.schema, &operator.name);
        Ok(vec![
            function_step(function, &operator.schema, inner, operator.volatility),
            ShadowStep { sql, makes: ShadowPart::Operator(original) },
        ])
    }
}

fn function_step(sql: String, schema: &str, name: String, volatility: Volatility) -> ShadowStep {
    ShadowStep { sql, makes: ShadowPart::Function(QualifiedName::new(schema, name), volatility) }
}

/// The operator's name, if it is one: it cannot be quoted.
fn sign(name: &str) -> Result<&str, String> {
    let comment = name.contains("--") || name.contains("/*");
    let fits = !name.is_empty() && name.len() < 64 && name.chars().all(|c| OPERATOR_CHARACTERS.contains(c));
    if fits && !comment { Ok(name) } else { Err(format!("operator name {name:?} is not valid")) }
}

/// The words and operators that occur in the texts of a profile.
struct Mentioned {
    words: BTreeSet<String>,
    signs: BTreeSet<String>,
}

impl Mentioned {
    fn of(profile: &Profile) -> Self {
        let mut found = Self { words: BTreeSet::new(), signs: BTreeSet::new() };
        if profile.functions.is_empty() && profile.operators.is_empty() {
            return found;
        }
        let statements = profile.workload.statements.iter().map(|statement| &statement.query);
        for text in statements.chain(profile.views.iter().map(|view| &view.definition)) {
            let words = text.split(|c: char| !in_word(c)).filter(|word| !word.is_empty());
            found.words.extend(words.map(str::to_lowercase));
            let signs = text.split(|c: char| !OPERATOR_CHARACTERS.contains(c));
            for sign in signs {
                // A run of signs may be an operator and the sign of a number.
                found.signs.extend((1..=sign.len().min(64)).map(|end| sign[..end].to_owned()));
            }
        }
        found
    }

    /// Names of other characters than those of words are always taken for
    /// mentioned.
    fn function(&self, name: &str) -> bool {
        !name.chars().all(in_word) || self.words.contains(&name.to_lowercase())
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
