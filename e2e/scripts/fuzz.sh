#!/usr/bin/env bash
# fuzz.sh [TIME]: run each fuzz target for TIME, 30s if not given.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
git grep --untracked -hoE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' >/dev/null || die "no fuzz target found"
git grep --untracked -E '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' |
	sed -E 's/^(.*)\/[^/]*:func (Fuzz[A-Za-z0-9_]+).*/\1 \2/' | sort -u |
	while read -r package target; do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "./$package" </dev/null
	done
