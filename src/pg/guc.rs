//! The server's variables, declared from the one table in `model::settings`.
//!
//! Not here: what a value means; that is `model::settings::Settings`.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering;

use pgrx::pg_sys;

use crate::model::job::Window;
use crate::model::report::Report;
use crate::model::retention::RetentionPolicy;
use crate::model::settings::Context;
use crate::model::settings::Kind;
use crate::model::settings::SETTINGS;
use crate::model::settings::Setting;
use crate::model::settings::Settings;
use crate::model::settings::UniquePolicy;
use crate::model::settings::Unit;

/// The prefix of every variable.
const PREFIX: &str = "presplit";

/// The server's cell of `presplit.sample_rate`, once it is declared.
static SAMPLE_RATE: AtomicPtr<f64> = AtomicPtr::new(std::ptr::null_mut());

/// `presplit.sample_rate` without the look-up by name: it is asked for at the
/// start of every execution.
#[inline]
#[must_use]
pub fn sample_rate() -> f64 {
    let cell = SAMPLE_RATE.load(Ordering::Relaxed);
    // SAFETY: leaked when it was declared; the server writes it on this thread only.
    if cell.is_null() { 0.0 } else { unsafe { cell.read_volatile() } }
}

/// Declares all variables; called once, from `_PG_init`.
pub fn declare() {
    for setting in SETTINGS {
        declare_one(setting);
    }
    // SAFETY: a constant, zero-terminated name, during library initialisation.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"presplit".as_ptr()) };
}

/// A zero-terminated copy that lives as long as the process, as the server
/// keeps pointers to names and descriptions.
fn leaked(text: &str) -> &'static CStr {
    // Texts of the table have no zero bytes; an empty one would only lose a description.
    Box::leak(CString::new(text).unwrap_or_default().into_boxed_c_str())
}

fn declare_one(setting: &Setting) {
    let name = leaked(&format!("{PREFIX}.{}", setting.name)).as_ptr();
    let short = leaked(setting.meaning).as_ptr();
    let long = leaked(setting.effect).as_ptr();
    let context = context_of(setting.context);
    let flags = flags_of(setting.unit);
    // SAFETY: called on the main thread during library initialisation; names,
    // descriptions, option arrays and value cells are leaked on purpose,
    // because the server keeps pointers to them for the life of the process.
    unsafe {
        match setting.kind {
            Kind::Bool { default } => {
                let cell = Box::leak(Box::new(default));
                pg_sys::DefineCustomBoolVariable(
                    name, short, long, cell, default, context, flags, None, None, None,
                );
            }
            Kind::Int { default, min, max } => {
                let cell = Box::leak(Box::new(default));
                pg_sys::DefineCustomIntVariable(
                    name, short, long, cell, default, min, max, context, flags, None, None, None,
                );
            }
            Kind::Real { default, min, max } => {
                let cell = Box::leak(Box::new(default));
                if setting.name == "sample_rate" {
                    SAMPLE_RATE.store(cell, Ordering::Relaxed);
                }
                pg_sys::DefineCustomRealVariable(
                    name, short, long, cell, default, min, max, context, flags, None, None, None,
                );
            }
            Kind::Text { default } => {
                let cell = Box::leak(Box::new(std::ptr::null_mut()));
                let boot = leaked(default).as_ptr();
                let check: pg_sys::GucStringCheckHook = match setting.name {
                    "data_retention_policy" => Some(check_retention),
                    "window" => Some(check_window),
                    _ => None,
                };
                pg_sys::DefineCustomStringVariable(
                    name, short, long, cell, boot, context, flags, check, None, None,
                );
            }
            Kind::Choice { default, choices } => {
                let options = choice_options(choices);
                let boot = choices.iter().position(|choice| *choice == default).unwrap_or(0) as c_int;
                let cell = Box::leak(Box::new(boot));
                pg_sys::DefineCustomEnumVariable(
                    name, short, long, cell, boot, options, context, flags, None, None, None,
                );
            }
        }
    }
}

unsafe extern "C-unwind" {
    fn pg_tzset(name: *const c_char) -> *mut c_void;
}

/// Refuses a retention policy that cannot be read or contradicts itself.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_retention(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the server passes the address of a zero-terminated text or of null.
    unsafe {
        if (*value).is_null() {
            return true;
        }
        let Err(error) = RetentionPolicy::parse(&CStr::from_ptr(*value).to_string_lossy()) else {
            return true;
        };
        refuse(Some(error.to_string()), error.detail(), error.hint())
    }
}

/// Refuses a window that cannot be read, or whose time zone the server does not know.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn check_window(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: the server passes the address of a zero-terminated text or of null; a zone is looked up
    // as the server does for its own setting.
    unsafe {
        if (*value).is_null() {
            return true;
        }
        let text = CStr::from_ptr(*value).to_string_lossy();
        if text.trim().is_empty() {
            return true;
        }
        let hint = "Write it as 01:00-05:00, or with a time zone as 22:00-04:00 Europe/Berlin.".to_owned();
        let Some(window) = Window::parse(&text) else {
            let detail = format!("\"{text}\" is not a time of day from which to which work may be done.");
            return refuse(None, Some(detail), Some(hint));
        };
        let zone = window.zone.unwrap_or_default();
        let is_known = zone.is_empty()
            || CString::new(zone.as_str()).is_ok_and(|zone| !pg_tzset(zone.as_ptr()).is_null());
        is_known || refuse(None, Some(format!("There is no time zone \"{zone}\".")), Some(hint))
    }
}

/// What is said of a value that is refused; false.
///
/// # Safety
/// Within a check of a value. The texts live in the context for errors, as the
/// server's own messages do.
unsafe fn refuse(message: Option<String>, detail: Option<String>, hint: Option<String>) -> bool {
    // SAFETY: as above.
    unsafe {
        let kept = |text: Option<String>| match text.and_then(|text| CString::new(text).ok()) {
            Some(text) => pg_sys::MemoryContextStrdup(pg_sys::ErrorContext, text.as_ptr()),
            None => std::ptr::null_mut(),
        };
        pg_sys::GUC_check_errmsg_string = kept(message);
        pg_sys::GUC_check_errdetail_string = kept(detail);
        pg_sys::GUC_check_errhint_string = kept(hint);
    }
    false
}

fn choice_options(choices: &[&str]) -> *const pg_sys::config_enum_entry {
    let mut options: Vec<_> = (0..)
        .zip(choices)
        .map(|(val, choice)| pg_sys::config_enum_entry { name: leaked(choice).as_ptr(), val, hidden: false })
        .collect();
    options.push(pg_sys::config_enum_entry { name: std::ptr::null(), val: 0, hidden: false });
    Box::leak(options.into_boxed_slice()).as_ptr()
}

fn context_of(context: Context) -> pg_sys::GucContext::Type {
    match context {
        Context::User => pg_sys::GucContext::PGC_USERSET,
        Context::Superuser => pg_sys::GucContext::PGC_SUSET,
        Context::Sighup => pg_sys::GucContext::PGC_SIGHUP,
        // SAFETY: a flag that the postmaster sets while it loads libraries.
        Context::Postmaster if unsafe { pg_sys::process_shared_preload_libraries_in_progress } => {
            pg_sys::GucContext::PGC_POSTMASTER
        }
        // A variable of the postmaster cannot be declared later; a session
        // that loads the library by itself only shows the value.
        Context::Postmaster => pg_sys::GucContext::PGC_SIGHUP,
    }
}

const fn flags_of(unit: Unit) -> c_int {
    (match unit {
        Unit::Milliseconds => pg_sys::GUC_UNIT_MS,
        Unit::Seconds => pg_sys::GUC_UNIT_S,
        Unit::Kilobytes => pg_sys::GUC_UNIT_KB,
        Unit::Megabytes => pg_sys::GUC_UNIT_MB,
        Unit::None | Unit::Percent => 0,
    }) as c_int
}

/// The value of a variable as the server shows it to code: numbers in the
/// variable's base unit.
#[must_use]
pub fn text(name: &str) -> String {
    let full = CString::new(format!("{PREFIX}.{name}")).unwrap_or_default();
    // SAFETY: the name is zero-terminated; the result is copied at once.
    unsafe {
        let value = pg_sys::GetConfigOption(full.as_ptr(), true, false);
        if value.is_null() { String::new() } else { CStr::from_ptr(value).to_string_lossy().into_owned() }
    }
}

/// A core variable's value; empty if there is none of that name.
#[must_use]
pub fn core_text(name: &CStr) -> String {
    // SAFETY: as above.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() { String::new() } else { CStr::from_ptr(value).to_string_lossy().into_owned() }
    }
}

/// A boolean variable.
#[must_use]
pub fn on(name: &str) -> bool {
    text(name) == "on"
}

/// A numeric variable, in its base unit.
#[must_use]
pub fn number(name: &str) -> f64 {
    text(name).parse().unwrap_or(0.0)
}

/// The settings that a proposal made now depends on.
#[must_use]
pub fn settings() -> Settings {
    let positive = |value: f64| (value > 0.0).then_some(value);
    Settings {
        peak_qps: positive(number("predicted_peak_qps")),
        data_volume_bytes: positive(number("predicted_data_volume") * 1024.0 * 1024.0),
        retention_policy: text("data_retention_policy"),
        unique_policy: match text("unique_policy").as_str() {
            "extend" => UniquePolicy::Extend,
            "per_shard" => UniquePolicy::PerShard,
            _ => UniquePolicy::Strict,
        },
        shards_per_table_max: number("max_shards_per_table") as usize,
    }
}
