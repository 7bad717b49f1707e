#!/usr/bin/env bash
# cloud-image.sh KIND...: make disk images that are like those that distributions
# publish for virtual machines: cloud-init tells them at their first boot who they
# are. Everything comes from Debian's packages. KIND is plain, or engine for one
# with docker.io in it. An image boots with UEFI, and is kept for the next time; the
# paths of the images go to stdout. Beside each is a file of its checksum,
# IMAGE.sha256. MACHINE_TEST_SUITE is the Debian release, bookworm unless set.
set -euo pipefail
. "$(dirname "$0")/tools.sh"

suite=${MACHINE_TEST_SUITE:-bookworm}
arch=$(dpkg --print-architecture 2>/dev/null || uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
home=$cache/cloud
case $arch in
amd64) efi=x64 boot=BOOTX64.EFI console=ttyS0 ;;
arm64) efi=aa64 boot=BOOTAA64.EFI console=ttyAMA0 ;;
*) die "no image can be made for $arch" ;;
esac

packages() { # KIND
	local all=systemd-sysv,systemd-resolved,systemd-boot-efi,udev,dbus,linux-image-cloud-$arch,initramfs-tools
	all=$all,openssh-server,cloud-init,cloud-guest-utils,netplan.io,sudo,iproute2,ca-certificates,curl,e2fsprogs,fdisk
	all=$all,apparmor,procps,iputils-ping # what an Engine and people look for
	case $1 in
	plain) ;;
	engine) all=$all,docker.io,iptables ;;
	*) die "$1 is no kind of image: plain or engine" ;;
	esac
	echo "$all"
}

# root_files KIND DIR puts Debian into DIR.
root_files() {
	local log=$home/$1.log
	say "making a $suite system ($1) from Debian's packages; its log is $log"
	mmdebstrap --variant=minbase --include="$(packages "$1")" --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$2.tar" >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		die "mmdebstrap $suite: it did not finish; the full log is $log"
	}
	mkdir "$2"
	tar -C "$2" -xf "$2.tar"
	rm -f "$2.tar"
}

# settle makes the system in DIR one that nobody has booted yet.
settle() { # DIR
	echo 'LABEL=root / ext4 defaults,errors=remount-ro 0 1' >"$1/etc/fstab"
	rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/cache/apt/*.bin
	rm -rf "$1"/var/lib/apt/lists/*
	: >"$1/etc/machine-id"
	: >"$1/etc/hostname"
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
	# There are no locales in it, and no network to ask who it is. Modules that
	# nothing here is about are left out: where guests are emulated each takes seconds.
	cat >"$1/etc/cloud/cloud.cfg.d/90-test.cfg" <<-CFG
		locale: false
		datasource_list: [NoCloud, ConfigDrive, None]
		cloud_init_modules: [bootcmd, write-files, growpart, resizefs, set_hostname, update_hostname, users-groups, ssh]
		cloud_config_modules: [set-passwords, runcmd]
		cloud_final_modules: [package-update-upgrade-install, scripts-per-once, scripts-per-instance, scripts-user, final-message]
	CFG
	# An Engine brings its own AppArmor profile.
	for unit in apparmor.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service; do
		ln -sf /dev/null "$1/etc/systemd/system/$unit"
	done
}

# boot_partition DIR FILE makes what the firmware reads.
boot_partition() {
	local MTOOLS_SKIP_CHECK=1
	export MTOOLS_SKIP_CHECK
	truncate -s 96M "$2"
	mkfs.vfat -F 32 -n ESP "$2" >/dev/null
	mmd -i "$2" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
	mcopy -i "$2" "$1/usr/lib/systemd/boot/efi/systemd-boot$efi.efi" "::/EFI/BOOT/$boot"
	printf 'timeout 0\n' | mcopy -i "$2" - ::/loader/loader.conf
	printf 'title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions root=LABEL=root ro console=%s net.ifnames=0\n' $console |
		mcopy -i "$2" - ::/loader/entries/debian.conf
	mcopy -i "$2" "$1"/boot/vmlinuz-* ::/vmlinuz
	mcopy -i "$2" "$1"/boot/initrd.img-* ::/initrd.img
}

# disk KIND FILE makes the image in a folder that goes away.
disk() (
	work=$(mktemp -d "$home/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	root_files "$1" "$work/root"
	settle "$work/root"
	boot_partition "$work/root" "$work/esp"
	rm -f "$work"/root/boot/initrd.img-* # it is where the firmware finds it
	size=$(($(du -sm "$work/root" | cut -f 1) * 5 / 4 + 128))
	truncate -s "${size}M" "$work/rootfs"
	mke2fs -q -t ext4 -L root -d "$work/root" "$work/rootfs"
	truncate -s "$((size + 100))M" "$work/disk"
	printf 'label: gpt\nstart=2048, size=196608, type=U\nstart=200704, type=L\n' | sfdisk -q "$work/disk"
	dd if="$work/esp" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
	dd if="$work/rootfs" of="$work/disk" bs=1M seek=98 conv=notrunc,sparse status=none
	qemu-img convert -c -O qcow2 "$work/disk" "$2"
)

image() { # KIND
	local file=$home/$suite-$1-$arch.qcow2 made
	made=$(sha256sum <"$scripts/cloud-image.sh" | cut -c 1-16)
	if [ -s "$file" ] && [ "$(cat "$file.made" 2>/dev/null)" = "$made" ]; then
		echo "$file"
		return
	fi
	[ "$(id -u)" = 0 ] || die "only root can make $file: sudo $0 $1, with XDG_CACHE_HOME=${cache%/*}"
	need mmdebstrap mmdebstrap
	need mke2fs e2fsprogs
	need mkfs.vfat dosfstools
	need mcopy mtools
	need sfdisk fdisk
	need qemu-img qemu-utils
	disk "$1" "$file.part"
	mv "$file.part" "$file"
	(cd "$home" && sha256sum "${file##*/}") >"$file.sha256"
	echo "$made" >"$file.made"
	say "made $file"
	echo "$file"
}

[ $# -gt 0 ] || die "usage: $0 plain|engine..."
mkdir -p "$home"
for kind in "$@"; do
	packages "$kind" >/dev/null
	( # two of us make one image
		if have flock; then exec 8>"$home/$kind.lock" && flock 8; fi
		image "$kind"
	)
done
