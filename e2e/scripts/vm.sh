#!/usr/bin/env bash
# vm.sh [PATTERN]: the black-box suite on virtual machines of QEMU. The image that they boot is
# made once and kept, see cloud-image.sh.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
"$scripts/engine.sh" >/dev/null # the service's image is made with it
case $(uname -m) in
aarch64 | arm64)
	need qemu-system-aarch64 qemu-system-arm
	[ -e /usr/share/AAVMF/AAVMF_CODE.fd ] || ! can_install || apt_install qemu-efi-aarch64
	;;
*)
	need qemu-system-x86_64 qemu-system-x86
	[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || ! can_install || apt_install ovmf
	;;
esac
need qemu-img qemu-utils
image=$("$scripts/cloud-image.sh" plain)
MACHINE_E2E=1 MACHINE_E2E_VM=$image exec go test -count=1 -v -timeout 60m -run "${1:-^TestVM}" ./e2e
