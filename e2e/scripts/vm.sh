#!/usr/bin/env bash
# vm.sh [PATTERN]: the black-box suite on virtual machines of QEMU. The image that they boot is
# made once and kept, see cloud-image.sh.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
"$scripts/engine.sh" >/dev/null # the service's image is made with it
need_qemu
image=$("$scripts/cloud-image.sh" plain)
MACHINE_E2E=1 MACHINE_E2E_VM=$image exec go test -count=1 -v -timeout 60m -run "${1:-^TestVM}" ./e2e
