# Package managers other than apt, the install script, and cloud-init.

# wait_cloud_init SECONDS
wait_cloud_init() {
	has cloud-init || return 0
	waited_for=0
	while :; do
		state=$(cloud-init status 2>/dev/null | sed -n 's/^status: *//p')
		case $state in
		running | 'not run' | not\ started | '') ;;
		*) break ;;
		esac
		[ "$waited_for" -lt "$1" ] || die 78 "cloud-init is still $state after $1 s"
		[ "$waited_for" != 0 ] || waiting "for cloud-init, which is $state"
		sleep 1
		waited_for=$((waited_for + 1))
	done
	[ "$waited_for" = 0 ] || waited
	case $state in
	error*)
		cloud-init status --long 2>/dev/null || :
		tail -n 20 /var/log/cloud-init-output.log 2>/dev/null || :
		die 78 'cloud-init ended with an error'
		;;
	degraded*) note 'cloud-init ended with warnings; see /var/log/cloud-init.log on the host' ;;
	esac
}

# run_install_script URL WANT SECONDS: fetches, looks, runs; nothing is piped, so nothing fails unseen.
run_install_script() {
	script=$(mktemp)
	trap 'rm -f "$script"' EXIT
	fetch "$1" "$script" || die 76 "cannot fetch the install script from $1"
	case $(head -c 2 "$script") in
	'#!') ;;
	*) die 81 "$1 is not a script: it does not begin with #!" ;;
	esac
	# shellcheck disable=SC2086
	if has apt-get; then wait_locks "$3" $apt_locks; fi
	interpreter=$(sed -n '1s/^#! *//p' "$script")
	VERSION=$2 && export VERSION
	# shellcheck disable=SC2086 # the interpreter may have an argument
	${interpreter:-sh} "$script" || die 81 "$1 ended with exit code $?"
	has dockerd || die 81 "$1 ended well, but there is no dockerd"
}
