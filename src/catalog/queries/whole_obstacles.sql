-- What stands in the way of another table taking the name of a table that has rows; $1 = its oid as bigint, $2 = whether
-- the server can add a foreign key to a partitioned table without looking at its rows.
WITH this AS (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS own
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::bigint::oid
), parts AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS own
    FROM this CROSS JOIN LATERAL pg_partition_tree(this.oid) AS t
    JOIN pg_class AS c ON c.oid = t.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE t.level > 0
), alone (what, part) AS (
    -- What only a shard has: its table does not give it to others.
    SELECT pg_describe_object('pg_class'::regclass, x.oid, 0), p.own
    FROM parts AS p JOIN pg_index AS i ON i.indrelid = p.oid JOIN pg_class AS x ON x.oid = i.indexrelid WHERE NOT x.relispartition
    UNION ALL
    SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0), p.own
    FROM parts AS p JOIN pg_constraint AS k ON k.conrelid = p.oid AND k.contype IN ('c', 'f') AND k.coninhcount = 0 AND k.conparentid = 0
    UNION ALL
    SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0), p.own
    FROM parts AS p JOIN pg_constraint AS k ON k.confrelid = p.oid AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT pg_describe_object('pg_trigger'::regclass, g.oid, 0), p.own
    FROM parts AS p JOIN pg_trigger AS g ON g.tgrelid = p.oid AND NOT g.tgisinternal AND g.tgparentid = 0
    UNION ALL
    SELECT pg_describe_object('pg_policy'::regclass, y.oid, 0), p.own FROM parts AS p JOIN pg_policy AS y ON y.polrelid = p.oid
    UNION ALL
    SELECT pg_describe_object('pg_rewrite'::regclass, w.oid, 0), p.own FROM parts AS p JOIN pg_rewrite AS w ON w.ev_class = p.oid
    UNION ALL
    SELECT pg_describe_object('pg_statistic_ext'::regclass, s.oid, 0), p.own FROM parts AS p JOIN pg_statistic_ext AS s ON s.stxrelid = p.oid
    UNION ALL
    SELECT pg_describe_object('pg_publication_rel'::regclass, r.oid, 0), p.own FROM parts AS p JOIN pg_publication_rel AS r ON r.prrelid = p.oid
    UNION ALL
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0), p.own
    FROM parts AS p JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = p.oid AND d.deptype = 'n'
    WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
    UNION ALL
    SELECT format('rights on %s', p.own), p.own
    FROM parts AS p WHERE EXISTS (SELECT FROM aclexplode(p.relacl) AS a WHERE a.grantee <> p.relowner)
    UNION ALL
    SELECT format('owner of %s', p.own), p.own FROM this JOIN parts AS p ON p.relowner <> this.relowner
    UNION ALL
    SELECT format('foreign table %s', p.own), p.own FROM parts AS p WHERE p.relkind = 'f'
), findings (severity, object, problem, remedy) AS (
    SELECT 'error', a.what, format('is of shard %s alone, and would be lost', a.part), 'Drop it first.' FROM alone AS a
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'does not hold for the rows that are there: on new shards it would',
           format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', this.own, k.conname)
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND k.contype = 'f'
    WHERE NOT (k.convalidated AND coalesce((to_jsonb(k)->>'conenforced')::bool, true))
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'PostgreSQL can add a foreign key of a partitioned table only by reading all of its rows before version 18',
           format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f' AND k.conparentid = 0
    JOIN pg_class AS c ON c.oid = k.conrelid AND c.relkind = 'p'
    WHERE NOT $2 AND k.conrelid <> this.oid
    UNION ALL
    SELECT 'error', pg_describe_object('pg_publication'::regclass, p.oid, 0), 'publishes tables while they are filled, under names that subscribers do not know',
           'Publish tables by name while the operation runs, or set wal_level to replica.'
    FROM this JOIN pg_publication AS p ON p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid AND s.pnnspid = this.relnamespace)
    WHERE current_setting('wal_level') = 'logical' AND this.relpersistence = 'p'
    UNION ALL
    SELECT 'error', pg_describe_object('pg_subscription'::regclass, r.srsubid, 0), 'brings rows into the table, and would go on with the old one',
           'End the subscription before the table is divided.'
    FROM this JOIN pg_subscription_rel AS r ON r.srrelid = this.oid
    UNION ALL
    SELECT 'error', this.own, 'row security is forced on its owner, who could not copy all of its rows', format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', this.own)
    FROM this JOIN pg_roles AS r ON r.oid = this.relowner WHERE this.relrowsecurity AND this.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
    UNION ALL
    SELECT 'error', format('%I.%I', n.nspname, c.relname), 'partition is being detached: its rows are neither in the table nor out of it',
           format('ALTER TABLE %s DETACH PARTITION %I.%I FINALIZE;', i.inhparent::regclass, n.nspname, c.relname)
    FROM (SELECT this.oid FROM this UNION SELECT p.oid FROM parts AS p) AS t JOIN pg_inherits AS i ON i.inhparent = t.oid AND i.inhdetachpending
    JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'error', i.indexrelid::regclass::text, 'index is invalid', format('REINDEX INDEX %s;', i.indexrelid::regclass)
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid AND NOT i.indisvalid
    UNION ALL
    SELECT 'error', f.oid::regprocedure::text, format('owner %I of the table may not call the function, but its triggers do: %s', pg_get_userbyid(this.relowner),
                                                      string_agg(quote_ident(g.tgname), ', ' ORDER BY g.tgname)),
           format('GRANT EXECUTE ON FUNCTION %s TO %I;', f.oid::regprocedure, pg_get_userbyid(this.relowner))
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid AND NOT g.tgisinternal JOIN pg_proc AS f ON f.oid = g.tgfoid
    WHERE NOT has_function_privilege(this.relowner, f.oid, 'EXECUTE')
    GROUP BY f.oid, this.relowner
    UNION ALL
    SELECT 'error', this.own, format('table has a security label of provider %s', l.provider), format('SECURITY LABEL FOR %I ON TABLE %s IS NULL;', l.provider, this.own)
    FROM this JOIN pg_seclabel AS l ON l.classoid = 'pg_class'::regclass AND l.objoid = this.oid
    UNION ALL
    SELECT 'warning', format('prepared transaction %L', x.gid), 'holds locks until it is ended: the table is not replaced before', format('COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', x.gid, x.gid)
    FROM this JOIN pg_locks AS l ON l.locktype = 'relation' AND l.pid IS NULL AND l.relation = this.oid AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    JOIN pg_prepared_xacts AS x ON l.virtualtransaction = '-1/' || x.transaction
)
SELECT jsonb_build_object('severity', f.severity, 'object', f.object, 'problem', f.problem, 'remedy', f.remedy)::text
FROM (SELECT DISTINCT * FROM findings) AS f
ORDER BY array_position(ARRAY['error', 'warning', 'info'], f.severity), f.object, f.problem
