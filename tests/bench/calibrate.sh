#!/usr/bin/env bash
# What calibrate() finds here beside the defaults, and how long it takes. Usage: tests/bench/calibrate.sh [15|18]
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18}

cluster_start bench "$version"
cluster_use bench
q() { psql -qX -v ON_ERROR_STOP=1 -d postgres "$@"; }
q -c 'CREATE EXTENSION pg_presplit'
q -c '\timing on' -c 'CREATE TABLE first AS SELECT * FROM calibrate()' | sed -n 's/^Time: /first run:  /p'
q -c '\timing on' -c 'CREATE TABLE second AS SELECT * FROM calibrate()' | sed -n 's/^Time: /second run: /p'
defaults=$(sed -n 's/^            \([a-z_]*_ms\): \([0-9.e-]*\),$/\1 \2/p' "$PRESPLIT_ROOT/src/planning/proposal/constants.rs"
    for kind in scan join; do
        sed -n "s/^            planning_${kind}_ms: \[(\(.*\))\],\$/\1/p" "$PRESPLIT_ROOT/src/planning/proposal/constants.rs" |
            sed 's/), (/\n/g' | awk -F', ' -v kind="$kind" '{printf "planning_%s_%d_ms %s\n", kind, $1, $2}'
    done)
q -c 'CREATE TABLE defaults (constant text, value float8)'
q -c 'COPY defaults FROM STDIN (DELIMITER E'"' '"')' <<<"$defaults"
q -c 'SELECT f.constant, d.value AS "default (ms)", f.value::numeric(12, 6) AS measured,
             round((f.value / d.value)::numeric, 2) AS "measured / default",
             round((s.value / f.value)::numeric, 2) AS "second / first", f.note
      FROM first AS f JOIN defaults AS d USING (constant) JOIN second AS s USING (constant)'
