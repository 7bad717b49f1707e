#!/usr/bin/env bash
# swarm.sh [PATTERN]: the black-box suites of swarms that take too long for make test: large
# swarms, whole upgrades, faults in each place. Those that match, or all named TestSwarmStage.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
"$scripts/engine.sh" >/dev/null
"$scripts/base-image.sh" bookworm trixie >/dev/null
MACHINE_E2E=1 MACHINE_E2E_SWARM=1 exec go test -count=1 -v -timeout 90m -parallel "${MACHINE_E2E_PARALLEL:-2}" -run "${1:-^TestSwarmStage}" ./e2e
