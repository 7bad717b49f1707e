#!/bin/sh
# Turns a Debian base into a node. Runs once, while the image is built.
set -eu
export DEBIAN_FRONTEND=noninteractive

packages="systemd-sysv dbus openssh-server iproute2 iptables kmod procps ca-certificates curl sudo ${ENGINE-}"

# A base that has all of them needs no package source.
missing=
for p in $packages; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done

# Nothing may start while packages are installed: there is no init here.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
if [ -n "$missing" ]; then
	apt-get update
	apt-get install -y --no-install-recommends $missing
fi
apt-get clean
rm -rf /var/lib/apt/lists/*
# A host starts its services: what is installed on it later has to start.
rm -f /usr/sbin/policy-rc.d

# What belongs to the kernel, to a seat or to a network that is ours to give
# has no place in a container, and would only fail or delay the boot.
systemctl mask \
	systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
	systemd-modules-load.service systemd-logind.service systemd-networkd.service systemd-networkd.socket \
	systemd-resolved.service systemd-timesyncd.service systemd-random-seed.service systemd-sysctl.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-firstboot.service \
	systemd-journal-flush.service systemd-journal-catalog-update.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
	systemd-remount-fs.service systemd-fsck-root.service \
	getty.target console-getty.service getty-static.service \
	sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
	dev-hugepages.mount proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount \
	systemd-binfmt.service e2scrub_reap.service e2scrub_all.timer fstrim.timer \
	apt-daily.service apt-daily.timer apt-daily-upgrade.service apt-daily-upgrade.timer dpkg-db-backup.timer \
	ssh.socket
systemctl set-default multi-user.target
systemctl enable ssh.service

# The keys of a host are given to it when it is born; an image has none.
rm -f /etc/ssh/ssh_host_*
mkdir -p /etc/ssh/sshd_config.d
cat >/etc/ssh/sshd_config.d/00-machine.conf <<'CONF'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
CONF

# sshd needs an address and nothing else: it must not wait for the rest of the boot.
mkdir -p /etc/systemd/system/ssh.service.d
cat >/etc/systemd/system/ssh.service.d/machine.conf <<'CONF'
[Unit]
DefaultDependencies=no
After=
After=systemd-tmpfiles-setup.service
Conflicts=shutdown.target
Before=shutdown.target
CONF

if [ -n "${ENGINE-}" ]; then
	systemctl enable docker.service docker.socket containerd.service
fi
# What the Engine keeps lies on volumes, which are filled from the image if it is not empty there.
rm -rf /var/lib/docker /var/lib/containerd
mkdir -p -m 711 /var/lib/docker /var/lib/containerd

# Each host makes its own machine id at boot.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
