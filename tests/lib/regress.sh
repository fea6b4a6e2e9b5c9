# shellcheck shell=bash
# PostgreSQL's own test programs, pg_regress and the isolation tester, on pg_regress/. Sourced after cluster.sh, in the
# checkout's folder.
#
#   regress VERSION regress|isolation

# Every file must be run, and everything that is run must be there.
schedule_is_complete() { # SCHEDULE FOLDER SUFFIX
    local scheduled files
    scheduled=$(sed -nE 's/^test:[[:space:]]*//p' "$1" | tr -s ' \t' '\n' | sed '/^$/d' | sort)
    files=$(find "$2" -maxdepth 1 -name "*.$3" -printf '%f\n' | sed "s/\.$3\$//" | sort)
    if [[ $scheduled != "$files" ]]; then
        echo "not ok $1 and $2 differ (< scheduled, > files):"
        diff <(echo "$scheduled") <(echo "$files") || true
        return 1
    fi
}

# The stock binaries against a cluster that preloads the extension. The inputs are copied: the server's user
# need not be able to read the checkout.
regress() { # VERSION regress|isolation
    local version=$1 kind=$2 name=$2$1 program=pg_regress schedule=schedule folder=sql suffix=sql
    if [[ $kind == isolation ]]; then
        program=pg_isolation_regress schedule=isolation_schedule folder=specs suffix=spec
    fi
    schedule_is_complete "pg_regress/$schedule" "pg_regress/$folder" "$suffix" || return 1

    local binaries conf=() status=0
    binaries=$(dirname "$("$(pg_config_of "$version")" --pgxs)")/../test/$kind
    [[ ! -f pg_regress/postgresql.conf ]] || mapfile -t conf <pg_regress/postgresql.conf
    # With SQLSTATEs in the log, internal errors (XX000) stand out from those that the tests provoke.
    cluster_start "$name" "$version" "shared_preload_libraries = 'pg_presplit,pg_stat_statements'" \
        "max_worker_processes = 32" "log_error_verbosity = verbose" "${conf[@]}" || return 1
    local tmp
    tmp=$(cluster_tmp "$name")
    mkdir "$tmp/out"
    cp -rL pg_regress "$tmp/in"
    # Without an expected file pg_regress gives up instead of going on to the next test.
    local file test
    for file in "$tmp/in/$folder"/*."$suffix"; do
        test=$(basename "$file" ".$suffix")
        compgen -G "$tmp/in/expected/$test*.out" >/dev/null || : >"$tmp/in/expected/$test.out"
    done
    [[ $(id -u) != 0 ]] || chown -R "$CLUSTER_USER" "$tmp"
    as_cluster_user "$binaries/$program" --bindir="$(cluster_bin "$name")" --host="${CLUSTER_DIR[$name]}" \
        --port=5432 --user=postgres --dbname="presplit_$kind" --inputdir="$tmp/in" --outputdir="$tmp/out" \
        --schedule="$tmp/in/$schedule" || status=$?
    if [[ -s $tmp/out/regression.diffs ]]; then
        head -n 300 "$tmp/out/regression.diffs"
    fi
    # PRESPLIT_RESULTS=DIR keeps the results, to be read and made the expected output.
    if [[ -n ${PRESPLIT_RESULTS:-} ]]; then
        mkdir -p "$PRESPLIT_RESULTS/$version"
        cp "$tmp"/out/results/* "$PRESPLIT_RESULTS/$version/"
    fi
    if check_log "$name" tests/server/allow/regress; then
        # Not in the "... ok" form of one test, but counted like one.
        echo "log of the server ... ok (clean)"
    else
        echo "log of the server ... FAILED"
        status=1
    fi
    cluster_stop "$name"
    return "$status"
}
