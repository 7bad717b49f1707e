#!/usr/bin/env bash
# docker-machine.sh: docker-machine's own tests, run against our program under its name: the suite of its command
# line, and of its integration tests those that need no cloud and no hypervisor, on hosts of driver docker. What fails
# must be in testdata/dockermachine/differ.txt, and what is there must fail.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"

version=v0.16.2 sum=h1:jyF9k3Zg+oIGxxSdYKPScyj3HqFZ6FjgA/3sblcASiU=
data=$root/e2e/testdata/dockermachine
work=$(mktemp -d)
results=$work/results
cleanup() {
	local store
	for store in "$work"/store-*; do
		[ -d "$store" ] || continue
		MACHINE_STORAGE_PATH=$store "$work/bin/docker-machine" ls -q 2>/dev/null |
			MACHINE_STORAGE_PATH=$store xargs -r "$work/bin/docker-machine" rm -f >/dev/null 2>&1 || true
	done
	chmod -R u+w "$work" && rm -rf "$work"
}
trap cleanup EXIT

need bats bats
need docker docker-cli engine
"$scripts/base-image.sh" bookworm >/dev/null

fetched=$(cd "$work" && go mod download -json github.com/docker/machine@$version)
field() { sed -n 's/^[[:space:]]*"'"$1"'": "\(.*\)",*$/\1/p' <<<"$fetched"; }
[ "$(field Sum)" = "$sum" ] || die "docker-machine $version is not what it was: $(field Sum)"

mkdir -p "$work/bin" "$work/path" "$work/image/bin" "$results"
cp -R "$(field Dir)/its" "$(field Dir)/test" "$work/"
chmod -R u+w "$work/its" "$work/test"
printf 'module github.com/docker/machine\n\ngo 1.20\n' >"$work/go.mod"
make -s install DESTDIR="$work" PREFIX= # bin/machine and, as a link to it, bin/docker-machine
CGO_ENABLED=0 go build -o "$work/image/bin/echo" "$data/echo/main.go"
ln -s "$data/docker" "$work/path/docker"

export REAL_DOCKER IMAGE_ROOT=$work/image
REAL_DOCKER=$(command -v docker)
export PATH=$work/path:$PATH SHELL=/bin/bash USER=${USER:-root}
unset MACHINE_STORAGE_PATH MACHINE_DRIVER MACHINE_DEBUG DOCKER_TLS_VERIFY DOCKER_CERT_PATH

# Each suite leaves a file of lines "ok CASE", "skip CASE" and "fail CASE".
command_line() {
	(cd "$work" && DRIVER=none go test -count=1 -v ./its/... 2>&1) | tr '\r' '\n' | sed 's/\x1b\[[0-9;]*m//g' >"$work/its.log"
	sed -n 's/^\[OK\] /ok its: /p; s/^\[KO\] /fail its: /p; s/^\[SKIP\] /skip its: /p' "$work/its.log" >"$results/its"
}

# What run-bats.sh of docker-machine sets up, but with a store and machines of its own for each file.
integration() {
	local file=$1 name machine
	name=$(basename "$file" .bats)
	machine=bats-$$-${name//_/-}
	export BASE_TEST_DIR=$work/test/integration MACHINE_ROOT=$work MACHINE_BIN_NAME=docker-machine
	export MACHINE_STORAGE_PATH=$work/store-$name BATS_LOG=$work/$name.output MACHINE_BUGSNAG_API_TOKEN=no-report
	export DRIVER=docker SHARED_NAME=$machine
	if grep -q use_disposable_machine "$file"; then export NAME=$machine; fi
	machine() { "$MACHINE_ROOT/bin/$MACHINE_BIN_NAME" "$@"; }
	export -f machine
	mkdir -p "$work/cwd-$name" && cd "$work/cwd-$name"
	bats --tap "$file" >"$work/$name.log" 2>&1 </dev/null || true
	sed -n "s/^ok [0-9]* \(.*\) # skip.*/skip $name: \1/p; t; s/^ok [0-9]* /ok $name: /p; s/^not ok [0-9]* /fail $name: /p" \
		"$work/$name.log" >"$results/$name"
}

# swarm-options asks a service for its discovery that is no more, crashreport is about a report that is not sent.
files=$(find "$work/test/integration/core" -name '*.bats' ! -name swarm-options.bats ! -name crashreport.bats | sort)
command_line &
running=1
for file in $files; do
	if [ "$running" -ge 3 ]; then
		wait -n || true
		running=$((running - 1))
	fi
	(integration "$file") &
	running=$((running + 1))
done
wait

for file in $files; do
	[ -s "$results/$(basename "$file" .bats)" ] || { cat "$work/$(basename "$file" .bats).log"; die "no case of $file ran"; }
done
[ -s "$results/its" ] || { cat "$work/its.log"; die "no case of its ran"; }

sed -n 's/^fail //p' "$results"/* | sort -u >"$work/failed"
sed -n 's/^\([^#][^|]*[^| ]\) *|.*/\1/p' "$data/differ.txt" | sort -u >"$work/differ"
printf '%s cases pass, %s are skipped, %s differ on purpose\n' "$(cat "$results"/* | grep -c '^ok ')" \
	"$(cat "$results"/* | grep -c '^skip ' || true)" "$(comm -12 "$work/failed" "$work/differ" | wc -l)"
status=0
if comm -23 "$work/failed" "$work/differ" | grep .; then
	status=1
	echo "these fail, and are not in $data/differ.txt:"
	comm -23 "$work/failed" "$work/differ"
	tail -n 60 "$work"/*.log
fi
if [ -n "$(comm -13 "$work/failed" "$work/differ")" ]; then
	status=1
	echo "these no longer fail, take them out of $data/differ.txt:"
	comm -13 "$work/failed" "$work/differ"
fi
exit $status
