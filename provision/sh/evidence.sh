# evidence PORT: why the engine does not answer, as far as the host knows.
evidence() {
	if ! has dockerd; then echo 'engine: no dockerd on the host'; fi
	if [ -d /run/systemd/system ]; then
		systemctl show docker.service -p ActiveState -p SubState -p Result -p ExecMainStatus -p NRestarts -p DropInPaths 2>&1 | sed 's/^/docker.service: /'
		journalctl -u docker.service -n 20 --no-pager -o cat 2>/dev/null | sed 's/^/journal: /'
	else
		tail -n 20 /var/log/docker.log /var/lib/boot2docker/docker.log 2>/dev/null | sed 's/^/log: /'
	fi
	if owner=$(port_owner "$1"); then
		echo "port $1: $owner listens"
	else
		echo "port $1: nothing listens on it"
	fi
	if [ -f /etc/docker/daemon.json ]; then
		case $(dockerd --validate --config-file /dev/null 2>&1) in
		*'unknown flag'*) ;;
		*) dockerd --validate --config-file /etc/docker/daemon.json 2>&1 | sed 's/^/daemon.json: /' ;;
		esac
		sed -n 's/^ *"\([A-Za-z-]*\)" *:.*/\1/p' /etc/docker/daemon.json | tr '\n' ' ' | sed 's/^/daemon.json sets: /; s/$/\n/'
	fi
	for file in /etc/systemd/system/docker.service.d/*.conf; do
		case $file in
		*/10-machine.conf | */zz-machine.conf) ;;
		*) [ ! -f "$file" ] || echo "drop-in not ours: $file" ;;
		esac
	done
	if has firewall-cmd && firewall-cmd --state >/dev/null 2>&1; then
		firewall-cmd -q --query-port="$1/tcp" || echo "firewalld: does not let clients reach port $1"
	fi
	for dir in / /var/lib/docker; do
		df -Pk "$dir" 2>/dev/null | { read -r _ && read -r _ _ _ free _ && [ "$free" -gt 102400 ] || echo "disk: less than 100 MiB free on $dir"; }
	done
	echo "clock: $(date -u)"
}
