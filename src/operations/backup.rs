//! A profile of a dump file, carried out: the file streams by, statements go
//! to the server's parser, rows to the samples of `planning::backup`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::dump::Definition;
use crate::model::name::QualifiedName;
use crate::model::name::cut;
use crate::model::profile::Profile;
use crate::model::report::SqlState;
use crate::operations::archive::file;
use crate::operations::archive::file::Dump;
use crate::operations::archive::program::Program;
use crate::pg::context::in_subtransaction;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_settings;
use crate::pg::definition;
use crate::pg::encoding;
use crate::pg::encoding::Encoding;
use crate::pg::error;
use crate::pg::spi;
use crate::planning::backup::build;
use crate::planning::backup::build::Origin;
use crate::planning::backup::collect::Collector;
use crate::planning::backup::collect::Server;
use crate::planning::backup::draft::Draft;
use crate::planning::backup::reader::Follows;
use crate::planning::backup::reader::Reader;
use crate::planning::backup::reader::Sink;
use crate::planning::backup::row::Row;

/// What to do where a dump cannot be read here.
const INSTEAD: &str = "Capture the source with capture_profile.sql instead, or let a role with these privileges call \
                       profile_backup().";

/// Bytes that are read at once of a plain dump.
const PIECE_BYTES: usize = 256 << 10;

/// Statements that are named of those that could not be read.
const REFUSED_NAMED: usize = 5;

/// What is shown of one of them.
const REFUSED_BYTES: usize = 80;

/// The profile of the dump at `path`.
///
/// # Errors
/// 42501 without the rights that core wants for server files and programs,
/// 58030 if the file cannot be read, is no dump, or not a whole one, 0A000 for
/// a dump of several databases or in an encoding that cannot be read.
pub fn profile_of(path: &str) -> Result<Profile, ErrorReport> {
    let mut listener = Listener::new(path);
    let mut reader = Reader::default();
    match file::open(path, INSTEAD)? {
        Dump::Archive => {
            listener.read_listing(path)?;
            let mut program = Program::start(path, &[], INSTEAD)?;
            while let Some(piece) = program.next_piece()? {
                reader.feed(&piece, &mut listener)?;
            }
        }
        Dump::Plain(mut file) => {
            listener.captured_at = modified_at(&file);
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                pgrx::check_for_interrupts!();
                let length = file.read(&mut piece).map_err(|cause| {
                    error::new(
                        SqlState::IoError,
                        format!("could not read file \"{path}\": {}", error::of_system(&cause)),
                        None,
                        None,
                    )
                })?;
                if length == 0 {
                    break;
                }
                reader.feed(&piece[..length], &mut listener)?;
            }
        }
    }
    if !listener.begun {
        return Err(file::not_a_dump(path));
    }
    if !listener.complete || !reader.is_between_statements() {
        return Err(error::new(
            SqlState::IoError,
            format!("dump \"{path}\" is not complete"),
            Some("Its last lines are missing.".to_owned()),
            Some("Check that pg_dump ended without an error, and that the whole file was copied.".to_owned()),
        ));
    }
    listener.profile()
}

fn modified_at(file: &File) -> Option<String> {
    let modified = file.metadata().ok()?.modified().ok()?;
    Some(written(Timestamp::try_from(modified).ok()?))
}

fn written(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// What is known so far.
struct Listener {
    path: String,
    draft: Draft,
    collector: Collector,
    encoding: Encoding,
    /// The head of the last `INSERT`: thousands may begin alike.
    insert: Vec<u8>,
    /// The comments of pg_dump at its beginning and its end.
    begun: bool,
    complete: bool,
    captured_at: Option<String>,
    version: u32,
    database: Option<String>,
    refused: BTreeMap<String, String>,
    refused_more: usize,
    /// Rows of some table were seen.
    rows: bool,
}

impl Listener {
    fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            draft: Draft::default(),
            collector: Collector::default(),
            encoding: Encoding::UTF8,
            insert: Vec::new(),
            begun: false,
            complete: false,
            captured_at: None,
            version: 0,
            database: None,
            refused: BTreeMap::new(),
            refused_more: 0,
            rows: false,
        }
    }

    /// The table of contents of an archive says when and of what it was made.
    fn read_listing(&mut self, path: &str) -> Result<(), ErrorReport> {
        let mut program = Program::start(path, &["--list"], INSTEAD)?;
        let mut head = Vec::new();
        while let Some(piece) = program.next_piece()? {
            if head.len() < PIECE_BYTES {
                head.extend(piece);
            }
        }
        for line in String::from_utf8_lossy(&head).lines().take_while(|line| line.starts_with(';')) {
            let line = line.trim_start_matches([';', ' ']);
            if let Some(at) = line.strip_prefix("Archive created at ") {
                // The clock of the machine that made it, without its zone.
                let moment = at.get(.."2000-01-01 00:00:00".len()).unwrap_or(at);
                self.captured_at = moment_of(
                    "SELECT to_char(($1::timestamp AT TIME ZONE current_setting('log_timezone')) AT TIME ZONE 'UTC',
                                    'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
                    moment,
                );
            } else if let Some(name) = line.strip_prefix("dbname: ") {
                self.database = Some(name.to_owned());
            }
        }
        Ok(())
    }

    fn decoded(&mut self, text: &[u8]) -> Result<String, ErrorReport> {
        if !text.is_ascii() && !encoding::database_is_utf8() {
            return Err(error::new(
                SqlState::FeatureNotSupported,
                "a dump with names that are not ASCII can be read in a database in UTF8 only",
                None,
                Some("Call profile_backup() in a database with encoding UTF8.".to_owned()),
            ));
        }
        self.encoding.decode(text).ok_or_else(|| {
            error::new(
                SqlState::IoError,
                format!("dump \"{}\" has text that is not in its encoding", self.path),
                Some(format!("In: {}", shortened(&String::from_utf8_lossy(text)))),
                None,
            )
        })
    }

    fn refuse(&mut self, text: &str, message: &str) {
        if self.refused.len() < REFUSED_NAMED {
            self.refused.insert(shortened(text), message.to_owned());
        } else {
            self.refused_more += 1;
        }
    }

    fn set_encoding(&mut self, name: &str) -> Result<(), ErrorReport> {
        let number = with_pinned_search_path(|| {
            spi::one::<i32>("SELECT pg_char_to_encoding($1::name)", &[name.into()])
        })?;
        match Encoding::new(number.unwrap_or(-1)).filter(|encoding| !encoding.hides_ascii()) {
            Some(encoding) => {
                self.encoding = encoding;
                Ok(())
            }
            None => Err(error::new(
                SqlState::FeatureNotSupported,
                format!("dumps in encoding \"{name}\" are not supported"),
                None,
                Some("Dump with pg_dump --encoding=UTF8.".to_owned()),
            )),
        }
    }

    fn rows_begin(&mut self, relation: &QualifiedName, columns: &[String]) {
        let mut values = Values { encoding: self.encoding };
        self.collector.end(&self.draft, &mut values);
        self.collector.begin(&self.draft, relation, columns);
        self.rows = true;
    }

    /// Reads a statement; true if rows follow it.
    fn define(&mut self, text: &str) -> Result<bool, ErrorReport> {
        let definitions = match definition::read(text) {
            Ok(definitions) => definitions,
            Err(caught) => {
                self.refuse(text, &caught.message);
                // Rows are rows, whatever they are of.
                return Ok(text.starts_with("COPY ") && text.ends_with("FROM stdin"));
            }
        };
        let mut rows = false;
        for definition in definitions {
            match definition {
                Definition::Encoding(name) => self.set_encoding(&name)?,
                Definition::Data { relation, columns } => {
                    self.rows_begin(&relation, &columns);
                    rows = true;
                }
                other => self.draft.apply(other),
            }
        }
        Ok(rows)
    }

    fn profile(mut self) -> Result<Profile, ErrorReport> {
        if self.rows && self.draft.tables.is_empty() {
            return Err(error::new(
                SqlState::IoError,
                format!("dump \"{}\" defines no tables", self.path),
                Some("It holds data alone.".to_owned()),
                Some("Dump without --data-only.".to_owned()),
            ));
        }
        let mut values = Values { encoding: self.encoding };
        let collected = std::mem::take(&mut self.collector).finish(&self.draft, &mut values);
        let mut notes = Vec::new();
        if !self.rows && !self.draft.tables.is_empty() {
            notes.push("the dump has no rows".to_owned());
        }
        if !self.refused.is_empty() {
            let named = self.refused.iter().map(|(text, message)| format!("{text} ({message})"));
            let mut named: Vec<String> = named.collect();
            if self.refused_more > 0 {
                named.push(format!("{} more", self.refused_more));
            }
            notes.push(format!("statements that this server cannot read are left out: {}", named.join(", ")));
        }
        let origin = Origin {
            captured_at: self.captured_at.unwrap_or_else(|| written(Timestamp::UNIX_EPOCH)),
            server_version_num: self.version,
            database: self.database.unwrap_or_default(),
            notes,
        };
        let profile = build::profile(&self.draft, &collected, origin);
        // What is stored can be read again.
        Ok(Profile::from_json(serde_json::json!(profile))?)
    }
}

/// The beginning of a statement, in one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let beginning = cut(&line, REFUSED_BYTES);
    if beginning.len() < line.len() { format!("{beginning}...") } else { line }
}

/// A moment as the server reads it; none if it does not.
fn moment_of(sql: &str, text: &str) -> Option<String> {
    in_subtransaction(|| with_pinned_search_path(|| spi::one::<String>(sql, &[text.into()])).ok().flatten())
        .ok()
        .flatten()
}

impl Sink for Listener {
    type Error = ErrorReport;

    fn statement(&mut self, text: &[u8]) -> Result<Follows, ErrorReport> {
        pgrx::check_for_interrupts!();
        let text = self.decoded(text)?;
        Ok(if self.define(text.trim())? { Follows::Rows } else { Follows::Statements })
    }

    fn too_long(&mut self, beginning: &[u8]) {
        self.refuse(&String::from_utf8_lossy(beginning), "it is too long");
    }

    fn insert(&mut self, head: &[u8]) -> Result<(), ErrorReport> {
        if self.insert == head {
            return Ok(());
        }
        self.insert = head.to_vec();
        let text = self.decoded(head)?;
        let text = text.trim();
        // The rows are read elsewhere; without them it needs an end.
        let end = if text.to_ascii_lowercase().ends_with(" default") { " VALUES" } else { " SELECT" };
        self.define(&format!("{text}{end}"))?;
        Ok(())
    }

    fn wants_row(&mut self) -> bool {
        self.collector.wants_row()
    }

    fn row(&mut self, row: &Row) {
        self.collector.row(row);
    }

    fn end_of_rows(&mut self) -> Result<(), ErrorReport> {
        let mut values = Values { encoding: self.encoding };
        self.collector.end(&self.draft, &mut values);
        self.insert.clear();
        Ok(())
    }

    fn comment(&mut self, text: &[u8]) -> Result<(), ErrorReport> {
        let text = String::from_utf8_lossy(text);
        match text.as_ref() {
            "PostgreSQL database dump" => self.begun = true,
            "PostgreSQL database dump complete" => self.complete = true,
            "PostgreSQL database cluster dump" => return Err(several_databases(&self.path)),
            _ => {}
        }
        if let Some(version) = text.strip_prefix("Dumped from database version ") {
            self.version = version_number(version);
        } else if let Some(at) = text.strip_prefix("Started on ")
            && let Some(moment) = moment_of(
                "SELECT to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
                at,
            )
        {
            self.captured_at = Some(moment);
        }
        Ok(())
    }

    fn command(&mut self, text: &[u8]) -> Result<(), ErrorReport> {
        if !text.starts_with(b"connect ") {
            return Ok(());
        }
        // pg_dump --create connects once; what comes after is one database.
        if self.rows || !self.draft.tables.is_empty() {
            return Err(several_databases(&self.path));
        }
        Ok(())
    }
}

fn several_databases(path: &str) -> ErrorReport {
    error::new(
        SqlState::FeatureNotSupported,
        format!("dump \"{path}\" is of several databases"),
        None,
        Some("Dump each database with pg_dump.".to_owned()),
    )
}

/// `15.18 (Debian …)` as `server_version_num`; 0 if it is something else.
fn version_number(text: &str) -> u32 {
    let number = |part: Option<&str>| {
        let part = part.unwrap_or_default();
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse::<u32>().unwrap_or(0).min(9999)
    };
    let mut parts = text.split_whitespace().next().unwrap_or_default().split('.');
    number(parts.next()) * 10_000 + number(parts.next())
}

/// What the server does with values.
struct Values {
    encoding: Encoding,
}

/// Types whose comparison is asked for: all of `pg_catalog`, so that their
/// functions are the server's own.
const COMPARED: &[&str] = &[
    "date",
    "numeric",
    "timestamp",
    "timestamptz",
    "float4",
    "float8",
    "interval",
    "time",
    "timetz",
    "inet",
    "cidr",
    "bit",
    "varbit",
    "money",
    "pg_lsn",
];

impl Server for Values {
    fn rank(&mut self, type_name: &str, values: &[&[u8]]) -> Option<Vec<u32>> {
        let type_name = COMPARED.iter().find(|known| **known == type_name)?;
        let texts: Vec<&str> =
            values.iter().map(|value| std::str::from_utf8(value)).collect::<Result<_, _>>().ok()?;
        let sql = format!(
            "SELECT array_agg(r::int4 ORDER BY n)
             FROM (SELECT n, dense_rank() OVER (ORDER BY v::pg_catalog.{type_name}) - 1
                   FROM unnest($1::text[]) WITH ORDINALITY AS u (v, n)) AS ranked (n, r)"
        );
        // As pg_dump writes them.
        let settings = [(c"datestyle", c"ISO, YMD"), (c"intervalstyle", c"postgres")];
        let ranked = in_subtransaction(|| {
            with_pinned_search_path(|| {
                with_settings(&settings, || spi::one::<Vec<i32>>(&sql, &[texts.into()])).ok().flatten()
            })
        });
        ranked.ok()??.into_iter().map(|rank| u32::try_from(rank).ok()).collect()
    }

    fn text(&mut self, value: &[u8]) -> Option<String> {
        self.encoding.decode(value)
    }

    fn check(&mut self) {
        pgrx::check_for_interrupts!();
    }
}
