//! The shadow of a profile, made in the current (sub)transaction.
//!
//! Definitions run as parts of a larger command, so that event triggers stay
//! out, and past every hook: they are ours and end with the subtransaction.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::CString;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowPlan;
use crate::model::shadow::ShadowView;
use crate::pg::analyze::names::Names;
use crate::pg::analyze::read::pointers;
use crate::pg::context;
use crate::pg::context::Caught;

/// What came of it.
pub struct Shadow {
    /// Tables, views and types that are there, by their names in the profile.
    pub known: BTreeSet<QualifiedName>,
    /// Those that are not, with the reason.
    pub failed: BTreeMap<QualifiedName, String>,
}

/// Makes the shadow. What fails is left out, with the reason.
pub fn build(plan: &ShadowPlan) -> Shadow {
    let mut shadow = Shadow { known: BTreeSet::new(), failed: plan.failed.clone() };
    let mut without_schema = None;
    for step in &plan.steps {
        pgrx::check_for_interrupts!();
        let made = context::in_subtransaction(|| define(&step.sql, None));
        match (&step.makes, made) {
            (ShadowPart::Type(name) | ShadowPart::Table(name), Ok(())) => {
                shadow.known.insert(name.clone());
            }
            (ShadowPart::Type(name) | ShadowPart::Table(name), Err(caught)) => {
                // The first cause says more than what follows from it.
                shadow.failed.insert(name.clone(), without_schema.clone().unwrap_or(caught.message));
            }
            (ShadowPart::Schema, Err(caught)) => without_schema = Some(caught.message),
            (ShadowPart::Schema | ShadowPart::Key, _) => {}
        }
    }
    views(plan, &mut shadow);
    shadow
}

/// Views may build on one another: each round makes those that can be made,
/// until none is left or a round makes none.
fn views(plan: &ShadowPlan, shadow: &mut Shadow) {
    // A view's own name must lead to its shadow in the views that use it, and
    // to nothing else before it is there.
    let mut names = Names { shadows: &plan.schemas, known: shadow.known.clone() };
    names.known.extend(plan.views.iter().map(|view| view.name.clone()));
    let (mut pending, homeless): (Vec<&ShadowView>, Vec<&ShadowView>) =
        plan.views.iter().partition(|view| plan.schemas.contains_key(&view.name.schema));
    for view in homeless {
        shadow.failed.insert(view.name.clone(), "its schema has no shadow".to_owned());
    }
    loop {
        let before = pending.len();
        let mut left: Vec<(&ShadowView, Caught)> = Vec::new();
        for view in pending {
            pgrx::check_for_interrupts!();
            let sql = format!(
                "CREATE VIEW {}.{} AS {}",
                quote_identifier(&view.name.schema),
                quote_identifier(&view.name.name),
                view.definition
            );
            match context::in_subtransaction(|| define(&sql, Some(&names))) {
                Ok(()) => {
                    shadow.known.insert(view.name.clone());
                }
                Err(caught) => left.push((view, caught)),
            }
        }
        if left.is_empty() || left.len() == before {
            for (view, caught) in left {
                shadow.failed.insert(view.name.clone(), caught.message);
            }
            return;
        }
        pending = left.into_iter().map(|(view, _)| view).collect();
    }
}

/// Runs one definition; with `names` it must be a view.
fn define(sql: &str, names: Option<&Names<'_>>) {
    let Ok(text) = CString::new(sql) else {
        refuse("definition holds a zero byte");
    };
    // SAFETY: the parse tree is ours, and outlives the call in the current
    // memory context; a planned statement of a utility carries just that.
    unsafe {
        let raw = pointers::<pg_sys::RawStmt>(pg_sys::pg_parse_query(text.as_ptr()));
        let [raw] = raw[..] else { refuse("definition is not one statement") };
        if let Some(names) = names {
            if (*(*raw).stmt).type_ != NodeTag::T_ViewStmt {
                refuse("definition is not a view");
            }
            let view = (*raw).stmt.cast::<pg_sys::ViewStmt>();
            names.rewrite((*view).view.cast());
            names.rewrite((*view).query);
        }
        let statement = pgrx::PgBox::<pg_sys::PlannedStmt>::alloc_node(NodeTag::T_PlannedStmt).into_pg();
        (*statement).commandType = pg_sys::CmdType::CMD_UTILITY;
        (*statement).canSetTag = false;
        (*statement).utilityStmt = (*raw).stmt;
        (*statement).stmt_location = (*raw).stmt_location;
        (*statement).stmt_len = (*raw).stmt_len;
        pg_sys::standard_ProcessUtility(
            statement,
            text.as_ptr(),
            false,
            pg_sys::ProcessUtilityContext::PROCESS_UTILITY_SUBCOMMAND,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone),
            std::ptr::null_mut(),
        );
        pg_sys::CommandCounterIncrement();
    }
}

fn refuse(message: &str) -> ! {
    crate::pg::error::raise(crate::pg::error::new(
        crate::model::report::SqlState::InvalidObjectDefinition,
        message,
        None,
        None,
    ))
}
