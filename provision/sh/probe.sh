# Prints what the host is and has, one "key base64" per line; changes nothing. It
# must not talk to the engine's socket: that would start a socket-activated engine.
# Given: port, repository; upgrade, and if that is yes, want: then package lists are read anew.

encode() {
	if has base64; then base64 | tr -d '\n'; else openssl base64 -A; fi
}
# say KEY VALUE; say_file KEY FILE: nothing for an empty value and a missing file.
say() { [ -z "$2" ] || printf '%s %s\n' "$1" "$(printf '%s' "$2" | encode)"; }
say_file() { [ ! -f "$2" ] || printf '%s %s\n' "$1" "$(encode <"$2")"; }
# yes KEY COMMAND...: says yes if the command succeeds.
yes() {
	key=$1
	shift
	if "$@" >/dev/null 2>&1; then say "$key" yes; fi
}
# free DIR: MiB that root may still write there.
free() {
	df -Pk "$1" 2>/dev/null | {
		read -r _
		read -r _ _ _ kib _ && echo $((kib / 1024))
	}
}

probe_host() {
	for file in /etc/os-release /usr/lib/os-release; do
		[ -r "$file" ] && say_file os-release "$file" && break
	done
	say machine "$(uname -m)"
	say kernel "$(uname -r)"
	say hostname "$(uname -n)"
	say clock "$(date -u +%s)"
	say uid "${SUDO_UID:-$(id -u)}"
	if [ -n "${SUDO_UID-}" ] || { has sudo && sudo -n true 2>/dev/null; }; then say sudo yes; fi
	if [ -d /run/systemd/system ]; then
		init=systemd
	elif [ -d /run/openrc ]; then
		init=openrc
	else
		init=
	fi
	say init "$init"
	if has cloud-init; then
		if [ -e /run/cloud-init/disabled ]; then
			say cloud-init disabled
		elif grep -qs '"errors": *\[\]' /run/cloud-init/result.json; then
			say cloud-init 'done'
		elif [ -e /run/cloud-init/result.json ]; then
			say cloud-init error
		else
			say cloud-init running
		fi
	fi
	if [ ! -e /run/ostree-booted ] && ! has transactional-update; then
		for tool in apt-get dnf yum zypper pacman apk; do
			has "$tool" && say packager "$tool" && break
		done
	fi
	say free-etc "$(free /etc)"
	if [ -d /var/lib/docker ]; then say free-var "$(free /var/lib/docker)"; else say free-var "$(free /var/lib)"; fi
	if [ -e /proc/net/ip_vs ]; then
		say ipvs yes
	elif has modprobe; then
		yes ipvs modprobe -n -q ip_vs
	fi
}

probe_firewall() {
	if has firewall-cmd && firewall-cmd --state >/dev/null 2>&1; then
		say firewall firewalld
		yes firewall-open firewall-cmd -q --query-port="$port/tcp"
	elif has ufw && rules=$(ufw status 2>/dev/null); then
		case $rules in
		*'Status: active'*)
			say firewall ufw
			case $rules in *"$port/tcp"*ALLOW*) say firewall-open yes ;; esac
			;;
		esac
	fi
}

# repository_listed: whether the repository is among the package sources, and switched on.
repository_listed() {
	grep -qs "^[^#]*$repository" /etc/apt/sources.list /etc/apt/sources.list.d/*.list && return
	for file in /etc/apt/sources.list.d/*.sources /etc/yum.repos.d/*.repo; do
		grep -qs "^[^#]*$repository" "$file" || continue
		case $file in
		*.repo) grep -qs '^enabled *= *1' "$file" && return ;;
		*) grep -Eiqs '^enabled: *(no|false|0)' "$file" || return 0 ;;
		esac
	done
	return 1
}

# cut_off: the engine's package whose files dpkg has begun to put in place; they have no owner yet.
cut_off() {
	# shellcheck disable=SC2016 # the format is dpkg's
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' docker-ce docker.io moby-engine 2>/dev/null | sed -n 's/^half-installed //p'
}

probe_package() {
	real=$(readlink -f "$dockerd" 2>/dev/null || echo "$dockerd")
	if has dpkg-query; then
		owner=$(dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "$dockerd" 2>/dev/null || cut_off)
		[ -n "$owner" ] || return 0
		owner=${owner%%:*}
		say package "$owner"
		# shellcheck disable=SC2016 # the format is dpkg's
		what=$(dpkg-query -W -f '${db:Status-Want} ${db:Status-Status} ${Version}' "$owner" 2>/dev/null) || return 0
		say package-version "${what##* }"
		case $what in 'hold '*) say held yes ;; esac
		case $what in *' installed '* | *' triggers-'*) ;; *) say unfinished yes ;; esac
	elif has rpm && owner=$(rpm -qf --qf '%{NAME}' "$real" 2>/dev/null); then
		say package "$owner"
		say package-version "$(rpm -q --qf '%{VERSION}-%{RELEASE}' "$owner" 2>/dev/null)"
		yes held grep -qs "^[^#!]*$owner" /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list \
			/etc/dnf/versionlock.toml /etc/zypp/locks
	elif has pacman && owner=$(pacman -Qqo "$real" 2>/dev/null); then
		say package "$owner"
		what=$(pacman -Q "$owner")
		say package-version "${what#* }"
		yes held grep -Eqs "^ *IgnorePkg *=.* $owner( |\$)" /etc/pacman.conf
	elif has apk && what=$(apk info -q -W "$real" 2>/dev/null); then
		owner=${what%-*-r*} # docker-engine-28.3.3-r0
		say package "$owner"
		say package-version "${what#"$owner"-}"
		yes held grep -Eqs '^docker(-engine)?[=~<>]' /etc/apk/world
	fi
}

# probe_unit: docker.service of systemd; sets pid.
probe_unit() {
	while IFS='=' read -r key value; do
		case $key in
		ActiveState) say engine-state "$value" ;;
		UnitFileState) say enabled "$value" ;;
		MainPID) pid=$value ;;
		TriggeredBy) case $value in *docker.socket*) say socket yes ;; esac ;;
		DropInPaths)
			for file in $value; do
				case $file in
				*/10-machine.conf | */zz-machine.conf) say ours "$file" && say_file our-options "$file" ;;
				*) if grep -qs '^ExecStart=' "$file"; then say drop-in "$file"; fi ;;
				esac
			done
			;;
		esac
	done <<-END
		$(systemctl show docker.service -p ActiveState -p UnitFileState -p MainPID -p TriggeredBy -p DropInPaths 2>/dev/null)
	END
	say exec-start "$(unit_exec)"
}

probe_engine() {
	pid=0
	case $init in
	systemd) probe_unit ;;
	openrc)
		if rc-service docker status >/dev/null 2>&1; then say engine-state active; else say engine-state inactive; fi
		yes enabled test -e /etc/runlevels/default/docker
		say_file our-options /etc/conf.d/docker
		;;
	*) say_file our-options /var/lib/boot2docker/profile ;;
	esac
	[ "$pid" != 0 ] || [ ! -r /run/docker.pid ] || read -r pid </run/docker.pid || :
	case $(readlink "/proc/$pid/exe" 2>/dev/null) in *' (deleted)') say stale yes ;; esac # replaced since it was started
	yes restart-due test -e "$restart_mark"
	yes bridged test -e /etc/docker/machine-live-restore
	yes docker-cli has docker
	for socket in /run/user/*/docker.sock; do
		if [ -S "$socket" ]; then socket=${socket#/run/user/} && say rootless "${socket%%/*}"; fi
	done
	say_file daemon-json /etc/docker/daemon.json
	say_file record /etc/docker/machine.json
	for file in /etc/default/docker /etc/sysconfig/docker; do
		[ ! -r "$file" ] || say env-file "$(sed -n '/^[A-Za-z_]*=/p' "$file")"
	done
	for dir in /etc/docker /var/lib/boot2docker; do
		for file in ca.pem server.pem server-key.pem; do
			[ -f "$dir/$file" ] || continue
			sum=$(sha256sum "$dir/$file") && say "tls-$file" "${sum%% *}"
			case $(ls -ln "$dir/$file") in
			-rw-------*' 0 '*) ;;
			*) say tls-loose "$file" ;;
			esac
		done
	done
	if owner=$(port_owner "$port"); then
		case $owner in *"(pid $pid)") owner="dockerd (pid $pid)" ;; esac # whatever the program is called
		say port-owner "$owner"
	fi
	data=$(sed -n 's/.*"data-root" *: *"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null)
	yes swarm test -s "${data:-/var/lib/docker}/swarm/docker-state.json"
}

probe() {
	printf '%s begin\n' "$machine_mark"
	probe_host
	if dockerd=$(command -v dockerd); then
		say dockerd "$dockerd"
		say engine-version "$(dockerd --version 2>/dev/null)"
		owner=
		probe_package
		[ "$upgrade" != yes ] || [ -z "$owner" ] || say candidate "$(candidate "$owner" "$want")"
	fi
	probe_engine
	probe_firewall
	yes repository repository_listed
	printf '%s end\n' "$machine_mark"
}
