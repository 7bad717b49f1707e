# Words that every script of this package is written in. POSIX sh: dash, busybox ash, bash.

PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022

# die CODE TEXT: ends the script; the codes are those of exits.go.
die() {
	code=$1
	shift
	printf '%s\n' "$*" >&2
	exit "$code"
}

# note TEXT: something decided that a person should know.
note() { printf '\n%s note %s\n' "$machine_mark" "$*"; }

# waiting TEXT ... waited: a wait for something that is not ours.
waiting() { printf '\n%s wait %s\n' "$machine_mark" "$*"; }
waited() { printf '\n%s waited\n' "$machine_mark"; }

has() { command -v "$1" >/dev/null 2>&1; }

# replace FILE MODE: makes stdin the content of FILE, owned by root. The file is
# whole at any time. What the engine reads at start makes a restart due.
replace() {
	mkdir -p "${1%/*}"
	rm -f "$1.machine-new"
	(umask 077 && cat >"$1.machine-new")
	chmod "$2" "$1.machine-new"
	mv -f "$1.machine-new" "$1"
}

# The mark outlives this run, so that an interrupted one is finished by the next;
# it does not outlive a reboot, which restarts the engine by itself.
restart_mark=/run/machine-engine-restart
[ -d /run ] || restart_mark=/var/run/machine-engine-restart
restart_due() { : >"$restart_mark"; }

# process PID: the name of a process and its number.
process() { printf '%s (pid %s)' "$(cat "/proc/$1/comm" 2>/dev/null || echo process)" "$1"; }

# listening PORT: whether something listens on the TCP port; prints the inodes of its sockets.
# grep comes first here and below: a shell alone would take seconds on a busy host.
listening() {
	hex=$(printf '%04X' "$1")
	inodes=$(grep -h "^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F]*:[0-9A-F]* 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		while read -r _ _ _ _ _ _ _ _ _ inode _; do echo "$inode"; done)
	[ -n "$inodes" ] && echo "$inodes"
}

# port_owner PORT: the process that listens on the TCP port.
port_owner() {
	inodes=$(listening "$1") || return 1
	for inode in $inodes; do
		pid=$(ls -l /proc/[0-9]*/fd 2>/dev/null | grep -F -e "socket:[$inode]" -e /fd: | {
			while read -r line; do
				case $line in
				/proc/*/fd:) at=${line#/proc/} at=${at%/fd:} ;;
				*) echo "$at" && break ;;
				esac
			done
		})
		[ -z "$pid" ] || break
	done
	if [ -n "$pid" ]; then process "$pid"; else echo 'unknown process'; fi
}

# lock_holder FILE: the process that has the file locked, or that a *.pid file names.
lock_holder() {
	[ -e "$1" ] || return 1
	case $1 in
	*.pid)
		pid=
		read -r pid _ <"$1" || :
		[ -n "$pid" ] && [ -d "/proc/$pid" ] && process "$pid"
		return
		;;
	esac
	[ -r /proc/locks ] || return 1
	# shellcheck disable=SC2012 # only the inode number is read
	inode=$(ls -id "$1" | sed 's/^ *//; s/ .*//')
	while read -r _ second _ _ pid dev _; do
		case $second/$dev in
		'->/'*) continue ;; # one that waits, as we do
		*":$inode")
			case $pid in -*) echo 'another process' ;; *) process "$pid" ;; esac
			return 0
			;;
		esac
	done </proc/locks
	return 1
}

# wait_locks SECONDS FILE...: waits until no process has one of the files locked.
wait_locks() {
	lock_limit=$1
	shift
	lock_said='' lock_waited=0
	while :; do
		lock_held=
		for file in "$@"; do
			if who=$(lock_holder "$file"); then
				lock_held="$who holds $file"
				break
			fi
		done
		[ -n "$lock_held" ] || break
		[ "$lock_waited" -lt "$lock_limit" ] || die 75 "package manager is busy for $lock_waited s: $lock_held"
		if [ "$lock_held" != "$lock_said" ]; then
			waiting "for the package manager: $lock_held"
			lock_said=$lock_held
		fi
		sleep 1
		lock_waited=$((lock_waited + 1))
	done
	[ -z "$lock_said" ] || waited
}

# fetch URL FILE: downloads, with whatever the host has.
fetch() {
	rm -f "$2"
	if has curl; then
		curl -fsSL --connect-timeout 20 --retry 2 -o "$2" "$1" || return 1
	elif has wget; then
		wget -q -T 20 -O "$2" "$1" || return 1
	elif has python3; then
		python3 -c 'import sys, urllib.request as u; open(sys.argv[2], "wb").write(u.urlopen(sys.argv[1], timeout=20).read())' "$1" "$2" || return 1
	elif [ -x /usr/lib/apt/apt-helper ]; then
		/usr/lib/apt/apt-helper -q download-file "$1" "$2" >/dev/null || return 1
	else
		die 1 'the host has none of curl, wget and python3 to download with'
	fi
	[ -s "$2" ]
}

# newest: the highest of the versions on stdin, one a line.
newest() { sort -V | tail -n 1; }

# upstream VERSION: a package version without epoch and revisions: 5:28.5.2-1~debian.12 is 28.5.2.
upstream() {
	up=${1#*:}
	printf '%s\n' "${up%%[-+~]*}"
}

# wanted VERSION WANT: whether a package version is what is asked for, exactly or by prefix.
wanted() {
	[ "$1" = "$2" ] && return 0
	case "$(upstream "$1")." in "$2".*) return 0 ;; esac
	return 1
}

# unit_exec: the command line of docker.service as it would be without our drop-in.
unit_exec() {
	exec_ours='' exec_line='' exec_value=''
	while IFS= read -r line; do
		case $line in
		'# /'*/10-machine.conf | '# /'*/zz-machine.conf) exec_ours=yes ;;
		'# /'*.conf | '# /'*.service) exec_ours='' ;;
		esac
		[ -z "$exec_ours" ] || continue
		# A backslash at the end continues the line; comments in between are skipped.
		if [ -n "$exec_line" ]; then
			case $line in '#'* | ';'*) continue ;; esac
		fi
		exec_line=$exec_line$line
		case $exec_line in
		*\\) exec_line="${exec_line%\\} " && continue ;;
		esac
		case $exec_line in
		ExecStart=*) exec_value=${exec_line#ExecStart=} ;;
		esac
		exec_line=
	done <<-END
		$(systemctl cat docker.service 2>/dev/null)
	END
	printf '%s\n' "$exec_value"
}
