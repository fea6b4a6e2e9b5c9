//! Where a trigger's keys go: read from its arguments once for each backend,
//! and anew when the table or the log was altered.
//!
//! Arguments: the operation's number, the log's oid, the database's oid, the
//! system's identifier, then the numbers of the identity's columns. So a
//! trigger that came into a copy of the database knows that it is in a copy.
//!
//! Nothing in here is borrowed while the server is called: an error would
//! never give it back.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::Relation;
use pgrx::pg_sys::TriggerData;

use crate::pg::capture::COLUMNS_MAX;
use crate::pg::capture::image::Storage;
use crate::pg::capture::image::attribute;
use crate::pg::capture::server;
use crate::pg::error;

/// A column of an identity.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub number: i16,
    storage: Storage,
}

/// Where the keys of a trigger go.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    trigger: Oid,
    table: Oid,
    log: Oid,
    /// The log is not there, or not the one: keys go nowhere, and that was said.
    blind: bool,
    columns: [Column; COLUMNS_MAX],
    count: u16,
    /// The last of the columns in the table.
    pub last: i16,
}

impl Place {
    const NOWHERE: Self = Self {
        trigger: pg_sys::InvalidOid,
        table: pg_sys::InvalidOid,
        log: pg_sys::InvalidOid,
        blind: true,
        columns: [Column { number: 0, storage: Storage::NONE }; COLUMNS_MAX],
        count: 0,
        last: 0,
    };

    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns[..usize::from(self.count)].iter()
    }

    /// Whether two keys are stored alike.
    ///
    /// # Safety
    /// Keys of rows of the table.
    pub unsafe fn is_same(&self, a: &[Datum; COLUMNS_MAX], b: &[Datum; COLUMNS_MAX]) -> bool {
        // SAFETY: an identity has no nulls.
        self.columns().zip(a.iter().zip(b)).all(|(column, (a, b))| unsafe { column.storage.is_same(*a, *b) })
    }
}

/// A session writes to few tables that are being resharded.
const PLACES: usize = 8;

thread_local! {
    static KNOWN: [Cell<Place>; PLACES] = const { [const { Cell::new(Place::NOWHERE) }; PLACES] };
    /// The triggers that a warning was given of.
    static TOLD: [Cell<Oid>; PLACES] = const { [const { Cell::new(pg_sys::InvalidOid) }; PLACES] };
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

const fn slot(trigger: Oid) -> usize {
    trigger.to_u32() as usize % PLACES
}

fn known(trigger: Oid) -> Option<Place> {
    let place = KNOWN.with(|known| known[slot(trigger)].get());
    (place.trigger == trigger).then_some(place)
}

/// The place of a trigger's keys, with the log open and locked; none if there
/// is no log to write to.
///
/// # Safety
/// The data of a trigger that fires.
pub unsafe fn open(data: &TriggerData) -> Option<(Place, Relation)> {
    // SAFETY: the server's own description of the trigger; a lock lasts until the transaction ends,
    // as that of every write.
    unsafe {
        let trigger = (*data.tg_trigger).tgoid;
        let mut place = known(trigger).unwrap_or_else(|| learn(data));
        if place.blind {
            return None;
        }
        server::LockRelationOid(place.log, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        // With the lock came news of what others have altered.
        if known(trigger).is_none() {
            place = learn(data);
            if place.blind {
                return None;
            }
        }
        let log = server::RelationIdGetRelation(place.log);
        if log.is_null() {
            KNOWN.with(|known| known[slot(trigger)].set(Place::NOWHERE));
            return None;
        }
        server::pgstat_init_relation(log);
        Some((place, log))
    }
}

/// Finds out where a trigger's keys go; warns, once for each trigger, if nowhere.
#[cold]
unsafe fn learn(data: &TriggerData) -> Place {
    listen();
    // SAFETY: as the caller says.
    let (trigger, table) = unsafe { ((*data.tg_trigger).tgoid, (*data.tg_relation).rd_id) };
    // SAFETY: as the caller says.
    let place = match unsafe { read(data) } {
        Ok(place) => place,
        Err((log, why)) => {
            if TOLD.with(|told| told[slot(trigger)].replace(trigger)) != trigger {
                // SAFETY: as the caller says.
                unsafe { warn(data, why) };
            }
            Place { log, ..Place::NOWHERE }
        }
    };
    let place = Place { trigger, table, ..place };
    KNOWN.with(|known| known[slot(trigger)].set(place));
    place
}

/// Why a change is not written down.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Arguments,
    Copy,
    Gone,
    Altered,
}

unsafe fn warn(data: &TriggerData, why: Reason) {
    // SAFETY: the names are those of an open relation and of its trigger.
    let (table, trigger) = unsafe {
        let table = CStr::from_ptr((*(*data.tg_relation).rd_rel).relname.data.as_ptr());
        (table.to_string_lossy(), CStr::from_ptr((*data.tg_trigger).tgname).to_string_lossy())
    };
    let detail = match why {
        Reason::Arguments => "The arguments of its trigger are not those of pg_presplit.",
        Reason::Copy => "Its trigger was made in another database, of which this one is a copy.",
        Reason::Gone => "The log of the operation is gone.",
        Reason::Altered => "The table's key was altered after the operation began.",
    };
    error::warning(
        format!("changes of table \"{table}\" are not written down for the operation on its shards"),
        detail.to_owned(),
        format!("If no operation is under way, remove trigger \"{trigger}\" of the table with DROP TRIGGER."),
    );
}

/// The place; or why there is none, with the log that is not there.
///
/// # Safety
/// The data of a trigger that fires.
unsafe fn read(data: &TriggerData) -> Result<Place, (Oid, Reason)> {
    let nowhere = |why| (pg_sys::InvalidOid, why);
    // SAFETY: a trigger has as many arguments as it says; the log is locked before it is opened, and
    // closed again with the lock kept.
    unsafe {
        let trigger = &*data.tg_trigger;
        let arguments: Vec<&str> = (0..usize::try_from(trigger.tgnargs).unwrap_or(0))
            .filter_map(|at| CStr::from_ptr(*trigger.tgargs.add(at)).to_str().ok())
            .collect();
        let [operation, log, database, system, columns @ ..] = arguments.as_slice() else {
            return Err(nowhere(Reason::Arguments));
        };
        let log = Oid::from(log.parse::<u32>().map_err(|_| nowhere(Reason::Arguments))?);
        let numbers: Vec<i16> = columns.iter().filter_map(|column| column.parse().ok()).collect();
        if numbers.len() != columns.len() || numbers.is_empty() || numbers.len() > COLUMNS_MAX {
            return Err(nowhere(Reason::Arguments));
        }
        let here = database.parse() == Ok(pg_sys::MyDatabaseId.to_u32())
            && system.parse() == Ok(pg_sys::GetSystemIdentifier() as i64);
        if !here {
            return Err(nowhere(Reason::Copy));
        }
        let relation = pg_sys::try_table_open(log, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        if relation.is_null() {
            return Err((log, Reason::Gone));
        }
        let place = if is_log(relation, operation) {
            fitting(log, (*relation).rd_att, (*data.tg_relation).rd_att, &numbers)
                .ok_or((log, Reason::Altered))
        } else {
            Err((log, Reason::Gone))
        };
        pg_sys::table_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        place
    }
}

/// Whether a relation is the log of an operation: nothing else may be written
/// to this way, whatever the arguments of a trigger say.
///
/// # Safety
/// An open relation.
unsafe fn is_log(relation: Relation, operation: &str) -> bool {
    // SAFETY: reads of an open relation's row in pg_class, and a look-up.
    unsafe {
        let form = &*(*relation).rd_rel;
        let schema = pg_sys::get_namespace_oid(c"presplit".as_ptr(), true);
        let name = CStr::from_ptr(form.relname.data.as_ptr()).to_bytes();
        form.relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
            && form.relnamespace == schema
            && schema != pg_sys::InvalidOid
            && form.relam == pg_sys::HEAP_TABLE_AM_OID
            && name.strip_prefix(b"changes_") == Some(operation.as_bytes())
    }
}

/// The place, if the log's columns are of the types that the table's have.
///
/// # Safety
/// Descriptors of open relations.
unsafe fn fitting(
    log: Oid,
    to: pg_sys::TupleDesc,
    from: pg_sys::TupleDesc,
    numbers: &[i16],
) -> Option<Place> {
    let mut place = Place { log, blind: false, count: numbers.len() as u16, ..Place::NOWHERE };
    // SAFETY: every number is within its descriptor.
    unsafe {
        if usize::try_from((*to).natts) != Ok(numbers.len()) {
            return None;
        }
        for (at, number) in numbers.iter().enumerate() {
            if *number < 1 || i32::from(*number) > (*from).natts {
                return None;
            }
            let source = *number as usize - 1;
            let (has, wants) = (&*attribute(from, source), &*attribute(to, at));
            if has.attisdropped || wants.attisdropped || has.atttypid != wants.atttypid {
                return None;
            }
            place.columns[at] = Column { number: *number, storage: Storage::of(from, source) };
            place.last = place.last.max(*number);
        }
    }
    Some(place)
}

/// Asks the server to tell of what is altered.
fn listen() {
    if !LISTENING.replace(true) {
        // SAFETY: the function stays; the server has room for ten, of which extensions rarely take one.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(forget), Datum::from(0)) };
    }
}

/// Forgets what depends on a relation; on all if it has no number.
unsafe extern "C-unwind" fn forget(_argument: Datum, relation: Oid) {
    KNOWN.with(|known| {
        for cell in known {
            let place = cell.get();
            let all = relation == pg_sys::InvalidOid;
            if all || place.table == relation || place.log == relation {
                cell.set(Place::NOWHERE);
            }
        }
    });
}
