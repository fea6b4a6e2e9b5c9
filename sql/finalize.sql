-- Who may, and what each object is for. Every object has a comment; EXECUTE is
-- revoked from PUBLIC on whatever changes state or touches files.

REVOKE ALL ON SCHEMA presplit FROM PUBLIC;
GRANT USAGE ON SCHEMA presplit TO PUBLIC;
COMMENT ON SCHEMA presplit IS 'sharded tables: proposals, shards, restores and their settings';

-- Facts ----------------------------------------------------------------------

COMMENT ON FUNCTION capture_profile(regclass[]) IS
    'facts of these tables (all user tables if null) and the statements of this database, as JSON';

REVOKE ALL ON FUNCTION import_profile(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION import_profile(jsonb, text) IS
    'stores a captured profile under a name, replacing one of that name';

REVOKE ALL ON FUNCTION declare_workload(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION declare_workload(jsonb, text) IS
    'stores statements with the rates at which they will run, replacing those declared under that name';

REVOKE ALL ON FUNCTION import_log(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION import_log(text, text, text) IS
    'reads the statements of this database from a log file of the server and stores them as a profile';

REVOKE ALL ON FUNCTION profile_backup(text, text) FROM PUBLIC;
COMMENT ON FUNCTION profile_backup(text, text) IS
    'stores a profile of a dump file on the server: its schema, and statistics from a sample of its rows';

COMMENT ON FUNCTION analyze_workload(text) IS
    'how the statements of a profile use the columns of tables, as PostgreSQL itself analyses them';

COMMENT ON FUNCTION workload_coverage(text) IS
    'how many statements of a profile could be analysed, by number, calls and execution time, and what they are from';

COMMENT ON FUNCTION predict_growth(text, interval, text) IS
    'expected rows and bytes of a table up to a horizon, with a 90 percent interval';

COMMENT ON FUNCTION forecast_series(timestamptz[], float8[], interval) IS
    'the forecast of any series of observations, with a 90 percent interval';

REVOKE ALL ON FUNCTION calibrate() FROM PUBLIC;
COMMENT ON FUNCTION calibrate() IS
    'measures on this server what the cost model takes as given, stores it for later proposals and returns it';

-- Proposals ------------------------------------------------------------------

REVOKE ALL ON FUNCTION propose_shards(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION propose_shards(text, text, interval) IS
    'proposes how one table, or each, should be sharded, with the reasons; changes no table';

COMMENT ON FUNCTION explain_proposal(bigint, text[]) IS
    'everything that was weighed for a proposal, the chosen way first';

REVOKE ALL ON FUNCTION choose_alternative(bigint, text, int) FROM PUBLIC;
COMMENT ON FUNCTION choose_alternative(bigint, text, int) IS
    'a new proposal with another of the ways that were weighed for a table';

COMMENT ON FUNCTION proposal_evidence(bigint, text[]) IS
    'what PostgreSQL''s own planner makes of each statement on the proposed shards, before and after';

COMMENT ON FUNCTION proposal_ddl(bigint, text[]) IS
    'the statements that make each table sharded, executable in order as they are';

COMMENT ON FUNCTION export_proposal(bigint) IS
    'a proposal as JSON, to be imported elsewhere';

REVOKE ALL ON FUNCTION import_proposal(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION import_proposal(jsonb) IS
    'stores a proposal that was exported elsewhere';

REVOKE ALL ON FUNCTION register_proposal(text, text, text[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION register_proposal(text, text, text[], jsonb) IS
    'stores a proposal made by hand';

-- Restore --------------------------------------------------------------------

REVOKE ALL ON FUNCTION check_restore(bigint, text, text) FROM PUBLIC;
COMMENT ON FUNCTION check_restore(bigint, text, text) IS
    'what would keep a dump from being restored into the shards of a proposal; nothing at error = it goes through';

COMMENT ON FUNCTION restore_script(bigint, text) IS
    'the output of pg_restore -s rewritten for a proposal, for servers without the extension';

REVOKE ALL ON FUNCTION create_shards(bigint, text, boolean, interval, text[]) FROM PUBLIC;
COMMENT ON FUNCTION create_shards(bigint, text, boolean, interval, text[]) IS
    'creates the shards of a proposal: now for empty tables, during the restore for tables not here yet';

REVOKE ALL ON FUNCTION disarm(text) FROM PUBLIC;
COMMENT ON FUNCTION disarm(text) IS
    'ends the rewriting of statements for a table; false if it was not armed';

COMMENT ON FUNCTION check_shards(regclass) IS
    'what is not right with one sharded table, or with all';

REVOKE ALL ON FUNCTION configure_shards(text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION configure_shards(text, jsonb) IS
    'changes the settings of one table, also of a table that is not here yet; returns all of them';

-- Resharding -----------------------------------------------------------------

REVOKE ALL ON FUNCTION split_shard(regclass, text[], int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION split_shard(regclass, text[], int, boolean) IS
    'divides one shard into several, online; returns the number of the operation that does it';

COMMENT ON FUNCTION split_shard_plan(regclass, text[], int, boolean) IS
    'the steps that split_shard() would take, with their locks and estimates; changes nothing';

REVOKE ALL ON FUNCTION merge_shards(regclass[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION merge_shards(regclass[], boolean) IS
    'makes one shard of several, online; returns the number of the operation that does it';

COMMENT ON FUNCTION merge_shards_plan(regclass[], boolean) IS
    'the steps that merge_shards() would take, with their locks and estimates; changes nothing';

REVOKE ALL ON FUNCTION move_shard(regclass, name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION move_shard(regclass, name, boolean) IS
    'moves a shard to another tablespace, online; returns the number of the operation that does it';

COMMENT ON FUNCTION move_shard_plan(regclass, name, boolean) IS
    'the steps that move_shard() would take, with their locks and estimates; changes nothing';

REVOKE ALL ON FUNCTION shard_table(regclass, bigint, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION shard_table(regclass, bigint, boolean, text) IS
    'divides a table that has rows as a proposal says, or makes it plain, while people use it; returns the number of the operation';

COMMENT ON FUNCTION shard_table_plan(regclass, bigint, boolean, text) IS
    'the steps that shard_table() would take, with their locks and estimates; changes nothing';

COMMENT ON FUNCTION check_operation(regclass, bigint) IS
    'everything that stands against replacing shards of a table, or the whole table by a proposal, at once and beforehand';

COMMENT ON FUNCTION wait_operation(bigint, interval) IS
    'waits until an operation is over; returns its final phase';

REVOKE ALL ON FUNCTION cancel_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION cancel_operation(bigint) IS
    'has an operation take back what it has done; false if it is over';

REVOKE ALL ON FUNCTION pause_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pause_operation(bigint) IS
    'has an operation stop after its step; false if it is over';

REVOKE ALL ON FUNCTION resume_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION resume_operation(bigint) IS
    'has an operation go on that was paused, or has failed; false if there is nothing to resume';
REVOKE ALL ON FUNCTION undo_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION undo_operation(bigint) IS
    'puts back the shards that an operation has replaced, with all that was written since, while they are kept';

-- Tables: for the extension alone ---------------------------------------------

REVOKE ALL ON ALL TABLES IN SCHEMA presplit FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA presplit FROM PUBLIC;

COMMENT ON TABLE presplit.stored_profiles IS 'imported profiles by name';
COMMENT ON COLUMN presplit.stored_profiles.name IS 'name given to import_profile()';
COMMENT ON COLUMN presplit.stored_profiles.profile IS 'the profile, as docs/profile.md describes it';
COMMENT ON COLUMN presplit.stored_profiles.imported_at IS 'when it was imported; the latest is used where no name is given';
COMMENT ON COLUMN presplit.stored_profiles.imported_by IS 'role that imported it';

COMMENT ON TABLE presplit.declared_workloads IS 'declared statements by profile';
COMMENT ON COLUMN presplit.declared_workloads.profile IS 'name of the profile that they belong to';
COMMENT ON COLUMN presplit.declared_workloads.statements IS 'the list given to declare_workload()';
COMMENT ON COLUMN presplit.declared_workloads.declared_at IS 'when they were declared';
COMMENT ON COLUMN presplit.declared_workloads.declared_by IS 'role that declared them';

COMMENT ON TABLE presplit.stored_proposals IS 'proposals; what each decides never changes';
COMMENT ON COLUMN presplit.stored_proposals.proposal_id IS 'number of the proposal';
COMMENT ON COLUMN presplit.stored_proposals.digest IS 'hash of what it decides and of its creator';
COMMENT ON COLUMN presplit.stored_proposals.settings IS 'settings that it was made under; restores obey these';
COMMENT ON COLUMN presplit.stored_proposals.created_at IS 'when it was made';
COMMENT ON COLUMN presplit.stored_proposals.created_by IS 'role that made it';

COMMENT ON TABLE presplit.proposal_relations IS 'what each proposal says of each table';
COMMENT ON COLUMN presplit.proposal_relations.proposal_id IS 'number of the proposal';
COMMENT ON COLUMN presplit.proposal_relations.position IS 'place of the table in the proposal';
COMMENT ON COLUMN presplit.proposal_relations.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.proposal_relations.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.proposal_relations.content IS 'layout, reasons and everything that was weighed';
COMMENT ON COLUMN presplit.proposal_relations.shards IS 'the shards of the layout in bound order';
COMMENT ON COLUMN presplit.proposal_relations.state IS 'proposed, applied, superseded or disarmed';

COMMENT ON TABLE presplit.armed_tables IS 'tables whose restore is rewritten';
COMMENT ON COLUMN presplit.armed_tables.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.armed_tables.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.armed_tables.proposal_id IS 'proposal that divides it';
COMMENT ON COLUMN presplit.armed_tables.replaces IS 'whether an existing table is to be dropped and recreated';
COMMENT ON COLUMN presplit.armed_tables.valid_for IS 'time after the last rewritten statement at which the arming ends';
COMMENT ON COLUMN presplit.armed_tables.armed_at IS 'when it was armed';
COMMENT ON COLUMN presplit.armed_tables.armed_by IS 'role that armed it';

COMMENT ON TABLE presplit.restore_log IS 'statements that were rewritten for armed tables';
COMMENT ON COLUMN presplit.restore_log.entry IS 'number in order of time';
COMMENT ON COLUMN presplit.restore_log.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.restore_log.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.restore_log.proposal_id IS 'proposal that divides it';
COMMENT ON COLUMN presplit.restore_log.statement_kind IS 'kind of the statement';
COMMENT ON COLUMN presplit.restore_log.original IS 'statement as the client sent it';
COMMENT ON COLUMN presplit.restore_log.executed IS 'what ran in its place';
COMMENT ON COLUMN presplit.restore_log.note IS 'why';
COMMENT ON COLUMN presplit.restore_log.rows_loaded IS 'rows that a COPY brought';
COMMENT ON COLUMN presplit.restore_log.logged_by IS 'role that restored';
COMMENT ON COLUMN presplit.restore_log.at IS 'when';

COMMENT ON TABLE presplit.retired_shards IS 'shards that others have taken the places of, kept for a while';
COMMENT ON COLUMN presplit.retired_shards.shard IS 'the replaced shard';
COMMENT ON COLUMN presplit.retired_shards.relation IS 'the sharded table';
COMMENT ON COLUMN presplit.retired_shards.parent IS 'the table that it was a partition of: the sharded table or one of its branches';
COMMENT ON COLUMN presplit.retired_shards.bound IS 'what it accepted';
COMMENT ON COLUMN presplit.retired_shards.operation_id IS 'operation that replaced it';
COMMENT ON COLUMN presplit.retired_shards.retired_at IS 'when it was replaced';
COMMENT ON COLUMN presplit.retired_shards.drop_after IS 'when it may be dropped';

COMMENT ON TABLE presplit.staging_tables IS 'tables that hold rows of a COPY until they take their shards'' places';
COMMENT ON COLUMN presplit.staging_tables.staging IS 'the table';
COMMENT ON COLUMN presplit.staging_tables.shard IS 'the shard that the rows belong to';
COMMENT ON COLUMN presplit.staging_tables.load IS 'number of the transaction of the COPY';
COMMENT ON COLUMN presplit.staging_tables.leader_pid IS 'process id of its session';
COMMENT ON COLUMN presplit.staging_tables.leader_transaction IS 'virtual transaction id of the COPY; while it is held, the COPY goes on';
COMMENT ON COLUMN presplit.staging_tables.server_start IS 'start of the server that the ids belong to';
COMMENT ON COLUMN presplit.staging_tables.created_at IS 'when the table was made';

COMMENT ON TABLE presplit.operation_log IS 'operations that are over, and those that have been running for long';
COMMENT ON COLUMN presplit.operation_log.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.operation_log.kind IS 'load, split, merge, move, shard_table, retention or undo';
COMMENT ON COLUMN presplit.operation_log.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.operation_log.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.operation_log.relation IS 'the table; its owner sees the operation';
COMMENT ON COLUMN presplit.operation_log.phase IS 'where it is';
COMMENT ON COLUMN presplit.operation_log.rows_done IS 'rows that it has brought';
COMMENT ON COLUMN presplit.operation_log.rows_total IS 'rows that it is to bring, if that is known';
COMMENT ON COLUMN presplit.operation_log.bytes_done IS 'bytes that it has read';
COMMENT ON COLUMN presplit.operation_log.bytes_total IS 'bytes that it is to read, if that is known';
COMMENT ON COLUMN presplit.operation_log.started_at IS 'when it began';
COMMENT ON COLUMN presplit.operation_log.finished_at IS 'when it was over; null while it runs';
COMMENT ON COLUMN presplit.operation_log.error IS 'why it came to nothing';
COMMENT ON COLUMN presplit.operation_log.attempts IS 'how often it was tried';
COMMENT ON COLUMN presplit.operation_log.detail IS 'how it was done';
COMMENT ON COLUMN presplit.operation_log.started_by IS 'role that began it';

COMMENT ON TABLE presplit.jobs IS 'operations that a worker carries out in many transactions';
COMMENT ON COLUMN presplit.jobs.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.jobs.root IS 'the sharded table; one operation at a time works on it';
COMMENT ON COLUMN presplit.jobs.change IS 'what gives way to what';
COMMENT ON COLUMN presplit.jobs.settings IS 'settings of who began it, and of the table';
COMMENT ON COLUMN presplit.jobs.phase IS 'the step that is next, also while it is paused';
COMMENT ON COLUMN presplit.jobs.state IS 'how far the step is';
COMMENT ON COLUMN presplit.jobs.ending IS 'how it will have ended once everything of it is dropped';
COMMENT ON COLUMN presplit.jobs.is_over IS 'whether nothing is left to be done';
COMMENT ON COLUMN presplit.jobs.owner IS 'owner of the table, with whose rights it runs';
COMMENT ON COLUMN presplit.jobs.database IS 'database that it belongs to; a copy of it does not go on';
COMMENT ON COLUMN presplit.jobs.system_identifier IS 'server that it belongs to; a copy of it does not go on';
COMMENT ON COLUMN presplit.jobs.fingerprint IS 'what the tables were like when it began';
COMMENT ON COLUMN presplit.jobs.shape IS 'what the tables were like when it began, object by object';
COMMENT ON COLUMN presplit.jobs.next_try_at IS 'when it is tried again after a failure';
COMMENT ON COLUMN presplit.jobs.seconds_left IS 'time that the rest of the rows will take';
COMMENT ON COLUMN presplit.jobs.waiting_for IS 'what it waits for';
COMMENT ON COLUMN presplit.jobs.blocked_by IS 'process ids of the sessions that it waits for';

COMMENT ON TABLE presplit.job_wishes IS 'what is wished of operations';
COMMENT ON COLUMN presplit.job_wishes.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_wishes.wish IS 'run, pause or cancel';
COMMENT ON COLUMN presplit.job_wishes.wished_by IS 'role that wished it';
COMMENT ON COLUMN presplit.job_wishes.wished_at IS 'when';

COMMENT ON TABLE presplit.job_objects IS 'what operations have made and not yet handed over';
COMMENT ON COLUMN presplit.job_objects.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_objects.object IS 'the table or trigger';
COMMENT ON COLUMN presplit.job_objects.role IS 'staging, log, trigger or retired';
COMMENT ON COLUMN presplit.job_objects.name IS 'its name, for people';
COMMENT ON COLUMN presplit.job_objects.entry IS 'order in which they were made';

COMMENT ON TABLE presplit.job_events IS 'what happened to operations, step by step';
COMMENT ON COLUMN presplit.job_events.entry IS 'order in which it happened';
COMMENT ON COLUMN presplit.job_events.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_events.at IS 'when';
COMMENT ON COLUMN presplit.job_events.phase IS 'the step';
COMMENT ON COLUMN presplit.job_events.seconds IS 'how long it took';
COMMENT ON COLUMN presplit.job_events.note IS 'what happened';

COMMENT ON TABLE presplit.sampled_columns IS 'sampled values of key columns, written down by the worker';
COMMENT ON COLUMN presplit.sampled_columns.relation IS 'the table';
COMMENT ON COLUMN presplit.sampled_columns.attribute IS 'number of the column';
COMMENT ON COLUMN presplit.sampled_columns.access IS 'how the values were used: equality, in_list, range_lower, range_upper or insert';
COMMENT ON COLUMN presplit.sampled_columns.sketch IS 'frequent values with their counts and a sample, as docs/profile.md describes it';
COMMENT ON COLUMN presplit.sampled_columns.first_at IS 'when it was first written down';
COMMENT ON COLUMN presplit.sampled_columns.last_at IS 'when it was last written down';

COMMENT ON TABLE presplit.sharded_tables IS 'tables that were created in shards';
COMMENT ON COLUMN presplit.sharded_tables.relation IS 'the partitioned table';
COMMENT ON COLUMN presplit.sharded_tables.proposal_id IS 'proposal that it follows';
COMMENT ON COLUMN presplit.sharded_tables.created_at IS 'when it was created in shards';

COMMENT ON TABLE presplit.size_history IS 'sizes of tables and shards over time, recorded by the worker';
COMMENT ON COLUMN presplit.size_history.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.size_history.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.size_history.at IS 'when';
COMMENT ON COLUMN presplit.size_history.rows IS 'estimated live rows, of all shards together';
COMMENT ON COLUMN presplit.size_history.bytes IS 'heap, indexes and TOAST, of all shards together';
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

COMMENT ON TABLE presplit.statement_reading IS 'the last reading of pg_stat_statements, recorded by the worker';
COMMENT ON COLUMN presplit.statement_reading.database IS 'database whose entries they are; a copy of it begins anew';
COMMENT ON COLUMN presplit.statement_reading.at IS 'when';
COMMENT ON COLUMN presplit.statement_reading.took_ms IS 'how long it took; a hundred times that is the least time to the next';
COMMENT ON COLUMN presplit.statement_reading.timeline IS 'timeline of the server';
COMMENT ON COLUMN presplit.statement_reading.server_started IS 'when the shared memory of the server was made';
COMMENT ON COLUMN presplit.statement_reading.counted_since IS 'when all counters were last set to zero';
COMMENT ON COLUMN presplit.statement_reading.evictions IS 'how often entries were evicted since then';
COMMENT ON COLUMN presplit.statement_reading.entries IS 'userid, queryid, toplevel, calls, exec_ms, rows and age of each entry';

COMMENT ON TABLE presplit.statement_hours IS 'what was counted between readings of pg_stat_statements, by hour, for two weeks';
COMMENT ON COLUMN presplit.statement_hours.hour IS 'the hour';
COMMENT ON COLUMN presplit.statement_hours.content IS 'observed seconds, weights of the heaviest statements and of the rest, and what was lost';

COMMENT ON TABLE presplit.statement_texts IS 'texts of statements that readings found';
COMMENT ON COLUMN presplit.statement_texts.userid IS 'role that ran it';
COMMENT ON COLUMN presplit.statement_texts.queryid IS 'identifier of the statement in pg_stat_statements';
COMMENT ON COLUMN presplit.statement_texts.query IS 'normalised text; null for what is no part of a workload';

COMMENT ON TABLE presplit.calibration IS 'constants of the cost model as calibrate() last measured them on this server';
COMMENT ON COLUMN presplit.calibration.constant IS 'name of the constant';
COMMENT ON COLUMN presplit.calibration.value IS 'what was measured';
COMMENT ON COLUMN presplit.calibration.unit IS 'unit of the value';
COMMENT ON COLUMN presplit.calibration.measured_at IS 'when';
COMMENT ON COLUMN presplit.calibration.measured_by IS 'role that measured';

COMMENT ON TABLE presplit.table_settings IS 'settings of single tables';
COMMENT ON COLUMN presplit.table_settings.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.table_settings.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.table_settings.settings IS 'settings and their values';
COMMENT ON COLUMN presplit.table_settings.changed_at IS 'when they were last changed';
COMMENT ON COLUMN presplit.table_settings.changed_by IS 'role that changed them';

-- Views ----------------------------------------------------------------------

GRANT SELECT ON presplit.armed, presplit.operations, presplit.sharded, presplit.proposals, presplit.restore_report,
    presplit.settings, presplit.shards TO PUBLIC;
REVOKE ALL ON FUNCTION presplit.read_sampled_values() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION presplit.read_sampled_values() TO pg_read_all_data;
GRANT SELECT ON presplit.sampled_values TO pg_read_all_data;
REVOKE ALL ON FUNCTION presplit.read_statements() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION presplit.read_statements() TO pg_read_all_stats;
GRANT SELECT ON presplit.statements TO pg_read_all_stats;

COMMENT ON VIEW presplit.armed IS 'tables whose restore is rewritten now';
COMMENT ON COLUMN presplit.armed.schema_name IS 'schema of the table';
COMMENT ON COLUMN presplit.armed.table_name IS 'name of the table';
COMMENT ON COLUMN presplit.armed.proposal_id IS 'proposal that divides it';
COMMENT ON COLUMN presplit.armed.replaces IS 'whether an existing table is to be dropped and recreated';
COMMENT ON COLUMN presplit.armed.valid_until IS 'when the arming ends unless a statement is rewritten before';

COMMENT ON VIEW presplit.sharded IS 'tables that were created in shards';
COMMENT ON COLUMN presplit.sharded.relation IS 'the partitioned table';
COMMENT ON COLUMN presplit.sharded.proposal_id IS 'proposal that it follows';
COMMENT ON COLUMN presplit.sharded.created_at IS 'when it was created in shards';

COMMENT ON VIEW presplit.shards IS 'the shards of sharded tables with their size and load';
COMMENT ON COLUMN presplit.shards.relation IS 'the sharded table';
COMMENT ON COLUMN presplit.shards.shard IS 'the shard';
COMMENT ON COLUMN presplit.shards.bound IS 'what it accepts';
COMMENT ON COLUMN presplit.shards.rows IS 'estimated live rows';
COMMENT ON COLUMN presplit.shards.bytes IS 'heap, indexes and TOAST';
COMMENT ON COLUMN presplit.shards.size_share IS 'share of the bytes of its table';
COMMENT ON COLUMN presplit.shards.reads_per_second IS 'rows read per second since the counters began';
COMMENT ON COLUMN presplit.shards.writes_per_second IS 'rows written per second since the counters began';
COMMENT ON COLUMN presplit.shards.load_share IS 'share of the rows read and written of its table';
COMMENT ON COLUMN presplit.shards.bytes_at_horizon IS 'bytes that its proposal expects at the horizon';
COMMENT ON COLUMN presplit.shards.tablespace IS 'tablespace of the shard';
COMMENT ON COLUMN presplit.shards.state IS 'active; future = made ahead and still empty; retired = replaced, and dropped after its grace';

COMMENT ON VIEW presplit.operations IS 'what is done to tables for long: operations that you began, those of your tables, all for pg_read_all_stats';
COMMENT ON COLUMN presplit.operations.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.operations.kind IS 'load, split, merge, move, shard_table, retention or undo';
COMMENT ON COLUMN presplit.operations.relation IS 'the table';
COMMENT ON COLUMN presplit.operations.phase IS 'where it is: planned, preparing, capturing, copying, indexing, catching_up, verifying, cutting_over, or paused, and then done, failed or cancelled; of a load copying and cutting_over';
COMMENT ON COLUMN presplit.operations.rows_done IS 'rows that it has brought until now';
COMMENT ON COLUMN presplit.operations.rows_total IS 'rows that it is to bring, if that is known';
COMMENT ON COLUMN presplit.operations.bytes_done IS 'bytes that it has read until now';
COMMENT ON COLUMN presplit.operations.bytes_total IS 'bytes that it is to read, if that is known: the size of a file';
COMMENT ON COLUMN presplit.operations.started_at IS 'when it began';
COMMENT ON COLUMN presplit.operations.finished_at IS 'when it was over; null while it runs';
COMMENT ON COLUMN presplit.operations.eta IS 'time until the rest has come at the speed until now, if it is known how much that is';
COMMENT ON COLUMN presplit.operations.error IS 'why it came to nothing';
COMMENT ON COLUMN presplit.operations.waiting_for IS 'what it waits for now';
COMMENT ON COLUMN presplit.operations.blocked_by IS 'process ids of the sessions whose locks it waits for';
COMMENT ON COLUMN presplit.operations.attempts IS 'how often it was tried';
COMMENT ON COLUMN presplit.operations.detail IS 'how it is done, and while it runs how fast';

COMMENT ON VIEW presplit.proposals IS 'proposals that you may see, one row for each table';
COMMENT ON COLUMN presplit.proposals.proposal_id IS 'number of the proposal';
COMMENT ON COLUMN presplit.proposals.relation IS 'the table';
COMMENT ON COLUMN presplit.proposals.strategy IS 'none, range, hash, list, range_hash or list_hash';
COMMENT ON COLUMN presplit.proposals.shard_key IS 'columns that place a row';
COMMENT ON COLUMN presplit.proposals.shard_count IS 'number of shards, 1 for a whole table';
COMMENT ON COLUMN presplit.proposals.colocation_group IS 'tables of one number share key type and bounds';
COMMENT ON COLUMN presplit.proposals.rows_scanned_share IS 'share of the rows that statements have to look at, 1 for the whole table';
COMMENT ON COLUMN presplit.proposals.skew IS 'largest shard over the mean at the horizon, less one';
COMMENT ON COLUMN presplit.proposals.bytes_at_horizon IS 'expected bytes of the table at the horizon';
COMMENT ON COLUMN presplit.proposals.confidence IS 'low, medium or high: how much the facts bear';
COMMENT ON COLUMN presplit.proposals.reason IS 'why';
COMMENT ON COLUMN presplit.proposals.warnings IS 'what to know before it is applied';
COMMENT ON COLUMN presplit.proposals.shards IS 'name, bound, rows and bytes at the horizon, tablespace of each shard';
COMMENT ON COLUMN presplit.proposals.created_at IS 'when it was made';
COMMENT ON COLUMN presplit.proposals.state IS 'proposed, armed, applied, superseded or disarmed';

COMMENT ON VIEW presplit.restore_report IS 'statements of restores that were rewritten';
COMMENT ON COLUMN presplit.restore_report.relation IS 'the armed table';
COMMENT ON COLUMN presplit.restore_report.statement_kind IS 'kind of the statement';
COMMENT ON COLUMN presplit.restore_report.original IS 'statement as the client sent it';
COMMENT ON COLUMN presplit.restore_report.executed IS 'what ran in its place';
COMMENT ON COLUMN presplit.restore_report.note IS 'why';
COMMENT ON COLUMN presplit.restore_report.at IS 'when';
COMMENT ON COLUMN presplit.restore_report.rows_loaded IS 'rows that a COPY brought';

COMMENT ON VIEW presplit.sampled_values IS 'values of key columns that executions used, as far as presplit.sample_rate drew them';
COMMENT ON COLUMN presplit.sampled_values.relation IS 'the table; of a partition its root';
COMMENT ON COLUMN presplit.sampled_values.column_name IS 'the column';
COMMENT ON COLUMN presplit.sampled_values.access IS 'how it was used: equality, in_list, range_lower, range_upper or insert';
COMMENT ON COLUMN presplit.sampled_values.value IS 'a frequent value, cut after 54 bytes; null stands for all others together';
COMMENT ON COLUMN presplit.sampled_values.share IS 'its share of the values used so, at least';
COMMENT ON COLUMN presplit.sampled_values.executions IS 'executions with this value that the samples stand for, at least';
COMMENT ON COLUMN presplit.sampled_values.share_max IS 'its share of the values used so, at most';
COMMENT ON COLUMN presplit.sampled_values.sampled IS 'sampled executions that used the column so';

COMMENT ON VIEW presplit.settings IS 'settings of the extension with their values';
COMMENT ON COLUMN presplit.settings.name IS 'name of the setting';
COMMENT ON COLUMN presplit.settings.value IS 'value in this session, in the unit';
COMMENT ON COLUMN presplit.settings.unit IS 'unit of the value';
COMMENT ON COLUMN presplit.settings.meaning IS 'what it is for';

COMMENT ON VIEW presplit.statements IS 'statements of the workload and whether they could be analysed';
COMMENT ON COLUMN presplit.statements.queryid IS 'identifier of the statement in pg_stat_statements';
COMMENT ON COLUMN presplit.statements.query IS 'normalised text';
COMMENT ON COLUMN presplit.statements.calls IS 'calls in the observed time';
COMMENT ON COLUMN presplit.statements.exec_ms IS 'total execution time in the observed time, in milliseconds';
COMMENT ON COLUMN presplit.statements.analyzed IS 'whether PostgreSQL took it';
COMMENT ON COLUMN presplit.statements.reason IS 'why not';

REVOKE ALL ON FUNCTION presplit.capture_change() FROM PUBLIC;
COMMENT ON FUNCTION presplit.capture_change() IS
    'trigger on shards that are being replaced: writes down the identity of each changed row';
COMMENT ON FUNCTION presplit.is_looked_at() IS
    'whether the library has looked at the statement that runs and found no armed table in it';
COMMENT ON FUNCTION presplit.read_operations() IS 'what view presplit.operations reads of those that run';
COMMENT ON FUNCTION presplit.read_sampled_values() IS 'what view presplit.sampled_values reads';
COMMENT ON FUNCTION presplit.read_settings() IS 'what view presplit.settings reads';
COMMENT ON FUNCTION presplit.read_statements() IS 'what view presplit.statements reads';
COMMENT ON FUNCTION presplit.refuse_write() IS 'refuses writes to a shard that was replaced or is being filled, also without the library';
COMMENT ON FUNCTION presplit.refuse_forgetting() IS
    'refuses DROP EXTENSION pg_presplit while an armed table is not in its shards or an operation is under way, also without the library';
COMMENT ON EVENT TRIGGER presplit_never_forgotten IS
    'refuses DROP EXTENSION pg_presplit while an armed table is not in its shards or an operation is under way, also without the library';
COMMENT ON FUNCTION presplit.refuse_unsharded() IS
    'refuses that an armed table comes into being whole, with or without the library';
COMMENT ON EVENT TRIGGER presplit_never_silently_plain IS
    'refuses that an armed table comes into being whole, with or without the library';
