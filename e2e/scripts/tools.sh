# shellcheck shell=bash
# Sourced by the scripts beside it: messages, where things are kept, and how to
# get a tool that is missing. Runs on bash 3.2 too, which is what macOS has.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scripts=$root/e2e/scripts
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/machine-test
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:$cache/etcd/usr/bin

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

distribution() {
	if [ -r /etc/os-release ]; then (. /etc/os-release && echo "${ID:-linux} ${ID_LIKE:-}"); else uname -s; fi
}

# advice WHAT names the command that installs WHAT (engine, rootfs or a plain package name) here.
advice() {
	local what=$1 os
	os=$(distribution)
	case "$os $what" in
	Darwin*engine) echo "brew install --cask docker, then start Docker Desktop (or: brew install colima docker && colima start)" ;;
	Darwin*rootfs) echo "a registry that answers: docker pull debian:bookworm-slim" ;;
	Darwin*) echo "brew install $what" ;;
	*debian*engine | *ubuntu*engine) echo "sudo apt-get update && sudo apt-get install -y docker.io, then sudo usermod -aG docker \$USER and log in again" ;;
	*debian*rootfs | *ubuntu*rootfs) echo "sudo apt-get update && sudo apt-get install -y mmdebstrap" ;;
	*debian* | *ubuntu*) echo "sudo apt-get update && sudo apt-get install -y $what" ;;
	*fedora*engine) echo "sudo dnf install -y moby-engine && sudo systemctl enable --now docker" ;;
	*rhel*engine | *centos*engine) echo "the packages described at https://docs.docker.com/engine/install/" ;;
	*fedora*rootfs | *rhel*rootfs | *centos*rootfs) echo "a registry that answers: docker pull debian:bookworm-slim" ;;
	*fedora* | *rhel* | *centos*) echo "sudo dnf install -y $what" ;;
	*suse*engine) echo "sudo zypper install -y docker && sudo systemctl enable --now docker" ;;
	*suse*) echo "sudo zypper install -y $what" ;;
	*arch*engine) echo "sudo pacman -S docker && sudo systemctl enable --now docker" ;;
	*arch*) echo "sudo pacman -S $what" ;;
	*alpine*engine) echo "apk add docker && rc-service docker start" ;;
	*alpine*) echo "apk add $what" ;;
	*engine) echo "see https://docs.docker.com/engine/install/" ;;
	*) echo "install $what with this system's package manager" ;;
	esac
}

can_install() { [ "$(id -u)" = 0 ] && have apt-get; }

# apt_install PACKAGE... A source that is out of reach does not matter as long as
# the packages come, so only the installation decides.
apt_install() {
	local try log=$cache/apt.log
	mkdir -p "$cache"
	say "installing $*"
	for try in 1 2 3; do
		{
			apt-get update
			DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
		} >"$log" 2>&1 </dev/null && return
		say "apt-get install $*: attempt $try of 3 went wrong"
	done
	tail -n 20 "$log" >&2
	die "cannot install $*; the full log is $log"
}

# need COMMAND PACKAGE [WHAT] sees to it that COMMAND is there.
need() {
	have "$1" && return
	if can_install; then
		apt_install "$2"
		have "$1" && return
	fi
	die "$1 is missing; install it: $(advice "${3:-$2}")"
}

# need_qemu sees to it that virtual machines of this computer's kind can be booted.
need_qemu() {
	case $(uname -m) in
	aarch64 | arm64)
		need qemu-system-aarch64 qemu-system-arm
		need_file /usr/share/AAVMF/AAVMF_CODE.fd qemu-efi-aarch64
		;;
	*)
		need qemu-system-x86_64 qemu-system-x86
		need_file /usr/share/OVMF/OVMF_CODE_4M.fd ovmf
		;;
	esac
	need qemu-img qemu-utils
}

# need_etcd sees to it that tests find etcd and etcdctl. The packages are unpacked, not
# installed, so that no service is started.
need_etcd() {
	have etcd && have etcdctl && return
	if have apt-get && have dpkg; then
		local dir=$cache/etcd.new
		rm -rf "$dir"
		mkdir -p "$dir"
		can_install && { apt-get update >/dev/null 2>&1 || true; }
		say "unpacking etcd-server etcd-client"
		(cd "$dir" && apt-get download etcd-server etcd-client >/dev/null 2>&1 && for deb in *.deb; do dpkg -x "$deb" .; done) || true
		rm -rf "$cache/etcd"
		mv "$dir" "$cache/etcd"
		have etcd && have etcdctl && return
	fi
	die "etcd is missing; install it: $(advice etcd-server) etcd-client"
}

# need_file FILE PACKAGE: other distributions have it elsewhere, and QEMU's driver says so.
need_file() { [ -e "$1" ] || ! can_install || apt_install "$2"; }
