-- What stands in the way of another table taking the name of a table that has rows; $1 = its oid as bigint, $2 = whether
-- the server can add a foreign key to a partitioned table without looking at its rows.
WITH this AS (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS own
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::bigint::oid
), findings (severity, object, problem, remedy) AS (
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'does not hold for the rows that are there: on new shards it would',
           format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', this.own, k.conname)
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND k.contype IN ('c', 'f', 'n')
    WHERE NOT (k.convalidated AND coalesce((to_jsonb(k)->>'conenforced')::bool, true))
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'PostgreSQL can add a foreign key of a partitioned table only by reading all of its rows before version 18',
           format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f' AND k.conparentid = 0
    JOIN pg_class AS c ON c.oid = k.conrelid AND c.relkind = 'p'
    WHERE NOT $2
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
