# Package managers other than apt. Each NAME_engine is called as
#   NAME_engine repo|distro PACKAGE WANT fresh|present up|any SECONDS
# and installs the engine or brings it to the wanted version. WANT is a version or a prefix of
# one, with a question mark if the newest will do; empty means the newest.

# unreachable TEXT: remembers what a package manager said of a source that it could not reach,
# for the case that something is missing then.
unreachable() {
	mirror_said=$(printf '%s\n' "$1" | grep -i -E 'error|failed|cannot|temporar|ignoring' | grep -m 1 http) || mirror_said=$1
	note 'some package sources of the host cannot be reached'
}

# resolve PACKAGE WANT: sets $version to the newest of the versions on stdin that is wanted.
resolve() {
	all=$(sort -V -u)
	version=$(printf '%s\n' "$all" | while read -r one; do
		if [ -n "$one" ] && { [ -z "$2" ] || wanted "$one" "${2%\?}"; }; then echo "$one"; fi
	done | newest)
	case $2 in
	*\?)
		if [ -z "$version" ] && [ -n "$all" ]; then
			version=$(printf '%s\n' "$all" | newest)
			note "$1 ${2%\?} is not in the package source; takes $version"
		fi
		;;
	esac
	[ -n "$version" ] && return
	[ -z "${mirror_said-}" ] || die 76 "$mirror_said"
	[ -n "$all" ] || die 77 "the package sources have no package $1"
	# shellcheck disable=SC2086 # one line
	die 77 "no $1 $2; the package sources have:" $all
}

# refuse_older INSTALLED up|any: ends if $version is older than what is installed; if that may be,
# $verb becomes downgrade.
refuse_older() {
	[ -n "$1" ] && [ "$1" != "$version" ] || return 0
	[ "$(printf '%s\n%s\n' "$1" "$version" | newest)" = "$version" ] && return
	verb=downgrade
	[ "$2" = any ] || die 80 "$1 is installed, $version is the newest that is asked for"
}

# --- dnf and yum

rpm_locks='/var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock /run/yum.pid /var/run/yum.pid
	/var/lib/dnf/rpmdb_lock.pid /var/cache/dnf/metadata_lock.pid /var/cache/dnf/download_lock.pid'

# dnf_run SECONDS ARGUMENT...: dnf or yum after other processes' locks; its output is also in $said.
dnf_run() {
	dnf_limit=$1
	shift
	# shellcheck disable=SC2086 # a list of files
	wait_locks "$dnf_limit" $rpm_locks
	dnf_code=0
	said=$(dnf_or_yum "$@" 2>&1) || dnf_code=$?
	printf '%s\n' "$said"
	return "$dnf_code"
}

dnf_or_yum() { if has dnf; then dnf -y "$@"; else yum -y "$@"; fi; }

# dnf_repository BASE DISTRIBUTION RELEASE SECONDS: lists Docker's repository with its key.
dnf_repository() {
	replace /etc/yum.repos.d/machine-docker.repo 644 <<-END
		[machine-docker]
		name=Docker Engine, added by machine
		baseurl=$1/$2/$3/\$basearch/stable
		enabled=1
		gpgcheck=1
		gpgkey=$1/$2/gpg
	END
}

# dnf_versions PACKAGE: those that the sources have, without epoch, one a line.
dnf_versions() {
	# docker-ce.x86_64   3:28.5.2-1.el9   docker-ce-stable
	dnf_or_yum list --showduplicates "$1" 2>/dev/null | while read -r name one from; do
		case $name/$from in "$1".*/?*) echo "${one#*:}" ;; esac
	done
}

dnf_engine() {
	limit=$6 verb=install
	# The lists are read first, so that a source that cannot be reached is named.
	# Where a source may be missing that is no failure, but said.
	dnf_run "$limit" makecache || unreachable "$said"
	case $said in *'Ignoring repositories'* | *'Failed to download'*) unreachable "$said" ;; esac
	versions=$(dnf_versions "$2")
	resolve "$2" "$3" <<-END
		$versions
	END
	installed=$(rpm -q --qf '%{VERSION}-%{RELEASE}' "$2" 2>/dev/null) || installed=
	if [ "$installed" = "$version" ]; then
		echo "$2 $version is installed"
		return
	fi
	refuse_older "$installed" "$5"
	packages=$2 pinned=$2-$version
	if [ "$1" = repo ]; then
		packages='docker-ce docker-ce-cli containerd.io'
		pinned="docker-ce-$version docker-ce-cli-$version containerd.io"
		for extra in docker-buildx-plugin docker-compose-plugin; do
			[ -z "$(dnf_versions "$extra")" ] || pinned="$pinned $extra"
		done
	fi
	locked=$(dnf_or_yum versionlock list 2>/dev/null | grep -F -e "$2-" -e "name: $2") || :
	# shellcheck disable=SC2086
	[ -z "$locked" ] || dnf_run "$limit" versionlock delete $packages
	code=0
	# shellcheck disable=SC2086
	dnf_run "$limit" "$verb" $pinned || code=$?
	# What fails leaves what was held as it was.
	if [ -n "$locked" ] || { [ "$code" = 0 ] && { [ "$1" = repo ] || [ -n "$3" ]; }; }; then
		# shellcheck disable=SC2086
		dnf_run "$limit" versionlock add $packages ||
			note "$2 is not held at $version: the host's package manager has no versionlock plugin"
	fi
	[ "$code" = 0 ] || return "$code"
	note "installed $packages $version"
}

# --- zypper

# zypper_versions PACKAGE: those that the sources have, one a line.
zypper_versions() {
	# v | docker | package | 28.5.1_ce-150000.1 | x86_64 | name of the repository
	zypper -q -n search -s -x -t package "$1" | sed -n "s/^[^|]*| *$1 *| *package *| *\\([^ |]*\\).*/\\1/p"
}

zypper_engine() {
	package=$2 want=$3
	# zypper names the holder of its lock itself when the time is up.
	ZYPP_LOCK_TIMEOUT=$6
	export ZYPP_LOCK_TIMEOUT
	wait_locks "$6" /run/zypp.pid /var/run/zypp.pid
	said=$(zypper -q -n refresh 2>&1) || unreachable "$said"
	verb=install
	versions=$(zypper_versions "$2")
	resolve "$2" "$3" <<-END
		$versions
	END
	installed=$(rpm -q --qf '%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}' "$2" 2>/dev/null) || installed=
	if [ "$installed" = "$version" ]; then
		echo "$2 $version is installed"
		return
	fi
	refuse_older "$installed" "$5"
	locked=$(zypper -q -n locks | grep -F "| $2 ") || :
	[ -z "$locked" ] || zypper -q -n removelock "$2"
	case $verb in downgrade) set -- "$@" --oldpackage ;; esac
	shift 6
	code=0
	zypper -n install --no-recommends --no-confirm "$@" "$package=$version" || code=$?
	if [ -n "$locked" ] || { [ "$code" = 0 ] && [ -n "$want" ]; }; then zypper -q -n addlock "$package"; fi
	[ "$code" = 0 ] || return "$code"
	note "installed $package $version"
}

# --- pacman

pacman_versions() { pacman -Si "$1" | sed -n 's/^Version *: *//p'; }

pacman_engine() {
	lock=/var/lib/pacman/db.lck tries=0
	while [ -e "$lock" ]; do
		[ "$tries" -lt "$6" ] || die 75 "package manager is busy for $6 s: $lock exists; remove it if no pacman runs"
		[ "$tries" != 0 ] || waiting "for pacman, whose $lock exists"
		sleep 1
		tries=$((tries + 1))
	done
	[ "$tries" = 0 ] || waited
	# Without fresh lists a new host asks its mirror for packages that are gone. The rest of the
	# system is not upgraded: that is its owner's to decide.
	pacman -Sy --noconfirm
	resolve "$2" "$3" <<-END
		$(pacman_versions "$2")
	END
	pacman -S --needed --noconfirm "$2"
	[ -z "$3" ] || note "$2 is not held at $version: add it to IgnorePkg in /etc/pacman.conf"
	note "installed $2 $version"
}

# --- apk

# apk_versions PACKAGE: those that the sources have, one a line.
apk_versions() {
	# docker-28.3.3-r0 x86_64 {docker} (Apache-2.0)
	apk list -a "$1" 2>/dev/null | sed -n "s/^$1-\\([0-9][^ ]*\\) .*/\\1/p"
}

apk_engine() {
	said=$(apk --wait "$6" update 2>&1) || unreachable "$said"
	resolve "$2" "$3" <<-END
		$(apk_versions "$2")
	END
	case $3 in
	'') apk --wait "$6" add --upgrade "$2" ;;
	*) apk --wait "$6" add "$2=$version" ;; # which also holds it
	esac
	note "installed $2 $version"
}
