\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.6.0'" to load this file. \quit

-- From 0.5.0 to 0.6.0. Afterwards everything is as after a fresh installation
-- of 0.6.0, which the release test compares object by object.
