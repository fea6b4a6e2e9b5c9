//! Server tests of reading definitions.

#[pgrx::pg_schema]
mod tests {
    use pgrx::Spi;
    use pgrx::pg_test;

    use crate::model::dump::Change;
    use crate::model::dump::DefinedFunction;
    use crate::model::dump::DefinedKind;
    use crate::model::dump::DefinedTable;
    use crate::model::dump::Definition;
    use crate::model::name::QualifiedName;
    use crate::model::profile::ConstraintKind;
    use crate::model::profile::ObjectName;
    use crate::model::signature::FunctionKind;
    use crate::model::signature::Volatility;
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
    fn collations_ranges_and_options_of_views_are_read() {
        let at =
            |schema: &str, name: &str| Some(ObjectName { schema: schema.to_owned(), name: name.to_owned() });
        let table =
            table("CREATE TABLE s.t (a text COLLATE \"C\" NOT NULL, b text COLLATE s.\"x y\", c text)");
        let found: Vec<_> = table.columns.iter().map(|column| column.collation.clone()).collect();
        assert_eq!(found, [at("pg_catalog", "C"), at("s", "x y"), None]);
        let kind = |sql: &str| match one(sql) {
            Definition::Type { kind, .. } => kind,
            other => panic!("{sql}: {other:?}"),
        };
        let DefinedKind::Domain { collation, .. } =
            kind("CREATE DOMAIN s.d AS text COLLATE pg_catalog.\"C\"")
        else {
            panic!("no domain")
        };
        assert_eq!(collation, at("pg_catalog", "C"));
        let DefinedKind::Composite(columns) = kind("CREATE TYPE s.c AS (a text COLLATE s.own, b integer)")
        else {
            panic!("no composite")
        };
        assert_eq!((columns[0].collation.clone(), columns.len()), (at("s", "own"), 2));
        for (named, wanted) in
            [(", multirange_type_name = s.many", Some(QualifiedName::new("s", "many"))), ("", None)]
        {
            let range =
                kind(&format!("CREATE TYPE s.r AS RANGE (subtype = numeric(5,2){named}, subtype_diff = f)"));
            let DefinedKind::Range { subtype, multirange } = range else { panic!("no range") };
            assert_eq!((subtype.name.text.as_str(), multirange), ("numeric", wanted));
        }
        let made = one("CREATE COLLATION s.own (provider = icu, locale = 'de', deterministic = false)");
        assert_eq!(made, Definition::Collation(QualifiedName::new("s", "own")));
        for (options, wanted) in [
            ("", false),
            ("WITH (security_barrier)", true),
            ("WITH (check_option='local', security_barrier='yes')", true),
            ("WITH (security_barrier=1)", true),
            ("WITH (security_barrier='off')", false),
            ("WITH (security_barrier='nonsense', security_invoker=true)", false),
        ] {
            let view = one(&format!("CREATE VIEW s.v {options} AS SELECT 1"));
            assert!(matches!(view, Definition::View(view) if view.security_barrier == wanted), "{options}");
        }
        for (sql, wanted) in [
            ("ALTER VIEW s.v SET (security_barrier = on)", true),
            ("ALTER TABLE s.v SET (security_barrier = false)", false),
            ("ALTER VIEW s.v RESET (security_barrier)", false),
        ] {
            let altered = one(sql);
            assert!(
                matches!(altered, Definition::AlterTable { changes, .. }
                if changes == [Change::SecurityBarrier(wanted)]),
                "{sql}"
            );
        }
    }

    fn function(sql: &str) -> DefinedFunction {
        match one(sql) {
            Definition::Function(function) => function,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[pg_test]
    fn signatures_are_read() {
        let full = function(
            "CREATE FUNCTION s.\"F\"(a character(3), OUT b s.t[], VARIADIC \"c d\" text[] DEFAULT planted('{}')) \
             RETURNS SETOF s.t LANGUAGE c IMMUTABLE STRICT WINDOW COST 5 AS 'here', 'there'",
        );
        let signature = full.signature;
        assert_eq!((signature.schema.as_str(), signature.name.as_str()), ("s", "F"));
        let arguments: Vec<_> = signature.arguments.iter().map(|argument| argument.text.as_str()).collect();
        // Without modifiers, as format_type() of -1.
        assert_eq!(arguments, ["bpchar", "text[]"]);
        assert_eq!(signature.argument_names, ["a", "c d"]);
        assert_eq!((signature.defaults, signature.variadic, signature.returns_set), (1, true, true));
        assert_eq!((signature.columns.len(), signature.columns[0].type_name.text.as_str()), (1, "s.t[]"));
        assert_eq!(signature.result.text, "s.t");
        assert_eq!((signature.kind, signature.volatility), (FunctionKind::Window, Volatility::Immutable));
        assert!(signature.strict && full.final_function.is_none());

        for (sql, result, columns, set) in [
            ("CREATE FUNCTION s.f(OUT a int) AS ''", "integer", 1, false),
            ("CREATE FUNCTION s.f(OUT int, INOUT text) AS ''", "record", 2, false),
            ("CREATE FUNCTION s.f() RETURNS TABLE (a int) AS ''", "integer", 1, true),
            ("CREATE FUNCTION s.f() RETURNS TABLE (a int, b s.d) AS ''", "record", 2, true),
            ("CREATE FUNCTION s.f() RETURNS void BEGIN ATOMIC SELECT planted(1); END", "void", 0, false),
        ] {
            let found = function(sql).signature;
            assert_eq!(
                (found.result.text.as_str(), found.columns.len(), found.returns_set),
                (result, columns, set)
            );
            assert!(found.volatility == Volatility::Volatile && !found.strict, "{sql}");
        }
        let many = vec!["int"; 101].join(", ");
        for sql in [
            "CREATE PROCEDURE s.p(a int) AS ''",
            "CREATE FUNCTION s.f() AS ''",
            "CREATE FUNCTION s.f(a s.t.c%TYPE) RETURNS int AS ''",
            "CREATE FUNCTION s.f() RETURNS s.t.c%TYPE AS ''",
            &format!("CREATE FUNCTION s.f({many}) RETURNS int AS ''"),
        ] {
            assert!(read(sql).is_ok_and(|found| found.is_empty()), "{sql}");
        }
    }

    #[pg_test]
    fn aggregates_and_operators_are_read() {
        for (arguments, options, count, last) in [
            ("*", "", 0, None),
            ("n int, VARIADIC text[]", ", FINALFUNC = s.g, FINALFUNC_MODIFY = read_only", 2, Some(1)),
            ("int, text", ", FINALFUNC = g, FINALFUNC_EXTRA", 2, Some(3)),
            ("int ORDER BY text, text", ", FINALFUNC = s.g", 3, Some(2)),
            ("ORDER BY text", ", FINALFUNC = s.g, FINALFUNC_EXTRA = false", 1, Some(1)),
        ] {
            let read = function(&format!(
                "CREATE AGGREGATE s.a({arguments}) (SFUNC = f, STYPE = s.state[]{options})"
            ));
            assert_eq!(read.signature.arguments.len(), count, "{arguments}");
            assert_eq!(read.signature.result.text, "s.state[]");
            assert_eq!(read.signature.volatility, Volatility::Immutable);
            assert_eq!(read.final_function.as_ref().map(|last| last.arguments.len()), last, "{arguments}");
            let schema = if options.contains("= g") { "pg_catalog" } else { "s" };
            assert!(read.final_function.is_none_or(|last| last.name == QualifiedName::new(schema, "g")));
        }
        let Definition::Operator(both) = one(
            "CREATE OPERATOR s.=== (FUNCTION = s.f, LEFTARG = s.t, RIGHTARG = bit, MERGES, RESTRICT = eqsel)",
        ) else {
            panic!("no operator")
        };
        assert_eq!(both.name, QualifiedName::new("s", "==="));
        assert_eq!(
            (both.left.map(|left| left.text), both.right.text),
            (Some("s.t".to_owned()), "\"bit\"".to_owned())
        );
        let one_sided = one("CREATE OPERATOR s.!! (PROCEDURE = int4um, RIGHTARG = integer)");
        assert!(matches!(one_sided, Definition::Operator(operator)
            if operator.left.is_none() && operator.function == QualifiedName::new("pg_catalog", "int4um")));
        for sql in [
            "CREATE OPERATOR s.!! (FUNCTION = s.f, LEFTARG = integer)",
            "CREATE OPERATOR s.!! (LEFTARG = 5, RIGHTARG = NONE, FUNCTION = 'x')",
            "CREATE AGGREGATE s.old (BASETYPE = int, SFUNC = f, STYPE = int)",
            "CREATE AGGREGATE s.a(int) (SFUNC = f)",
        ] {
            assert!(read(sql).is_ok_and(|found| found.is_empty()), "{sql}");
        }
    }

    #[pg_test]
    fn every_type_of_the_server_can_stand_in_a_signature() {
        let names = Spi::get_one::<Vec<String>>(
            "SELECT array_agg(format('%I.%I %s', nspname, typname, format_type(t.oid, -1)) ORDER BY t.oid) FROM pg_type AS t \
             JOIN pg_namespace AS n ON n.oid = typnamespace WHERE nspname IN ('pg_catalog', 'information_schema')",
        );
        let names = names.ok().flatten().unwrap_or_default();
        assert!(names.len() > 400, "{}", names.len());
        for name in &names {
            let (written, text) = name.split_once(' ').unwrap_or_default();
            let read = function(&format!("CREATE FUNCTION s.f(a {written}) RETURNS SETOF {written} AS ''"));
            assert_eq!((&*read.signature.result.text, &*read.signature.arguments[0].text), (text, text));
        }
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
