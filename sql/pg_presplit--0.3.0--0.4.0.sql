\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.4.0'" to load this file. \quit

-- From 0.3.0 to 0.4.0. Afterwards everything is as after a fresh installation
-- of 0.4.0, which the release test compares object by object.

-- A proposal is known by what it decides, no more by every number in it.
COMMENT ON TABLE presplit.stored_proposals IS 'proposals; what each decides never changes';
COMMENT ON COLUMN presplit.stored_proposals.digest IS 'hash of what it decides and of its creator';
