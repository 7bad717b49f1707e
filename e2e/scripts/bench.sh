#!/usr/bin/env bash
# bench.sh: measure the built binary and print a table.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
make -s build
"$scripts/engine.sh" >/dev/null
"$scripts/base-image.sh" bookworm >/dev/null
exec go run ./e2e/bench -machine "$root/bin/machine"
