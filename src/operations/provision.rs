//! `create_shards`: tables that exist get their shards now, tables that do not
//! are armed for the restore that will create them.
//!
//! Invariant: all or nothing, and never silently plain: nothing is armed
//! unless new sessions of this database load the library.

use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::layouts;
use crate::catalog::proposals;
use crate::catalog::relations;
use crate::catalog::relations::LiveRelation;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::report::SqlState;
use crate::operations::convert;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::spi;

/// A row of `create_shards`.
pub struct Provisioned {
    pub relation: String,
    pub shard: String,
    pub bound: String,
    /// `created` or `armed`.
    pub state: &'static str,
}

/// How `create_shards` was called.
pub struct Request<'a> {
    pub proposal_id: i64,
    pub replace: bool,
    pub valid_for: Interval,
    /// None = all tables of the proposal.
    pub relations: Option<Vec<QualifiedName>>,
    pub user: &'a str,
}

/// The major version of this server, as 15.
pub fn server_major() -> u32 {
    guc::core_text(c"server_version_num").parse::<u32>().unwrap_or(0) / 10_000
}

/// Creates or arms the tables of a proposal.
pub fn create_shards(request: &Request<'_>) -> Result<Vec<Provisioned>, ErrorReport> {
    let stored = proposals::load(request.proposal_id, request.user)?;
    if let Some(wanted) = &request.relations {
        for name in wanted {
            if !stored.proposal.relations.iter().any(|relation| relation.relation == *name) {
                return Err(error::new(
                    SqlState::UndefinedTable,
                    format!("proposal {} says nothing about table \"{name:#}\"", request.proposal_id),
                    None,
                    Some(format!(
                        "SELECT relation FROM presplit.proposals WHERE proposal_id = {} lists its tables.",
                        request.proposal_id
                    )),
                ));
            }
        }
    }
    let mut rows = Vec::new();
    let mut may_arm = false;
    for (proposed, layout) in stored.sharded() {
        let name = &proposed.relation;
        if request.relations.as_ref().is_some_and(|wanted| !wanted.contains(name)) {
            continue;
        }
        let state = match relations::find(name)? {
            Some(live) if !request.replace && live.is_partitioned() => {
                check_own(Some(&live), name, "shard")?;
                check_same(name, layout, request.proposal_id)?;
                arming::mark_sharded(name, request.proposal_id)?;
                error::notice(
                    format!("table \"{name:#}\" has these shards already, skipping"),
                    "SELECT * FROM check_shards() says whether they lack anything.".to_owned(),
                );
                continue;
            }
            Some(live) if !request.replace => {
                check_convertible(&live, name)?;
                convert::shard_empty_table(name, layout, &stored)?;
                arming::mark_sharded(name, request.proposal_id)?;
                "created"
            }
            live => {
                check_own(live.as_ref(), name, "shard")?;
                if !may_arm {
                    check_may_arm()?;
                    may_arm = true;
                }
                arming::arm(name, request.proposal_id, request.replace, request.valid_for, request.user)?;
                "armed"
            }
        };
        rows.extend(provisioned(name, layout, state));
    }
    Ok(rows)
}

fn provisioned(name: &QualifiedName, layout: &Layout, state: &'static str) -> Vec<Provisioned> {
    layout
        .shards()
        .iter()
        .map(|shard| Provisioned {
            relation: name.to_string(),
            shard: name.sibling(&shard.name).to_string(),
            bound: shard.bound.sql(),
            state,
        })
        .collect()
}

/// What may be sharded, and so be configured: ordinary tables.
/// None is one that is not here.
pub fn check_kind(live: Option<&LiveRelation>, name: &QualifiedName, verb: &str) -> Result<(), ErrorReport> {
    let refused = |name: &QualifiedName, what: &str, hint: &str| {
        Err(error::new(
            SqlState::WrongObjectType,
            format!("cannot {verb} \"{name:#}\": it {what}"),
            Some("Only ordinary tables can be sharded.".to_owned()),
            Some(hint.to_owned()),
        ))
    };
    if name.schema.starts_with("pg_temp") {
        // Without the number of the session.
        let name = QualifiedName::new("pg_temp", &name.name);
        return refused(&name, "is temporary", "It ends with its session; name a table that stays.");
    }
    if name.schema.starts_with("pg_") || ["information_schema", "presplit"].contains(&name.schema.as_str()) {
        return refused(name, "belongs to the system", "Name a table of your own.");
    }
    let Some(live) = live else { return Ok(()) };
    if live.partition {
        return refused(name, "is a partition", "Name the table that it is a part of.");
    }
    if !matches!(live.kind.as_str(), "r" | "p") {
        let what = format!("is {}", live.what());
        return refused(name, &what, "Name a table; of a view, one that it reads.");
    }
    Ok(())
}

/// The same, of one's own.
pub fn check_own(live: Option<&LiveRelation>, name: &QualifiedName, verb: &str) -> Result<(), ErrorReport> {
    check_kind(live, name, verb)?;
    if live.is_some_and(|live| !live.owned) {
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("must be owner of table {}", name.name),
            None,
            None,
        ));
    }
    Ok(())
}

fn check_convertible(live: &LiveRelation, name: &QualifiedName) -> Result<(), ErrorReport> {
    check_own(Some(live), name, "shard")?;
    if let Some(role) = relations::may_not_create(name)? {
        let (schema, role) = (quote_identifier(&name.schema), quote_identifier(&role));
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("permission denied for schema {}", name.schema),
            Some(format!(
                "Shards of table {name} are created there, and role {role} may create nothing in it."
            )),
            Some(format!("GRANT CREATE ON SCHEMA {schema} TO {role};")),
        ));
    }
    // Without a lock: it spares those who use a table with rows from waiting. The lock comes before the last look.
    check_empty(name)
}

/// A table that is partitioned has to have the shards of the proposal.
fn check_same(name: &QualifiedName, layout: &Layout, proposal_id: i64) -> Result<(), ErrorReport> {
    match layouts::of(name)? {
        Ok(present) if present.divides_as(layout) => Ok(()),
        present => Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{name:#}\" is already partitioned"),
            Some(otherwise(layout, &present)),
            Some(format!(
                "Leave it out: create_shards({proposal_id}, relations => '{{...}}') with the other tables; or pass \
                 replace => true if the restore drops and recreates it (pg_restore --clean)."
            )),
        )),
    }
}

/// How a table is divided that is not divided as a layout says.
pub fn otherwise(layout: &Layout, present: &Result<Layout, String>) -> String {
    let shown = |layout: &Layout| {
        let key = quote_identifiers(layout.shard_key());
        let count = layout.shards().len();
        let shards = if count == 1 { "shard" } else { "shards" };
        format!("{} by {key} in {count} {shards}", layout.strategy().word())
    };
    let proposed = shown(layout);
    match present {
        Ok(present) if shown(present) == proposed => {
            format!("It is divided as {proposed}, as proposed, but with other bounds.")
        }
        Ok(present) => format!("It is divided as {}, and proposed is {proposed}.", shown(present)),
        Err(why) => format!("It is not divided as {proposed}: {why}."),
    }
}

/// A table that has rows cannot be made anew.
pub fn check_empty(name: &QualifiedName) -> Result<(), ErrorReport> {
    if relations::is_empty(name)? {
        return Ok(());
    }
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("table \"{name:#}\" has rows"),
        Some("create_shards() divides tables that are empty or not there yet.".to_owned()),
        Some(
            "Empty it, or pass replace => true if the restore drops and recreates it (pg_restore --clean)."
                .to_owned(),
        ),
    ))
}

/// Arming changes what everybody's statements do in this database: it is for
/// superusers and members of the role that owns it.
pub fn check_may_arm_here() -> Result<(), ErrorReport> {
    let allowed = with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database AS d WHERE d.datname = current_database()",
            &[],
        )
    })?;
    if allowed != Some(true) {
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            "permission denied to arm tables",
            Some("Arming needs a superuser or a member of the role that owns the database.".to_owned()),
            Some("Call it as such a role.".to_owned()),
        ));
    }
    Ok(())
}

fn check_may_arm() -> Result<(), ErrorReport> {
    check_may_arm_here()?;
    match library_loads()? {
        true => Ok(()),
        false => Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            "new sessions of this database do not load library \"pg_presplit\"",
            Some("A restore would create armed tables whole, or fail.".to_owned()),
            Some(load_hint()?),
        )),
    }
}

/// The statement that makes new sessions load the library.
pub fn load_hint() -> Result<String, ErrorReport> {
    let database =
        spi::one::<String>("SELECT pg_catalog.current_database()::pg_catalog.text", &[])?.unwrap_or_default();
    Ok(format!(
        "ALTER DATABASE {} SET session_preload_libraries = 'pg_presplit';",
        quote_identifier(&database)
    ))
}

/// Whether a new session of this database loads the library: a setting of the
/// database overrides the server's.
pub fn library_loads() -> Result<bool, ErrorReport> {
    if names_library(&guc::core_text(c"shared_preload_libraries")) {
        return Ok(true);
    }
    let of_database = with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT substr(c, strpos(c, '=') + 1)
             FROM pg_db_role_setting AS s
             JOIN pg_database AS d ON d.oid = s.setdatabase
             CROSS JOIN LATERAL unnest(s.setconfig) AS c
             WHERE s.setrole = 0 AND d.datname = current_database() AND c LIKE 'session_preload_libraries=%'",
            &[],
        )
    })?;
    if let Some(value) = of_database {
        return Ok(names_library(&value));
    }
    let of_server = with_pinned_search_path(|| {
        spi::one::<String>(
            "SELECT setting FROM pg_settings
             WHERE name = 'session_preload_libraries' AND source IN ('configuration file', 'command line')",
            &[],
        )
    })?;
    Ok(of_server.is_some_and(|value| names_library(&value)))
}

/// Roles whose own setting keeps the library from being loaded here.
pub fn roles_without_library() -> Result<Vec<String>, ErrorReport> {
    if names_library(&guc::core_text(c"shared_preload_libraries")) {
        return Ok(Vec::new());
    }
    let settings = with_pinned_search_path(|| {
        spi::rows::<(String, String)>(
            "SELECT jsonb_build_array(r.rolname, substr(c, strpos(c, '=') + 1))::text
             FROM pg_db_role_setting AS s
             JOIN pg_roles AS r ON r.oid = s.setrole
             LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
             CROSS JOIN LATERAL unnest(s.setconfig) AS c
             WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND c LIKE 'session_preload_libraries=%'
             ORDER BY r.rolname",
            &[],
        )
    })?;
    Ok(settings.into_iter().filter(|(_, value)| !names_library(value)).map(|(role, _)| role).collect())
}

/// Whether a list of libraries has ours, by name or by path.
fn names_library(list: &str) -> bool {
    list.split(',').any(|entry| {
        let entry = entry.trim().trim_matches('"');
        entry.rsplit('/').next().unwrap_or(entry).trim_end_matches(".so") == "pg_presplit"
    })
}
