#!/usr/bin/env bash
# The tour of the README: its commands are taken from there, run as they stand, print what it shows and lead where it
# says.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

# The ```sh blocks between the markers, with a line after each that tells its end.
tour() {
    awk '/^<!-- tour -->$/ {tour = 1} /^<!-- \/tour -->$/ {tour = 0}
         /^```/ {if (shell) print "echo \"=== end of block " ++blocks "\""; shell = tour && $0 == "```sh"; next}
         shell' "$PRESPLIT_ROOT/README.md"
}

# What it shows, and how to compare it with what is printed: without numbers, widths of columns and the parts of
# psql's layout that the README cuts; and without reasons, which depend on the times of the workload.
shown() {
    awk '/^<!-- tour -->$/ {tour = 1} /^<!-- \/tour -->$/ {tour = 0}
         /^```/ {text = tour && $0 == "```text"; next}
         text' "$PRESPLIT_ROOT/README.md"
}
comparable() {
    sed -E 's/[0-9]+(\.[0-9]+)?/0/g; s/ +/ /g; s/ *\+?$//; s/^ //' \
        | grep -vE '^(reason |-\[ RECORD|(\| )?\.\.\.$|[-+.]*$)' | sort -u
}

cluster_start tour "$version" "shared_preload_libraries = 'pg_stat_statements'"
cluster_use tour
tmp=$(cluster_tmp tour)
mkdir "$tmp/checkout"
cp -r "$PRESPLIT_ROOT/sql" "$tmp/checkout/"
chmod -R a+rX "$tmp/checkout"
tour >"$tmp/tour"
(
    cd "$tmp/checkout"
    export PSQLRC=/dev/null PAGER=cat
    bash -eo pipefail "$tmp/tour"
) >"$tmp/out" 2>&1 </dev/null && status=0 || status=$?
# PRESPLIT_TOUR=FILE keeps the output, to be shown in the README.
[[ -z ${PRESPLIT_TOUR:-} ]] || cp "$tmp/out" "$PRESPLIT_TOUR"
if [[ $status == 0 ]]; then
    ok "every command of the tour succeeds"
else
    not_ok "every command of the tour succeeds" "$(tail -n 20 "$tmp/out")"
fi

same "it prints what the README shows" "" "$(comm -23 <(shown | comparable) <(comparable <"$tmp/out"))"

target() { psql -qAtX -d target -c "$1" 2>&1 || true; }
content="SELECT count(*), sum(hashtextextended(o::text, 0)::numeric) FROM orders AS o"
same "the orders are the same in source and target" "$(psql -qAtX -d shop -c "$content" 2>&1)" "$(target "$content")"
same "they are in shards" t "$(target "SELECT count(*) > 2 FROM presplit.shards WHERE relation = 'orders'::regclass")"
same "the other table is whole" r "$(target "SELECT relkind FROM pg_class WHERE oid = 'customers'::regclass")"
same "nothing is wrong" 0 "$(target "SELECT count(*) FROM check_shards() WHERE severity = 'error'")"
same "the tables stay without the extension" "p|f" "$(target 'DROP EXTENSION pg_presplit' \
    && target "SELECT relkind, EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_presplit') FROM pg_class WHERE oid = 'orders'::regclass")"
same "with all rows" "$(psql -qAtX -d shop -c "$content")" "$(target "$content")"

log_is_clean tour
exit "$CHECKS_FAILED"
