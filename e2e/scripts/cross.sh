#!/usr/bin/env bash
# cross.sh: check that all packages and their tests compile for every platform
# that is released. Processors differ in nothing for those who have no files of
# their own for one: then one of each system is enough, and for the others to
# have all that is imported.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"

depends_on_processor() {
	git ls-files -co --exclude-standard '*.go' | grep -qE '_(amd64|arm64)(_test)?\.go$' ||
		git grep --untracked -qE '^//go:build .*(amd64|arm64)' -- '*.go'
}

check() { # OS ARCH DEPTH
	local from=$SECONDS
	if [ "$3" = all ]; then
		CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go vet ./...
	else
		CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go list -deps -test ./... >/dev/null
	fi
	printf 'ok  \t%s\t%ss\n' "$1/$2" "$((SECONDS - from))"
}

others=imports
! depends_on_processor || others=all
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
seen=" ${host%/*} " # what is built and vetted anyway
for platform in linux/amd64 linux/arm64 darwin/arm64 darwin/amd64 windows/amd64 windows/arm64; do
	os=${platform%/*}
	[ "$platform" != "$host" ] || continue
	case $seen in
	*" $os "*) check "$os" "${platform#*/}" "$others" ;;
	*) check "$os" "${platform#*/}" all ;;
	esac
	seen="$seen$os "
done
