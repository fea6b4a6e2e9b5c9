//! The planner's questions, answered from a [`World`].
//!
//! Hooks of other extensions are taken out meanwhile: what is planned here
//! does not exist for them. Invariant: when the guard goes, by an error too,
//! every hook is as it was.

use std::cell::Cell;

use pgrx::pg_guard;
use pgrx::pg_sys;

use crate::pg::what_if::world::World;

thread_local! {
    /// The world that is asked, as long as its guard lives.
    static WORLD: Cell<*const World<'static>> = const { Cell::new(std::ptr::null()) };
}

/// What the server's hooks were.
pub struct Hooks {
    relation_info: pg_sys::get_relation_info_hook_type,
    relation_stats: pg_sys::get_relation_stats_hook_type,
    index_stats: pg_sys::get_index_stats_hook_type,
    width: pg_sys::get_attavgwidth_hook_type,
    rel_pathlist: pg_sys::set_rel_pathlist_hook_type,
    join_pathlist: pg_sys::set_join_pathlist_hook_type,
    join_search: pg_sys::join_search_hook_type,
    upper_paths: pg_sys::create_upper_paths_hook_type,
    world: *const World<'static>,
}

/// Runs `work` with the planner asking `world`.
pub fn with_world<R>(world: &World<'_>, work: impl FnOnce() -> R) -> R {
    let _guard = Hooks::replace(world);
    work()
}

impl Hooks {
    fn replace(world: &World<'_>) -> Self {
        let world: *const World<'_> = world;
        // SAFETY: plain exchanges of pointers on the backend's only thread.
        unsafe {
            let before = Self {
                relation_info: pg_sys::get_relation_info_hook,
                relation_stats: pg_sys::get_relation_stats_hook,
                index_stats: pg_sys::get_index_stats_hook,
                width: pg_sys::get_attavgwidth_hook,
                rel_pathlist: pg_sys::set_rel_pathlist_hook,
                join_pathlist: pg_sys::set_join_pathlist_hook,
                join_search: pg_sys::join_search_hook,
                upper_paths: pg_sys::create_upper_paths_hook,
                world: WORLD.replace(world.cast()),
            };
            pg_sys::get_relation_info_hook = Some(relation_info);
            pg_sys::get_relation_stats_hook = Some(relation_stats);
            pg_sys::get_index_stats_hook = None;
            pg_sys::get_attavgwidth_hook = Some(width);
            pg_sys::set_rel_pathlist_hook = Some(rel_pathlist);
            pg_sys::set_join_pathlist_hook = Some(join_pathlist);
            pg_sys::join_search_hook = None;
            pg_sys::create_upper_paths_hook = None;
            before
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        WORLD.set(self.world);
        // SAFETY: puts back what the constructor took.
        unsafe {
            pg_sys::get_relation_info_hook = self.relation_info;
            pg_sys::get_relation_stats_hook = self.relation_stats;
            pg_sys::get_index_stats_hook = self.index_stats;
            pg_sys::get_attavgwidth_hook = self.width;
            pg_sys::set_rel_pathlist_hook = self.rel_pathlist;
            pg_sys::set_join_pathlist_hook = self.join_pathlist;
            pg_sys::join_search_hook = self.join_search;
            pg_sys::create_upper_paths_hook = self.upper_paths;
        }
    }
}

/// The world that is asked.
///
/// # Safety
/// What is returned must not be kept beyond the call of a hook.
unsafe fn world<'w>() -> Option<&'w World<'static>> {
    // SAFETY: set only while the guard, and with it the world, lives.
    unsafe { WORLD.get().as_ref() }
}

#[pg_guard]
unsafe extern "C-unwind" fn relation_info(
    _root: *mut pg_sys::PlannerInfo,
    oid: pg_sys::Oid,
    divided: bool,
    rel: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: the planner's own description of the relation.
    unsafe {
        if !divided && let Some(world) = world() {
            world.size(oid, &mut *rel);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn relation_stats(
    _root: *mut pg_sys::PlannerInfo,
    entry: *mut pg_sys::RangeTblEntry,
    attribute: pg_sys::AttrNumber,
    data: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: the planner's own nodes; the tuple lives as long as the world.
    unsafe {
        let Some(world) = world().filter(|world| world.relation((*entry).relid).is_some()) else {
            return false;
        };
        (*data).statsTuple = world.tuple((*entry).relid, attribute);
        (*data).freefunc = Some(keep);
        (*data).acl_ok = true;
        true
    }
}

/// The tuple is not the planner's to free.
#[pg_guard]
unsafe extern "C-unwind" fn keep(_tuple: pg_sys::HeapTuple) {}

#[pg_guard]
unsafe extern "C-unwind" fn width(oid: pg_sys::Oid, attribute: pg_sys::AttrNumber) -> pg_sys::int32 {
    // SAFETY: only looked at during the call.
    let known = unsafe { world() }.and_then(|world| world.width(oid, attribute));
    // Zero = ask the catalog.
    known.map_or(0, |width| width.ceil() as pg_sys::int32)
}

#[pg_guard]
unsafe extern "C-unwind" fn rel_pathlist(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _rti: pg_sys::Index,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner's own nodes.
    unsafe {
        if let Some(world) = world() {
            world.seen.scans(root, &*rel, (*entry).relid);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn join_pathlist(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    _outer: *mut pg_sys::RelOptInfo,
    _inner: *mut pg_sys::RelOptInfo,
    kind: pg_sys::JoinType::Type,
    extra: *mut pg_sys::JoinPathExtraData,
) {
    // SAFETY: the planner's own nodes.
    unsafe {
        if let Some(world) = world() {
            world.seen.join(root, &*rel, kind, &*extra);
        }
    }
}
