//! Tests of the data's way: capture, copy, catching up and comparing, as the
//! worker calls them, here inside one transaction. The functions are for
//! scripts that do it from several sessions.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[pgrx::pg_schema]
mod tests {
    use pgrx::JsonB;
    use pgrx::Spi;
    use pgrx::pg_extern;
    use pgrx::pg_sys;
    use serde_json::Value;
    use serde_json::json;

    use crate::model::reshard::Change;
    use crate::operations::reshard::capture;
    use crate::operations::reshard::catch_up;
    use crate::operations::reshard::copy;
    use crate::operations::reshard::verify;

    type Outcome<T> = Result<T, pg_sys::panic::ErrorReport>;

    /// A change as scripts describe it: names are looked up, targets have their tables already.
    fn change(sources: &[String], targets: &[String], identity: &[String]) -> Change {
        let table = |name: &String| {
            Spi::get_one_with_args::<JsonB>(
                "SELECT jsonb_build_object('oid', c.oid::bigint, 'like', 0, 'bound', '', 'tablespace', NULL,
                        'name', jsonb_build_object('schema', n.nspname, 'name', c.relname))
                 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass",
                &[name.as_str().into()],
            )
            .unwrap()
            .unwrap()
            .0
        };
        let (sources, targets): (Vec<Value>, Vec<Value>) =
            (sources.iter().map(table).collect(), targets.iter().map(table).collect());
        let (root, oid) = (sources[0]["name"].clone(), sources[0]["oid"].clone());
        serde_json::from_value(json!({
            "parent": root, "parent_oid": oid, "root": root, "root_oid": oid, "sources": sources,
            "targets": targets, "identity": identity, "online": true,
        }))
        .unwrap()
    }

    #[pg_extern]
    fn reshard_install(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<()> {
        capture::install(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_remove(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<()> {
        capture::remove(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_chunk(
        s: Vec<String>,
        t: Vec<String>,
        i: Vec<String>,
        id: i64,
        cursor: Option<JsonB>,
        rows: i64,
    ) -> Outcome<JsonB> {
        let chunk = copy::chunk(&change(&s, &t, &i), id, cursor.as_ref().map(|cursor| &cursor.0), rows)?;
        Ok(JsonB(json!({
            "rows": chunk.rows, "bytes": chunk.bytes, "cursor": chunk.cursor, "finished": chunk.finished,
            "restart": chunk.restart,
        })))
    }

    #[pg_extern]
    fn reshard_round(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64, most: i64) -> Outcome<JsonB> {
        let round = catch_up::round(&change(&s, &t, &i), id, most)?;
        Ok(JsonB(json!({"keys": round.keys, "left": round.left, "restart": round.restart})))
    }

    #[pg_extern]
    fn reshard_backlog(s: Vec<String>, t: Vec<String>, i: Vec<String>, id: i64) -> Outcome<i64> {
        catch_up::backlog(&change(&s, &t, &i), id)
    }

    #[pg_extern]
    fn reshard_verify(
        s: Vec<String>,
        t: Vec<String>,
        i: Vec<String>,
        id: i64,
        cursor: Option<JsonB>,
        rows: i64,
    ) -> Outcome<JsonB> {
        let cursor = cursor.as_ref().map(|cursor| &cursor.0);
        let bucket = verify::bucket_of(&change(&s, &t, &i), id, cursor, rows)?;
        Ok(JsonB(json!({"rows": bucket.rows, "cursor": bucket.cursor, "finished": bucket.finished})))
    }

    fn run(sql: &str) {
        Spi::run(sql).unwrap();
    }

    fn number(sql: &str) -> i64 {
        Spi::get_one::<i64>(sql).unwrap().unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Copies table `s` into `a` and `b` while statements change it, each `rounds` times, and
    /// compares. `$n` in a statement is the number of the round.
    fn moves(identity: &[&str], rounds: i64, meanwhile: &[&str]) {
        let change = change(&names(&["s"]), &names(&["a", "b"]), &names(identity));
        capture::install(&change, 1).unwrap();
        let (mut cursor, mut turn, mut copied) = (None, 0, 0);
        loop {
            if turn < rounds {
                for statement in meanwhile {
                    run(&statement.replace("$n", &turn.to_string()));
                }
            }
            turn += 1;
            assert!(turn < 1000, "it comes to an end");
            let chunk = copy::chunk(&change, 1, cursor.as_ref(), 7).unwrap();
            assert!(!chunk.restart);
            copied += chunk.rows;
            cursor = chunk.cursor;
            if chunk.finished {
                break;
            }
        }
        assert!(copied > 0, "something was copied");
        for statement in meanwhile {
            run(&statement.replace("$n", &rounds.to_string()));
        }
        while catch_up::round(&change, 1, 5).unwrap().left > 0 {}
        assert_eq!(catch_up::backlog(&change, 1).unwrap(), 0);
        let (mut cursor, mut compared) = (None, 0);
        loop {
            let bucket = verify::bucket_of(&change, 1, cursor.as_ref(), 11).unwrap();
            compared += bucket.rows;
            cursor = bucket.cursor;
            if bucket.finished {
                break;
            }
        }
        assert_eq!(compared, number("SELECT count(*) FROM s"));
        assert_eq!(compared, number("SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)"));
        let text = |tables: &str| {
            format!("SELECT md5(string_agg(r, '|' ORDER BY r COLLATE \"C\")) FROM ({tables}) AS t (r)")
        };
        let source = Spi::get_one::<String>(&text("SELECT to_jsonb(s)::text FROM s")).unwrap();
        let targets = "SELECT to_jsonb(a)::text FROM a UNION ALL SELECT to_jsonb(b)::text FROM b";
        assert_eq!(source, Spi::get_one::<String>(&text(targets)).unwrap());
        capture::remove(&change, 1).unwrap();
        assert_eq!(number("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'presplit%'"), 0);
        assert_eq!(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'changes\\_%'"), 0);
    }

    /// A table with a key of a type made from a number by an expression, and two for its rows.
    fn key(r#type: &str, of_number: &str, index: &str, middle: &str) {
        run(&format!(
            "CREATE FUNCTION f(n int) RETURNS {} LANGUAGE sql IMMUTABLE AS $f$ SELECT ({of_number})::{} $f$;
             CREATE TABLE s (gone int, v text, k {type} NOT NULL, n int, d int GENERATED ALWAYS AS (n * 2) STORED);
             ALTER TABLE s DROP COLUMN gone;
             CREATE UNIQUE INDEX ON s ({index});
             INSERT INTO s (v, k, n) SELECT CASE WHEN n % 3 > 0 THEN repeat('v', n) END, f(n), n FROM generate_series(1, 60) AS n;
             CREATE TABLE a (n int, k {type} NOT NULL, d int GENERATED ALWAYS AS (n * 2) STORED, v text);
             CREATE UNIQUE INDEX ON a ({index});
             ALTER TABLE a ADD CONSTRAINT presplit_bound CHECK (k < {middle});
             CREATE TABLE b (LIKE s INCLUDING ALL);
             ALTER TABLE b ADD CONSTRAINT presplit_bound CHECK (NOT k < {middle})",
            r#type.split(" COLLATE").next().unwrap(),
            r#type.split(" COLLATE").next().unwrap(),
        ));
        moves(
            &["k"],
            6,
            &[
                "UPDATE s SET v = v || '!' WHERE n % 20 = $n",
                "UPDATE s SET k = f(n + 100 + $n), n = n + 100 + $n WHERE n = 10 + $n * 7",
                "DELETE FROM s WHERE n = 11 + $n * 7",
                "INSERT INTO s (k, v, n) VALUES (f(200 + $n), 'new', 200 + $n)",
                "UPDATE s SET k = f(-1), v = 'away' WHERE n = 1",
                "UPDATE s SET k = f(1), v = 'and back' WHERE n = 1",
            ],
        );
    }

    #[pgrx::pg_test]
    fn keys_are_whole_numbers() {
        key("bigint", "n", "k", "30");
    }

    #[pgrx::pg_test]
    fn keys_are_texts() {
        key("text", "'it''s \\ ' || n", "k", "'it''s \\ 30'");
    }

    #[pgrx::pg_test]
    fn keys_are_texts_of_another_collation() {
        key("text COLLATE \"C\"", "chr(64 + abs(n) % 60) || n", "k", "'a'");
    }

    #[pgrx::pg_test]
    fn keys_are_in_an_index_of_another_collation() {
        key("text", "chr(64 + abs(n) % 60) || n", "k COLLATE \"C\"", "'a'");
    }

    #[pgrx::pg_test]
    fn keys_are_in_an_index_of_another_operator_class() {
        key("text", "chr(64 + abs(n) % 60) || n", "k text_pattern_ops", "'a'");
    }

    #[pgrx::pg_test]
    fn keys_go_down() {
        key("int", "n", "k DESC", "30");
    }

    #[pgrx::pg_test]
    fn keys_are_padded() {
        key("char(6)", "n::text || 'x'", "k", "'3'");
    }

    #[pgrx::pg_test]
    fn keys_are_uuids() {
        key("uuid", "md5(n::text)", "k", "'80000000-0000-0000-0000-000000000000'");
    }

    #[pgrx::pg_test]
    fn keys_are_numeric() {
        key("numeric", "n / 3.0", "k", "10");
    }

    #[pgrx::pg_test]
    fn keys_are_floats() {
        run("SET extra_float_digits = -15");
        key("float8", "n / 7.0", "k", "4");
    }

    #[pgrx::pg_test]
    fn keys_are_moments() {
        run("SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Europe/Berlin'");
        key(
            "timestamptz",
            "'2026-10-25 00:00+00'::timestamptz + n * interval '7 min'",
            "k",
            "'2026-10-25 03:00+00'",
        );
    }

    #[pgrx::pg_test]
    fn keys_are_spans() {
        run("SET IntervalStyle = 'iso_8601'");
        key("interval", "n * interval '1 day 1 sec'", "k", "interval '30 days'");
    }

    #[pgrx::pg_test]
    fn keys_are_bytes() {
        run("SET bytea_output = 'escape'");
        key("bytea", "decode(md5(n::text), 'hex')", "k", "'\\x80'");
    }

    #[pgrx::pg_test]
    fn keys_are_arrays() {
        key("int[]", "ARRAY[n, NULL, 3]", "k", "ARRAY[30]");
    }

    #[pgrx::pg_test]
    fn keys_are_of_an_owners_domain() {
        run("CREATE DOMAIN positive AS int CHECK (VALUE > -5)");
        key("positive", "n", "k", "30");
    }

    #[pgrx::pg_test]
    fn keys_are_of_several_columns_with_odd_names() {
        run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
             CREATE TABLE s (\"Mood \"\"x\" mood, id int, v text, PRIMARY KEY (\"Mood \"\"x\", id));
             INSERT INTO s SELECT (ARRAY['sad', 'ok', 'happy'])[n % 3 + 1]::mood, n, 'v' FROM generate_series(1, 60) AS n;
             CREATE TABLE a (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id < 30));
             CREATE TABLE b (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id >= 30))");
        moves(
            &["Mood \"x", "id"],
            6,
            &[
                "UPDATE s SET \"Mood \"\"x\" = 'happy', v = v || '$n' WHERE id % 10 = $n AND \"Mood \"\"x\" <> 'happy'",
                "UPDATE s SET id = id + 100 WHERE id = 20 + $n",
                "DELETE FROM s WHERE id = 40 + $n",
            ],
        );
    }

    #[pgrx::pg_test]
    fn keys_go_up_and_down() {
        run("CREATE TABLE s (x int NOT NULL, y int NOT NULL, v text);
             CREATE UNIQUE INDEX ON s (x, y DESC);
             INSERT INTO s SELECT n % 4, n, 'v' FROM generate_series(1, 60) AS n;
             CREATE TABLE a (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (x < 2));
             CREATE TABLE b (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (x >= 2))");
        moves(
            &["x", "y"],
            6,
            &["UPDATE s SET x = (x + 1) % 4 WHERE y = 10 * $n", "DELETE FROM s WHERE y = 5 + $n"],
        );
    }

    /// Two sources become one, and rows go from the one to the other meanwhile.
    #[pgrx::pg_test]
    fn sources_are_merged() {
        run("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (30);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (30) TO (1000);
             INSERT INTO p SELECT n, 'v' FROM generate_series(1, 60) AS n;
             CREATE TABLE m (LIKE p INCLUDING ALL)");
        let change = change(&names(&["p1", "p2"]), &names(&["m"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        let (mut cursor, mut turn) = (None, 0);
        loop {
            run(&format!(
                "UPDATE p SET id = 500 + {turn} WHERE id = {turn} + 3; UPDATE p SET id = {turn} + 3 WHERE id = 50 - {turn};
                 UPDATE p SET v = 'w' WHERE id IN (2, 58)"
            ));
            turn += 1;
            let chunk = copy::chunk(&change, 1, cursor.as_ref(), 7).unwrap();
            cursor = chunk.cursor;
            if chunk.finished || turn > 100 {
                break;
            }
        }
        while catch_up::round(&change, 1, 5).unwrap().left > 0 {}
        assert!(verify::bucket(&change, 1, None).unwrap().finished);
        assert_eq!(number("SELECT count(*) FROM (TABLE p EXCEPT TABLE m) AS d"), 0);
        assert_eq!(number("SELECT (SELECT count(*) FROM p) - (SELECT count(*) FROM m)"), 0);
    }

    fn ready() -> Change {
        run("CREATE TABLE s (id int PRIMARY KEY, v numeric);
             INSERT INTO s SELECT n, n FROM generate_series(1, 20) AS n;
             CREATE TABLE a (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id < 10));
             CREATE TABLE b (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id >= 10))");
        let change = change(&names(&["s"]), &names(&["a", "b"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        assert!(copy::chunk(&change, 1, None, 100).unwrap().finished);
        change
    }

    fn refused(work: impl FnOnce() -> Outcome<()>) -> String {
        work().unwrap_err().message().to_owned()
    }

    #[pgrx::pg_test]
    fn a_truncation_begins_it_anew() {
        let change = ready();
        run("UPDATE s SET v = 0 WHERE id = 3; TRUNCATE s; INSERT INTO s VALUES (1, 1)");
        assert!(copy::chunk(&change, 1, Some(&json!(["20"])), 100).unwrap().restart);
        assert_eq!(catch_up::backlog(&change, 1).unwrap(), 0);
        run("TRUNCATE a, b, s");
        assert!(catch_up::round(&change, 1, 100).unwrap().restart);
    }

    #[pgrx::pg_test]
    fn every_difference_is_found() {
        let change = ready();
        for (spoil, mend) in [
            ("UPDATE a SET v = 3.0 WHERE id = 3", "UPDATE a SET v = 3 WHERE id = 3"),
            ("UPDATE a SET v = NULL WHERE id = 3", "UPDATE a SET v = 3 WHERE id = 3"),
            ("DELETE FROM b WHERE id = 20", "INSERT INTO b VALUES (20, 20)"),
            ("INSERT INTO b VALUES (21, 21)", "DELETE FROM b WHERE id = 21"),
            ("INSERT INTO a VALUES (-1, 1)", "DELETE FROM a WHERE id = -1"),
            ("UPDATE a SET v = 7 - v WHERE id IN (3, 4)", "UPDATE a SET v = id"),
        ] {
            assert!(verify::bucket(&change, 1, None).unwrap().finished);
            run(spoil);
            let said = refused(|| verify::bucket(&change, 1, None).map(|_| ()));
            assert!(said.contains("do not have the rows"), "{spoil}: {said}");
            run(mend);
        }
    }

    /// A row that a target has and that is in the way is not passed over.
    #[pgrx::pg_test(error = "duplicate key value violates unique constraint \"a_pkey\"")]
    fn a_row_that_was_there_before_is_not_taken_for_a_copy() {
        run("CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2);
             CREATE TABLE a (LIKE s INCLUDING ALL); INSERT INTO a VALUES (2)");
        let change = change(&names(&["s"]), &names(&["a"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        let _ = copy::chunk(&change, 1, None, 100);
    }

    #[pgrx::pg_test]
    fn a_row_that_belongs_nowhere_is_missed() {
        run("CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2), (3);
             CREATE TABLE a (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id < 2));
             CREATE TABLE b (LIKE s INCLUDING ALL, CONSTRAINT presplit_bound CHECK (id > 2))");
        let change = change(&names(&["s"]), &names(&["a", "b"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        let said = refused(|| copy::chunk(&change, 1, None, 100).map(|_| ()));
        assert!(said.contains("do not have the rows"), "{said}");
    }

    /// The owner's expressions run as the owner, who cannot become anybody else meanwhile.
    #[pgrx::pg_test]
    fn rows_go_over_with_the_owners_rights() {
        run("CREATE ROLE data_owner; CREATE SCHEMA o AUTHORIZATION data_owner;
             CREATE TABLE seen (who name); GRANT INSERT ON seen TO data_owner;
             SET ROLE data_owner; SET search_path = o;
             CREATE FUNCTION o.look(int) RETURNS bool LANGUAGE plpgsql AS $f$
             BEGIN
                 INSERT INTO public.seen VALUES (current_user);
                 BEGIN
                     EXECUTE 'RESET ROLE';
                     INSERT INTO public.seen VALUES ('somebody else');
                 EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state THEN NULL;
                 END;
                 RETURN true;
             END $f$;
             CREATE TABLE o.s (id int PRIMARY KEY); INSERT INTO o.s VALUES (1), (2);
             CREATE TABLE o.a (LIKE o.s INCLUDING ALL, CHECK (o.look(id)));
             RESET ROLE; RESET search_path");
        let change = change(&names(&["o.s"]), &names(&["o.a"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        copy::chunk(&change, 1, None, 100).unwrap();
        run("INSERT INTO o.s VALUES (3)");
        catch_up::round(&change, 1, 100).unwrap();
        assert_eq!(
            Spi::get_one::<String>("SELECT string_agg(DISTINCT who::text, ' ') FROM seen").unwrap().unwrap(),
            "data_owner"
        );
        assert_eq!(number("SELECT count(*) FROM o.a"), 3);
    }

    #[pgrx::pg_test(error = "query would be affected by row-level security policy for table \"s\"")]
    fn rows_that_a_policy_hides_are_not_left_behind() {
        run("CREATE ROLE data_owner; GRANT USAGE, CREATE ON SCHEMA public TO data_owner;
             SET ROLE data_owner;
             CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s VALUES (1), (2);
             CREATE TABLE a (LIKE s INCLUDING ALL);
             ALTER TABLE s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY one_of_them ON s USING (id = 1);
             RESET ROLE");
        let change = change(&names(&["s"]), &names(&["a"]), &names(&["id"]));
        capture::install(&change, 1).unwrap();
        let _ = copy::chunk(&change, 1, None, 100);
    }

    #[pgrx::pg_test]
    fn a_digest_is_of_the_rows_and_of_nothing_else() {
        use crate::pg::capture::read;
        let digest = |sql: &str| read(sql, None, &[], &[]).unwrap().digest;
        let same = |a: &str, b: &str| assert_eq!(digest(a), digest(b), "{a}; {b}");
        let differ = |a: &str, b: &str| assert_ne!(digest(a), digest(b), "{a}; {b}");
        same("VALUES (1, 'a'), (2, 'b')", "VALUES (2, 'b'), (1, 'a')");
        differ("VALUES (1, 'a'), (2, 'b')", "VALUES (1, 'b'), (2, 'a')");
        differ("VALUES ('a', 'bc')", "VALUES ('ab', 'c')");
        differ("VALUES ('a', NULL)", "VALUES (NULL, 'a')");
        differ("VALUES ('')", "VALUES (NULL::text)");
        differ("VALUES (1.0)", "VALUES (1.00)");
        differ("VALUES (0.0::float8)", "VALUES ('-0'::float8)");
        differ("VALUES (1), (1)", "VALUES (2), (2)");
        differ("VALUES (1), (1), (2)", "VALUES (1), (2), (2)");
        run("CREATE TABLE plain (v text); CREATE TABLE squeezed (v text); CREATE TABLE outside (v text);
             ALTER TABLE plain ALTER v SET STORAGE PLAIN; ALTER TABLE outside ALTER v SET STORAGE EXTERNAL;
             INSERT INTO plain VALUES (repeat('x', 7000)); INSERT INTO squeezed TABLE plain; INSERT INTO outside TABLE plain;
             INSERT INTO outside VALUES (repeat('y', 7000))");
        same("TABLE plain", "TABLE squeezed");
        same("TABLE plain", "SELECT v FROM outside LIMIT 1");
        differ("TABLE plain", "SELECT v FROM outside OFFSET 1");
    }
}
