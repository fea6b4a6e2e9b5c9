//! Every error against PostgreSQL's error style guide.
//!
//! Each variant of each error type is built from an example and read as a
//! person at a psql prompt would. A new variant without an example does not
//! compile. Texts that come in as values (reasons, obstacles) stand here as
//! the code that makes them writes them.

use pg_presplit::model::key::KeyType;
use pg_presplit::model::key::Strategy;
use pg_presplit::model::layout::LayoutError;
use pg_presplit::model::name::NameError;
use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::profile::ProfileError;
use pg_presplit::model::report::Report;
use pg_presplit::model::retention::RetentionError;
use pg_presplit::model::settings::SETTINGS;
use pg_presplit::planning::forecast::ForecastError;
use pg_presplit::planning::proposal::AlternativeError;
use pg_presplit::planning::proposal::DocumentError;
use pg_presplit::planning::proposal::ProposalError;
use pg_presplit::planning::provision::rewrite::Refusal;
use pg_presplit::planning::reshard::ReshardError;
use pg_presplit::planning::routing::format::Refusal as CopyRefusal;
use pg_presplit::planning::workload::declared::DeclaredError;

/// Views of the schema that texts may name, besides settings.
const VIEWS: &[&str] =
    &["proposals", "shards", "restore_report", "settings", "statements", "operations", "decisions"];

/// Words that say too little, or too much.
const WORDS: &[&str] = &["unable", "bad", "illegal", "please"];

const CONTRACTED: &[&str] = &["n't", "'re ", "'ve ", "'ll ", "it's", "that's", "there's", "let's", "i'm"];

const MESSAGE_CHARACTERS_MAX: usize = 120;

/// Names of the examples: in a message they stand in quotes.
const NAMES: &[&str] = &["public", "orders", "customer_id", "placed_at"];

struct Example {
    /// `Type::Variant`.
    origin: String,
    report: Box<dyn Report>,
}

/// Examples of an enum, by variant. The match is exhaustive without a
/// wildcard, so that no variant can be forgotten.
macro_rules! examples {
    ($enum:ident { $($variant:ident => [$($example:expr),+ $(,)?]),+ $(,)? }) => {{
        fn variant(error: &$enum) -> &'static str {
            match error {
                $($enum::$variant { .. } => stringify!($variant)),+
            }
        }
        let mut found: Vec<Example> = Vec::new();
        $($({
            let error: $enum = $example;
            assert_eq!(variant(&error), stringify!($variant), "an example in the wrong place");
            let origin = format!("{}::{}", stringify!($enum), stringify!($variant));
            found.push(Example { origin, report: Box::new(error) });
        })+)+
        found
    }};
}

fn orders() -> QualifiedName {
    QualifiedName::new("public", "orders")
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn of_the_model() -> Vec<Example> {
    let mut all = examples!(NameError {
        Malformed => [NameError::Malformed(text("my orders")), NameError::Malformed(String::new())],
        TooManyParts => [NameError::TooManyParts(text("a.public.orders"))],
    });
    all.extend(examples!(ProfileError {
        NotAProfile => [ProfileError::NotAProfile],
        Version => [ProfileError::Version(99)],
        Damaged => [ProfileError::Damaged(text("missing field `columns`"))],
    }));
    all.extend(examples!(RetentionError {
        Unreadable => [RetentionError::Unreadable(text("keep"), text("\"keep\" is not a rule."))],
        Contradiction => [RetentionError::Contradiction(
            text("drop after 1 day; drop after 2 days"),
            text("\"drop after 1 day\" and \"drop after 2 days\" are both there."),
        )],
    }));
    all.extend(examples!(LayoutError {
        Empty => [LayoutError::Empty],
        TooMany => [LayoutError::TooMany(40_000)],
        DuplicateName => [LayoutError::DuplicateName(text("orders_s0001"))],
        WrongBound => [LayoutError::WrongBound(text("orders_s0001"))],
        NotAscending => [LayoutError::NotAscending { first: text("('250')"), second: text("('240')") }],
        Overlap => [LayoutError::Overlap {
            first: text("orders_s0001"),
            second: text("orders_s0002"),
            why: text("Both lists have value 7."),
        }],
        Remainders => [LayoutError::Remainders { modulus: 4, found: 3 }],
        NoKey => [LayoutError::NoKey],
        WrongKey => [LayoutError::WrongKey(Strategy::RangeHash), LayoutError::WrongKey(Strategy::ListHash)],
        WrongLevels => [
            LayoutError::WrongLevels(Strategy::RangeHash),
            LayoutError::WrongLevels(Strategy::ListHash),
            LayoutError::WrongLevels(Strategy::Hash),
        ],
        Scattered => [LayoutError::Scattered(text("orders_b0001"))],
    }));
    all
}

fn of_planning() -> Vec<Example> {
    let mut all = examples!(ForecastError {
        EmptySeries => [ForecastError::EmptySeries],
        UnequalLengths => [ForecastError::UnequalLengths { times: 3, values: 2 }],
        NotFinite => [
            ForecastError::NotFinite { position: 2, value: f64::NAN },
            ForecastError::NotFinite { position: 2, value: f64::NEG_INFINITY },
        ],
        Horizon => [ForecastError::Horizon(-86_400_000_000), ForecastError::Horizon(i64::MAX)],
        ExpectedRate => [ForecastError::ExpectedRate(1e300)],
        ExpectedVolume => [ForecastError::ExpectedVolume(-1.0)],
        TableSize => [ForecastError::TableSize { table: orders().to_string() }],
    });
    all.extend(examples!(DocumentError {
        NotAProposal => [DocumentError::NotAProposal],
        Version => [DocumentError::Version],
        Damaged => [DocumentError::Damaged(text("Table public.orders is there twice."))],
    }));
    all.extend(examples!(AlternativeError {
        UndefinedTable => [AlternativeError::UndefinedTable(orders())],
        UndefinedRank => [AlternativeError::UndefinedRank { relation: orders(), rank: 9, ranks: 3 }],
        Illegal => [AlternativeError::Illegal {
            relation: orders(),
            rank: 2,
            reason: text("Primary key \"orders_pkey\" does not include customer_id."),
        }],
    }));
    all.extend(examples!(Refusal {
        NotATable => [
            Refusal::NotATable(orders(), "a materialized view"),
            Refusal::NotATable(orders(), "a partitioned table"),
        ],
        MissingKeyColumn => [Refusal::MissingKeyColumn(orders(), text("customer_id"))],
        GeneratedKey => [Refusal::GeneratedKey(orders(), text("day"))],
        KeyType => [Refusal::KeyType {
            relation: orders(),
            column: text("day"),
            found: KeyType::Text.words(),
            planned: KeyType::Date.words(),
        }],
        Uniqueness => [Refusal::Uniqueness {
            what: text("primary key \"orders_pkey\""),
            relation: orders(),
            column: text("customer_id"),
        }],
        Exclusion => [Refusal::Exclusion {
            what: text("exclusion constraint \"orders_excl\""),
            relation: orders(),
        }],
        UsingIndex => [Refusal::UsingIndex(orders())],
        TransitionTable => [Refusal::TransitionTable(orders(), text("orders_audit"))],
        Inheritance => [Refusal::Inheritance(orders())],
        Child => [Refusal::Child(orders(), QualifiedName::new("app", "lines"))],
        Concurrently => [Refusal::Concurrently(orders())],
        Moved => [Refusal::Moved(orders())],
        Forgotten => [Refusal::Forgotten(orders())],
    }));
    all
}

fn of_routing() -> Vec<Example> {
    // Its faults are PostgreSQL's own words.
    examples!(CopyRefusal {
        Encoding => [CopyRefusal::Encoding(text("SJIS"))],
        LineEnd => [CopyRefusal::LineEnd("quote")],
        QuoteIsBackslash => [CopyRefusal::QuoteIsBackslash],
        Field => [CopyRefusal::Field(3, 3)],
    })
}

fn of_workloads() -> Vec<Example> {
    examples!(DeclaredError {
        NotAList => [DeclaredError::NotAList],
        TooMany => [DeclaredError::TooMany(12_000)],
        Invalid => [DeclaredError::Invalid(2, text("\"sql\" is missing."))],
        Syntax => [
            DeclaredError::Syntax { position: 2, message: text("syntax error at or near \"FORM\""), at: Some(10) },
            DeclaredError::Syntax { position: 2, message: text("syntax error at end of input"), at: None },
        ],
        NotAQuery => [DeclaredError::NotAQuery(2, text("VACUUM reads and writes no rows by a query."))],
    })
}

fn of_proposals() -> Vec<Example> {
    let strategies = [Strategy::Hash, Strategy::List, Strategy::Range];
    let mut all = examples!(ProposalError {
        UndefinedTable => [
            ProposalError::UndefinedTable { relation: orders(), similar: None },
            ProposalError::UndefinedTable {
                relation: orders(),
                similar: Some(QualifiedName::new("app", "orders")),
            },
        ],
        UndefinedColumn => [
            ProposalError::UndefinedColumn {
                relation: orders(),
                column: text("custmer_id"),
                columns: vec![text("customer_id"), text("placed_at")],
            },
            ProposalError::UndefinedColumn { relation: orders(), column: text("id"), columns: Vec::new() },
        ],
        NotShardable => [ProposalError::NotShardable {
            relation: orders(),
            reason: text("The table is a foreign table."),
        }],
        Key => [ProposalError::Key {
            relation: orders(),
            strategy: Strategy::List,
            reason: text("PostgreSQL takes one column for list."),
        }],
        Illegal => [ProposalError::Illegal {
            relation: orders(),
            obstacles: vec![text("Primary key \"orders_pkey\" does not include customer_id.")],
        }],
        Bounds => [
            ProposalError::Bounds {
                strategy: Strategy::Range,
                reason: text("\"split_points\" is not an array."),
            },
            ProposalError::Bounds {
                strategy: Strategy::RangeHash,
                reason: text("\"modulus\" is not a whole number of at least 2."),
            },
            ProposalError::Bounds {
                strategy: Strategy::ListHash,
                reason: text("\"of\": 3 names no list; they count from 0 and are 2."),
            },
        ],
        Interval => [ProposalError::Interval(text("1 moon"))],
        Value => [ProposalError::Value {
            value: text("then"),
            column: text("placed_at"),
            type_text: text("timestamp with time zone"),
            said: Some(text("invalid input syntax for type timestamp with time zone: \"then\"")),
        }],
        Shared => [
            ProposalError::Shared { lists: (1, 2), values: (Some(text("1")), Some(text("1.00"))) },
            ProposalError::Shared { lists: (1, 3), values: (None, None) },
        ],
        TooMany => [ProposalError::TooMany { count: 12_000, limit: 1024 }],
        Interrupted => [ProposalError::Interrupted],
        Layout => [ProposalError::Layout(LayoutError::Empty)],
    });
    for strategy in strategies {
        let error = ProposalError::Bounds { strategy, reason: text("They are not a JSON object.") };
        all.push(Example { origin: text("ProposalError::Bounds"), report: Box::new(error) });
    }
    all
}

fn shard(number: usize) -> QualifiedName {
    QualifiedName::new("public", format!("orders_s000{number}"))
}

#[expect(clippy::too_many_lines, reason = "an example of each variant")]
fn of_split_points() -> Vec<Example> {
    let columns = || vec![text("customer_id"), text("placed_at")];
    let no_end = "It does not end with a right parenthesis.";
    examples!(ReshardError {
        NotARow => [ReshardError::NotARow { point: text("(1,"), why: no_end, columns: columns() }],
        Fields => [ReshardError::Fields { point: text("(1)"), found: 1, columns: columns() }],
        NullInPoint => [ReshardError::NullInPoint { point: text("(1,)") }],
        AfterOpenEnd => [ReshardError::AfterOpenEnd { point: text("(MINVALUE,1)") }],
        NotAList => [ReshardError::NotAList {
            number: 1,
            text: text("a,b"),
            why: "It does not begin with a left brace.",
        }],
        EmptyList => [ReshardError::EmptyList { number: 1 }],
        Value => [ReshardError::Value {
            value: text("then"),
            column: text("placed_at"),
            type_text: text("date"),
            said: text("invalid input syntax for type date: \"then\""),
        }],
        Outside => [ReshardError::Outside {
            point: text("100"),
            shard: shard(3),
            lower: text("200"),
            upper: text("300"),
        }],
        OnBound => [
            ReshardError::OnBound { point: text("200"), shard: shard(3), lower: true },
            ReshardError::OnBound { point: text("300"), shard: shard(3), lower: false },
        ],
        NotAscending => [ReshardError::NotAscending { first: text("250"), second: text("240") }],
        Twice => [ReshardError::Twice { point: text("250") }],
        OnePoint => [ReshardError::OnePoint { shard: shard(3) }],
        NoPoints => [
            ReshardError::NoPoints { shard: shard(3), lists: true },
            ReshardError::NoPoints { shard: shard(3), lists: false },
        ],
        Overlap => [ReshardError::Overlap {
            lower: text("100"),
            upper: text("200"),
            shard: shard(3),
            bound: text("FOR VALUES FROM ('150') TO ('300')"),
        }],
        NotAccepted => [ReshardError::NotAccepted { value: text("NULL"), shard: shard(3) }],
        Taken => [ReshardError::Taken { value: text("a"), shard: shard(3), other: shard(4) }],
        InTwo => [ReshardError::InTwo { value: text("a"), first: 1, second: 2 }],
        Whole => [ReshardError::Whole { shard: shard(3) }],
        FewValues => [
            ReshardError::FewValues { shard: shard(3), parts: 2, values: 1 },
            ReshardError::FewValues { shard: shard(3), parts: 4, values: 3 },
        ],
        NothingAt => [ReshardError::NothingAt],
        PointsOfHash => [ReshardError::PointsOfHash { shard: shard(3) }],
        PowerOfTwo => [ReshardError::PowerOfTwo { shard: shard(3), parts: 3 }],
        Parts => [ReshardError::Parts { shard: shard(3), parts: -1 }],
        Contradiction => [ReshardError::Contradiction { parts: 4, shards: 3 }],
        Moduli => [ReshardError::Moduli { modulus: 8, other: shard(4), other_modulus: 12 }],
        Modulus => [ReshardError::Modulus { modulus: 4_294_967_296 }],
        TooMany => [ReshardError::TooMany { count: 1025, limit: 1024 }],
        Hot => [ReshardError::Hot {
            shard: shard(3),
            column: text("customer_id"),
            value: text("42"),
            percent: 63,
        }],
        NoSize => [ReshardError::NoSize { shard: shard(3), why: text("The shard has no rows.") }],
        OneShard => [ReshardError::OneShard],
        NamedTwice => [ReshardError::NamedTwice { shard: shard(3) }],
        NotAdjacent => [ReshardError::NotAdjacent {
            first: shard(3),
            second: shard(5),
            upper: text("300"),
            lower: text("400"),
        }],
        UnequalModuli => [ReshardError::UnequalModuli { first: shard(3), second: shard(5), moduli: (4, 8) }],
        NotSiblings => [
            ReshardError::NotSiblings { modulus: 8, remainders: vec![1, 3], siblings: vec![1, 5] },
            ReshardError::NotSiblings { modulus: 8, remainders: vec![1, 3, 5], siblings: vec![] },
        ],
        SameTablespace => [ReshardError::SameTablespace { shard: shard(3), tablespace: text("pg_default") }],
    })
}

fn all() -> Vec<Example> {
    [of_the_model(), of_planning(), of_routing(), of_workloads(), of_proposals(), of_split_points()]
        .into_iter()
        .flatten()
        .collect()
}

/// The text without what stands in double quotes.
fn outside_quotes(text: &str) -> String {
    text.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

fn faults_of_message(message: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: &str| {
        if wrong {
            faults.push(format!("message {what}: {message}"));
        }
    };
    fault(!message.starts_with(|c: char| c.is_lowercase() || c == '"'), "does not begin in lower case");
    fault(message.ends_with(['.', '!', ';', ':']), "ends with a stop");
    fault(message.contains('\n'), "has several lines");
    fault(message.chars().count() > MESSAGE_CHARACTERS_MAX, "is too long");
    fault(!message.matches('"').count().is_multiple_of(2), "has an open quote");
    let bare = outside_quotes(message);
    fault(NAMES.iter().any(|name| bare.contains(name)), "has a name without quotes");
    faults
}

fn faults_of_sentence(sentence: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: &str| {
        if wrong {
            faults.push(format!("sentence {what}: {sentence}"));
        }
    };
    let code = sentence.find('(').is_some_and(|at| {
        at > 0 && sentence[..at].chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    });
    let first = sentence.chars().next().unwrap_or(' ');
    fault(
        !(first.is_uppercase() || first.is_ascii_digit() || first == '"' || code),
        "does not begin with a capital",
    );
    fault(!sentence.ends_with(['.', ';']), "does not end with a full stop");
    fault(sentence.ends_with("..") || sentence.contains("  "), "has stray stops or spaces");
    fault(sentence.contains('\n'), "has several lines");
    fault(sentence.contains(" ."), "has a gap before its stop");
    faults
}

/// What holds for messages, details and hints alike.
fn faults_of_words(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let bare = outside_quotes(text).to_lowercase().replace('’', "'");
    let words: Vec<&str> = bare.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for word in WORDS.iter().filter(|word| words.contains(word)) {
        faults.push(format!("says {word}: {text}"));
    }
    for contracted in CONTRACTED.iter().filter(|contracted| bare.contains(*contracted)) {
        faults.push(format!("contracts with {contracted}: {text}"));
    }
    for name in after(text, "presplit.") {
        if !SETTINGS.iter().any(|setting| setting.name == name) && !VIEWS.contains(&name) {
            faults.push(format!("names presplit.{name}, which does not exist: {text}"));
        }
    }
    faults
}

/// The names that follow `prefix`.
fn after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(is_word))
        .map(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// The functions that a text calls, as `propose_shards` in `propose_shards()`.
fn called(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('(')
        .map(|(at, _)| text[..at].rsplit(|c| !is_word(c)).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

fn fault_of_sqlstate(code: &str) -> Option<String> {
    let well_formed =
        code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (!well_formed || code == "XX000").then(|| format!("sqlstate {code} does not say what is wrong"))
}

#[test]
fn every_error_follows_the_style_guide() {
    let mut faults = Vec::new();
    for Example { origin, report } in all() {
        let (message, more) = (report.to_string(), [report.detail(), report.hint()]);
        let mut found = faults_of_message(&message);
        found.extend(fault_of_sqlstate(report.sqlstate().code()));
        found.extend(faults_of_words(&message));
        for sentence in more.iter().flatten() {
            found.extend(faults_of_sentence(sentence));
            found.extend(faults_of_words(sentence));
        }
        faults.extend(found.into_iter().map(|fault| format!("{origin}: {fault}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn functions_and_files_that_hints_name_exist() {
    let folder = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut api = String::new();
    let entries = std::fs::read_dir(folder("src/api")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.is_file()) {
        api.push_str(&std::fs::read_to_string(path).unwrap());
    }
    for Example { origin, report } in all() {
        for text in [report.detail(), report.hint()].into_iter().flatten() {
            for function in called(&text) {
                assert!(api.contains(&format!("fn {function}(")), "{origin}: no function {function}: {text}");
            }
            let scripts = text.split(' ').map(|word| word.trim_end_matches(['.', ','])).filter(|word| {
                std::path::Path::new(word).extension().is_some_and(|extension| extension == "sql")
            });
            for script in scripts {
                assert!(folder("sql").join(script).exists(), "{origin}: no script {script}: {text}");
            }
        }
    }
}

#[test]
fn every_rule_can_fail() {
    let long = "x".repeat(121);
    for message in [
        "Cannot do it",
        "cannot do it.",
        "cannot\ndo it",
        "table \"orders does not exist",
        "cannot shard table orders",
        "",
        &long,
    ] {
        assert!(!faults_of_message(message).is_empty(), "{message}");
    }
    for sentence in ["set it.", "Set it", "Set it..", "Set  it.", "Set\nit.", "The columns are .", "", "(a)."]
    {
        assert!(!faults_of_sentence(sentence).is_empty(), "{sentence}");
    }
    for text in [
        "shard doesn't exist",
        "It’s not there.",
        "unable to read",
        "Please try again.",
        "bad interval",
        "illegal key",
        "Set presplit.uniqueness.",
        "View \"presplit.shard\" lists them.",
    ] {
        assert!(!faults_of_words(text).is_empty(), "{text}");
    }
    assert!(fault_of_sqlstate("XX000").is_some());
    assert!(fault_of_sqlstate("2202").is_some());
    assert!(fault_of_sqlstate("22p02").is_some());
}

#[test]
fn what_is_right_is_not_a_fault() {
    for message in ["table \"public.orders\" does not exist", "\"modulus\" is missing"] {
        assert!(faults_of_message(message).is_empty(), "{message}");
    }
    for sentence in ["Use hash.", "\"a\" is not one.", "3 of 4 are there.", "explain_proposal() lists them."]
    {
        assert!(faults_of_sentence(sentence).is_empty(), "{sentence}");
    }
    for text in ["Update pg_presplit.", "Set presplit.unique_policy.", "Write \"don't\".", "It has badges."] {
        assert!(faults_of_words(text).is_empty(), "{text}");
    }
    assert_eq!(fault_of_sqlstate("42P17"), None);
    assert_eq!(called("Call a_b(1), or f()."), ["a_b", "f"]);
}
