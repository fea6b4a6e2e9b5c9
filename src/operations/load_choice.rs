//! Whether workers load the rows of a COPY: the questions, from the cheapest
//! to the dearest, and how much is read of rows before it is known.
//!
//! What is read ahead is held here, within the load's own budget, and read
//! again by whoever loads. Locks that were only taken to look go again.

use crate::catalog::staging as register;
use crate::model::load::Written;
use crate::model::load::WrittenKind;
use crate::operations::load_workers::clean_up;
use crate::operations::provision::server_major;
use crate::pg::context::with_pinned_search_path;
use crate::pg::guc;
use crate::pg::load_worker::attempt::Stop;
use crate::pg::load_worker::pool::Places;
use crate::pg::load_worker::reason::Reason;
use crate::pg::load_worker::source::Source;
use crate::pg::load_worker::target::Target;
use crate::pg::server;
use crate::planning::load::gather::budget_bytes;
use crate::planning::load::gather::bytes_needed;
use crate::planning::routing::format::CopyFormat;
use crate::planning::routing::format::KeyColumn;
use crate::planning::routing::format::Kind;
use crate::planning::routing::format::Source as Origin;
use crate::planning::routing::scanner::Scanner;

/// Read before anything is asked of the catalog: most loads are over by then.
const EARLY_BYTES: usize = 1024 * 1024;

/// Background workers left to others.
const SLOTS_LEFT: i64 = 2;

/// With fewer workers, the session is as fast.
const WORKERS_MIN: i64 = 2;

/// What a load by workers begins with.
pub struct Chosen {
    pub scanner: Scanner,
    pub places: Places,
}

/// A scanner of the rows and places for workers, or why the session should
/// load them.
pub fn choose(target: &mut Target, source: &mut Source) -> Result<Result<Chosen, Reason>, Stop> {
    let setting = guc::number("load_workers_min_size") as usize * 1024;
    if is_shorter(source, setting.min(EARLY_BYTES)) {
        return Ok(Err(Reason::Small));
    }
    if let Err(reason) = target.look_at_shards() {
        return Ok(Err(reason));
    }
    let needed = bytes_needed(setting, target.leaves().len());
    let chosen = with_pinned_search_path(|| choose_workers(target, source, needed))?;
    if chosen.is_err() {
        target.unlock_shards();
    }
    Ok(chosen)
}

/// Whether there are fewer bytes. Those of a file are not read to tell.
fn is_shorter(source: &mut Source, bytes: usize) -> bool {
    match source.known_size() {
        Some(size) => size < bytes as u64,
        None => !source.has(bytes),
    }
}

/// Whether the server and the catalog allow it.
fn choose_workers(
    target: &Target,
    source: &mut Source,
    needed: usize,
) -> Result<Result<Chosen, Reason>, Stop> {
    if source.known_size().is_some_and(|size| size < needed as u64) {
        return Ok(Err(Reason::Small));
    }
    let hands = match hands()? {
        Ok(hands) => hands,
        Err(reason) => return Ok(Err(reason)),
    };
    if source.known_size().is_none() && !source.has(needed.min(budget_bytes(server::maintenance_bytes()))) {
        return Ok(Err(Reason::Small));
    }
    let Some(scanner) = scanner_of(target.written()) else { return Ok(Err(Reason::Encoding)) };
    if register::has_foreign_expressions(target.leaves())? {
        return Ok(Err(Reason::Expression));
    }
    if !register::enter(target.oid())? {
        return Ok(Err(Reason::Busy));
    }
    // A slot made from here on waits for the end of this transaction.
    server::transaction_id();
    if register::is_decoded()? {
        return Ok(Err(Reason::Decoding));
    }
    clean_up()?;
    let number = |count| u32::try_from(count).unwrap_or(0);
    let mut places = Places::take(number(hands.wanted), number(hands.all));
    if (places.len() as i64) < hands.least {
        places.keep(0);
        return Ok(Err(Reason::NoWorkers));
    }
    Ok(Ok(Chosen { scanner, places }))
}

/// Numbers of workers.
struct Hands {
    wanted: i64,
    /// Those of all sessions together.
    all: i64,
    /// Not worth while with fewer.
    least: i64,
}

/// The workers that a load may have. A number that somebody has set is what
/// they are to be, whatever else the cores do.
fn hands() -> Result<Result<Hands, Reason>, Stop> {
    let slots: i64 = guc::core_text(c"max_worker_processes").parse().unwrap_or(0);
    let free = slots - register::running_workers()?;
    let setting = guc::number("load_workers") as i64;
    let hands = if setting > 0 {
        Hands { wanted: setting.min(free), all: setting, least: 1 }
    } else {
        let cores = i64::from(server::cores());
        let idle = cores - register::at_work()?;
        if idle < WORKERS_MIN {
            return Ok(Err(Reason::Cores));
        }
        Hands { wanted: idle.min(free).min(slots - SLOTS_LEFT), all: cores, least: WORKERS_MIN }
    };
    Ok(if hands.wanted < hands.least { Err(Reason::NoWorkers) } else { Ok(hands) })
}

fn scanner_of(written: &Written) -> Option<Scanner> {
    let keys: Vec<KeyColumn> = written
        .keys
        .iter()
        .map(|key| KeyColumn {
            field: key.field,
            force_not_null: key.force_not_null,
            force_null: key.force_null,
        })
        .collect();
    let format = CopyFormat {
        kind: match written.kind {
            WrittenKind::Text => Kind::Text,
            WrittenKind::Csv => Kind::Csv,
        },
        server_major: server_major(),
        source: if written.from_client { Origin::Client } else { Origin::Server },
        columns: written.columns,
        delimiter: written.delimiter,
        null: written.null.clone(),
        default_marker: written.default_marker.clone(),
        header: written.header,
        quote: written.quote,
        escape: written.escape,
        encoding: written.encoding.clone(),
    };
    Scanner::new(&format, &keys).ok()
}
