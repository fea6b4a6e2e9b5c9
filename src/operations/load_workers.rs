//! COPY into a sharded table by workers: the leader's part, from the first row
//! to the swap.
//!
//! The leader finds rows and their shards, gives them to workers, and when
//! all have said that their rows are in, lets them commit and puts their
//! tables into the shards' places in its own transaction. So whoever looks
//! sees none of the rows or all of them.
//!
//! An error ends the load. The rows that came before it are still given out,
//! and of all errors that they bring the one of the first line is raised: the
//! one that PostgreSQL's own COPY would have met first, as far as that can be
//! known.

use pgrx::check_for_interrupts;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::staging as register;
use crate::model::load::Filled;
use crate::model::load::Head;
use crate::model::load::order;
use crate::model::operation::Phase;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::operations::load::by_workers;
use crate::operations::load_choice::Chosen;
use crate::operations::load_choice::choose;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::load_worker::attempt;
use crate::pg::load_worker::attempt::Outcome;
use crate::pg::load_worker::attempt::Stop;
use crate::pg::load_worker::crew::Answer;
use crate::pg::load_worker::crew::Crew;
use crate::pg::load_worker::crew::Failure;
use crate::pg::load_worker::crew::Sent;
use crate::pg::load_worker::crew::Words;
use crate::pg::load_worker::reason::Reason;
use crate::pg::load_worker::route::Routed;
use crate::pg::load_worker::route::Router;
use crate::pg::load_worker::source;
use crate::pg::load_worker::source::Source;
use crate::pg::load_worker::target::Target;
use crate::pg::load_worker::worker;
use crate::pg::load_worker::worker::Registered;
use crate::pg::operation;
use crate::pg::operation::copy;
use crate::pg::server;
use crate::pg::staging;
use crate::pg::staging::Staged;
use crate::planning::load::gather::Batch;
use crate::planning::load::gather::Deal;
use crate::planning::load::gather::Gather;
use crate::planning::load::gather::batch_bytes;
use crate::planning::load::gather::budget_bytes;
use crate::planning::routing::scanner::Next;
use crate::planning::routing::scanner::Scanner;
use crate::planning::routing::scanner::Value;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Bytes of rows in one message.
const PIECE_BYTES: usize = 128 * 1024;

/// Registers the loader and what its workers write down; called once, from `_PG_init`.
pub fn install() {
    attempt::install(load);
    worker::install(registered);
}

fn registered(made: &Registered) -> Result<(), ErrorReport> {
    register::register(made.load, made.leader_pid, &made.shards, &made.staging)
}

/// Loads the rows of a COPY, or says why the session should.
fn load(mut target: Target) -> Result<Outcome, Stop> {
    if !guc::on("parallel_copy") {
        return leave(target, Reason::SwitchedOff);
    }
    let mut source = match &target.file {
        Some(file) => match Source::file(file, target.is_program) {
            Some(source) => source,
            None => return leave(target, Reason::Refused),
        },
        None => Source::client(target.written().columns),
    };
    copy::begin(target.oid(), source.input(), source.known_size());
    let Chosen { scanner, mut places } = match choose(&mut target, &mut source)? {
        Ok(chosen) => chosen,
        Err(reason) => return decline(target, source, reason),
    };
    let load = server::transaction_id();
    let crew = Crew::start(&target, places.len(), load);
    places.keep(crew.as_ref().map_or(0, Crew::len));
    let Some(crew) = crew else {
        return stay(target, source, Reason::NoWorkers);
    };
    operation::set_detail(&format!("rows {}", by_workers(crew.len())));
    let mut leader = Leader::new(&target, crew, scanner);
    let filled = leader.run(&mut source)?;
    source.close()?;
    operation::set_phase(Phase::CuttingOver);
    let Leader { router, crew, .. } = leader;
    router.finish();
    target.close();
    let rows = with_pinned_search_path(|| put_in_place(load, &filled))?;
    let workers = crew.len();
    crew.dismiss();
    places.keep(0);
    copy::end();
    Ok(Outcome::Loaded { rows, workers })
}

/// Nothing has begun.
fn leave(target: Target, reason: Reason) -> Result<Outcome, Stop> {
    target.close();
    Ok(Outcome::InSession { reason, started: false })
}

/// The session is to load it; with the rows that have come, if any have.
fn decline(target: Target, source: Source, reason: Reason) -> Result<Outcome, Stop> {
    if !source.can_begin_anew() {
        return stay(target, source, reason);
    }
    copy::end();
    source.close()?;
    leave(target, reason)
}

/// Rows have begun to come; the session goes on with them.
fn stay(target: Target, source: Source, reason: Reason) -> Result<Outcome, Stop> {
    source::hand_over(source);
    target.close();
    Ok(Outcome::InSession { reason, started: true })
}

/// What ends a load, and where.
enum Trouble {
    Row(Failure),
    /// A worker is gone without a word.
    Gone,
}

impl Trouble {
    /// The order of troubles: by lines; those without one come last.
    fn rank(&self) -> u64 {
        let line = match self {
            Self::Row(failure) => failure.line,
            Self::Gone => return u64::MAX,
        };
        if line == 0 { u64::MAX - 1 } else { line }
    }

    fn stop(self) -> Stop {
        match self {
            Self::Row(failure) => Stop::Row(failure),
            Self::Gone => Stop::from(error::new(
                SqlState::SystemError,
                "a load worker ended before its rows were in",
                None,
                Some("The server's log may tell why. The COPY has changed nothing.".to_owned()),
            )),
        }
    }
}

/// How much of a worker's first batch has been sent.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    head: bool,
    bytes: usize,
}

struct Leader {
    table: String,
    schema: String,
    crew: Crew,
    scanner: Scanner,
    router: Router,
    gather: Gather,
    /// Bytes that rows may take here.
    budget: usize,
    deal: Deal,
    progress: Vec<Progress>,
    /// What each worker has said last.
    ready: Vec<Option<Vec<Filled>>>,
    done: Vec<bool>,
    over: Vec<bool>,
    trouble: Option<Trouble>,
    /// The line of a row that PostgreSQL has to refuse, as its shard is not known.
    doubtful: Option<u64>,
    /// Rows given out.
    rows: u64,
}

impl Leader {
    fn new(target: &Target, crew: Crew, scanner: Scanner) -> Self {
        let workers = crew.len();
        let budget = budget_bytes(server::maintenance_bytes());
        Self {
            table: target.name().to_owned(),
            schema: target.schema().to_owned(),
            crew,
            scanner,
            router: Router::new(target),
            gather: Gather::new(batch_bytes(budget, target.leaves().len())),
            budget,
            deal: Deal::new(workers),
            progress: vec![Progress::default(); workers],
            ready: vec![None; workers],
            done: vec![false; workers],
            over: vec![false; workers],
            trouble: None,
            doubtful: None,
            rows: 0,
        }
    }

    /// All rows, up to the workers' commits.
    fn run(&mut self, source: &mut Source) -> Result<Vec<Filled>, Stop> {
        self.give_out(source)?;
        while let Some(batch) = self.gather.take_largest() {
            self.deal.give(batch);
            self.pump();
        }
        self.order_all(order::END, |leader, worker| leader.ready[worker].is_some())?;
        if let (None, Some(line)) = (&self.trouble, self.doubtful) {
            let words = Words {
                code: error::code(SqlState::DataCorrupted),
                message: "the shard of a row cannot be told".to_owned(),
                detail: None,
                hint: None,
            };
            let failure = Failure::of_row(&words, &self.table, &self.schema, line, None);
            self.note(Trouble::Row(failure));
        }
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble.stop());
        }
        source.drain();
        self.order_all(order::COMMIT, |leader, worker| leader.done[worker])?;
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble.stop());
        }
        Ok(self.ready.iter_mut().filter_map(Option::take).flatten().collect())
    }

    /// Reads rows until there are no more, or trouble.
    fn give_out(&mut self, source: &mut Source) -> Result<(), Stop> {
        loop {
            check_for_interrupts!();
            self.listen();
            if self.trouble.is_some() || !self.rows() {
                return Ok(());
            }
            let read = source.read(self.scanner.space(READ_BYTES));
            if read == 0 {
                self.scanner.finish();
            } else {
                self.scanner.filled(read);
                copy::advance(self.rows, source.came());
            }
        }
    }

    /// Gives out the rows that have been read; whether more may come.
    fn rows(&mut self) -> bool {
        loop {
            let row = match self.scanner.next_row() {
                Ok(Next::Row(row)) => row,
                Ok(Next::Header(_)) => continue,
                Ok(Next::Starved) => return true,
                Ok(Next::End) => return false,
                Err(fault) => {
                    let words = Words::from(&fault as &dyn Report);
                    let failure = Failure::of_row(&words, &self.table, &self.schema, fault.line, None);
                    self.note(Trouble::Row(failure));
                    return false;
                }
            };
            let mut readable = true;
            let count = self.router.keys();
            let keys = (0..count).map(|at| match row.key(at).value {
                Value::Bytes(bytes) => Some(bytes),
                Value::Null | Value::Absent => None,
                Value::Default | Value::Invalid => {
                    readable = false;
                    None
                }
            });
            let routed = self.router.route(keys);
            let (shard, nowhere) = match routed {
                Routed::Shard(shard) if readable => (shard, None),
                // Whichever shard is given the row, PostgreSQL refuses it there.
                Routed::Nowhere(words) if readable => (0, Some(words)),
                _ => {
                    self.doubtful.get_or_insert(row.line);
                    (0, None)
                }
            };
            let line = row.line;
            let nowhere = nowhere
                .map(|words| Failure::of_row(&words, &self.table, &self.schema, line, Some(row.bytes)));
            self.rows += 1;
            if self.gather.push(shard, row.bytes, row.ending, line, row.lines) {
                if let Some(batch) = self.gather.take(shard) {
                    self.deal.give(batch);
                }
                self.pump();
                self.make_room();
            }
            if let Some(failure) = nowhere {
                self.note(Trouble::Row(failure));
                return false;
            }
            if self.trouble.is_some() {
                return false;
            }
        }
    }

    /// Remembers the trouble that comes first in the input.
    fn note(&mut self, trouble: Trouble) {
        if self.trouble.as_ref().is_none_or(|known| trouble.rank() < known.rank()) {
            self.trouble = Some(trouble);
        }
    }

    /// Waits until all that is held here is within the budget.
    fn make_room(&mut self) {
        while self.gather.bytes() + self.deal.bytes() > self.budget && self.trouble.is_none() {
            if self.deal.bytes() < self.budget / 2
                && let Some(batch) = self.gather.take_largest()
            {
                self.deal.give(batch);
            }
            if !self.pump() {
                self.crew.wait();
                self.listen();
            }
        }
    }

    /// Sends what the queues take; whether it was anything.
    fn pump(&mut self) -> bool {
        let mut any = false;
        for worker in 0..self.crew.len() {
            while let Some(batch) = self.deal.queues[worker].front() {
                let moot = self.trouble.as_ref().is_some_and(|known| known.rank() < batch.first_line());
                if moot && !self.progress[worker].head {
                    self.deal.sent(worker);
                    any = true;
                    continue;
                }
                let shard = self.router.shard(batch.shard);
                match send_some(&mut self.crew, worker, shard, batch, &mut self.progress[worker]) {
                    Some(true) => {
                        any = true;
                        self.progress[worker] = Progress::default();
                        if let Some(batch) = self.deal.sent(worker) {
                            self.gather.recycle(batch);
                        }
                    }
                    Some(false) => break,
                    // Gone: what it had is lost, and the load with it.
                    None => {
                        while self.deal.sent(worker).is_some() {}
                        self.progress[worker] = Progress::default();
                    }
                }
            }
        }
        any
    }

    /// Takes what workers have said.
    fn listen(&mut self) {
        for worker in 0..self.crew.len() {
            while let Some(answer) = self.crew.hear(worker) {
                match answer {
                    Answer::Ready(filled) => self.ready[worker] = Some(filled),
                    Answer::Done => self.done[worker] = true,
                    // It goes on, without its rows: an earlier line may be wrong too.
                    Answer::Failed(failure) => self.note(Trouble::Row(failure)),
                    Answer::Gone => {
                        self.over[worker] = true;
                        if !self.done[worker] {
                            self.note(Trouble::Gone);
                        }
                    }
                }
            }
        }
    }

    /// Sends what is left and then an order to all, and waits until each has
    /// obeyed or is over.
    fn order_all(&mut self, what: u8, obeyed: fn(&Self, usize) -> bool) -> Result<(), Stop> {
        let mut told = vec![false; self.crew.len()];
        loop {
            self.listen();
            self.pump();
            for (worker, told) in told.iter_mut().enumerate() {
                if !*told && self.deal.queues[worker].is_empty() {
                    *told = self.crew.send(worker, what, [&[], &[]]) != Sent::Later;
                }
            }
            self.listen();
            if (0..told.len()).all(|worker| self.over[worker] || obeyed(self, worker)) {
                return Ok(());
            }
            self.crew.wait();
        }
    }
}

/// Goes on sending a batch: true when it is sent, false when the queue is
/// full, none when the worker is gone.
fn send_some(
    crew: &mut Crew,
    worker: usize,
    shard: Oid,
    batch: &Batch,
    progress: &mut Progress,
) -> Option<bool> {
    let rows = &batch.rows;
    if !progress.head {
        let lines = batch.lines.bytes();
        let head = Head { shard: shard.to_u32(), bytes: rows.len() as u64, lines };
        match crew.send(worker, order::BATCH, [&head.fixed(), lines]) {
            Sent::Whole => progress.head = true,
            Sent::Later => return Some(false),
            Sent::Gone => return None,
        }
    }
    while progress.bytes < rows.len() {
        let end = rows.len().min(progress.bytes + PIECE_BYTES);
        match crew.send(worker, order::ROWS, [&rows[progress.bytes..end], &[]]) {
            Sent::Whole => progress.bytes = end,
            Sent::Later => return Some(false),
            Sent::Gone => return None,
        }
    }
    Some(true)
}

/// Puts the committed tables into their shards' places; returns the rows.
fn put_in_place(load: u64, filled: &[Filled]) -> Result<u64, Stop> {
    let mut staged: Vec<Staged> = filled
        .iter()
        .map(|one| Staged { shard: Oid::from(one.shard), staging: Oid::from(one.staging), rows: one.rows })
        .collect();
    staged.sort_by_key(|one| one.shard.to_u32());
    staging::take_places(&staged)?;
    register::forget(load)?;
    Ok(staged.iter().map(|one| one.rows).sum())
}

/// Drops the tables that loads have left behind which are over.
pub fn clean_up() -> Result<(), ErrorReport> {
    if !register::any()? {
        return Ok(());
    }
    for leftover in register::take_leftovers()? {
        staging::drop(Oid::from(leftover.staging));
    }
    Ok(())
}
