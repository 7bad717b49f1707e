#!/usr/bin/env bash
# test.sh [short]: all tests, stage by stage, each with its time; a stage that
# fails does not keep the later ones from running. short: what needs neither
# Docker nor root.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"
started=$SECONDS
summary=()
failed=0

# stage NAME COMMAND...
stage() {
	local name=$1 from=$SECONDS verdict=ok
	shift
	printf '\n== %s\n' "$name"
	"$@" </dev/null || verdict=FAILED
	[ "$verdict" = ok ] || failed=$((failed + 1))
	summary+=("$(printf '%-8s %5ss  %s' "$verdict" "$((SECONDS - from))" "$name")")
	printf -- '-- %s: %s, %ss\n' "$name" "$verdict" "$((SECONDS - from))"
}

finish() {
	printf '\n== summary\n'
	printf '%s\n' "${summary[@]}"
	printf 'total %ss; stages: %s passed, %s failed\n' "$((SECONDS - started))" "$((${#summary[@]} - failed))" "$failed"
	[ "$failed" = 0 ]
}

tools() {
	# command, package
	local pair
	while read -r pair; do
		# shellcheck disable=SC2086
		need $pair || return
	done <<-'EOT'
		git git
		ssh openssh-client
		ssh-keygen openssh-client
		sshd openssh-server
		ping iputils-ping
		rsync rsync
		sshfs sshfs
		ip iproute2
		iptables iptables
		dash dash
		busybox busybox
		fish fish
		zsh zsh
		tcsh tcsh
		blkid util-linux
		as binutils
		qemu-system-aarch64 qemu-system-arm
		chromium chromium
		bats bats
	EOT
	need_qemu
	need_etcd
}

formatted() {
	local files
	files=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
	[ -z "$files" ] || { printf 'not formatted, run gofmt -w on:\n%s\n' "$files"; return 1; }
}

# What make docs writes is checked in.
documented() {
	local dir
	dir=$(mktemp -d)
	go run ./cmd/machine docs "$dir" || return
	diff -ru docs/reference "$dir" || { echo "docs/reference is not what the program says: make docs"; return 1; }
	rm -rf "$dir"
}

# What the packages do on real hosts and real Engines: a driver's conformance, an
# installation from the distribution's mirrors, a swarm in network namespaces, a
# virtual machine.
real() {
	local image=machine-test-host:bookworm
	DOCKER_BUILDKIT=0 docker build -q -t "$image" e2e/testdata/host >/dev/null 2>&1 || return
	local -x MACHINE_TEST_DOCKER=1 MACHINE_TEST_IMAGE=$image MACHINE_TEST_QEMU=1 MACHINE_TEST_QEMU_IMAGE=
	if [ "$(id -u)" = 0 ]; then # nobody else can make its image
		MACHINE_TEST_QEMU_IMAGE=$("$scripts/cloud-image.sh" plain) || return
	fi
	git grep --untracked -lE 'MACHINE_TEST_(DOCKER|IMAGE|QEMU)' -- '*_test.go' | sed 's|^|./|; s|/[^/]*$||' | sort -u |
		xargs go test -count=1 -p 3 -timeout 25m
}

hosts() { "$scripts/engine.sh" >/dev/null && "$scripts/base-image.sh" bookworm trixie >/dev/null; }

have go || die "go is missing; install Go $(sed -n 's/^go //p' go.mod) or newer: https://go.dev/dl/"

if [ "${1:-}" = short ]; then
	stage "formatting" formatted
	stage "vet" go vet ./...
	stage "unit tests" go test -short -shuffle=on ./...
	finish
	exit
fi

stage "tools" tools
stage "Docker Engine and base images" hosts
stage "formatting" formatted
stage "build" make -s build
stage "vet" go vet ./...
stage "reference is up to date" documented
stage "other platforms" "$scripts/cross.sh"
# Fewer collections of garbage: a quarter of the time goes into them.
stage "unit tests, race detector" env GOGC=300 go test -race -shuffle=on -timeout 25m ./...
stage "packages on real hosts and Engines" real
stage "fuzzing" "$scripts/fuzz.sh" 3s
stage "docker-machine's own tests" "$scripts/docker-machine.sh"
stage "end to end on real Engines" "$scripts/e2e.sh"
stage "virtual machines" "$scripts/vm.sh"
finish
