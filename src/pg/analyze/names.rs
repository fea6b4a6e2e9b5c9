//! Names in a raw parse tree: schemas that have a shadow are replaced by it,
//! statements that carry a query are replaced by the query.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_void;

use pgrx::PgList;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::pg::analyze::literal::last_parameter;
use crate::pg::analyze::literal::trusted_modifiers;
use crate::pg::analyze::read::owned;
use crate::pg::analyze::read::pointers;

/// What the names of a statement stand for.
pub struct Names<'a> {
    /// Schema → its shadow.
    pub shadows: &'a BTreeMap<String, String>,
    pub known: Known,
}

/// What is in the shadow, by its names in the profile.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Tables, views and types.
    pub relations: BTreeSet<QualifiedName>,
    pub functions: BTreeSet<QualifiedName>,
    pub operators: BTreeSet<QualifiedName>,
    pub collations: BTreeSet<QualifiedName>,
}

/// A relation or function as a statement names it.
#[derive(Debug, Clone)]
pub struct Named {
    pub schema: Option<String>,
    pub name: String,
    pub function: bool,
}

impl Names<'_> {
    /// Replaces the names in a raw statement; returns the relations and
    /// functions named.
    ///
    /// # Safety
    /// `statement` is a raw parse tree that no one else holds.
    pub unsafe fn rewrite(&self, statement: *mut pg_sys::Node) -> Vec<Named> {
        let mut found = Vec::new();
        // SAFETY: the tag says what the node is, and the tree is ours to
        // change.
        unsafe {
            for node in nodes_of(statement, true) {
                match (*node).type_ {
                    NodeTag::T_RangeVar => found.push(self.relation(&mut *node.cast())),
                    NodeTag::T_ColumnRef => self.column((*node.cast::<pg_sys::ColumnRef>()).fields),
                    NodeTag::T_TypeName => self.type_name(&mut *node.cast()),
                    NodeTag::T_FuncCall => found.extend(self.call(&*node.cast())),
                    NodeTag::T_A_Expr => {
                        self.pair((*node.cast::<pg_sys::A_Expr>()).name, 0, &self.known.operators);
                    }
                    NodeTag::T_SubLink => {
                        self.pair((*node.cast::<pg_sys::SubLink>()).operName, 0, &self.known.operators);
                    }
                    NodeTag::T_CollateClause => {
                        let name = (*node.cast::<pg_sys::CollateClause>()).collname;
                        self.pair(name, 0, &self.known.collations);
                    }
                    _ => {}
                }
            }
        }
        found
    }

    fn shadow_of(&self, schema: &str, name: &str, known: &BTreeSet<QualifiedName>) -> Option<&str> {
        let shadow = self.shadows.get(schema)?;
        known.contains(&QualifiedName::new(schema, name)).then_some(shadow)
    }

    /// Modifiers of a foreign type are left out: they would be read by a
    /// function of that type, and they change no comparison.
    ///
    /// # Safety
    /// The names are a list of strings.
    unsafe fn type_name(&self, of: &mut pg_sys::TypeName) {
        // SAFETY: the caller's promise.
        unsafe {
            let trusted = last_name(of.names).is_some_and(|name| trusted_modifiers(&name));
            if !of.typmods.is_null() && !trusted {
                of.typmods = std::ptr::null_mut();
            }
            self.pair(of.names, 0, &self.known.relations);
        }
    }

    /// A call may name a type too: `app.mood('good')`.
    ///
    /// # Safety
    /// The name is a list of strings.
    unsafe fn call(&self, call: &pg_sys::FuncCall) -> Option<Named> {
        // SAFETY: the caller's promise; the tag is checked before a part is
        // taken for a string.
        unsafe {
            let parts = pointers::<pg_sys::Node>(call.funcname);
            let schema = match parts[..] {
                [schema, _] if (*schema).type_ == NodeTag::T_String => {
                    Some(owned((*schema.cast::<pg_sys::String>()).sval))
                }
                _ => None,
            };
            let named = Named { schema, name: last_name(call.funcname)?, function: true };
            self.pair(call.funcname, 0, &self.known.functions);
            self.pair(call.funcname, 0, &self.known.relations);
            Some(named)
        }
    }

    /// # Safety
    /// The names of `variable` are zero-terminated or null.
    unsafe fn relation(&self, variable: &mut pg_sys::RangeVar) -> Named {
        // SAFETY: the caller's promise.
        let (name, schema) = unsafe { (owned(variable.relname), owned(variable.schemaname)) };
        if let Some(shadow) = self.shadow_of(&schema, &name, &self.known.relations) {
            variable.schemaname = copied(shadow);
            variable.catalogname = std::ptr::null_mut();
        }
        Named { schema: (!schema.is_empty()).then_some(schema), name, function: false }
    }

    /// # Safety
    /// `fields` is the list of parts of a column reference.
    unsafe fn column(&self, fields: *mut pg_sys::List) {
        // SAFETY: the caller's promise.
        unsafe {
            match PgList::<pg_sys::Node>::from_pg(fields).len() {
                3 => self.pair(fields, 0, &self.known.relations),
                4 => self.pair(fields, 1, &self.known.relations),
                _ => {}
            }
        }
    }

    /// Replaces the schema in the two parts from `at`, if it is one of `known`.
    ///
    /// # Safety
    /// `parts` is a list of strings (or a final star).
    unsafe fn pair(&self, parts: *mut pg_sys::List, at: usize, known: &BTreeSet<QualifiedName>) {
        // SAFETY: the tag is checked before a part is taken for a string.
        unsafe {
            let nodes = pointers::<pg_sys::Node>(parts);
            let (Some(&schema), Some(&name)) = (nodes.get(at), nodes.get(at + 1)) else { return };
            if (*schema).type_ != NodeTag::T_String || (*name).type_ != NodeTag::T_String {
                return;
            }
            let schema: *mut pg_sys::String = schema.cast();
            let name = owned((*name.cast::<pg_sys::String>()).sval);
            if let Some(shadow) = self.shadow_of(&owned((*schema).sval), &name, known) {
                (*schema).sval = copied(shadow);
            }
        }
    }
}

/// Functions whose first argument names a sequence.
const OF_SEQUENCES: [&str; 3] = ["nextval", "currval", "setval"];

/// Makes names of sequences and other relations in constants parameters:
/// `nextval('orders_id_seq')`, `'orders'::regclass`. They would be looked up,
/// and there are no shadows of sequences.
///
/// # Safety
/// `statement` is a raw parse tree that no one else holds.
pub unsafe fn forget_constant_names(statement: *mut pg_sys::Node) {
    // SAFETY: the tag says what the node is, and the tree is ours to change.
    unsafe {
        let mut next = last_parameter(statement).saturating_add(1);
        for node in nodes_of(statement, true) {
            let named = match (*node).type_ {
                NodeTag::T_FuncCall => {
                    let call = &*node.cast::<pg_sys::FuncCall>();
                    let of_sequence =
                        last_name(call.funcname).is_some_and(|name| OF_SEQUENCES.contains(&name.as_str()));
                    of_sequence.then(|| pointers::<pg_sys::Node>(call.args).first().copied()).flatten()
                }
                NodeTag::T_TypeCast => {
                    let cast = &*node.cast::<pg_sys::TypeCast>();
                    let name = cast.typeName.as_ref().and_then(|of| last_name(of.names));
                    (name.as_deref() == Some("regclass")).then_some(cast.arg)
                }
                _ => None,
            };
            if let Some(named) = named
                && (*named).type_ == NodeTag::T_A_Const
            {
                into_parameter(named, next);
                next = next.saturating_add(1);
            }
        }
    }
}

/// Whether the database has a relation of users' own by that name.
pub fn exists(schema: &str, name: &str) -> bool {
    let (Ok(schema), Ok(name)) = (CString::new(schema), CString::new(name)) else { return false };
    // SAFETY: look-ups by name in the system cache, in a transaction.
    unsafe {
        let namespace = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        namespace != pg_sys::InvalidOid
            && pg_sys::get_relname_relid(name.as_ptr(), namespace).to_u32() >= pg_sys::FirstNormalObjectId
    }
}

/// The last part of a qualified name.
///
/// # Safety
/// `names` is a list of nodes.
pub unsafe fn last_name(names: *mut pg_sys::List) -> Option<String> {
    // SAFETY: the tag is checked before the part is taken for a string.
    unsafe {
        let last = pointers::<pg_sys::Node>(names).pop()?;
        ((*last).type_ == NodeTag::T_String).then(|| owned((*last.cast::<pg_sys::String>()).sval))
    }
}

/// Turns a constant or parameter into the parameter of that number.
///
/// # Safety
/// `node` is an `A_Const` or `ParamRef` that no one else holds.
pub unsafe fn into_parameter(node: *mut pg_sys::Node, number: i32) {
    const { assert!(size_of::<pg_sys::ParamRef>() <= size_of::<pg_sys::A_Const>()) };
    // SAFETY: the node is a parameter, or a constant, which is larger.
    unsafe {
        let parameter: *mut pg_sys::ParamRef = node.cast();
        (*parameter).type_ = NodeTag::T_ParamRef;
        (*parameter).number = number;
        (*parameter).location = -1;
    }
}

/// A raw node and all below it, in the order of the text; what is below type
/// names only if asked for. No call nests in another, however deep the tree.
///
/// # Safety
/// `top` is null or a raw parse tree.
pub unsafe fn nodes_of(top: *mut pg_sys::Node, in_type_names: bool) -> Vec<*mut pg_sys::Node> {
    let mut found = Vec::new();
    let mut pending = vec![top];
    while let Some(node) = pending.pop() {
        if node.is_null() {
            continue;
        }
        // SAFETY: a valid raw node; the context outlives the walk.
        unsafe {
            if !in_type_names && (*node).type_ == NodeTag::T_TypeName {
                continue;
            }
            found.push(node);
            let mut children: Vec<*mut pg_sys::Node> = Vec::new();
            pg_sys::raw_expression_tree_walker(node, Some(collect), (&raw mut children).cast());
            pending.extend(children.into_iter().rev());
        }
    }
    found
}

/// Collects the children of a node.
#[pg_guard]
unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: `context` is the vector of `nodes_of`.
    unsafe { (*context.cast::<Vec<*mut pg_sys::Node>>()).push(node) };
    false
}

/// A copy in the current memory context, as the tree's other strings are.
fn copied(text: &str) -> *mut c_char {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: copies a zero-terminated string.
    unsafe { pg_sys::pstrdup(text.as_ptr()) }
}

/// The query that a statement reads or writes rows with: the statement itself,
/// or what `EXPLAIN`, `PREPARE`, `DECLARE`, `COPY (…)` and `CREATE TABLE AS`
/// carry. None if there is none.
///
/// # Safety
/// `statement` is a raw parse tree that no one else holds.
pub unsafe fn query_in(statement: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    let mut statement = statement;
    loop {
        if statement.is_null() {
            return None;
        }
        // SAFETY: the tag says what the node is.
        unsafe {
            statement = match (*statement).type_ {
                NodeTag::T_InsertStmt
                | NodeTag::T_UpdateStmt
                | NodeTag::T_DeleteStmt
                | NodeTag::T_MergeStmt => return Some(statement),
                NodeTag::T_SelectStmt => {
                    // The INTO of a set operation hangs on its first arm.
                    let mut select = statement.cast::<pg_sys::SelectStmt>();
                    while !(*select).larg.is_null() {
                        select = (*select).larg;
                    }
                    (*select).intoClause = std::ptr::null_mut();
                    return Some(statement);
                }
                NodeTag::T_ExplainStmt => (*statement.cast::<pg_sys::ExplainStmt>()).query,
                NodeTag::T_PrepareStmt => (*statement.cast::<pg_sys::PrepareStmt>()).query,
                NodeTag::T_DeclareCursorStmt => (*statement.cast::<pg_sys::DeclareCursorStmt>()).query,
                NodeTag::T_CreateTableAsStmt => (*statement.cast::<pg_sys::CreateTableAsStmt>()).query,
                NodeTag::T_CopyStmt => (*statement.cast::<pg_sys::CopyStmt>()).query,
                _ => return None,
            };
        }
    }
}
