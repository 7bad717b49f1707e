# The engine's configuration and service.

# write_tls DIR: stdin is three files, each after a line "== NAME".
write_tls() {
	mkdir -p "$1"
	tls_file=
	(
		umask 077
		while IFS= read -r line; do
			case $line in
			'== '*)
				tls_file=$1/${line#== }.machine-new
				: >"$tls_file"
				;;
			*) printf '%s\n' "$line" >>"$tls_file" ;;
			esac
		done
	)
	for name in ca.pem server.pem server-key.pem; do
		chown 0:0 "$1/$name.machine-new"
		chmod 600 "$1/$name.machine-new"
	done
	restart_due
	for name in ca.pem server.pem server-key.pem; do
		mv -f "$1/$name.machine-new" "$1/$name"
	done
}

# check_flags FLAG...: whether the installed engine knows the flags.
check_flags() {
	has dockerd || return 0
	# Status: unknown flag: --x
	# See 'dockerd --help'., Code: 125
	said=$(dockerd "$@" --version 2>&1) || die 83 "$(printf '%s\n' "$said" | sed -n '1s/^Status: //; 1p')"
}

# check_daemon_json FILE: whether the installed engine can read it.
check_daemon_json() {
	case $(dockerd --validate --config-file /dev/null 2>&1) in
	*'unknown flag'*) return 0 ;; # before 23.0
	esac
	said=$(dockerd --validate --config-file "$1" 2>&1) || die 84 "$(printf '%s\n' "$said" | sed -n 1p)"
}

# write_daemon_json: stdin is the record of what is ours, a line "==", and the file.
# An empty file means none. A user's file is kept once as daemon.json.before-machine.
write_daemon_json() {
	dir=/etc/docker
	mkdir -p "$dir"
	rm -f "$dir"/*.machine-new
	# Someone's link stays one.
	file=$(readlink -f "$dir/daemon.json" 2>/dev/null) || file=$dir/daemon.json
	(
		umask 077
		while IFS= read -r line && [ "$line" != == ]; do
			printf '%s\n' "$line"
		done >"$dir/machine.json.machine-new"
		cat >"$dir/daemon.json.machine-new"
	)
	if [ -s "$dir/daemon.json.machine-new" ] && has dockerd; then
		check_daemon_json "$dir/daemon.json.machine-new"
	fi
	if [ -e "$dir/daemon.json" ]; then
		[ -e "$dir/machine.json" ] || cp -p "$dir/daemon.json" "$dir/daemon.json.before-machine"
		mode=$(stat -c %a "$file")
	fi
	restart_due
	# The record goes first: it may name more than there is, never less.
	if [ -s "$dir/machine.json.machine-new" ]; then
		mv -f "$dir/machine.json.machine-new" "$dir/machine.json"
	fi
	if [ -s "$dir/daemon.json.machine-new" ]; then
		replace "$file" "${mode:-644}" <"$dir/daemon.json.machine-new"
		rm -f "$dir/daemon.json.machine-new"
	else
		rm -f "$dir/daemon.json" "$dir/daemon.json.machine-new"
	fi
	if [ -e "$dir/machine.json.machine-new" ]; then
		rm -f "$dir/machine.json.machine-new" "$dir/machine.json" "$dir/daemon.json.before-machine"
	fi
}

# write_drop_in FILE as-is|with-socket: stdin is the drop-in. A line that begins with
# ExecStart=@UNIT@ gets the unit's own command line, which is known only now; with-socket adds
# the local socket to it if it names no address.
write_drop_in() {
	unit=$(unit_exec)
	[ -n "$unit" ] || die 79 'docker.service has no ExecStart'
	case "$2 $unit" in
	*' -H'* | *' --host'*) ;;
	with-socket*) unit="$unit -H unix:///var/run/docker.sock" ;;
	esac
	text=$(while IFS= read -r line; do
		case $line in
		'ExecStart=@UNIT@'*) printf 'ExecStart=%s\n' "$unit${line#ExecStart=@UNIT@}" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done)
	if [ -f "$1" ] && [ "$(cat "$1")" = "$text" ]; then return 0; fi
	restart_due
	for name in 10-machine.conf zz-machine.conf; do
		[ "${1%/*}/$name" = "$1" ] || rm -f "${1%/*}/$name"
	done
	printf '%s\n' "$text" | replace "$1" 600
}

# write_file FILE MODE: stdin is a file that the engine reads at start.
write_file() {
	restart_due
	replace "$1" "$2"
}

engine_active() {
	case $1 in
	systemd) [ "$(systemctl is-active docker.service)" = active ] ;;
	openrc) rc-service docker status >/dev/null 2>&1 ;;
	*) [ -d "/proc/$(cat /var/run/docker.pid 2>/dev/null || echo none)" ] ;;
	esac
}

# engine_current INIT PORT: whether the running engine is the one that is installed and configured.
engine_current() {
	[ ! -e "$restart_mark" ] && engine_active "$1" && listening "$2" >/dev/null || return 1
	case $(readlink "/proc/$(engine_pid "$1")/exe") in *' (deleted)') return 1 ;; esac
}

# engine_pid INIT: the engine's process; 0 or nothing if there is none.
engine_pid() {
	case $1 in
	systemd) systemctl show docker.service -p MainPID | sed 's/^MainPID=//' ;;
	*) cat /run/docker.pid /var/run/docker.pid 2>/dev/null | head -n 1 ;;
	esac
}

# start_engine INIT PORT SECONDS: restarts the engine and waits until it listens.
start_engine() {
	before=$(engine_pid "$1")
	case $1 in
	systemd)
		systemctl daemon-reload
		systemctl unmask --runtime --quiet docker.service docker.socket 2>/dev/null || :
		systemctl reset-failed docker.service docker.socket 2>/dev/null || :
		# An engine that made the local socket itself, as docker-machine had it do, takes it along when it ends: where
		# systemd has one too, that is made again.
		socket=
		if grep -qs 'unix://' "/proc/$before/cmdline" && [ "$(systemctl is-active docker.socket)" = active ]; then
			socket=yes
		fi
		# Not blocking: some units start without a time limit.
		systemctl restart --no-block ${socket:+docker.socket} docker.service
		;;
	openrc)
		rc-service docker restart </dev/null >/run/machine-openrc.log 2>&1 ||
			engine_evidence openrc "engine does not start: $(cat /run/machine-openrc.log)"
		;;
	*) /etc/init.d/docker restart </dev/null >/dev/null 2>&1 ;;
	esac
	tries=0
	# The engine of before may answer for a moment still.
	until engine_active "$1" && [ "$(engine_pid "$1")" != "$before" ] && listening "$2" >/dev/null; do
		if [ "$1" = systemd ]; then
			state=$(systemctl is-active docker.service || :)
			[ "$state" != failed ] || engine_evidence "$1" "engine does not start: docker.service is failed"
		else
			state='not active'
		fi
		tries=$((tries + 1))
		[ "$tries" -lt "$(($3 * 5))" ] || engine_evidence "$1" "engine does not listen on port $2 after $3 s: docker.service is $state"
		sleep 0.2 2>/dev/null || { sleep 1 && tries=$((tries + 4)); }
	done
	rm -f "$restart_mark"
}

# engine_evidence INIT TEXT: ends with why the engine does not start.
engine_evidence() {
	echo "$2"
	case $1 in
	systemd)
		systemctl show docker.service -p ActiveState -p SubState -p Result -p ExecMainStatus -p NRestarts || :
		journalctl -u docker.service -n 20 --no-pager -o cat 2>/dev/null || :
		;;
	*) tail -n 20 /var/log/docker.log /var/lib/boot2docker/docker.log 2>/dev/null || : ;;
	esac
	exit 79
}

# enable_engine INIT: the engine starts with the host.
enable_engine() {
	case $1 in
	systemd) systemctl enable --quiet docker.service ;;
	openrc) rc-update add docker default ;;
	esac
}

# open_port FIREWALL PORT: for a host whose firewall would keep clients out.
open_port() {
	case $1 in
	firewalld)
		# Not reloaded: that would drop the rules that the engine made.
		firewall-cmd -q --add-port="$2/tcp"
		firewall-cmd -q --permanent --add-port="$2/tcp"
		;;
	ufw) ufw allow "$2/tcp" ;;
	esac
}

# restart_engine INIT: for an engine that need not listen for us.
restart_engine() {
	case $1 in
	systemd)
		systemctl daemon-reload
		systemctl restart docker.service
		;;
	openrc) rc-service docker restart </dev/null >/run/machine-openrc.log 2>&1 || { cat /run/machine-openrc.log && return 1; } ;;
	*) /etc/init.d/docker restart </dev/null >/dev/null 2>&1 ;;
	esac
	rm -f "$restart_mark"
}

# stop_engine INIT: nothing may start it again before the host boots.
stop_engine() {
	case $1 in
	systemd)
		systemctl stop docker.socket docker.service 2>/dev/null || :
		[ "$(systemctl is-active docker.service)" != active ]
		;;
	openrc) rc-service docker stop </dev/null >/dev/null 2>&1 || : ;;
	*) /etc/init.d/docker stop </dev/null >/dev/null 2>&1 || : ;;
	esac
}

# live_restore on|off: stdin is daemon.json with the setting or without it, which the running engine is told to read.
live_restore() {
	bridge=/etc/docker/machine-live-restore
	mkdir -p /etc/docker
	file=$(readlink -f /etc/docker/daemon.json 2>/dev/null) || file=/etc/docker/daemon.json
	mode=644
	[ ! -e "$file" ] || mode=$(stat -c %a "$file")
	[ "$1" = off ] || : >"$bridge"
	replace "$file" "$mode"
	if [ -d /run/systemd/system ]; then
		systemctl reload docker.service
	else
		kill -HUP "$(cat /run/docker.pid 2>/dev/null || cat /var/run/docker.pid)"
	fi
	[ "$1" = on ] || rm -f "$bridge"
}
