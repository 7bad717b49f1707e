# Debian and what derives from it.

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

apt_locks='/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock'

# apt SECONDS ARGUMENT...: apt-get, after and again after other processes' locks. Its output
# is also in $apt_said.
apt() {
	apt_limit=$1
	shift
	apt_tries=0
	while :; do
		# shellcheck disable=SC2086 # a list of files
		wait_locks "$apt_limit" $apt_locks
		apt_code=0
		apt_said=$(apt-get -q -y -o DPkg::Lock::Timeout="$apt_limit" -o Acquire::Retries=3 -o Acquire::http::Timeout=20 \
			-o Acquire::https::Timeout=20 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
			"$@" 2>&1) || apt_code=$?
		printf '%s\n' "$apt_said"
		case $apt_said in
		*'Could not get lock'* | *'Unable to lock directory'*)
			[ "$apt_code" != 0 ] && [ "$apt_tries" -lt "$apt_limit" ] || return "$apt_code"
			apt_tries=$((apt_tries + 1))
			sleep 1
			;;
		*) return "$apt_code" ;;
		esac
	done
}

# apt_mirror: ends if the last apt-get could not reach a source.
apt_mirror() {
	line=$(printf '%s\n' "$apt_said" | grep -m 1 -E 'Failed to fetch|Could not (resolve|connect)|Temporary failure|does not have a Release file') || return 0
	die 76 "$line"
}

# apt_update SECONDS: reads the package lists; says what failed, but goes on with what there
# is: a source of the user's own that is broken need not be ours.
apt_update() {
	for pause in 2 5 0; do
		apt "$1" update || :
		printf '%s\n' "$apt_said" | grep -qE '^(W|E): .*(Failed to fetch|does not have a Release file)|^E: ' || return 0
		[ "$pause" = 0 ] || sleep "$pause"
	done
	apt_update_said=$apt_said
}

# apt_repository BASE DISTRIBUTION CODENAME SECONDS: lists Docker's repository with its key.
apt_repository() {
	if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then
		case $1 in
		https:*)
			apt_update "$4"
			apt "$4" install --no-install-recommends ca-certificates || { apt_mirror && return 1; }
			;;
		esac
	fi
	key=/etc/apt/keyrings/machine-docker.asc
	mkdir -p "${key%/*}"
	trap 'rm -f "$key.fetched"' EXIT
	fetch "$1/$2/gpg" "$key.fetched" || die 76 "cannot fetch $1/$2/gpg"
	grep -q '^-----BEGIN PGP PUBLIC KEY BLOCK-----' "$key.fetched" || die 76 "$1/$2/gpg is not a PGP key"
	replace "$key" 644 <"$key.fetched"
	echo "deb [arch=$(dpkg --print-architecture) signed-by=$key] $1/$2 $3 stable" |
		replace /etc/apt/sources.list.d/machine-docker.list 644
}

# apt_resolve PACKAGE WANT: sets $version to the newest one that is wanted, and $suite to where
# it is to be had if that is not where apt would take it from.
apt_resolve() {
	candidate=$(apt-cache policy "$1" | sed -n 's/^  Candidate: //p')
	[ "$candidate" != '(none)' ] || candidate=
	version='' suite='' all=''
	# docker-ce | 5:28.5.2-1~debian.12~bookworm | https://download.docker.com/linux/debian bookworm/stable amd64 Packages
	while IFS=' |' read -r _ one _ from _; do
		[ -n "$one" ] || continue
		all="$all $one"
		if [ -z "$version" ] && wanted "$one" "${2%\?}"; then version=$one suite=${from%%/*}; fi
	done <<-END
		$(apt-cache madison "$1")
	END
	case $2 in
	'') version=$candidate suite='' ;;
	*\?)
		if [ -z "$version" ] && [ -n "$candidate" ]; then
			version=$candidate suite=''
			note "$1 ${2%\?} is not in the package source; takes $version"
		fi
		;;
	esac
	[ "$version" != "$candidate" ] || suite=
	[ -n "$version" ] && return
	[ -z "${apt_update_said-}" ] || { apt_said=$apt_update_said && apt_mirror; }
	[ -n "$all" ] || die 77 "the package sources have no package $1"
	die 77 "no $1 $2; the package sources have:$all"
}

# apt_engine SOURCE PACKAGE WANT fresh|present up|any SECONDS: installs the engine or brings it to
# the wanted version.
apt_engine() {
	limit=$6
	if [ "$4" = fresh ] && [ -d /run/systemd/system ]; then
		# The engine starts once, when its configuration is there.
		systemctl mask --runtime --quiet docker.service docker.socket
		trap 'systemctl unmask --runtime --quiet docker.service docker.socket' EXIT
	fi
	# What an interrupted run left half-done stops every other.
	if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit 2>/dev/null)" ]; then
		# shellcheck disable=SC2086
		wait_locks "$limit" $apt_locks
		dpkg --configure -a --force-confdef --force-confold || :
	fi
	apt_update "$limit"
	apt_resolve "$2" "$3"
	# shellcheck disable=SC2016
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$2" 2>/dev/null) || installed=
	case $installed in
	"installed $version")
		echo "$2 $version is installed"
		return
		;;
	'installed '*)
		if [ "$5" = up ] && dpkg --compare-versions "$version" lt "${installed#installed }"; then
			die 80 "${installed#installed } is installed, $version is the newest that is asked for"
		fi
		;;
	esac
	case $1 in
	repo)
		packages="docker-ce docker-ce-cli containerd.io"
		pinned="docker-ce=$version containerd.io"
		case " $(apt-cache madison docker-ce-cli)" in
		*" $version "*) pinned="$pinned docker-ce-cli=$version" ;;
		*) pinned="$pinned docker-ce-cli" ;;
		esac
		extras='docker-buildx-plugin docker-compose-plugin'
		;;
	distro)
		packages=$2
		pinned="$2=$version"
		extras=docker-cli # a package of its own in newer releases
		;;
	esac
	for extra in $extras iptables ca-certificates; do # registries are verified, too
		[ -z "$(apt-cache madison "$extra")" ] || pinned="$pinned $extra"
	done
	if grep -qs Y /sys/module/apparmor/parameters/enabled && ! has apparmor_parser; then
		pinned="$pinned apparmor" # no container starts without, where the kernel has it on
	fi
	set -- "$@" --no-install-recommends
	[ -z "$suite" ] || set -- "$@" -t "$suite"
	[ "$5" = up ] || set -- "$@" --allow-downgrades
	exact=$3 source=$1
	shift 6
	# The engine may come from another source than before.
	held=$(apt-mark showhold docker-ce docker-ce-cli containerd.io docker.io)
	# shellcheck disable=SC2086
	[ -z "$held" ] || apt-mark -qq unhold $held
	code=0
	# shellcheck disable=SC2086
	apt "$limit" install "$@" $pinned || code=$?
	if [ "$code" = 0 ] && { [ "$source" = repo ] || [ -n "$exact" ]; }; then held="$held $packages"; fi
	for package in $held; do
		# shellcheck disable=SC2016
		case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
		installed) apt-mark hold "$package" ;;
		esac
	done
	if [ "$code" != 0 ]; then
		case $apt_said in *'--allow-downgrades'*) die 80 "apt refuses to downgrade to $version" ;; esac
		apt_mirror
		return "$code"
	fi
	note "installed $packages $version"
}
