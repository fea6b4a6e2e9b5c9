# shellcheck shell=bash
# Where the tools, the servers and the caches are. Sourced by every script here; may be sourced by hand to run
# cargo in the same surroundings, so that nothing is built twice.
#
#   PRESPLIT_CACHE    everything that is kept between runs; the default is readable for user postgres too,
#                     which /root is not
#   CARGO_TARGET_DIR  one build directory for every checkout (see claim_target in lib/build.sh)
#   PGRX_HOME         where cargo-pgrx looks up the servers
#   PG_CONFIG_15/_18  the servers that are built for and tested against
umask 022

PRESPLIT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if [[ -z "${PRESPLIT_CACHE:-}" ]]; then
    if [[ $(id -u) == 0 ]]; then
        PRESPLIT_CACHE=/var/cache/pg_presplit
    else
        PRESPLIT_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pg_presplit
    fi
fi
export PRESPLIT_ROOT PRESPLIT_CACHE
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PRESPLIT_CACHE/target}
export PGRX_HOME=${PGRX_HOME:-$HOME/.pgrx}
export PG_CONFIG_15=${PG_CONFIG_15:-/usr/lib/postgresql/15/bin/pg_config}
export PG_CONFIG_18=${PG_CONFIG_18:-$PRESPLIT_CACHE/pg18/pginstall/bin/pg_config}

# pgrx sends a whole Rust backtrace to the client when the postmaster inherits this.
export RUST_BACKTRACE=0
case ":$PATH:" in
    *":$HOME/.cargo/bin:"*) ;;
    *) export PATH="$HOME/.cargo/bin:$PATH" ;;
esac

# build.rs passes the linker flag that cargo-pgrx would pass for every crate, so that tests, lints and installed
# libraries share one build of the dependencies.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
