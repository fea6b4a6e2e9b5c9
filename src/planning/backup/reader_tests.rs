//! Dumps that are taken apart, in one piece and in many.

use super::reader::Follows;
use super::reader::Reader;
use super::reader::Sink;
use super::row::Row;
use proptest::prelude::*;

#[derive(Debug, Default, PartialEq)]
struct Heard {
    statements: Vec<String>,
    heads: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    counted: usize,
    comments: Vec<String>,
    commands: Vec<String>,
    ends: usize,
    every: usize,
}

impl Sink for Heard {
    type Error = std::convert::Infallible;
    fn statement(&mut self, text: &[u8]) -> Result<Follows, Self::Error> {
        let text = String::from_utf8_lossy(text).into_owned();
        let copy = text.starts_with("COPY ");
        self.statements.push(text);
        Ok(if copy { Follows::Rows } else { Follows::Statements })
    }
    fn too_long(&mut self, beginning: &[u8]) {
        self.statements.push(format!("{}...", String::from_utf8_lossy(&beginning[..20])));
    }
    fn insert(&mut self, head: &[u8]) -> Result<(), Self::Error> {
        self.heads.push(String::from_utf8_lossy(head).trim().to_owned());
        Ok(())
    }
    fn wants_row(&mut self) -> bool {
        self.counted += 1;
        self.every < 2 || self.counted % self.every == 1
    }
    fn row(&mut self, row: &Row) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.rows.push(row.fields().iter().map(|f| (!f.null).then(|| text(&f.bytes))).collect());
    }
    fn end_of_rows(&mut self) -> Result<(), Self::Error> {
        self.ends += 1;
        Ok(())
    }
    fn comment(&mut self, text: &[u8]) -> Result<(), Self::Error> {
        self.comments.push(String::from_utf8_lossy(text).into_owned());
        Ok(())
    }
    fn command(&mut self, text: &[u8]) -> Result<(), Self::Error> {
        self.commands.push(String::from_utf8_lossy(text).into_owned());
        Ok(())
    }
}

fn heard(text: &str, piece: usize, every: usize) -> (Heard, bool) {
    let mut reader = Reader::default();
    let mut heard = Heard { every, ..Heard::default() };
    for piece in text.as_bytes().chunks(piece.max(1)) {
        reader.feed(piece, &mut heard).unwrap();
    }
    (heard, reader.is_between_statements())
}

const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$ CREATE TABLE public.evil (a int); $x$ ; $_$;
CREATE OR REPLACE FUNCTION public.g() RETURNS int BEGIN ATOMIC
 SELECT CASE WHEN true THEN 1 END;
 END;
CREATE TABLE public."a;b" (
    id integer NOT NULL, /* a /* nested */ ; */
    t text DEFAULT 'it''s; -- no comment'::text, -- one
    e text DEFAULT E'\';'
);
CREATE RULE r AS ON INSERT TO public.v DO INSTEAD ( SELECT 1; SELECT 2);
COPY public."a;b" (id, t) FROM stdin;
1	a;b
2	\N
\\.	x
\.

INSERT INTO public.t (id, b) OVERRIDING SYSTEM VALUE VALUES
	(1, 'x''; y', true, NULL),
	(-2.5, E'\\''', false, 'NaN') ON CONFLICT DO NOTHING;
INSERT INTO public.t VALUES (3, B'0101', DEFAULT, '(1,2)');
INSERT INTO public.none DEFAULT VALUES;
CREATE INDEX i ON public.t USING btree (id);
SELECT pg_catalog.lowrite(0, '\x00');
SELECT * FROM pg_catalog.pg_restore_relation_stats('a', 'b');
--
-- PostgreSQL database dump complete
--

\unrestrict abc
"#;

#[test]
fn a_dump_is_taken_apart() {
    let (heard, whole) = heard(DUMP, usize::MAX >> 1, 1);
    assert!(whole);
    let beginnings: Vec<&str> = heard.statements.iter().map(|s| &s[..s.len().min(22)]).collect();
    assert_eq!(
        beginnings,
        [
            "SET client_encoding = ",
            "CREATE FUNCTION public",
            "CREATE OR REPLACE FUNC",
            "CREATE TABLE public.\"a",
            "COPY public.\"a;b\" (id,",
            "CREATE INDEX i ON publ",
            "SELECT * FROM pg_catal",
        ]
    );
    assert!(!heard.statements[3].contains("nested") && heard.statements[3].ends_with(')'));
    assert_eq!(heard.commands, ["restrict abc", "unrestrict abc"]);
    assert!(heard.comments.contains(&"PostgreSQL database dump complete".to_owned()));
    assert_eq!(
        heard.heads,
        [
            "INSERT INTO public.t (id, b) OVERRIDING SYSTEM VALUE",
            "INSERT INTO public.t",
            "INSERT INTO public.none DEFAULT"
        ]
    );
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        heard.rows,
        [
            vec![some("1"), some("a;b")],
            vec![some("2"), None],
            vec![some("\\."), some("x")],
            vec![some("1"), some("x'; y"), some("t"), None],
            vec![some("-2.5"), some("\\'"), some("f"), some("NaN")],
            vec![some("3"), some("0101"), None, some("(1,2)")],
            vec![],
        ]
    );
    assert_eq!((heard.counted, heard.ends), (7, 1));
}

#[test]
fn of_a_function_the_texts_are_passed_over() {
    let text = r#"CREATE FUNCTION s."a'b"(t text DEFAULT 'it''s; ü', e text DEFAULT E'\';\\') RETURNS text
    LANGUAGE sql SET x TO 'y' AS $a$ body; $ $b$ $a $aa$ $a$;
CREATE AGGREGATE s.a(int) (SFUNC = f, STYPE = int, INITCOND = '1');
CREATE PROCEDURE s.p() LANGUAGE sql AS $$ body $$;
CREATE OPERATOR s.=== (FUNCTION = s.f, RIGHTARG = int);
CREATE OPERATOR FAMILY s.f USING btree;
CREATE COLLATION s.c (provider = libc, locale = 'C');
ALTER VIEW s.v SET (security_barrier);
"#;
    let (whole, _) = heard(text, usize::MAX >> 1, 1);
    assert_eq!(
        whole.statements[0],
        "CREATE FUNCTION s.\"a'b\"(t text DEFAULT '''', e text DEFAULT E'') RETURNS text\n    \
         LANGUAGE sql SET x TO '' AS $a$$a$"
    );
    assert!(whole.statements[1].ends_with("INITCOND = '1')"));
    assert_eq!(whole.statements.len(), 6);
    for piece in 1..9 {
        assert_eq!(heard(text, piece, 1).0.statements, whole.statements, "{piece}");
    }
}

#[test]
fn the_body_of_a_function_takes_no_memory() {
    let mut reader = Reader::default();
    let mut heard = Heard::default();
    reader.feed(b"CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS $$", &mut heard).unwrap();
    for _ in 0..100 {
        reader.feed(&[b'x'; 1 << 20], &mut heard).unwrap();
    }
    assert!(reader.kept_bytes() < 1000);
    reader.feed(b"$$;", &mut heard).unwrap();
    assert!(heard.statements[0].ends_with("AS $$$$"));
}

#[test]
fn old_strings_escape_with_backslashes() {
    let text = "SET standard_conforming_strings = off;\nCREATE TABLE t (a text DEFAULT '\\';');\n\
                INSERT INTO t VALUES ('\\';');\nCREATE VIEW v AS SELECT 1;\n";
    let (heard, whole) = heard(text, 3, 1);
    assert!(whole);
    assert_eq!(heard.statements.len(), 2);
    assert_eq!(heard.rows, [[Some("';".to_owned())]]);
}

#[test]
fn an_end_in_the_middle_is_noticed() {
    for text in ["COPY t FROM stdin;\n1\t2\n", "CREATE TABLE t (a text DEFAULT '", "INSERT INTO t VALUES (1"]
    {
        assert!(!heard(text, 1000, 1).1, "{text}");
    }
}

#[test]
fn a_gigabyte_is_passed_over_and_not_kept() {
    let mut reader = Reader::default();
    let mut heard = Heard::default();
    reader.feed(b"CREATE VIEW v AS SELECT '", &mut heard).unwrap();
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..65 {
        reader.feed(&megabyte, &mut heard).unwrap();
    }
    assert!(reader.kept_bytes() < 1 << 20);
    reader.feed(b"';\nCREATE VIEW w AS SELECT 1;", &mut heard).unwrap();
    assert_eq!(heard.statements, ["CREATE VIEW v AS SEL...", "CREATE VIEW w AS SELECT 1"]);
}

proptest! {
    #[test]
    fn the_pieces_do_not_matter(piece in 1usize..300, every in 1usize..5) {
        prop_assert_eq!(heard(DUMP, piece, every), heard(DUMP, usize::MAX >> 1, every));
    }

    #[test]
    fn any_bytes_are_read(text in "[ -~\n\t\\\\$'\"]{0,200}", piece in 1usize..50) {
        prop_assert_eq!(heard(&text, piece, 2), heard(&text, usize::MAX >> 1, 2));
    }
}
