#!/usr/bin/env bash
# engine.sh: see to it that a Docker Engine answers. One that answers is left as
# it is. Otherwise Debian's is installed and started, by hand where no systemd
# runs. The name of what was started goes to stdout, for who cleans up.
set -euo pipefail
. "$(dirname "$0")/tools.sh"

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if have docker && answers; then
	exit 0
fi
if [ -n "${DOCKER_HOST:-}" ] && have docker; then
	docker version --format '{{.Server.Version}}' >/dev/null || true
	die "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST; start it, or unset DOCKER_HOST"
fi

mkdir -p "$cache"
log=$cache/dockerd.log
if have flock; then # two of us start one Engine
	exec 9>"$cache/engine.lock"
	flock 9
fi

if ! have dockerd || ! have docker; then
	if ! can_install; then
		if have docker && docker version 2>&1 | grep -qi 'permission denied'; then
			die "the Docker Engine refuses you: sudo usermod -aG docker \$USER, then log in again"
		fi
		die "no Docker Engine answers; install and start one: $(advice engine)"
	fi
	apt_install docker.io iptables ca-certificates
	have docker || apt_install docker-cli
fi

wait_until_it_answers() { # SECONDS [PID]
	local i
	for ((i = 0; i < $1 * 4; i++)); do
		answers && return 0
		if [ -n "${2:-}" ] && ! kill -0 "$2" 2>/dev/null; then return 1; fi
		sleep 0.25
	done
	return 1
}

if [ -d /run/systemd/system ]; then
	[ "$(id -u)" = 0 ] || die "no Docker Engine answers; start it: sudo systemctl start docker"
	systemctl start docker || die "docker.service does not start; see: journalctl -u docker"
	wait_until_it_answers 60 || die "docker.service runs but does not answer; see: journalctl -u docker"
	echo "unit docker"
	exit 0
fi

[ "$(id -u)" = 0 ] || die "no Docker Engine answers; start it as root: sudo dockerd"
# The package may have started one through an init script a moment ago.
if pgrep -x dockerd >/dev/null 2>&1 && wait_until_it_answers 20; then
	exit 0
fi
say "starting dockerd; its log is $log"
if have setsid; then
	setsid dockerd >"$log" 2>&1 </dev/null 9>&- &
else
	nohup dockerd >"$log" 2>&1 </dev/null 9>&- &
fi
pid=$!
wait_until_it_answers 60 "$pid" || {
	tail -n 20 "$log" >&2
	die "dockerd does not start; the full log is $log"
}
echo "process $pid"
