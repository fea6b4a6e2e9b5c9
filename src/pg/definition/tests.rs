//! Server tests of reading definitions.

#[pgrx::pg_schema]
mod tests {
    use pgrx::Spi;
    use pgrx::pg_test;

    use crate::model::dump::Change;
    use crate::model::dump::DefinedKind;
    use crate::model::dump::DefinedTable;
    use crate::model::dump::Definition;
    use crate::model::name::QualifiedName;
    use crate::model::profile::ConstraintKind;
    use crate::pg::definition::read;
    use crate::pg::encoding::Encoding;

    fn one(sql: &str) -> Definition {
        let mut found = read(sql).unwrap_or_default();
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        found.remove(0)
    }

    fn table(sql: &str) -> DefinedTable {
        match one(sql) {
            Definition::Table(table) => table,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[pg_test]
    fn types_are_named_as_format_type_names_them() {
        for (written, text, name, array) in [
            ("integer", "integer", "int4", false),
            ("pg_catalog.int4", "integer", "int4", false),
            ("numeric(10,2)", "numeric(10,2)", "numeric", false),
            ("character varying(20)[]", "character varying(20)[]", "varchar", true),
            ("character(3)", "character(3)", "bpchar", false),
            ("timestamp(3) with time zone", "timestamp(3) with time zone", "timestamptz", false),
            ("interval day to second(3)", "interval day to second(3)", "interval", false),
            ("bit varying(5)", "bit varying(5)", "varbit", false),
            ("\"char\"", "\"char\"", "char", false),
            ("json[][]", "json[]", "json", true),
            ("public.geometry(Point,4326)", "public.geometry(point,4326)", "geometry", false),
            ("\"S\".\"t y\"[]", "\"S\".\"t y\"[]", "t y", true),
            (
                "information_schema.cardinal_number",
                "information_schema.cardinal_number",
                "cardinal_number",
                false,
            ),
        ] {
            let table = table(&format!("CREATE TABLE s.t (c {written})"));
            let kind = &table.columns[0].kind;
            assert_eq!(
                (kind.name.text.as_str(), kind.name.name.as_str(), kind.name.array),
                (text, name, array)
            );
            let known = ["pg_catalog", "information_schema"].contains(&kind.name.schema.as_str());
            assert_eq!(kind.facts.is_some(), known, "{written}");
        }
    }

    #[pg_test]
    fn a_type_of_this_database_does_not_answer_for_the_dump() {
        Spi::run("CREATE DOMAIN public.integer_like AS text; CREATE DOMAIN pg_temp.here AS text")
            .unwrap_or_else(|error| panic!("{error}"));
        for written in ["public.integer_like", "here"] {
            let table = table(&format!("CREATE TABLE s.t (c {written})"));
            assert!(table.columns[0].kind.facts.is_none(), "{written}");
        }
    }

    #[pg_test]
    fn everything_of_a_table_is_read() {
        let table = table(
            "CREATE UNLOGGED TABLE s.\"T\" (a integer NOT NULL, b text DEFAULT f('x') CONSTRAINT b_set NOT NULL, \
             c integer GENERATED ALWAYS AS (g(a)) STORED, CONSTRAINT k CHECK (h(a, \"T\".b) AND a > 0) NO INHERIT, \
             EXCLUDE USING gist (a WITH =, h(b) WITH &&) WHERE (a > 0)) \
             PARTITION BY LIST (a, lower(b)) WITH (fillfactor='70')",
        );
        assert_eq!(table.relation, QualifiedName::new("s", "T"));
        assert!(table.unlogged && table.columns[0].not_null && table.columns[1].not_null);
        assert!(table.columns[2].generated && !table.columns[2].not_null);
        let key = table.partition_key.unwrap_or_else(|| panic!("no key"));
        assert_eq!((key.text.as_str(), key.columns.len()), ("LIST (a, lower(b))", 1));
        assert_eq!(table.fillfactor, Some(70.0));
        assert_eq!(table.constraints[0].constraint.columns, ["a", "b"]);
        assert!(!table.constraints[0].inheritable);
        assert_eq!(table.constraints[1].constraint.kind, ConstraintKind::Exclusion);
        let index = table.constraints[1].index.clone().unwrap_or_else(|| panic!("no index"));
        assert_eq!((index.columns, index.partial), (vec![Some("a".to_owned()), None], true));
        assert!(read("CREATE TEMPORARY TABLE t (a int)").is_ok_and(|found| found.is_empty()));
    }

    #[pg_test]
    fn changes_types_and_statistics_are_read() {
        let Definition::AlterTable { relation, changes } = one(
            "ALTER TABLE ONLY public.t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES s.u(b) DEFERRABLE NOT VALID, \
             ALTER COLUMN a ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.q START WITH 1), \
             ENABLE ROW LEVEL SECURITY, OWNER TO nobody",
        ) else {
            panic!("no change")
        };
        assert_eq!((relation.name.as_str(), changes.len()), ("t", 3));
        let Change::Constraint(key) = &changes[0] else { panic!("{changes:?}") };
        assert!(key.constraint.deferrable && !key.constraint.validated && key.index.is_none());
        let attach = one("ALTER TABLE ONLY public.t ATTACH PARTITION s.p FOR VALUES IN (f(1))");
        assert!(matches!(attach, Definition::AlterTable { changes, .. }
            if changes == [Change::AttachPartition(QualifiedName::new("s", "p"))]));
        let domain = one("CREATE DOMAIN s.d AS numeric(5,1) DEFAULT f() NOT NULL CHECK (g(VALUE))");
        assert!(matches!(domain, Definition::Type { kind: DefinedKind::Domain { not_null: true, .. }, .. }));
        let view = one("CREATE VIEW s.v (\" AS \") WITH (security_barrier='true') AS\n SELECT f(1) AS x;");
        assert!(matches!(view, Definition::View(view) if view.definition == " SELECT f(1) AS x;"), "view");
        let statistics = one(
            "SELECT * FROM pg_catalog.pg_restore_attribute_stats('version', '180000'::integer, 'relname', 't', \
             'inherited', 'f'::boolean, 'null_frac', '0.5'::real, 'attnum', 3)",
        );
        let Definition::Statistics { of_column: true, arguments } = statistics else {
            panic!("{statistics:?}")
        };
        assert_eq!(arguments.len(), 5);
        assert_eq!(arguments[4], ("attnum".to_owned(), "3".to_owned()));
    }

    #[pg_test]
    fn what_the_parser_refuses_is_an_error_and_leaves_the_session_whole() {
        for sql in ["CREATE TABLE t (", "CREATE TABLE t (a numeric(0))", "CREATE TABLE t (a varchar(f()))"] {
            assert!(read(sql).is_err(), "{sql}");
        }
        let deep = format!("CREATE TABLE t (a int CHECK ({}a{}))", "(".repeat(100_000), ")".repeat(100_000));
        assert!(read(&deep).is_err());
        assert_eq!(Spi::get_one::<i32>("SELECT 1"), Ok(Some(1)));
    }

    #[pg_test]
    fn other_encodings_are_decoded() {
        let number = Spi::get_one::<i32>("SELECT pg_char_to_encoding('LATIN1')").ok().flatten();
        let latin = Encoding::new(number.unwrap_or(-1)).unwrap_or(Encoding::UTF8);
        assert_eq!(latin.decode(b"Stra\xdfe").as_deref(), Some("Stra\u{df}e"));
        assert_eq!(Encoding::UTF8.decode(b"\xff"), None);
        assert!(!latin.hides_ascii());
    }
}
