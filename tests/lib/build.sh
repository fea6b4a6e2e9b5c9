# shellcheck shell=bash
# Builds the extension and installs it into a server, always in the one way that cargo can reuse:
# same features, same target directory, servers looked up in PGRX_HOME. Sourced after env.sh.

# One test run, demo or install at a time: they share the target directory and the servers' library folders.
# The lock is file descriptor 9; whatever starts a daemon closes it there (9>&-).
take_lock() {
    mkdir -p "$PRESPLIT_CACHE"
    exec 9>"$PRESPLIT_CACHE/lock"
    if ! flock -n 9; then
        echo "waiting for another run that uses $PRESPLIT_CACHE"
        flock 9
    fi
}

# cargo names the artefacts of two checkouts alike and tells old from new by time stamps alone, so with a shared
# target directory an older checkout would be handed the newer one's library. Only this crate is thrown away.
claim_target() {
    local marker=$CARGO_TARGET_DIR/.pg_presplit-checkout
    mkdir -p "$CARGO_TARGET_DIR"
    [[ $(cat "$marker" 2>/dev/null) == "$PRESPLIT_ROOT" ]] && return
    (
        cd "$PRESPLIT_ROOT" || exit
        cargo clean --quiet --package pg_presplit
        cargo clean --quiet --package pg_presplit --release
    )
    echo "$PRESPLIT_ROOT" >"$marker"
}

major_of() { # PG_CONFIG -> 15
    local version
    version=$("$1" --version) || { echo "$1 is not a pg_config" >&2; return 1; }
    version=${version#PostgreSQL }
    echo "${version%%[!0-9]*}"
}

pg_config_of() { # 15 -> its pg_config
    case $1 in
        15) echo "$PG_CONFIG_15" ;;
        18) echo "$PG_CONFIG_18" ;;
        *) echo "no PostgreSQL $1 is set up" >&2; return 1 ;;
    esac
}

# Runs cargo in the checkout, for the server of PG_CONFIG.
cargo_for() { # PG_CONFIG ARGUMENT...
    local pg_config=$1
    shift
    (
        cd "$PRESPLIT_ROOT" || exit
        # A server that PGRX_HOME does not know; for the known ones this must stay unset, it would rebuild them.
        if [[ $pg_config != "$PG_CONFIG_15" && $pg_config != "$PG_CONFIG_18" ]]; then
            export PGRX_PG_CONFIG_PATH=$pg_config
        fi
        cargo "$@"
    )
}

build_extension() { # PG_CONFIG
    cargo_for "$1" build --no-default-features --features "pg$(major_of "$1")"
}

lint() { # PG_CONFIG
    cargo_for "$1" clippy --no-default-features --all-targets -- -D warnings
    cargo_for "$1" clippy --no-default-features --features "pg$(major_of "$1") pg_test" --all-targets -- -D warnings
}

# install_extension PG_CONFIG [--release]
install_extension() {
    local pg_config=$1 major sudo=()
    shift
    major=$(major_of "$pg_config")
    [[ -w $("$pg_config" --pkglibdir) && -w $("$pg_config" --sharedir)/extension ]] || sudo=(--sudo)
    cargo_for "$pg_config" pgrx install --pg-config "$pg_config" --no-default-features --features "pg$major" \
        "${sudo[@]}" "$@"
}
