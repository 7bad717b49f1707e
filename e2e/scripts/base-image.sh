#!/usr/bin/env bash
# base-image.sh SUITE...: see to it that the Engine has debian:SUITE-slim, which
# node images are built from. It is pulled if a registry answers, otherwise made
# from Debian's packages; the archive is kept for the next time. The names of
# images that were not there before go to stdout, for who cleans up.
set -euo pipefail
. "$(dirname "$0")/tools.sh"

make_archive() { # SUITE FILE
	need mmdebstrap mmdebstrap rootfs
	local log=$cache/mmdebstrap-$1.log
	say "making a $1 root file system from Debian's packages; its log is $log"
	mmdebstrap --format=tar --variant=minbase --include=ca-certificates "$1" "$2.part" >"$log" 2>&1 </dev/null || {
		rm -f "$2.part"
		tail -n 20 "$log" >&2
		die "mmdebstrap $1: it did not finish; the full log is $log"
	}
	mv "$2.part" "$2"
}

pull() { # IMAGE; a registry that keeps silent is as good as none
	if have timeout; then timeout 300 docker pull -q "$1"; else docker pull -q "$1"; fi
}

base_image() { # SUITE
	local image=debian:$1-slim archive
	docker image inspect "$image" >/dev/null 2>&1 && return
	if [ -z "${MACHINE_TEST_NO_PULL:-}" ] && pull "$image" >/dev/null 2>&1; then
		echo "$image"
		return
	fi
	archive=$cache/$1-$(docker version --format '{{.Server.Arch}}').tar
	[ -s "$archive" ] || make_archive "$1" "$archive"
	docker import --change 'CMD ["bash"]' "$archive" "$image" >/dev/null
	say "made $image from $archive"
	echo "$image"
}

mkdir -p "$cache"
for suite in "$@"; do
	( # two of us make one image
		if have flock; then exec 8>"$cache/$suite.lock" && flock 8; fi
		base_image "$suite"
	)
done
