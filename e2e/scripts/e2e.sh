#!/usr/bin/env bash
# e2e.sh [PATTERN]: the black-box suites on real Docker Engines, or those whose
# names match.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
"$scripts/engine.sh" >/dev/null
"$scripts/base-image.sh" bookworm trixie >/dev/null
MACHINE_E2E=1 exec go test -count=1 -v -timeout 20m -run "${1:-.}" ./e2e
