\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.3.0'" to load this file. \quit

-- From 0.2.0 to 0.3.0. Afterwards everything is as after a fresh installation
-- of 0.3.0, which the release test compares object by object.

-- Size history ---------------------------------------------------------------

ALTER TABLE presplit.size_history
    ALTER schema_name TYPE text COLLATE "C",
    ALTER table_name TYPE text COLLATE "C",
    ADD heap_bytes  float8,
    ADD index_bytes float8,
    ADD toast_bytes float8,
    ADD loaded      float8 NOT NULL DEFAULT 0,
    ADD dropped     float8 NOT NULL DEFAULT 0,
    ADD event_bytes float8 NOT NULL DEFAULT 0,
    ADD event       text;

CREATE INDEX size_history_by_time ON presplit.size_history (at);

CREATE TABLE presplit.size_reading (
    database   oid PRIMARY KEY,
    at         timestamptz NOT NULL,
    took_ms    float8 NOT NULL,
    thinned_at timestamptz,
    content    json NOT NULL
);

REVOKE ALL ON presplit.size_reading FROM PUBLIC;

COMMENT ON TABLE presplit.size_history IS 'sizes of tables and shards over time, recorded by the worker';
COMMENT ON COLUMN presplit.size_history.inserted IS 'rows inserted since the history began, without loads';
COMMENT ON COLUMN presplit.size_history.updated IS 'rows updated since the history began';
COMMENT ON COLUMN presplit.size_history.deleted IS 'rows deleted since the history began';
COMMENT ON COLUMN presplit.size_history.heap_bytes IS 'of which heap; null in lines of release 0.2 and before';
COMMENT ON COLUMN presplit.size_history.index_bytes IS 'of which indexes';
COMMENT ON COLUMN presplit.size_history.toast_bytes IS 'of which TOAST with its index';
COMMENT ON COLUMN presplit.size_history.loaded IS 'rows that came in by loads and with attached partitions since the history began';
COMMENT ON COLUMN presplit.size_history.dropped IS 'rows that went with drops, TRUNCATE and detached partitions since the history began';
COMMENT ON COLUMN presplit.size_history.event_bytes IS 'by how many bytes these and rewrites changed the size since the history began';
COMMENT ON COLUMN presplit.size_history.event IS 'what happened since the line before: attach, detach, drop, load, move, restore, rewrite, truncate';

COMMENT ON TABLE presplit.size_reading IS 'sizes and counters at the last look of the worker';
COMMENT ON COLUMN presplit.size_reading.database IS 'database whose tables they are; a copy of it begins anew';
COMMENT ON COLUMN presplit.size_reading.at IS 'when';
COMMENT ON COLUMN presplit.size_reading.took_ms IS 'how long it took; a hundred times that is the least time to the next';
COMMENT ON COLUMN presplit.size_reading.thinned_at IS 'when the history was last thinned';
COMMENT ON COLUMN presplit.size_reading.content IS 'each leaf with its counters, and what the history has added up for each name';
