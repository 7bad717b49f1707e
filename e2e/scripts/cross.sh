#!/usr/bin/env bash
# cross.sh: check that all packages and their tests compile for every platform
# that is released.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do
	[ "$platform" != "$host" ] || continue # built and vetted anyway
	from=$SECONDS
	CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} go vet ./...
	printf 'ok  \t%s\t%ss\n' "$platform" "$((SECONDS - from))"
done
