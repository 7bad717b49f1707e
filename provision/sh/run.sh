# Runs steps and says on stdout how far it is.

# below PID all|gently: the processes below it, but for the one that asks; gently: and but for
# dpkg and what it runs, which apt waits for when it is interrupted.
below() {
	for stat in /proc/[0-9]*/stat; do
		IFS= read -r line 2>/dev/null <"$stat" || continue
		# "pid (name) state parent ..."; the name may hold anything.
		pid=${line%% *} name=${line#*(} line=${line##*) }
		name=${name%%)*}
		state=${line%% *} line=${line#* }
		if [ "${line%% *}" != "$1" ] || [ "$state" = Z ] || [ "$pid" = "$beat_pid" ]; then continue; fi
		case $2/$name in gently/'dpkg') continue ;; esac
		echo "$pid"
		(below "$pid" "$2")
	done
}

# beat PID: proves every second that someone still reads, and ends the work if nobody does: a
# remote shell gets no signal when the connection to it ends. What runs is interrupted,
# upon which package tools finish the package at hand; what is deaf to that is terminated.
beat() {
	trap '' PIPE
	trap - USR1
	beat_pid=$(exec sh -c 'echo $PPID')
	while sleep 1 >/dev/null && kill -0 "$1" 2>/dev/null; do
		printf '%s beat\n' "$machine_mark" 2>/dev/null && continue
		kill -USR1 "$1" # no further step
		all=$(below "$1" all)
		gently=$(below "$1" gently)
		kill -KILL "$1"
		# shellcheck disable=SC2086 # lists of numbers
		kill -INT $gently
		for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
			sleep 5 >/dev/null
			for pid in $all; do
				kill -0 "$pid" && continue 2
			done
			return
		done
		# shellcheck disable=SC2086
		kill -TERM $all
		return
	done
}

begin() {
	set +e
	printf '\n%s begin\n' "$machine_mark"
	trap 'exit 130' USR1
	beat $$ </dev/null 2>/dev/null &
	beats=$!
}

finish() {
	kill "$beats" 2>/dev/null
	wait "$beats" 2>/dev/null
	printf '\n%s done\n' "$machine_mark"
}

# full_disk: says so if there is no room; not every tool does.
full_disk() {
	for dir in /etc /etc/docker /var/lib /var/lib/docker /var/cache /tmp; do
		df -Pk "$dir" 2>/dev/null | {
			read -r _
			read -r _ _ _ free _ && [ "$free" -lt 64 ] && echo "no space left on device: $free KiB are free in $dir"
		}
	done
}

decode() { if has base64; then base64 -d; else openssl base64 -d; fi; }

# step NUMBER [decode]: runs $step_run unless $step_unless says that it is done.
step() {
	printf '\n%s start %s\n' "$machine_mark" "$1"
	if [ -n "$step_unless" ] && (set -u; eval "$step_unless") </dev/null >/dev/null 2>&1; then
		printf '\n%s end %s 0 skipped\n' "$machine_mark" "$1"
		return
	fi
	if [ -n "${2-}" ]; then
		decode | (set -eu; eval "$step_run") 2>&1
	else
		(set -eu; eval "$step_run") 2>&1
	fi
	step_code=$?
	case $step_code in
	0 | 7[5-9] | 8[0-4]) ;;
	*) full_disk ;;
	esac
	printf '\n%s end %s %s\n' "$machine_mark" "$1" "$step_code"
	[ "$step_code" = 0 ] || { finish && exit "$step_code"; }
}
