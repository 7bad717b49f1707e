#!/usr/bin/env bash
# fuzz.sh [TIME]: run each fuzz target for TIME, 30s if not given.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"

# fuzz PACKAGE TARGET TIME. At the end of its time go test stops what runs, and
# rarely takes that for a failure of the target: without an input that fails it is
# tried once more.
fuzz() {
	local log try
	log=$(mktemp)
	for try in first last; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "./$1" </dev/null >"$log" 2>&1; then
			cat "$log"
			rm -f "$log"
			return
		fi
		cat "$log"
		if grep -q 'Failing input' "$log" || ! grep -qx ' *context deadline exceeded' "$log"; then break; fi
		[ "$try" = last ] || echo "$2: stopped at its time; once more"
	done
	rm -f "$log"
	return 1
}

git grep --untracked -hoE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' >/dev/null || die "no fuzz target found"
git grep --untracked -E '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' |
	sed -E 's/^(.*)\/[^/]*:func (Fuzz[A-Za-z0-9_]+).*/\1 \2/' | sort -u |
	{
		failed=0
		while read -r package target; do
			fuzz "$package" "$target" "${1:-30s}" || failed=1 # the others run all the same
		done
		exit "$failed"
	}
