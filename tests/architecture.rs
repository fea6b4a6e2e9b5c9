//! The floors of the house, held by a test on the source text.
//!
//! The compiler keeps PostgreSQL out of the pure face; here is what it cannot
//! see: which room may mention which, and the habits that keep the tree
//! readable. Every rule is a function from a tree to its faults. One test runs
//! them on the repository, another plants a fault for each and expects it back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Each room and the rooms below it that it may mention. A folder of `src`
/// without a row is a fault.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("planning", &[]),
    ("planning::backup", &["model"]),
    ("planning::workload", &["model"]),
    ("planning::forecast", &["model"]),
    ("planning::routing", &["model"]),
    ("planning::load", &["model"]),
    ("planning::reshard", &["model"]),
    ("planning::provision", &["model"]),
    ("planning::proposal", &["model", "planning::workload", "planning::forecast"]),
    ("pg", &["model"]),
    ("catalog", &["model", "planning", "pg"]),
    ("operations", &["model", "planning", "pg", "catalog"]),
    ("api", &["model", "planning", "pg", "catalog", "operations"]),
];

/// The outside world, which the pure floors do not know.
const OUTSIDE: &[&str] = &[
    "pgrx",
    "pg_sys",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::{",
    "SystemTime::now",
    "Instant::now",
];

/// Marks of unfinished work; in two parts, so that this file has none.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX")];
const UNFINISHED_CODE: &[&str] =
    &[concat!("to", "do!"), concat!("unimple", "mented!"), concat!("#[ig", "nore")];

/// Folders of one machine, in two parts likewise.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/var/", "tmp/")];

const LINES_MAX: usize = 600;

/// Lines of code that may stand between a SAFETY comment and its block.
const SAFETY_DISTANCE_MAX: usize = 3;

/// A file: its path from the root of the repository, its text, and the text
/// with comments and literals blanked out.
struct File {
    path: String,
    text: String,
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The module's path below `src`; none for other files.
    fn module(&self) -> Option<Vec<&str>> {
        let below = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        Some(below.split('/').filter(|part| *part != "mod").collect())
    }

    fn fault(&self, what: &str) -> String {
        format!("{}: {what}", self.path)
    }
}

type Rule = fn(&[File]) -> Vec<String>;

const RULES: &[Rule] = &[
    arrows_point_down,
    paths_are_written_out,
    pure_floors_are_pure,
    unsafe_is_in_pg_and_explained,
    files_are_introduced_declared_and_short,
    nothing_is_left_unfinished,
    regression_tests_are_run,
    no_machine_is_named,
];

/// `planning` has rooms of its own, every other folder is one.
fn room_of(module: &[&str]) -> String {
    let depth = if module.first() == Some(&"planning") { 2 } else { 1 };
    module.iter().take(depth).copied().collect::<Vec<_>>().join("::")
}

fn is_in(room: &str, outer: &str) -> bool {
    room.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn may_mention(room: &str, target: &str) -> bool {
    let row = ARROWS.iter().find(|(name, _)| *name == room);
    is_in(target, room) || row.is_some_and(|(_, below)| below.iter().any(|name| is_in(target, name)))
}

fn arrows_point_down(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let Some(module) = file.module() else { continue };
        let room = room_of(&module);
        if room == "lib" {
            continue;
        }
        if !ARROWS.iter().any(|(name, _)| *name == room) {
            faults.push(file.fault(&format!("room {room} has no row in the table of arrows")));
        }
        // A file that says of itself that it only holds a place is not judged.
        if file.text.starts_with("//! stub\n") {
            continue;
        }
        let mut targets: Vec<String> =
            paths_after(&file.code, "crate::").iter().map(|path| room_of(path)).collect();
        if module.join("::") == room {
            // From a room's own mod.rs, `super` is outside.
            let outside = &module[..module.len() - 1];
            let climbed = paths_after(&file.code, "super::");
            let named = climbed.iter().filter(|path| !path.is_empty());
            let climbed = named.map(|path| room_of(&[outside, path].concat()));
            targets.extend(climbed.filter(|target| ARROWS.iter().any(|(name, _)| name == target)));
        }
        for target in targets.iter().filter(|target| !may_mention(&room, target)) {
            faults.push(file.fault(&format!("room {room} must not mention {target}")));
        }
    }
    faults
}

/// Every path that follows `start`, in segments.
fn paths_after<'a>(code: &'a str, start: &str) -> Vec<Vec<&'a str>> {
    words(code, start)
        .map(|at| {
            let rest = &code[at + start.len()..];
            let end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
            rest[..end].split("::").filter(|part| !part.is_empty()).collect()
        })
        .collect()
}

fn paths_are_written_out(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.module().is_some()) {
        for (path, what) in [
            ("crate::{", "groups rooms in one use; write one a line"),
            ("super::super", "climbs with super::super; write the path from crate"),
        ] {
            if file.code.contains(path) {
                faults.push(file.fault(what));
            }
        }
    }
    faults
}

fn pure_floors_are_pure(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let pure = file.module().is_some_and(|module| ["model", "planning"].contains(&module[0]));
        for word in OUTSIDE.iter().filter(|word| pure && words(&file.code, word).next().is_some()) {
            faults.push(file.fault(&format!("a pure floor must not mention {word}")));
        }
    }
    faults
}

fn unsafe_is_in_pg_and_explained(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let Some(module) = file.module() else { continue };
        if module[0] != "pg" {
            if words(&file.code, "unsafe").next().is_some() {
                faults.push(file.fault("unsafe outside of pg"));
            }
            continue;
        }
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in file.code.lines().enumerate() {
            let opens = line.contains("unsafe {") || line.contains("unsafe impl");
            if opens && !explained(&lines[..=number]) {
                faults.push(file.fault(&format!("line {}: unsafe without a SAFETY comment", number + 1)));
            }
        }
    }
    faults
}

/// Whether a SAFETY comment stands at or shortly above the last line.
fn explained(lines: &[&str]) -> bool {
    let mut passed = 0;
    for line in lines.iter().rev() {
        if line.contains("SAFETY:") {
            return true;
        }
        passed += usize::from(!line.trim_start().starts_with("//"));
        if passed > SAFETY_DISTANCE_MAX {
            return false;
        }
    }
    false
}

fn files_are_introduced_declared_and_short(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        if !file.text.starts_with("//! ") {
            faults.push(file.fault("does not begin with a //! introduction"));
        }
        if file.text.lines().count() > LINES_MAX {
            faults.push(file.fault(&format!("longer than {LINES_MAX} lines")));
        }
        let Some(module) = file.module() else { continue };
        let Some((name, above)) = module.split_last() else { continue };
        if *name != "lib" && !declares(files, above, name) {
            faults.push(file.fault(&format!("nothing says `mod {name};`, so it is not compiled")));
        }
    }
    faults
}

fn declares(files: &[File], above: &[&str], name: &str) -> bool {
    let parent = if above.is_empty() { vec!["lib"] } else { above.to_vec() };
    files
        .iter()
        .filter(|file| file.module().is_some_and(|module| module == parent))
        .any(|file| words(&file.code, &format!("mod {name};")).next().is_some())
}

fn nothing_is_left_unfinished(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let folder = file.path.split('/').next().unwrap_or_default();
        if !["src", "tests", "sql", "pg_regress"].contains(&folder) {
            continue;
        }
        let in_text = UNFINISHED.iter().filter(|mark| words(&file.text, mark).next().is_some());
        let in_code = UNFINISHED_CODE.iter().filter(|mark| words(&file.code, mark).next().is_some());
        faults.extend(in_text.chain(in_code).map(|mark| file.fault(&format!("has {mark}"))));
    }
    faults
}

fn regression_tests_are_run(files: &[File]) -> Vec<String> {
    let named = |folder: &str, end: &str| -> BTreeSet<String> {
        let below = files.iter().filter_map(|file| file.path.strip_prefix(folder)?.strip_suffix(end));
        below.map(str::to_owned).collect()
    };
    let schedule = files.iter().find(|file| file.path == "pg_regress/schedule");
    let scheduled: BTreeSet<String> = schedule
        .into_iter()
        .flat_map(|file| file.text.lines())
        .filter_map(|line| line.trim().strip_prefix("test:"))
        .flat_map(|line| line.split_whitespace().map(str::to_owned))
        .collect();
    let (tests, expected) = (named("pg_regress/sql/", ".sql"), named("pg_regress/expected/", ".out"));
    let mut faults = Vec::new();
    for test in &tests {
        if !scheduled.contains(test) {
            faults.push(format!("pg_regress/sql/{test}.sql: pg_regress/schedule does not run it"));
        }
        let variant = |name: &String| name.strip_prefix(&format!("{test}_")).is_some_and(|n| n.len() == 1);
        if !expected.contains(test) && !expected.iter().any(variant) {
            faults.push(format!("pg_regress/sql/{test}.sql: has no expected output"));
        }
    }
    let missing = scheduled.difference(&tests);
    faults.extend(missing.map(|test| format!("pg_regress/schedule: there is no test {test}")));
    faults
}

fn no_machine_is_named(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        for folder in MACHINE.iter().filter(|folder| words(&file.text, folder).next().is_some()) {
            faults.push(file.fault(&format!("names {folder}, a folder of one machine")));
        }
    }
    faults
}

/// A script that a release has shipped is never edited: what
/// `git diff --name-status <tag>` says of the scripts.
fn released_scripts_stay(name_status: &str) -> Vec<String> {
    let changed = name_status.lines().filter(|line| line.starts_with(['M', 'D', 'R', 'T']));
    changed.map(|line| format!("a released script was changed: {line}")).collect()
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where `word` stands in `text` and is not a part of a longer word.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back().is_some_and(is_word);
        let (last, next) = (word.chars().next_back(), text[at + word.len()..].chars().next());
        let after = last.is_some_and(is_word) && next.is_some_and(is_word);
        !before && !after
    })
}

/// Rust text with its comments and literals blanked out, line for line.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let in_word = code.chars().next_back().is_some_and(is_word);
        let length = match not_code(rest, in_word) {
            Some(length) => {
                code.push(' ');
                code.extend(rest[..length].chars().filter(|c| *c == '\n'));
                length
            }
            None => {
                code.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// Length of the comment or literal that `rest` begins with.
fn not_code(rest: &str, in_word: bool) -> Option<usize> {
    let through =
        |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(through(2, "*/"));
    }
    if !in_word && let Some(raw) = rest.strip_prefix('r').or_else(|| rest.strip_prefix("br")) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let from = rest.len() - raw.len() + hashes + 1;
            return Some(through(from, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut inner = rest[1..].char_indices();
    if quote == '\'' && !rest[1..].starts_with('\\') {
        // A lifetime has no closing quote after its first character.
        let (_, one) = (inner.next()?, inner.next()?);
        return (one.1 == '\'').then_some(1 + one.0 + 1);
    }
    while let Some((at, c)) = inner.next() {
        if c == '\\' {
            inner.next();
        } else if c == quote {
            return Some(1 + at + 1);
        }
    }
    Some(rest.len())
}

fn git(arguments: &[&str]) -> Option<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Everything that git tracks, and all of `src`; without git, every file.
fn repository() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = BTreeSet::new();
    match git(&["ls-files", "-z"]) {
        Some(tracked) => {
            paths.extend(tracked.split('\0').filter(|path| !path.is_empty()).map(str::to_owned));
            walk(root, "src", &mut paths);
        }
        None => walk(root, "", &mut paths),
    }
    let files: Vec<File> = paths
        .iter()
        .filter(|path| root.join(path).is_file())
        .map(|path| File::new(path, &String::from_utf8_lossy(&std::fs::read(root.join(path)).unwrap())))
        .collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the sources were not found");
    files
}

fn walk(root: &Path, folder: &str, paths: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            walk(root, &path, paths);
        } else if kind.is_file() {
            paths.insert(path);
        }
    }
}

#[test]
fn the_repository_keeps_every_rule() {
    let files = repository();
    let faults: Vec<String> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn released_scripts_are_as_they_were_released() {
    let tags = git(&["tag", "--list", "v[0-9]*"]).unwrap_or_default();
    for tag in tags.lines() {
        let scripts = ["sql/install", ":(glob)sql/pg_presplit--*.sql"];
        let diff = git(&[&["diff", "--name-status", "--no-renames", tag, "--"], &scripts[..]].concat());
        let faults = released_scripts_stay(&diff.unwrap());
        assert!(faults.is_empty(), "{tag}:\n{}", faults.join("\n"));
    }
    assert_eq!(released_scripts_stay("M\tsql/install/pg_presplit--0.1.0.sql").len(), 1);
    assert_eq!(released_scripts_stay("D\tsql/pg_presplit--0.1.0--0.2.0.sql").len(), 1);
    assert!(released_scripts_stay("A\tsql/pg_presplit--0.1.0--0.2.0.sql\n").is_empty());
}

#[test]
fn literals_and_comments_are_not_code() {
    for (text, expected) in [
        ("a // b\nc", "a  \nc"),
        ("a /* b\n */ c", "a  \n c"),
        ("f(\"a\\\"b // c\", d)", "f( , d)"),
        ("f(r#\"a\" b\"#, br\"c\")", "f( ,  )"),
        ("f('\"', '\\'', 'a)", "f( ,  , 'a)"),
        ("fn f<'a>(x: &'a str) {} // 'b'", "fn f<'a>(x: &'a str) {}  "),
        ("var\"x\"", "var "),
    ] {
        assert_eq!(code_of(text), expected, "{text}");
    }
}

/// One file in the place of its namesake, or beside the others of a small
/// tree without faults.
fn planted(path: &str, text: &str) -> Vec<File> {
    let mut files = vec![
        ("src/lib.rs", "//! Lib.\nmod model;\nmod planning;\nmod pg;\nmod catalog;\n"),
        ("src/model/mod.rs", "//! Model.\nmod key;\n"),
        ("src/model/key.rs", "//! Keys. pgrx, `unsafe` and crate::pg are only words here.\n"),
        ("src/planning/mod.rs", "//! Planning.\nmod forecast;\nmod proposal;\n"),
        ("src/planning/forecast/mod.rs", "//! Forecast.\nuse crate::model::key;\n"),
        ("src/planning/proposal/mod.rs", "//! Proposal.\nuse crate::planning::forecast;\n"),
        ("src/pg/mod.rs", "//! Pg.\n// SAFETY: none is needed.\nlet x = unsafe { 1 };\n"),
        ("src/catalog/mod.rs", "//! Catalog.\nuse crate::planning::proposal;\nuse crate::pg;\n"),
        ("pg_regress/sql/a.sql", "SELECT 1;"),
        ("pg_regress/expected/a.out", "1"),
        ("pg_regress/schedule", "test: a"),
        ("docs/a.md", "A homework/thing is no machine's folder."),
    ];
    files.retain(|(other, _)| *other != path);
    files.push((path, text));
    files.iter().map(|(path, text)| File::new(path, text)).collect()
}

#[test]
fn every_rule_can_fail() {
    let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
    let path = |folder: &str| format!("See {folder}x.");
    let machine: Vec<String> = MACHINE.iter().map(|folder| path(folder)).collect();
    let code: Vec<String> = UNFINISHED_CODE.iter().map(|mark| format!("//! Key.\n{mark}\n")).collect();
    let text: Vec<String> = UNFINISHED.iter().map(|mark| format!("-- {mark}: later\n")).collect();
    let outside: Vec<String> = OUTSIDE.iter().map(|word| format!("//! Key.\nuse {word}\n")).collect();
    let mut cases = vec![
        ("src/model/key.rs", "//! Key.\nuse crate::planning::forecast;\n", "model must not mention planning"),
        ("src/planning/forecast/mod.rs", "//! F.\nuse crate::planning::proposal::x;\n", "must not mention"),
        ("src/planning/forecast/mod.rs", "//! F.\nuse super::proposal::x;\n", "must not mention"),
        (
            "src/planning/mod.rs",
            "//! P.\nmod forecast;\nmod proposal;\nuse crate::pg;\n",
            "must not mention pg",
        ),
        ("src/pg/mod.rs", "//! Pg.\nuse crate::planning::forecast;\n", "pg must not mention planning"),
        ("src/pg/mod.rs", "//! Pg.\npub fn f(x: &crate::catalog::Row) {}\n", "pg must not mention catalog"),
        ("src/pg/mod.rs", "//! Pg.\nuse super::catalog;\n", "pg must not mention catalog"),
        ("src/planning/other/mod.rs", "//! Other.\n", "no row"),
        ("src/attic/mod.rs", "//! Attic.\n", "no row"),
        ("src/catalog/mod.rs", "//! C.\nuse crate::{model, pg};\n", "groups"),
        ("src/catalog/mod.rs", "//! C.\nuse super::super::x;\n", "climbs"),
        ("src/catalog/mod.rs", "//! C.\n// SAFETY: wrong room.\nunsafe { f() };\n", "outside of pg"),
        ("src/catalog/mod.rs", "//! C.\n#[unsafe(no_mangle)]\n", "outside of pg"),
        ("src/pg/mod.rs", "//! Pg.\nlet x = unsafe { 1 };\n", "line 2: unsafe without"),
        (
            "src/pg/mod.rs",
            "//! Pg.\n// SAFETY: far.\na;\nb;\nc;\nd;\nunsafe { e };\n",
            "line 7: unsafe without",
        ),
        ("src/pg/mod.rs", "//! Pg.\nunsafe impl Send for X {}\n", "line 2: unsafe without"),
        ("src/model/key.rs", "use std::fmt;\n", "introduction"),
        ("src/model/key.rs", "/// Not of the file.\n", "introduction"),
        ("tests/laws.rs", "use proptest::prelude;\n", "introduction"),
        ("src/model/key.rs", &long, "longer"),
        ("src/model/lost.rs", "//! Lost.\n", "not compiled"),
        ("src/model/mod.rs", "//! Model.\n// mod key;\n", "not compiled"),
        ("pg_regress/sql/b.sql", "", "does not run it"),
        ("pg_regress/sql/b.sql", "", "no expected output"),
        ("pg_regress/schedule", "test: a b", "no test b"),
        ("pg_regress/schedule", "# test: a", "does not run it"),
    ];
    cases.extend(machine.iter().map(|text| ("docs/a.md", text.as_str(), "of one machine")));
    cases.extend(code.iter().map(|text| ("src/model/key.rs", text.as_str(), "has ")));
    cases.extend(text.iter().map(|text| ("sql/a.sql", text.as_str(), "has ")));
    cases.extend(outside.iter().map(|text| ("src/model/key.rs", text.as_str(), "pure floor")));
    for (path, text, expected) in cases {
        let files = planted(path, text);
        let faults: Vec<String> = RULES.iter().flat_map(|rule| rule(&files)).collect();
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{path}: {text:?}: {faults:?}");
    }
}

#[test]
fn what_is_allowed_is_not_a_fault() {
    for (path, text) in [
        ("docs/a.md", "Nothing."),
        ("src/model/key.rs", "//! Key.\nconst PGRX: &str = \"pgrx unsafe { crate::pg }\"; // std::fs\n"),
        ("src/pg/mod.rs", "//! Pg.\n#[pg_extern(parallel_unsafe)]\nuse crate::model::key;\n"),
        ("src/pg/mod.rs", "//! Pg.\n// SAFETY: of two\n// lines.\nlet x =\n    f(unsafe { 1 });\n"),
        ("src/planning/proposal/mod.rs", "//! P.\nuse super::forecast;\nmod t { use super::*; }\n"),
        ("src/lib.rs", "//! L.\nmod model;\nmod planning;\nmod pg;\nmod catalog;\nuse crate::pg;\n"),
        ("pg_regress/expected/a_1.out", "another version's"),
        ("sql/a.sql", "-- SQLSTATE XX000, mktemp /tmp/a.XXXXXX\n"),
        ("tests/laws.rs", "//! Laws.\n"),
    ] {
        let files = planted(path, text);
        let faults: Vec<String> = RULES.iter().flat_map(|rule| rule(&files)).collect();
        assert!(faults.is_empty(), "{path}: {faults:?}");
    }
}
