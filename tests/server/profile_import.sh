#!/usr/bin/env bash
# sql/import_profile.sql: takes a file as it comes (line ends, mark, encoding of the client), refuses what is no profile
# with a clear error, and leaves no trace of its content: not in the log, not in a view, no object.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start import "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" \
    "log_statement = all" "log_min_duration_statement = 0" "log_parameter_max_length = -1" \
    "log_parameter_max_length_on_error = -1" "pg_stat_statements.track = all"
cluster_use import
tmp=$(cluster_tmp import)
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit' >/dev/null
bring() { # NAME FILE
    psql -qX -v ON_ERROR_STOP=1 -d postgres -v name="$1" -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$2" 2>&1
}
stored() { psql -qXAt -d postgres -c "SELECT $2 FROM presplit.stored_profiles WHERE name = '$1'"; }

python3 - "$tmp" <<'PYTHON'
import json, sys
folder = sys.argv[1] + "/"
column = lambda name, values: {
    "name": name, "not_null": True, "orderable": True, "hashable": True,
    "type": {"schema": "pg_catalog", "name": "text", "text": "text"},
    "statistics": {"null_fraction": 0, "width": 8, "distinct": 2, "common_values": values,
                   "common_fractions": [0.4] * len(values)}}
def profile(tables, word="wörd €"):
    return {"format": "pg_presplit profile", "version": 1, "captured_at": "2026-01-02T03:04:05Z",
            "server_version_num": 150000, "database": "d", "tables": [
                {"schema": "public", "table": "t%d" % i, "kind": "ordinary", "rows": 1e6, "heap_bytes": 1e8,
                 "index_bytes": 0, "toast_bytes": 0,
                 "columns": [column("c%d" % j, ["sEcrEt", word]) for j in range(20)]} for i in range(tables)]}
def write(name, data):
    open(folder + name, "wb").write(data if isinstance(data, bytes) else data.encode())
plain = json.dumps(profile(1), ensure_ascii=False)
write("plain", plain + "\n")
write("pretty", json.dumps(profile(1), ensure_ascii=False, indent=1))
write("dos", json.dumps(profile(1), ensure_ascii=False, indent=1).replace("\n", "\r\n") + "\r\n")
write("mac", json.dumps(profile(1), ensure_ascii=False, indent=1).replace("\n", "\r"))
write("mark", b"\xef\xbb\xbf" + plain.encode())
write("quotes", json.dumps(profile(1, 'a"b\\c,\t\n\x1f\\.'), ensure_ascii=False))
write("large", json.dumps(profile(3000)))
write("empty", "")
write("blank", "\n\n")
write("half", plain[:len(plain) // 2])
write("two", plain + plain)
write("two_lines", plain + "\n" + plain + "\n")
write("nul", plain.replace("w\u00f6rd", "\\u0000"))
write("raw_nul", plain.replace("w\u00f6rd", "\0"))
write("surrogate", plain.replace("w\u00f6rd", "\\ud800"))
write("latin", plain.replace("\u20ac", "").encode("latin-1"))
write("other", '{"sEcrEt": 1}')
write("array", "[1, 2]")
write("newer", json.dumps(dict(profile(1), version=99)))
write("damaged", plain.replace('"rows": 1000000.0', '"rows": -1'))
write("deep", "[" * 5000 + "]" * 5000)
write("number", plain.replace('"rows": 1000000.0', '"rows": 1e400'))
PYTHON
chmod a+r "$tmp"/*

for file in plain pretty dos mac mark quotes large; do
    same "taken: $file" "$file" "$(bring "$file" "$tmp/$file")"
done
same "characters stay what they were" 'wörd €' "$(stored mark "profile #>> '{tables,0,columns,0,statistics,common_values,1}'")"
same "quotes and controls too" "$(printf 'a"b\\c,\t\n\x1f\\.')" "$(stored quotes "profile #>> '{tables,0,columns,0,statistics,common_values,1}'")"
for encoding in LATIN1 WIN1252 EUC_JP SQL_ASCII; do
    export PGCLIENTENCODING=$encoding
    same "a client in $encoding" encoded "$(bring encoded "$tmp/plain")"
    unset PGCLIENTENCODING
    same "reads the same" 'wörd €' "$(stored encoded "profile #>> '{tables,0,columns,0,statistics,common_values,1}'")"
done

# Every refusal: one ERROR without the content, and nothing stored.
refused() { # FILE PATTERN
    local out
    out=$(bring refused "$tmp/$1") && out="it succeeded: $out"
    if [[ $(grep -c 'ERROR:' <<<"$out") == 1 ]] && grep -qE "$2" <<<"$out" && ! grep -qE 'sEcrEt|panick|\.rs' <<<"$out"; then
        ok "refused: $1"
    else
        not_ok "refused: $1" "$(head -c 600 <<<"$out")"
    fi
}
refused empty 'standard input is empty'
refused blank 'standard input is empty'
for file in half two two_lines nul surrogate; do refused "$file" 'standard input is not JSON'; done
refused raw_nul 'standard input is not JSON'
refused latin 'invalid byte sequence for encoding "UTF8"'
refused other 'value is not a profile'
refused array 'value is not a profile'
refused newer 'profile has version 99, which is not supported'
refused damaged 'profile is damaged'
refused deep 'JSON value cannot be read|standard input is not JSON'
refused number 'JSON value cannot be read'
same "nothing was stored of those" 0 "$(psql -qXAt -d postgres -c "SELECT count(*) FROM presplit.stored_profiles WHERE name = 'refused'")"

same "no content in the log" '' "$(grep -aE 'sEcrEt|wörd' "$(cluster_log import)" | grep -avE 'CONTEXT:  COPY presplit_profile_line, line [0-9]+' | cut -c 1-200 | head -n 3)"
same "nor in pg_stat_statements" 0 "$(psql -qXAt -d postgres -c "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%sEcr'||'Et%'")"
same "nor in pg_stat_activity" 0 "$(psql -qXAt -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sEcr'||'Et%'")"
same "no object is left" 0 "$(psql -qXAt -d postgres -c "SELECT count(*) FROM pg_class WHERE relname LIKE 'presplit\_profile%'")"
succeeds "and the large one is understood" psql -qXAt -v ON_ERROR_STOP=1 -d postgres -c "SELECT count(*) FROM predict_growth('public.t7', profile => 'large')"
exit "$CHECKS_FAILED"
