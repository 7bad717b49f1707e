#!/usr/bin/env bash
# e2e.sh [PATTERN]: the black-box suites on real Docker Engines, or those whose
# names match. They mostly wait, for hosts to boot and for providers, so that more
# of them run at once than there are processors: MACHINE_E2E_PARALLEL.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
"$scripts/engine.sh" >/dev/null
"$scripts/base-image.sh" bookworm trixie >/dev/null
need_etcd
MACHINE_E2E_CLIENTS=$("$scripts/clients.sh")
export MACHINE_E2E_CLIENTS
# GitLab Runner's own code that calls docker-machine, for the one suite that needs it; it fails if this cannot be built.
mkdir -p "$cache"
(cd e2e/testdata/gitlab-runner && go build -o "$cache/gitlab-runner-client" .) || rm -f "$cache/gitlab-runner-client"
# docker-machine itself, for the suite that goes on with its store; likewise.
(cd e2e/testdata/docker-machine && go build -o "$cache/docker-machine-0.16.2" .) || rm -f "$cache/docker-machine-0.16.2"
[ -x "$cache/docker-machine-0.16.2" ] && export MACHINE_E2E_DOCKER_MACHINE=$cache/docker-machine-0.16.2
MACHINE_E2E_RUNNER=$cache/gitlab-runner-client MACHINE_E2E=1 exec go test -count=1 -v -timeout 40m -parallel "${MACHINE_E2E_PARALLEL:-5}" -run "${1:-.}" ./e2e
