# shellcheck shell=bash
# Checks for tests/server: each prints one line, "ok NAME" or "not ok NAME" with what was found.

# Read by the scripts that source this file.
# shellcheck disable=SC2034
CHECKS_FAILED=0

ok() { echo "ok $1"; }
not_ok() { # NAME [found]
    echo "not ok $1${2:+: $2}"
    CHECKS_FAILED=1
}

same() { # NAME EXPECTED FOUND
    if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "expected '$2', found '$3'"; fi
}

succeeds() { # NAME COMMAND...
    local name=$1 out
    shift
    if out=$("$@" 2>&1 </dev/null); then ok "$name"; else not_ok "$name" "$(head -c 600 <<<"$out")"; fi
}

fails_with() { # NAME PATTERN COMMAND...
    local name=$1 pattern=$2 out
    shift 2
    if out=$("$@" 2>&1 </dev/null); then
        not_ok "$name" "it succeeded"
    elif grep -qE -- "$pattern" <<<"$out"; then
        ok "$name"
    else
        not_ok "$name" "$(head -c 600 <<<"$out")"
    fi
}

# Waits until a query returns a value; for what a worker does by itself.
becomes() { # NAME EXPECTED CLUSTER SECONDS psql-option...
    local name=$1 expected=$2 cluster=$3 seconds=$4 found='' end
    shift 4
    end=$((SECONDS + seconds))
    while ((SECONDS <= end)); do
        found=$(cluster_psql "$cluster" -qAt "$@" 2>/dev/null) || true
        [[ $found == "$expected" ]] && { ok "$name"; return; }
        sleep 0.2
    done
    not_ok "$name" "expected '$expected', found '$found'"
}

log_is_clean() { # CLUSTER [ALLOW_FILE]
    if check_log "$@"; then ok "log of the server"; else not_ok "log of the server"; fi
}
