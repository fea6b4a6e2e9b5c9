# shellcheck shell=bash
# Temporary PostgreSQL clusters for tests and the demo: started here, and gone when the script ends, however it ends.
#
#   cluster_start NAME VERSION [conf line...]   initdb and start; VERSION is 15 or 18
#   cluster_psql NAME [psql option...]          psql as superuser postgres, -X, stops at the first error
#   cluster_use NAME                            PGHOST, PGPORT, PGUSER and PATH for pg_restore, pgbench, psql ...
#   cluster_restart NAME | cluster_stop NAME [fast|immediate] | cluster_stop_all
#   cluster_kill NAME                           kill -9 the postmaster and all it started: a crash
#   cluster_log NAME                            path of its log
#   cluster_tmp NAME                            a folder that the server can read and write
#   check_log NAME [ALLOW_FILE]                 fails on unexpected WARNING, ERROR, FATAL, PANIC, crashes
#
# Root runs the servers as user postgres. They listen on a socket in their own folder only, without a password,
# and do not fsync.

# shellcheck source=tests/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
# shellcheck source=tests/lib/build.sh
. "$(dirname "${BASH_SOURCE[0]}")/build.sh"

declare -gA CLUSTER_DIR=() CLUSTER_BIN=()
# Further folders whose servers are ended at exit.
CLUSTER_SWEEP=()

if [[ $(id -u) == 0 ]]; then CLUSTER_USER=postgres; else CLUSTER_USER=$(id -un); fi

# Runs a command as the owner of the clusters, in a folder that it can read.
as_cluster_user() {
    if [[ $(id -u) == 0 ]]; then
        (cd / && exec runuser -u "$CLUSTER_USER" -- env -u RUST_BACKTRACE HOME=/nonexistent "$@")
    else
        (cd / && exec env -u RUST_BACKTRACE "$@")
    fi
}

cluster_start() {
    local name=$1 version=$2 bin dir
    shift 2
    bin=$("$(pg_config_of "$version")" --bindir)
    # A short name: a socket's path must stay under 108 bytes.
    dir=$(mktemp -d "${PRESPLIT_TMP:-/tmp}/presplit.XXXXXX")
    if ((${#dir} > 80)); then
        echo "cluster_start: $dir is too long for a socket; set PRESPLIT_TMP" >&2
        return 1
    fi
    CLUSTER_DIR[$name]=$dir
    CLUSTER_BIN[$name]=$bin
    mkdir "$dir/tmp"
    chmod 711 "$dir"
    [[ $(id -u) != 0 ]] || chown -R "$CLUSTER_USER" "$dir"
    as_cluster_user "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; return 1; }
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        echo "port = 5432"
        echo "fsync = off"
        echo "log_line_prefix = '%m [%p] %q%u@%d %a '"
        echo "log_timezone = 'UTC'"
        echo "timezone = 'UTC'"
        echo "cluster_name = 'presplit-$name'"
        printf '%s\n' "$@"
    } >>"$dir/data/postgresql.conf"
    cluster_up "$name"
}

cluster_up() {
    local dir=${CLUSTER_DIR[$1]}
    as_cluster_user "${CLUSTER_BIN[$1]}/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -s start 9>&- || {
        echo "cluster $1 did not start:" >&2
        tail -n 30 "$dir/log" >&2
        return 1
    }
}

cluster_psql() {
    local name=$1
    shift
    PGDATABASE=${PGDATABASE:-postgres} \
        "${CLUSTER_BIN[$name]}/psql" -X -v ON_ERROR_STOP=1 -h "${CLUSTER_DIR[$name]}" -p 5432 -U postgres "$@"
}

# The programs of the cluster's own version come first in PATH.
cluster_use() {
    export PGHOST=${CLUSTER_DIR[$1]} PGPORT=5432 PGUSER=postgres
    export PATH="${CLUSTER_BIN[$1]}:$PATH"
    unset PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS
}

cluster_log() { echo "${CLUSTER_DIR[$1]}/log"; }
cluster_tmp() { echo "${CLUSTER_DIR[$1]}/tmp"; }
cluster_bin() { echo "${CLUSTER_BIN[$1]}"; }

cluster_restart() {
    cluster_stop "$1" "${2:-fast}"
    cluster_up "$1"
}

cluster_stop() {
    local dir=${CLUSTER_DIR[$1]}
    as_cluster_user "${CLUSTER_BIN[$1]}/pg_ctl" -D "$dir/data" -m "${2:-fast}" -w -t 60 -s stop
}

# Every server process works in its data folder; a postmaster's children can outlive it.
cluster_pids() { # DIR... -> pids of the processes working in or below one of them
    local proc cwd dir
    for proc in /proc/[0-9]*; do
        # The shell that is asking may work there too.
        [[ ${proc#/proc/} != "$$" && ${proc#/proc/} != "$BASHPID" ]] || continue
        cwd=$(readlink "$proc/cwd" 2>/dev/null) || continue
        for dir in "$@"; do
            [[ $cwd == "$dir" || $cwd == "$dir"/* ]] && echo "${proc#/proc/}"
        done
    done
    return 0
}

cluster_kill() {
    local dir=${CLUSTER_DIR[$1]} pid pids=()
    # The postmaster first, or it would restart what is killed.
    pid=$(head -n 1 "$dir/data/postmaster.pid")
    kill -9 "$pid"
    mapfile -t pids < <(cluster_pids "$dir/data")
    [[ ${#pids[@]} == 0 ]] || kill -9 "${pids[@]}" 2>/dev/null || true
    # The dead postmaster must also be reaped, or the next one takes it for alive.
    while [[ -e /proc/$pid || -n $(cluster_pids "$dir/data") ]]; do sleep 0.05; done
}

# Ends every server that works in or below a folder and removes the folder: shut down if it obeys, killed if not.
cluster_sweep() { # DIR
    local dir=$1 file pid pids=() segments=()
    [[ -d $dir ]] || return 0
    while IFS= read -r file; do
        # Line 7 names the segment that guards the data folder; kill -9 leaves it behind.
        segments+=("$(sed -n '7s/.* //p' "$file" 2>/dev/null)")
        pid=$(head -n 1 "$file")
        [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$dir"/* ]] && kill -QUIT "$pid" 2>/dev/null
    done < <(find "$dir" -maxdepth 6 -name postmaster.pid 2>/dev/null)
    for _ in {1..100}; do
        mapfile -t pids < <(cluster_pids "$dir")
        [[ ${#pids[@]} -gt 0 && ${#segments[@]} -gt 0 ]] || break
        sleep 0.1
    done
    [[ ${#pids[@]} == 0 ]] || kill -9 "${pids[@]}" 2>/dev/null
    for pid in "${segments[@]}"; do
        [[ -z $pid ]] || ipcrm -m "$pid" 2>/dev/null
    done
    rm -rf "$dir"
    return 0
}

cluster_stop_all() {
    local dir
    for dir in "${CLUSTER_DIR[@]}" "${CLUSTER_SWEEP[@]}"; do
        cluster_sweep "$dir" || true
    done
    CLUSTER_DIR=()
    CLUSTER_SWEEP=()
}

# Ends what this script started and what that started: after a signal, background commands go on otherwise.
end_children() { # PID
    local child children=()
    read -ra children <"/proc/$1/task/$1/children" || true
    for child in "${children[@]}"; do
        [[ $child != "$BASHPID" ]] || continue
        end_children "$child"
        kill "$child" 2>/dev/null
    done 2>/dev/null
}

# The exit status stays the script's own.
cluster_exit() {
    local status=$?
    trap '' INT TERM HUP
    set +e
    end_children "$$" 2>/dev/null
    cluster_stop_all
    exit "$status"
}
trap cluster_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# check_log NAME [ALLOW_FILE]: ALLOW_FILE holds extended regular expressions, one a line, each explained by a
# comment (# ...) above it. Prints what was not allowed.
check_log() {
    local log allow
    log=$(cluster_log "$1")
    allow=$(mktemp)
    # The launchers end so at every shutdown: with 0 they would not be started again after a SIGTERM.
    # The first line matches nothing, so that an empty list is legal.
    echo '^x^' >"$allow"
    [[ -z ${2:-} ]] || grep -vE '^[[:space:]]*(#|$)' "$2" >>"$allow" || true
    local found
    found=$(grep -aE '(WARNING|ERROR|FATAL|PANIC):|terminated by signal|was not properly shut down|exited with exit code [1-9]' "$log" \
        | grep -avE 'background worker "(logical replication|pg_presplit) launcher" .* exited with exit code 1' \
        | grep -avE -f "$allow") || true
    rm -f "$allow"
    [[ -n $found ]] || return 0
    echo "unexpected lines in the log of cluster $1:"
    head -n 40 <<<"$found"
    return 1
}
