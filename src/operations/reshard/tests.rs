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
        swap::run(change, 1).unwrap_or_else(|failed| panic!("{failed:?}"));
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
        run("CREATE TABLE e (id int, v text COLLATE \"und-x-icu\") PARTITION BY RANGE (lower(v) COLLATE \"C\", v COLLATE \"C\");
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
}
