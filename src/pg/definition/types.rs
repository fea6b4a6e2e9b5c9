//! Types by their names in a parse tree.

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::dump::ColumnType;
use crate::model::dump::TypeFacts;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::ObjectName;
use crate::model::profile::TypeName;
use crate::pg::utility::strings;
use crate::pg::utility::text_of;

use super::literal;

/// Schemas whose types are the same on every server.
const SERVERS_OWN: &[&str] = &["pg_catalog", "information_schema"];

/// The type that a text names. A name without a schema is of `pg_catalog`,
/// which alone pg_dump leaves out; a type of another schema is not looked up.
///
/// # Safety
/// A type name of a raw parse tree, or null.
pub unsafe fn column_type(written: *mut pg_sys::TypeName) -> ColumnType {
    // SAFETY: the caller's promise.
    unsafe {
        if written.is_null() {
            return unknown("pg_catalog", "unknown", String::new(), false);
        }
        let mut names = strings((*written).names);
        let name = names.pop().unwrap_or_default();
        let schema = names.pop().unwrap_or_else(|| "pg_catalog".to_owned());
        let array = !(*written).arrayBounds.is_null();
        if SERVERS_OWN.contains(&schema.as_str())
            && let Some(found) = built_in(written, &schema, &name)
        {
            return found;
        }
        unknown(&schema, &name, modifiers((*written).typmods), array)
    }
}

/// The type of an argument or a result, which has no modifier; none where it
/// is that of a column (`t.c%TYPE`).
///
/// # Safety
/// A type name of a raw parse tree, or null.
pub unsafe fn signature_type(written: *mut pg_sys::TypeName) -> Option<TypeName> {
    // SAFETY: the copy lives as long as the lists that it shares.
    unsafe {
        if written.is_null() || (*written).pct_type {
            return None;
        }
        let mut plain = *written;
        plain.typmods = std::ptr::null_mut();
        Some(column_type(&raw mut plain).name)
    }
}

/// A collation as it is written; one without a schema is of `pg_catalog`.
///
/// # Safety
/// A `COLLATE` of a raw parse tree, or null.
pub unsafe fn collation(clause: *const pg_sys::CollateClause) -> Option<ObjectName> {
    // SAFETY: the caller's promise.
    let found = unsafe { system_or_qualified(clause.as_ref()?.collname) }?;
    Some(ObjectName { schema: found.schema, name: found.name })
}

/// A name of something that is there already: `pg_catalog` alone is left out.
///
/// # Safety
/// A list of strings.
pub unsafe fn system_or_qualified(names: *mut pg_sys::List) -> Option<QualifiedName> {
    // SAFETY: the caller's promise.
    let mut names = unsafe { strings(names) };
    let name = names.pop()?;
    Some(QualifiedName::new(names.pop().unwrap_or_else(|| "pg_catalog".to_owned()), name))
}

fn unknown(schema: &str, name: &str, modifiers: String, array: bool) -> ColumnType {
    let brackets = if array { "[]" } else { "" };
    let text = format!("{}.{}{modifiers}{brackets}", quote_identifier(schema), quote_identifier(name));
    let name = TypeName { schema: schema.to_owned(), name: name.to_owned(), text, array };
    ColumnType { name, facts: None }
}

/// `(10,2)`, as it is written.
///
/// # Safety
/// The modifiers of a raw type name.
unsafe fn modifiers(list: *mut pg_sys::List) -> String {
    // SAFETY: a modifier is a constant or a name.
    let parts: Vec<String> = unsafe {
        PgList::<pg_sys::Node>::from_pg(list)
            .iter_ptr()
            .filter_map(|node| match (*node).type_ {
                NodeTag::T_ColumnRef => strings((*node.cast::<pg_sys::ColumnRef>()).fields).pop(),
                _ => literal(node),
            })
            .collect()
    };
    if parts.is_empty() { String::new() } else { format!("({})", parts.join(",")) }
}

/// # Safety
/// A raw type name.
unsafe fn built_in(written: *mut pg_sys::TypeName, schema: &str, name: &str) -> Option<ColumnType> {
    // SAFETY: the name is looked up in schemas of the server alone, so that a
    // modifier is read by a function of its own; what the cache gives is released.
    unsafe {
        let zero_terminated = std::ffi::CString::new(name).ok()?;
        let wanted = pg_sys::SystemTypeName(pg_sys::pstrdup(zero_terminated.as_ptr()));
        if strings((*written).names).len() > 1 {
            (*wanted).names = (*written).names;
        }
        (*wanted).typmods = (*written).typmods;
        (*wanted).arrayBounds = (*written).arrayBounds;
        (*wanted).typemod = (*written).typemod;
        let mut modifier = -1;
        let tuple = pg_sys::LookupTypeName(std::ptr::null_mut(), wanted, &raw mut modifier, true);
        if tuple.is_null() {
            return None;
        }
        let oid = pg_sys::typeTypeId(tuple);
        pg_sys::ReleaseSysCache(tuple);
        let mut element = pg_sys::get_element_type(oid);
        if element != pg_sys::InvalidOid && pg_sys::get_array_type(element) != oid {
            // A vector of the catalogs is no array of its elements.
            element = pg_sys::InvalidOid;
        }
        let array = element != pg_sys::InvalidOid;
        let kept = if array { element } else { oid };
        let flags = (pg_sys::TYPECACHE_CMP_PROC | pg_sys::TYPECACHE_HASH_PROC) as i32;
        let compared = &*pg_sys::lookup_type_cache(oid, flags);
        // It has the operators of arrays by a coercion only, and no class.
        let vector = oid == pg_sys::INT2VECTOROID;
        let (orderable, hashable) = (
            !vector && compared.cmp_proc != pg_sys::InvalidOid,
            !vector && compared.hash_proc != pg_sys::InvalidOid,
        );
        let stored = &*pg_sys::lookup_type_cache(kept, 0);
        let align = match stored.typalign as u8 {
            b'c' => 1,
            b's' => 2,
            b'd' => 8,
            _ => 4,
        };
        let name =
            if array && (*written).arrayBounds.is_null() { name.trim_start_matches('_') } else { name };
        Some(ColumnType {
            name: TypeName {
                schema: schema.to_owned(),
                name: name.to_owned(),
                text: text_of(pg_sys::format_type_with_typemod(oid, modifier))?,
                array,
            },
            facts: Some(TypeFacts { length: stored.typlen, align, orderable, hashable }),
        })
    }
}
