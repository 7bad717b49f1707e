# What comes before or instead of packages: cloud-init, and install scripts.

# wait_cloud_init SECONDS strict|lax: lax takes an error for a warning.
wait_cloud_init() {
	has cloud-init || return 0
	tries=0
	while :; do
		state=$(cloud-init status 2>/dev/null | sed -n 's/^status: *//p')
		case $state in
		running | 'not run' | 'not started') ;;
		*) break ;;
		esac
		[ "$tries" -lt "$1" ] || die 78 "cloud-init is still $state after $1 s"
		[ "$tries" != 0 ] || waiting "for cloud-init, which is $state"
		sleep 1
		tries=$((tries + 1))
	done
	[ "$tries" = 0 ] || waited
	case $state in
	error*)
		cloud-init status --long 2>/dev/null || :
		tail -n 20 /var/log/cloud-init-output.log 2>/dev/null || :
		[ "$2" = lax ] || die 78 'cloud-init ended with an error'
		note 'cloud-init ended with an error; see /var/log/cloud-init-output.log on the host'
		;;
	degraded*) note 'cloud-init ended with warnings; see /var/log/cloud-init.log on the host' ;;
	esac
}

# use_proxies: stdin is variables of the environment for what follows. They may hold passwords.
use_proxies() {
	while IFS='=' read -r name value; do
		export "$name=$value"
	done
}

# run_install_script URL WANT SECONDS: fetches, looks, runs; nothing is piped, so nothing
# fails unseen.
run_install_script() {
	script=$(mktemp)
	trap 'rm -f "$script"' EXIT
	fetch "$1" "$script" || die 81 "cannot fetch the install script from $1"
	interpreter=$(sed -n '1s/^#! *//p' "$script")
	[ -n "$interpreter" ] || die 81 "$1 is not a script: it does not begin with #!"
	# shellcheck disable=SC2086 # a list of files
	if has apt-get; then wait_locks "$3" $apt_locks; fi
	VERSION=$2
	export VERSION
	code=0
	# shellcheck disable=SC2086 # the interpreter may have an argument
	$interpreter "$script" || code=$?
	[ "$code" = 0 ] || die 81 "$1 ended with exit code $code"
	has dockerd || die 81 "$1 ended well, but there is no dockerd"
	got=$(dockerd --version | sed 's/.*version \([^, ]*\).*/\1/')
	[ -z "$2" ] || wanted "$got" "$2" || die 81 "$1 installed engine $got, and $2 is asked for"
}
