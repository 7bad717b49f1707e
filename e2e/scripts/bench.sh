#!/usr/bin/env bash
# bench.sh [FILE]: measure the built binary, print a table, and write it to FILE.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
need /usr/bin/time time
need_etcd
make -s build
"$scripts/engine.sh" >/dev/null
"$scripts/base-image.sh" bookworm >/dev/null
# docker-machine itself, to compare with; without the network it is left out.
mkdir -p "$cache"
docker_machine=$cache/docker-machine-0.16.2
(cd e2e/testdata/docker-machine && go build -o "$docker_machine" .) || docker_machine=
MACHINE_BENCH_DOCKER_MACHINE=$docker_machine \
	MACHINE_E2E=1 MACHINE_E2E_BINARY=$root/bin/machine MACHINE_BENCH=${MACHINE_BENCH:-1} MACHINE_BENCH_OUT=${1:+$(cd "$(dirname "$1")" && pwd)/$(basename "$1")} \
	exec go test -count=1 -v -timeout 30m -run '^TestBench$' ./e2e
