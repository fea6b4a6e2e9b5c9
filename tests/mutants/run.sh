#!/usr/bin/env bash
# Whether the tests would notice: takes one rule of resharding away after the other, builds and installs what is left, and runs
# the test that must fail then. Usage: tests/mutants/run.sh [15|18] [NAME...]
# The sources are patched in a copy; the library of this checkout is installed again in the end.
set -euo pipefail
. "$(dirname "$0")/../env.sh"
. "$PRESPLIT_ROOT/tests/lib/build.sh"
version=${1:-15}
shift || true
pg_config=$(pg_config_of "$version")
mutants=$PRESPLIT_ROOT/tests/mutants/mutants.py
copy=$PRESPLIT_CACHE/mutants
said=$copy.said
failed=0

fresh() {
    mkdir -p "$copy"
    (cd "$PRESPLIT_ROOT" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar c --ignore-failed-read) 2>/dev/null \
        | tar x -m -C "$copy" --keep-newer-files 2>/dev/null || true
}
restore() {
    local status=$?
    rm -rf "$copy" "$said"
    [[ -z ${installed:-} ]] || install_extension "$pg_config" >/dev/null 2>&1 || echo "not ok the library of this checkout is not installed again"
    exit "$status"
}
trap restore EXIT
take_lock
claim_target

while read -r name test; do
    [[ $# == 0 || " $* " == *" $name "* ]] || continue
    rm -rf "$copy"
    fresh
    python3 "$mutants" apply "$copy" "$name"
    installed=yes
    if ! (
        # A checkout of its own: nothing of it may be taken for this one's.
        PRESPLIT_ROOT=$copy
        touch "$copy/src/lib.rs"
        install_extension "$pg_config"
    ) >"$said" 2>&1; then
        echo "not ok mutant $name does not build: $(grep -m 3 -A 6 '^error' "$said")"
        failed=1
        continue
    fi
    if [[ $test == isolation ]]; then
        (cd "$PRESPLIT_ROOT" && timeout 300 bash -c '. tests/lib/cluster.sh; . tests/lib/regress.sh; regress "$1" isolation' - "$version")
    else
        timeout 300 bash "$PRESPLIT_ROOT/tests/server/$test.sh" "$version"
    fi >"$said" 2>&1 9>&- || true
    if grep -qE '^not ok|\.\.\. FAILED' "$said"; then
        echo "ok mutant $name is killed by $test: $(grep -m 1 -E '^not ok|\.\.\. FAILED' "$said" | sed 's/^not ok *//' | cut -c 1-180)"
    else
        echo "not ok mutant $name survives $test: $(tail -n 1 "$said")"
        failed=1
    fi
done < <(python3 "$mutants" list)
exit "$failed"
