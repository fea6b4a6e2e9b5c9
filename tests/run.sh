#!/usr/bin/env bash
# All tests, cheapest first. Usage: tests/run.sh [pure|15|18|all]
#   pure    formatting, lints and tests of the pure face: no server
#   15, 18  the pure face, then the server face in that PostgreSQL
#   all     both (the default)
# Goes on after a failure, and ends with one line: N passed, N failed.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/lib/cluster.sh"
# shellcheck source=tests/lib/regress.sh
. "$(dirname "$0")/lib/regress.sh"
cd "$PRESPLIT_ROOT"

case ${1:-all} in
    pure) versions=() ;;
    15 | 18) versions=("$1") ;;
    all) versions=(15 18) ;;
    *) sed -n '2,6s/^# \?//p' "$0" >&2; exit 2 ;;
esac

passed=0
failed=0
failures=()
started=$SECONDS
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

work=$(mktemp -d "${PRESPLIT_TMP:-/tmp}/presplit.XXXXXX")
chmod 711 "$work"
# Steps run in subshells: whatever they leave running works below this folder and is ended with it.
export PRESPLIT_TMP=$work
CLUSTER_SWEEP+=("$work")

# --- Steps and counts --------------------------------------------------------------------------------------------

# step COUNTER TITLE COMMAND...: announces, runs, counts. COUNTER reads the step's output on standard input and
# prints "PASSED FAILED"; a command that fails without a failed test (it did not build) is one failure.
step() {
    local counter=$1 title=$2 status=0 ok bad begin=$SECONDS
    shift 2
    printf '\n=== %s\n' "$title"
    # In the background, because bash hears signals while it waits and not while a foreground command runs;
    # what then still runs is ended by end_children.
    { "$@" 2>&1 9>&- | tee "$work/step.out"; } &
    wait "$!" || status=$?
    read -r ok bad < <("$counter" <"$work/step.out")
    if ((status != 0 && bad == 0)); then bad=1; fi
    ((passed += ok, failed += bad)) || true
    if ((bad > 0)); then
        status=1
        failures+=("$title")
        printf '=== %s: FAILED after %ss\n' "$title" $((SECONDS - begin))
    else
        printf '=== %s: %ss\n' "$title" $((SECONDS - begin))
    fi
    return "$status"
}

# A step that is one check.
count_one() { grep -q '^not ok ' && echo 0 1 || echo 1 0; }
count_cargo() {
    sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' | awk '{p += $1; f += $2} END {print p + 0, f + 0}'
}
# PostgreSQL 15 says "test x ... ok 9 ms" ("     x ... FAILED"), 16 and later say "ok 1 - x 9 ms".
count_regress() {
    awk '/^not ok |\.\.\. (FAILED|failed)/ {f++; next} /^ok [0-9]|\.\.\. ok /{p++} END {print p + 0, f + 0}'
}
# Of a script that reports nothing, that is the failure.
count_tap() { awk '/^not ok /{f++} /^ok /{p++} END {print p + 0, p + f ? f + 0 : 1}'; }

checked() { # COMMAND...: for count_one, where the exit status is the verdict
    "$@" || { echo "not ok $*" && return 1; }
}

# --- The pure face -----------------------------------------------------------------------------------------------

shell_syntax() {
    local script
    for script in .ci/run tests/*.sh tests/*/*.sh; do
        bash -n "$script" || return 1
    done
    if command -v shellcheck >/dev/null; then
        shellcheck -x -S warning .ci/run tests/*.sh tests/*/*.sh
    fi
}

pure_face() {
    step count_one "cargo fmt --check" checked cargo fmt --check || true
    step count_one "shell scripts" checked shell_syntax || true
    step count_one "clippy, pure face" checked \
        cargo clippy --quiet --no-default-features --all-targets -- -D warnings || true
    step count_cargo "tests of the pure face" cargo test --no-default-features || true
}

# --- The server face ---------------------------------------------------------------------------------------------

pgrx_tests() { # VERSION
    local version=$1 pg_config pgdata=$work/pgrx-$1 runas=()
    pg_config=$(pg_config_of "$version")
    mkdir -p "$pgdata"
    if [[ $(id -u) == 0 ]]; then
        chown "$CLUSTER_USER" "$pgdata"
        runas=(--runas "$CLUSTER_USER")
    elif [[ ! -w $("$pg_config" --pkglibdir) ]]; then
        # Makes cargo-pgrx install with sudo; the server still runs as this user.
        runas=(--runas "$CLUSTER_USER")
    fi
    cargo pgrx test "pg$version" --no-default-features --features "pg$version" "${runas[@]}" --pgdata "$pgdata"
}

# A script prints "ok NAME" or "not ok NAME" per check. One that fails without saying so, or says nothing, is a
# failure too. It is in a process group of its own, so that at the time limit it ends with all its clients; its
# clusters are below $work, so that even a script that is killed leaves nothing behind.
server_script() { # VERSION SCRIPT LANE
    local status=0 tmp=$work/s$3 left
    mkdir -p "$tmp"
    chmod 711 "$tmp"
    PRESPLIT_TMP=$tmp timeout -k 30 "${PRESPLIT_SCRIPT_TIMEOUT:-900}" bash "$2" "$1" || status=$?
    case $status in
        0) ;;
        124 | 137) echo "not ok $2 (did not end in time)" ;;
        *) echo "$2: exit status $status" ;;
    esac
    mapfile -t left < <(cluster_pids "$tmp")
    if [[ ${#left[@]} -gt 0 && $status -lt 124 ]]; then
        echo "not ok $2 (left processes behind: ${left[*]})"
    fi
    cluster_sweep "$tmp"
    return "$status"
}

# Each script has clusters of its own and waits much of its time, so two run at once: every lane takes the next one
# that nobody has taken. What they say is kept and counted one after the other when all are through.
lane() { # VERSION LANE
    local script name status begin
    for script in tests/server/*.sh; do
        name=$(basename "$script" .sh)
        mkdir "$work/taken.$1.$name" 2>/dev/null || continue
        status=0 begin=$SECONDS
        server_script "$1" "$script" "$2" >"$work/taken.$1.$name/said" 2>&1 || status=$?
        echo "$status $((SECONDS - begin))" >"$work/taken.$1.$name/status"
        printf '%s, PostgreSQL %s: %ss, exit status %s\n' "$script" "$1" $((SECONDS - begin)) "$status"
    done
}

retold() { # VERSION SCRIPT
    local folder=$work/taken.$1.$(basename "$2" .sh) status=1
    cat "$folder/said"
    read -r status _ <"$folder/status" || true
    return "$status"
}

server_scripts() { # VERSION
    local version=$1 script number lanes=()
    printf '\n=== server scripts, PostgreSQL %s, two at once\n' "$version"
    for number in 1 2; do
        lane "$version" "$number" 9>&- &
        lanes+=("$!")
    done
    wait "${lanes[@]}" || true
    for script in tests/server/*.sh; do
        step count_tap "$script, PostgreSQL $version" retold "$version" "$script" || true
    done
}

server_face() { # VERSION
    local version=$1 pg_config
    pg_config=$(pg_config_of "$version")
    step count_one "clippy, server face, PostgreSQL $version" checked cargo clippy --quiet \
        --no-default-features --features "pg$version pg_test" --all-targets -- -D warnings || true
    if grep -rqE '#\[(pgrx::)?pg_test' src; then
        step count_cargo "tests inside PostgreSQL $version (cargo pgrx test)" pgrx_tests "$version" || true
    fi
    # After those, which install a library with test functions.
    step count_one "install into PostgreSQL $version" checked install_extension "$pg_config" || return 0
    if compgen -G 'pg_regress/sql/*.sql' >/dev/null || [[ -e pg_regress/schedule ]]; then
        step count_regress "pg_regress, PostgreSQL $version" regress "$version" regress || true
    fi
    if compgen -G 'pg_regress/specs/*.spec' >/dev/null || [[ -e pg_regress/isolation_schedule ]]; then
        step count_regress "isolation, PostgreSQL $version" regress "$version" isolation || true
    fi
    ! compgen -G 'tests/server/*.sh' >/dev/null || server_scripts "$version"
}

# -----------------------------------------------------------------------------------------------------------------

take_lock
claim_target
pure_face
# There is no server face before its top floor is there.
if [[ ${#versions[@]} -gt 0 ]] && ! grep -qE '^(pub )?mod api;' src/lib.rs; then
    printf '\nno server face in src/lib.rs: nothing to test in PostgreSQL\n'
    versions=()
fi
for version in "${versions[@]}"; do
    server_face "$version"
done

printf '\n'
if [[ ${#failures[@]} -gt 0 ]]; then
    printf 'failed: %s\n' "${failures[@]}"
fi
printf 'tests took %ss\n' $((SECONDS - started))
printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0))
