//! Server tests of the objects of resharding: staging, swap, and what of a
//! shard survives. Rows are brought over by plain statements here.

#[pgrx::pg_schema]
mod tests {
    use pgrx::Spi;
    use pgrx::pg_test;

    use crate::catalog::leaves;
    use crate::model::name::QualifiedName;
    use crate::model::reshard::Change;
    use crate::model::reshard::Source;
    use crate::model::reshard::Target;
    use crate::operations::reshard::indexing;
    use crate::operations::reshard::staging;
    use crate::operations::reshard::swap;
    use crate::pg::context::in_rolled_back_subtransaction;
    use crate::pg::context::in_subtransaction;

    fn run(sql: &str) {
        Spi::run(sql).unwrap_or_else(|failed| panic!("{sql}: {failed}"));
    }

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).unwrap_or_else(|failed| panic!("{sql}: {failed}")).unwrap_or_default()
    }

    fn oid(table: &str) -> u32 {
        text(&format!("SELECT '{table}'::regclass::oid::text")).parse().unwrap_or_default()
    }

    fn named(name: &str) -> QualifiedName {
        match name.split_once('.') {
            Some((schema, name)) => QualifiedName::new(schema, name),
            None => QualifiedName::new("public", name),
        }
    }

    /// What a planner would make of shards of `parent`.
    fn change(parent: &str, identity: &[&str], sources: &[&str], targets: &[(&str, &str)]) -> Change {
        let sources = sources.iter().map(|name| Source {
            oid: oid(name),
            name: named(name),
            bound: text(&format!(
                "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{name}'::regclass"
            )),
        });
        let targets = targets.iter().map(|(name, bound)| Target {
            name: named(name),
            bound: (*bound).to_owned(),
            tablespace: None,
            like: 0,
            oid: None,
        });
        Change {
            parent: named(parent),
            parent_oid: oid(parent),
            root: named(parent),
            root_oid: oid(parent),
            sources: sources.collect(),
            targets: targets.collect(),
            identity: identity.iter().map(|name| (*name).to_owned()).collect(),
            online: true,
            undo: None,
            rebuilt: None,
        }
    }

    /// Staging tables with their rows and indexes.
    fn staged(change: &Change) -> Change {
        let made = staging::create(change, 1).unwrap_or_else(|failed| panic!("{failed:?}"));
        for target in &made.targets {
            let columns = text(&format!(
                "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                 WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                target.name
            ));
            let mine = text(&format!(
                "SELECT coalesce((SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint
                                  WHERE conrelid = '{}'::regclass AND conname = 'presplit_bound'), 'true')",
                target.name
            ));
            for source in &made.sources {
                run(&format!(
                    "INSERT INTO {} ({columns}) SELECT {columns} FROM ONLY {} WHERE {mine}",
                    target.name, source.name
                ));
            }
        }
        while indexing::next(&made, 1).unwrap_or_else(|failed| panic!("{failed:?}")) {}
        made
    }

    /// Scans and files of a table and its indexes: neither changes where nothing is read nor built.
    fn touched(table: &str) -> String {
        text(&format!(
            "SELECT pg_stat_get_xact_numscans(c.oid) || ' ' || c.relfilenode || ' ' || coalesce((
                 SELECT string_agg(x.relname || ' ' || x.relfilenode || ' ' || pg_stat_get_xact_numscans(x.oid), ', ' ORDER BY x.relname)
                 FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid), '')
             FROM pg_class AS c WHERE c.oid = '{table}'::regclass"
        ))
    }

    fn swapped(change: &Change) {
        let prepared = swap::prepare(change).unwrap_or_else(|failed| panic!("{failed:?}"));
        swap::run(change, 1, &prepared).unwrap_or_else(|failed| panic!("{failed:?}"));
    }

    /// Splits and asserts that the swap read and built nothing, and that all rows are there.
    fn without_a_scan(parent: &str, identity: &[&str], sources: &[&str], targets: &[(&str, &str)]) {
        let rows = format!(
            "SELECT coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text)), '') || count(*) FROM {parent} AS t"
        );
        let before = text(&rows);
        let made = staged(&change(parent, identity, sources, targets));
        let stays = leaves::default_partition(made.parent_oid).unwrap_or_default();
        let default = stays.map(|oid| text(&format!("SELECT {}::oid::regclass::text", oid.to_u32())));
        let watched: Vec<String> = targets
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .chain(default.filter(|name| !sources.contains(&name.as_str())))
            .collect();
        let untouched: Vec<String> = watched.iter().map(|name| touched(name)).collect();
        swapped(&made);
        for (name, untouched) in watched.iter().zip(untouched) {
            assert_eq!(touched(name), untouched, "{name}");
        }
        assert_eq!(text(&rows), before, "{parent}");
        for (name, bound) in targets {
            assert_eq!(
                text(&format!(
                    "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{name}'::regclass"
                )),
                *bound
            );
        }
        assert_eq!(
            text("SELECT coalesce(string_agg(conname || ' of ' || conrelid::regclass, ', '), '') FROM pg_constraint
                  WHERE conname LIKE 'presplit%'"),
            ""
        );
    }

    #[pg_test]
    fn a_swap_of_ranges_reads_and_builds_nothing() {
        run("CREATE TABLE r (id int PRIMARY KEY, v text CHECK (v <> '')) PARTITION BY RANGE (id);
             CREATE INDEX ON r (v); CREATE UNIQUE INDEX ON r (id, v);
             CREATE TABLE r_s1 PARTITION OF r FOR VALUES FROM (0) TO (1000);
             CREATE TABLE r_d PARTITION OF r DEFAULT;
             INSERT INTO r SELECT i, 'v' || i FROM generate_series(-20, 1100) AS i");
        without_a_scan(
            "r",
            &["id"],
            &["r_s1"],
            &[("r_s2", "FOR VALUES FROM (0) TO (300)"), ("r_s3", "FOR VALUES FROM (300) TO (1000)")],
        );
        // And together again, beside the DEFAULT.
        without_a_scan("r", &["id"], &["r_s2", "r_s3"], &[("r_s4", "FOR VALUES FROM (0) TO (1000)")]);
        // Out of the DEFAULT, which a new one replaces.
        without_a_scan(
            "r",
            &["id"],
            &["r_d"],
            &[("r_d2", "DEFAULT"), ("r_s5", "FOR VALUES FROM (1000) TO (1050)")],
        );
        // A DEFAULT that moves.
        without_a_scan("r", &["id"], &["r_d2"], &[("r_d3", "DEFAULT")]);
    }

    #[pg_test]
    fn a_swap_of_any_key_reads_and_builds_nothing() {
        run("CREATE TABLE l (id int NOT NULL, k text, UNIQUE (id, k)) PARTITION BY LIST (k);
             CREATE TABLE l_1 PARTITION OF l FOR VALUES IN ('a', 'b', NULL);
             CREATE TABLE l_d PARTITION OF l DEFAULT;
             INSERT INTO l SELECT i, (ARRAY['a', 'b', NULL, 'c'])[i % 4 + 1] FROM generate_series(1, 400) AS i");
        without_a_scan(
            "l",
            &["id", "k"],
            &["l_1"],
            &[("l_2", "FOR VALUES IN ('a')"), ("l_3", "FOR VALUES IN ('b', NULL)")],
        );
        run("CREATE TABLE h (id bigint PRIMARY KEY, v int) PARTITION BY HASH (id);
             CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (modulus 2, remainder 0);
             CREATE TABLE h_1 PARTITION OF h FOR VALUES WITH (modulus 2, remainder 1);
             INSERT INTO h SELECT i, i FROM generate_series(1, 1000) AS i");
        without_a_scan(
            "h",
            &["id"],
            &["h_0"],
            &[
                ("h_2", "FOR VALUES WITH (modulus 4, remainder 0)"),
                ("h_3", "FOR VALUES WITH (modulus 4, remainder 2)"),
            ],
        );
        run("CREATE TABLE m (a int, b date, n numeric, PRIMARY KEY (a, b)) PARTITION BY RANGE (a, b);
             CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (1, MINVALUE) TO (9, '2020-01-01');
             INSERT INTO m SELECT i % 8 + 1, date '2019-01-01' + i, 1.50 FROM generate_series(1, 300) AS i");
        without_a_scan(
            "m",
            &["a", "b"],
            &["m_1"],
            &[
                ("m_2", "FOR VALUES FROM (1, MINVALUE) TO (4, '2019-06-01')"),
                ("m_3", "FOR VALUES FROM (4, '2019-06-01') TO (9, '2020-01-01')"),
            ],
        );
        // An expression, and a collation that is not the column's.
        run("CREATE TABLE e (id int, v text COLLATE \"POSIX\") PARTITION BY RANGE (lower(v) COLLATE \"C\", v COLLATE \"C\");
             CREATE TABLE e_1 PARTITION OF e FOR VALUES FROM (MINVALUE, MINVALUE) TO (MAXVALUE, MAXVALUE);
             INSERT INTO e SELECT i, chr(64 + i) FROM generate_series(1, 26) AS i");
        without_a_scan(
            "e",
            &[],
            &["e_1"],
            &[
                ("e_2", "FOR VALUES FROM (MINVALUE, MINVALUE) TO ('h', MINVALUE)"),
                ("e_3", "FOR VALUES FROM ('h', MINVALUE) TO (MAXVALUE, MAXVALUE)"),
            ],
        );
    }

    #[pg_test]
    fn a_branch_of_a_table_is_divided_again_as_a_table_is() {
        run("CREATE TABLE t (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
             CREATE TABLE t_b PARTITION OF t FOR VALUES IN (1, 2) PARTITION BY RANGE (id);
             CREATE TABLE t_b1 PARTITION OF t_b FOR VALUES FROM (0) TO (100);
             CREATE TABLE t_bd PARTITION OF t_b DEFAULT PARTITION BY HASH (id);
             CREATE TABLE t_bd0 PARTITION OF t_bd FOR VALUES WITH (modulus 1, remainder 0);
             INSERT INTO t SELECT i, i % 2 + 1 FROM generate_series(0, 150) AS i");
        without_a_scan(
            "t_b",
            &["id", "k"],
            &["t_b1"],
            &[("t_b2", "FOR VALUES FROM (0) TO (50)"), ("t_b3", "FOR VALUES FROM (50) TO (100)")],
        );
        assert_eq!(text("SELECT count(*)::text FROM t"), "151");
    }

    #[pg_test]
    fn a_staging_table_takes_no_row_that_is_not_its_own() {
        run("CREATE TABLE s (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE s_1 PARTITION OF s FOR VALUES FROM (0) TO (100);
             CREATE TABLE s_d PARTITION OF s DEFAULT");
        let made = staged(&change("s", &["id"], &["s_1"], &[("s_2", "FOR VALUES FROM (0) TO (100)")]));
        let refused =
            in_subtransaction(|| run("INSERT INTO s_2 VALUES (100)")).map_err(|caught| caught.sqlstate);
        assert_eq!(refused, Err("23514".to_owned()));
        let split = staged(&change(
            "s",
            &["id"],
            &["s_d"],
            &[("s_3", "FOR VALUES FROM (200) TO (300)"), ("s_d2", "DEFAULT")],
        ));
        let refused =
            in_subtransaction(|| run("INSERT INTO s_d2 VALUES (200)")).map_err(|caught| caught.sqlstate);
        assert_eq!(refused, Err("23514".to_owned()));
        run("INSERT INTO s_d2 VALUES (300)");
        assert!(made.targets[0].oid.is_some() && split.targets[1].oid.is_some());
        // Nobody but the owner has rights, and no dump has it.
        assert_eq!(
            text("SELECT string_agg(d.deptype::text, '') FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
                  WHERE d.objid = 's_2'::regclass AND e.extname = 'pg_presplit'"),
            "e"
        );
    }

    #[pg_test]
    fn a_replaced_shard_takes_no_rows_and_is_dropped_after_its_grace() {
        run("CREATE TABLE g (id int PRIMARY KEY, r int) PARTITION BY RANGE (id);
             CREATE TABLE g_1 PARTITION OF g FOR VALUES FROM (0) TO (100);
             INSERT INTO g SELECT i FROM generate_series(0, 99) AS i;
             INSERT INTO presplit.sharded_tables VALUES ('g', 1)");
        swapped(&staged(&change("g", &["id"], &["g_1"], &[("g_2", "FOR VALUES FROM (0) TO (100)")])));
        for statement in
            ["INSERT INTO g_1 VALUES (1)", "UPDATE g_1 SET r = 1", "DELETE FROM g_1", "TRUNCATE g_1"]
        {
            let refused = in_subtransaction(|| run(statement)).map_err(|caught| caught.message);
            assert_eq!(refused, Err("shard \"public.g_1\" was replaced".to_owned()), "{statement}");
            run("SET LOCAL session_replication_role = replica");
            let refused = in_subtransaction(|| run(statement)).map_err(|caught| caught.sqlstate);
            assert_eq!(refused, Err("55000".to_owned()), "{statement}");
            run("SET LOCAL session_replication_role = origin");
        }
        run("INSERT INTO g VALUES (50, 1) ON CONFLICT (id) DO UPDATE SET r = 2");
        assert_eq!(
            text(
                "SELECT string_agg(shard || ' ' || state, ', ' ORDER BY shard) FROM presplit.shards WHERE relation = 'g'::regclass"
            ),
            "g_1 retired, g_2 active"
        );
        crate::operations::reshard::retire::expired().unwrap_or_else(|failed| panic!("{failed:?}"));
        assert_eq!(text("SELECT count(*)::text FROM g_1"), "100");
        run(
            "UPDATE presplit.retired_shards SET drop_after = retired_at; CREATE VIEW reads_it AS SELECT * FROM g_1",
        );
        crate::operations::reshard::retire::expired().unwrap_or_else(|failed| panic!("{failed:?}"));
        assert_eq!(
            text(
                "SELECT count(*)::text FROM g_1 JOIN presplit.retired_shards ON drop_after > clock_timestamp()"
            ),
            "100"
        );
        run("DROP VIEW reads_it; UPDATE presplit.retired_shards SET drop_after = retired_at");
        crate::operations::reshard::retire::expired().unwrap_or_else(|failed| panic!("{failed:?}"));
        assert_eq!(
            text(
                "SELECT coalesce(to_regclass('g_1')::text, 'gone') || count(*) FROM presplit.retired_shards"
            ),
            "gone0"
        );
    }

    /// Everything that a shard can have.
    const RICH: &str = include_str!("../../../tests/fixtures/rich_shard.sql");

    fn facets(table: &str) -> Vec<(String, String)> {
        let found = crate::catalog::facets::of(&[oid(table)]).unwrap_or_else(|failed| panic!("{failed:?}"));
        found.into_iter().map(|facet| (facet.kind, facet.text)).collect()
    }

    fn errors(change: &Change) -> Vec<String> {
        let found =
            crate::operations::reshard::check::findings(change).unwrap_or_else(|failed| panic!("{failed:?}"));
        let errors =
            found.into_iter().filter(|finding| finding.severity == crate::model::finding::Severity::Error);
        errors.map(|finding| format!("{}: {}", finding.object, finding.problem)).collect()
    }

    #[pg_test]
    fn everything_of_a_shard_survives() {
        run(RICH);
        let before = facets("f.t_s1");
        let wanted = change(
            "f.t",
            &["id"],
            &["f.t_s1"],
            &[("f.t_s2", "FOR VALUES FROM (0) TO (50)"), ("f.t_s3", "FOR VALUES FROM (50) TO (1000)")],
        );
        assert_eq!(errors(&wanted), Vec::<String>::new());
        let made = staged(&wanted);
        let untouched: Vec<String> =
            ["f.t_s2", "f.t_s3", "f.child", "f.other"].iter().map(|name| touched(name)).collect();
        run("SET CONSTRAINTS ALL IMMEDIATE");
        swapped(&made);
        for (name, untouched) in ["f.t_s2", "f.t_s3", "f.child", "f.other"].iter().zip(untouched) {
            assert_eq!(touched(name), untouched, "{name}");
        }
        for name in ["f.t_s2", "f.t_s3"] {
            // A name that PostgreSQL has made of the shard's is made of the new one's.
            let own = format!("{}_country_not_null", &name[2..]);
            let after: Vec<_> = facets(name)
                .into_iter()
                .map(|(kind, text)| (kind, text.replace(&own, "t_s1_country_not_null")))
                .collect();
            let lost: Vec<_> = before.iter().filter(|facet| !after.contains(facet)).collect();
            let new: Vec<_> = after.iter().filter(|facet| !before.contains(facet)).collect();
            assert!(lost.is_empty() && new.is_empty(), "{name}: lost {lost:#?}, new {new:#?}");
        }
        // Foreign keys work both ways, and not by the replaced shard.
        run("DELETE FROM f.other WHERE id = 60");
        assert_eq!(text("SELECT count(*)::text FROM f.t WHERE other = 60"), "0");
        for (statement, code) in [
            ("INSERT INTO f.t (id, other, country) VALUES (70000, 0, 0)", "23514"),
            (
                "INSERT INTO f.t (id, other, country) VALUES (700, 777, 0); SET CONSTRAINTS ALL IMMEDIATE",
                "23503",
            ),
            ("INSERT INTO f.t (id, country) VALUES (700, 10)", "23503"),
            ("DELETE FROM f.country WHERE id = 3", "23503"),
            ("INSERT INTO f.child VALUES (1000, 999)", "23503"),
            ("DELETE FROM f.t WHERE id = 40", "23503"),
        ] {
            let refused = in_subtransaction(|| run(statement)).map_err(|caught| caught.sqlstate);
            assert_eq!(refused, Err(code.to_owned()), "{statement}");
        }
        assert_eq!(
            text(
                "SELECT string_agg(conname, ', ' ORDER BY conname) FILTER (WHERE conparentid = 0) || ' ' ||
                        count(*) FILTER (WHERE conparentid <> 0) || ' ' || bool_and(convalidated)
                 FROM pg_constraint WHERE contype = 'f' AND conrelid = 'f.child'::regclass"
            ),
            "to_t 2 true",
            "the key of another table, with a part for each shard"
        );
        assert_eq!(
            text(
                "SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND NOT convalidated AND conname <> 'own_key'"
            ),
            "0"
        );
        assert_eq!(
            text(
                "SELECT count(*)::text FROM pg_constraint WHERE contype = 'f' AND conrelid = 'f.t_s1'::regclass"
            ),
            "0"
        );
    }

    #[pg_test]
    fn a_fingerprint_changes_with_everything_but_captures() {
        run(RICH);
        let wanted = change("f.t", &["id"], &["f.t_s1"], &[("f.t_s2", "FOR VALUES FROM (0) TO (1000)")]);
        let print = || {
            crate::operations::reshard::check::fingerprint(&wanted)
                .unwrap_or_else(|failed| panic!("{failed:?}"))
        };
        let before = print();
        for statement in [
            "CREATE TRIGGER presplit_capture AFTER INSERT ON f.t_s1 FOR EACH ROW EXECUTE FUNCTION f.note()",
            "ANALYZE f.t_s1",
            "UPDATE f.t SET k = 'z' WHERE id = 1; SET CONSTRAINTS ALL IMMEDIATE",
            "CREATE TABLE f.t_s9 PARTITION OF f.t FOR VALUES FROM (9000) TO (9001)",
        ] {
            run(statement);
            assert_eq!(print(), before, "{statement}");
        }
        for statement in [
            "ALTER TABLE f.t_s1 SET (fillfactor = 78)",
            "ALTER TABLE f.t_s1 ALTER COLUMN k SET DEFAULT 'y'",
            "ALTER TABLE f.t ADD COLUMN more int",
            "ALTER TABLE f.t_s1 ADD CHECK (id > -5)",
            "DROP INDEX f.t_s1_twice",
            "ALTER TABLE f.t_s1 ENABLE TRIGGER t_watch",
            "GRANT DELETE ON f.t_s1 TO f_reader",
            "GRANT INSERT (id) ON f.t_s1 TO f_reader",
            "ALTER POLICY own_policy ON f.t_s1 USING (n > 1)",
            "ALTER TABLE f.t_s1 DISABLE ROW LEVEL SECURITY",
            "COMMENT ON TABLE f.t_s1 IS 'x'",
            "ALTER TABLE f.t_s1 REPLICA IDENTITY FULL",
            "ALTER PUBLICATION f_all DROP TABLE f.t_s1",
            "DROP STATISTICS f.t_s1_stat",
            "ALTER TABLE f.child DROP CONSTRAINT to_t",
            "CREATE INDEX ON f.t (n)",
            "ALTER TABLE f.t RENAME COLUMN k TO kk",
            "ALTER TABLE f.child DROP CONSTRAINT to_t; ALTER TABLE f.t DETACH PARTITION f.t_s1",
        ] {
            let after = in_rolled_back_subtransaction(|| {
                run(statement);
                print()
            });
            assert_ne!(
                after.unwrap_or_else(|caught| panic!("{statement}: {}", caught.message)),
                before,
                "{statement}"
            );
        }
    }

    #[pg_test]
    fn what_cannot_be_carried_is_refused_by_name() {
        run(RICH);
        run("CREATE VIEW f.sees AS SELECT id FROM f.t_s1;
             CREATE FUNCTION f.takes(f.t_s1) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE TABLE f.points (t int REFERENCES f.t_s1 (id));
             ALTER TABLE f.t_s1 FORCE ROW LEVEL SECURITY;
             CREATE INDEX lacking ON ONLY f.t (n);
             CREATE RULE names_itself AS ON DELETE TO f.t_s1 WHERE OLD.n = 998 DO ALSO DELETE FROM f.t_s1 WHERE id = OLD.n;
             CREATE POLICY names_itself ON f.t_s1 USING (EXISTS (SELECT FROM f.t_s1 AS o WHERE o.id = t_s1.n));
             CREATE TABLE f.t_s2_twice ();
             REVOKE EXECUTE ON FUNCTION f.note() FROM PUBLIC, f_owner;
             REVOKE CREATE ON SCHEMA f FROM f_owner");
        let mut wanted = change("f.t", &[], &["f.t_s1"], &[("f.t_s2", "FOR VALUES FROM (0) TO (1000)")]);
        wanted.targets[0].tablespace = Some("nowhere".to_owned());
        let found = errors(&wanted).join("\n");
        for expected in [
            "f.t: there is no primary key, and no unique index",
            "view f.sees: needs shard f.t_s1 itself",
            "function f.takes(f.t_s1): needs shard f.t_s1 itself",
            "constraint points_t_fkey on table f.points: references shard f.t_s1 itself",
            "f.t_s1: row security is forced on its owner",
            "f.lacking: index has no part on shard f.t_s1",
            "rule names_itself on table f.t_s1: names shard f.t_s1",
            "policy names_itself on table f.t_s1: names shard f.t_s1",
            "f.t_s2_twice: the name is taken",
            "f.note(): owner f_owner of the shard may not call",
            "schema f: owner f_owner of the shard has no right to create",
            "tablespace nowhere: does not exist",
        ] {
            assert!(found.contains(expected), "{expected} is not in\n{found}");
        }
        assert_eq!(errors(&wanted).len(), 12, "{found}");
        run(
            "CREATE TABLE f.t_s3 PARTITION OF f.t FOR VALUES FROM (1000) TO (2000); ALTER TABLE f.t_s3 OWNER TO f_reader",
        );
        let merged =
            change("f.t", &["id"], &["f.t_s3", "f.t_s1"], &[("f.t_s4", "FOR VALUES FROM (0) TO (2000)")]);
        let found = errors(&merged).join("\n");
        for expected in [
            "trigger is not as on shard f.t_s3",
            "index is not as on shard f.t_s3",
            "column is not as on shard f.t_s3",
            "f.t_s3: shard and its table f.t have different owners",
        ] {
            assert!(found.contains(expected), "{expected} is not in\n{found}");
        }
    }
}
