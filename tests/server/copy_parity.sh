#!/usr/bin/env bash
# The rows and key columns that planning/routing finds in the bytes of a COPY are those that PostgreSQL's own COPY finds:
# on thousands of random inputs in several encodings, up to the row or the error that ends each.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
count=${PRESPLIT_PARITY_CASES:-1500}
seed=${PRESPLIT_PARITY_SEED:-$RANDOM}

cluster_start copy_parity "$version" "log_min_messages = fatal"
cluster_use copy_parity
tmp=$(cluster_tmp copy_parity)
cd "$PRESPLIT_ROOT"
parity=$(cargo build --quiet --no-default-features --example copy_parity --message-format=json |
    sed -nE 's/.*"executable":"([^"]*copy_parity)".*/\1/p')

for pair in UTF8:UTF8 EUC_JP:EUC_JP LATIN1:LATIN1 SQL_ASCII:SQL_ASCII UTF8:LATIN1; do
    server=${pair%:*} encoding=${pair#*:}
    createdb -T template0 -E "$server" --locale C "p_$server" 2>/dev/null || true
    mkdir "$tmp/$pair"
    arguments=("$tmp/$pair" "$version" "$encoding" "$seed" "$count")
    # Names what the scanner's bytes become in the server.
    if [[ $server != "$encoding" ]]; then arguments[2]="${encoding}_IN_$server"; fi
    "$parity" cases "${arguments[@]}" | sed "s/${arguments[2]}/$encoding/" >"$tmp/$pair.sql"
    chmod -R a+rX "$tmp/$pair"
    PGCLIENTENCODING=SQL_ASCII psql -X -q -v VERBOSITY=terse -d "p_$server" -f "$tmp/$pair.sql" 2>&1 >/dev/null |
        sed "s/^psql:[^ ]* //" >"$tmp/$pair.out"
    name="the scanner and COPY agree, $encoding into $server, seed $seed"
    if "$parity" check "${arguments[@]}" <"$tmp/$pair.out" >"$tmp/$pair.report" 2>&1; then
        ok "$name"
    else
        not_ok "$name"
        cat "$tmp/$pair.report"
    fi
done

cluster_stop copy_parity
exit "$CHECKS_FAILED"
