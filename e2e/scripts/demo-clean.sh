#!/usr/bin/env bash
# demo-clean.sh: remove what demo.sh made: the machines, the images, the Engine
# if demo.sh started it by hand and nothing else uses it.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"

export MACHINE_STORAGE_PATH=$root/.demo
unset DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_MACHINE_NAME
made=$MACHINE_STORAGE_PATH/made
machine=$root/bin/machine

[ -d "$MACHINE_STORAGE_PATH" ] || { say "nothing to remove"; exit 0; }
[ -x "$machine" ] || make -s build
names=$("$machine" ls -q)
if [ -n "$names" ]; then
	# shellcheck disable=SC2086
	"$machine" rm -y --force $names
	[ -z "$("$machine" ls -q)" ] || die "machines are left; see: MACHINE_STORAGE_PATH=$MACHINE_STORAGE_PATH $machine ls"
fi
sed -n 's/^image //p' "$made" 2>/dev/null | sort -r | while read -r image; do
	docker image rm "$image" >/dev/null 2>&1 || say "kept image $image: it is in use, or gone"
done
engine=$(sed -n 's/^engine process //p' "$made" 2>/dev/null || true)
if [ -n "$engine" ] && [ "$(ps -o comm= -p "$engine" 2>/dev/null)" = dockerd ]; then
	if [ -z "$(docker ps -aq)" ]; then
		kill "$engine"
		say "stopped the Docker Engine that the demonstration started"
	else
		say "kept the Docker Engine that the demonstration started: it has other containers"
	fi
fi
rm -rf "$MACHINE_STORAGE_PATH" bin/hello bin/hello.tar
say "removed; kept for the next time: $cache (archives of base images) and packages that were installed"
