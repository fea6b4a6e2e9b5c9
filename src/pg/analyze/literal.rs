//! String constants whose input would run foreign code.
//!
//! Parse analysis turns `'{1,2}'` into a value as soon as it knows the type.
//! For built-in types that is harmless. But the input of an array of domains
//! checks the domain, which may call any function, and the input functions of
//! users' base types are foreign themselves. Where a database has such types,
//! a statement with string constants is first analysed with parameters in
//! their place, which shows the types that they would have; those of a foreign
//! type then stay parameters.

use std::collections::BTreeSet;
use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::names::into_parameter;
use crate::pg::analyze::names::nodes_of;
use crate::pg::context;
use crate::pg::context::Caught;
use crate::pg::spi;

/// The types whose input or whose checks are foreign, and all types that hold
/// one. An enum's, a range's and a composite's own input is built in.
const FOREIGN_TYPES: &str = "
WITH RECURSIVE held (part, whole) AS MATERIALIZED (
    SELECT t.typbasetype, t.oid FROM pg_type AS t WHERE t.typbasetype >= 16384
    UNION ALL
    SELECT t.typelem, t.oid FROM pg_type AS t WHERE t.typelem >= 16384
    UNION ALL
    SELECT DISTINCT a.atttypid, c.reltype
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0
    UNION ALL
    SELECT r.rngsubtype, u.whole
    FROM pg_range AS r CROSS JOIN LATERAL unnest(ARRAY[r.rngtypid, r.rngmultitypid]) AS u (whole)
    WHERE r.rngsubtype >= 16384
    UNION ALL
    SELECT r.rngtypid, r.rngmultitypid FROM pg_range AS r WHERE r.rngtypid >= 16384
), foreign_type AS (
    SELECT t.oid
    FROM pg_type AS t
    WHERE t.oid >= 16384
      AND (t.typinput::oid >= 16384
           OR t.typmodin::oid >= 16384
           OR EXISTS (SELECT FROM pg_constraint AS c WHERE c.contypid = t.oid AND c.contype = 'c')
           OR EXISTS (SELECT FROM pg_range AS r
                      WHERE r.rngtypid = t.oid
                        AND (r.rngcanonical::oid >= 16384 OR r.rngsubopc >= 16384)))
    UNION
    SELECT h.whole FROM foreign_type AS f JOIN held AS h ON h.part = f.oid
)
SELECT oid FROM foreign_type";

/// Objects from here on are users' own.
const FOREIGN_FROM: u32 = 16_384;

/// Built-in types that take modifiers: their modifier functions are trusted.
const MODIFIED: [&str; 11] = [
    "varchar",
    "bpchar",
    "char",
    "numeric",
    "bit",
    "varbit",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
];

/// The foreign types of this database.
#[derive(Default)]
pub struct Foreign {
    types: BTreeSet<u32>,
}

impl Foreign {
    /// Those that exist now; if they cannot be found out, the reason.
    pub fn found() -> Result<Self, Caught> {
        let found = context::with_pinned_search_path(|| spi::column::<pg_sys::Oid>(FOREIGN_TYPES, &[]));
        match found {
            Ok(types) => Ok(Self { types: types.into_iter().map(|of| of.to_u32()).collect() }),
            Err(error) => Err(Caught { sqlstate: "XX000".to_owned(), message: error.message().to_owned() }),
        }
    }

    /// Makes the string constants of foreign types parameters.
    ///
    /// # Safety
    /// `raw` is a raw statement of `text` that no one else holds.
    pub unsafe fn keep_out(&self, raw: *mut pg_sys::RawStmt, text: &CStr) {
        // SAFETY: the caller's promise; the nodes are constants.
        unsafe {
            for (node, number, _) in self.found_in(raw, text) {
                into_parameter(node, number);
            }
        }
    }

    /// Makes the string constants of foreign types nulls, for a view, which
    /// has no parameters; returns whether that can be done without a call of
    /// foreign input.
    ///
    /// # Safety
    /// `raw` is a raw statement of `text` that no one else holds.
    pub unsafe fn blank(&self, raw: *mut pg_sys::RawStmt, text: &CStr) -> bool {
        // SAFETY: the caller's promise; the nodes are constants, and those of
        // foreign types stay null whatever they held.
        unsafe {
            self.found_in(raw, text).into_iter().all(|(node, _, of_type)| {
                (*node.cast::<pg_sys::A_Const>()).isnull = true;
                of_type.is_some_and(null_is_harmless)
            })
        }
    }

    /// The string constants of foreign types, with the number of a parameter
    /// that could stand there, and the type if it was found out.
    ///
    /// # Safety
    /// `raw` is a raw statement of `text` that no one else holds.
    unsafe fn found_in(
        &self,
        raw: *mut pg_sys::RawStmt,
        text: &CStr,
    ) -> Vec<(*mut pg_sys::Node, i32, Option<u32>)> {
        let mut found = Vec::new();
        if self.types.is_empty() {
            return found;
        }
        // SAFETY: the copy has the same nodes in the same order; both are ours
        // to change.
        unsafe {
            let nodes = strings((*raw).stmt);
            if nodes.is_empty() {
                return found;
            }
            let first = last_parameter((*raw).stmt).saturating_add(1);
            let number = |at: usize| first.saturating_add(i32::try_from(at).unwrap_or(i32::MAX));
            let copy: *mut pg_sys::RawStmt = pg_sys::copyObjectImpl(raw.cast()).cast();
            for (at, node) in strings((*copy).stmt).into_iter().enumerate() {
                into_parameter(node, number(at));
            }
            let types = types_of_parameters(copy, text);
            for (at, node) in nodes.into_iter().enumerate() {
                let at_type = usize::try_from(number(at)).unwrap_or(0).saturating_sub(1);
                match &types {
                    Some(types) => {
                        let of_type = types.get(at_type).filter(|of| self.types.contains(of));
                        found.extend(of_type.map(|of| (node, number(at), Some(*of))));
                    }
                    // Whatever is wrong with it comes to light without the constants.
                    None => found.push((node, number(at), None)),
                }
            }
        }
        found
    }
}

/// Whether a null of the type is made without a call: the input function of
/// what it is based on is built in and strict.
fn null_is_harmless(of_type: u32) -> bool {
    // SAFETY: catalog look-ups by oid.
    unsafe {
        let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        let base = pg_sys::getBaseType(pg_sys::Oid::from(of_type));
        pg_sys::getTypeInputInfo(base, &mut input, &mut parameter);
        input.to_u32() < FOREIGN_FROM && pg_sys::func_strict(input)
    }
}

/// The types that analysis finds for parameters; none if it fails.
///
/// # Safety
/// `raw` is a raw statement of `text` that no one else holds.
unsafe fn types_of_parameters(raw: *mut pg_sys::RawStmt, text: &CStr) -> Option<Vec<u32>> {
    let analysis = || {
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: the caller's promise; the array has `count` types.
        unsafe {
            pg_sys::parse_analyze_varparams(raw, text.as_ptr(), &mut types, &mut count, std::ptr::null_mut());
            let count = usize::try_from(count).unwrap_or(0);
            (0..count).map(|at| (*types.add(at)).to_u32()).collect::<Vec<u32>>()
        }
    };
    context::in_rolled_back_subtransaction(analysis).ok()
}

/// The string constants of a raw statement that may become parameters: the
/// paths of JSON_TABLE must stay constants.
///
/// # Safety
/// `statement` is a raw parse tree.
unsafe fn strings(statement: *mut pg_sys::Node) -> Vec<*mut pg_sys::Node> {
    // SAFETY: the tag says what the node is.
    unsafe {
        let nodes = nodes_of(statement, false);
        let paths = paths(&nodes);
        let text = |node: &*mut pg_sys::Node| {
            let node = *node;
            (*node).type_ == NodeTag::T_A_Const && {
                let constant = &*node.cast::<pg_sys::A_Const>();
                !constant.isnull && constant.val.node.type_ == NodeTag::T_String
            }
        };
        nodes.iter().copied().filter(text).filter(|node| !paths.contains(node)).collect()
    }
}

/// # Safety
/// Valid raw nodes.
#[cfg(any(feature = "pg17", feature = "pg18"))]
unsafe fn paths(nodes: &[*mut pg_sys::Node]) -> Vec<*mut pg_sys::Node> {
    // SAFETY: the tag says what the node is.
    unsafe {
        nodes
            .iter()
            .filter(|node| (***node).type_ == NodeTag::T_JsonTablePathSpec)
            .map(|node| (*node.cast::<pg_sys::JsonTablePathSpec>()).string)
            .collect()
    }
}

/// # Safety
/// Valid raw nodes.
#[cfg(any(feature = "pg15", feature = "pg16"))]
unsafe fn paths(_: &[*mut pg_sys::Node]) -> Vec<*mut pg_sys::Node> {
    Vec::new()
}

/// The highest number of a parameter.
///
/// # Safety
/// `statement` is a raw parse tree.
pub unsafe fn last_parameter(statement: *mut pg_sys::Node) -> i32 {
    // SAFETY: the tag says what the node is.
    unsafe {
        let nodes = nodes_of(statement, true).into_iter();
        let parameters = nodes.filter(|node| (**node).type_ == NodeTag::T_ParamRef);
        parameters.map(|node| (*node.cast::<pg_sys::ParamRef>()).number).max().unwrap_or(0)
    }
}

/// Whether the modifiers of a type of that name may be read by the type's own
/// function.
pub fn trusted_modifiers(name: &str) -> bool {
    MODIFIED.contains(&name)
}
