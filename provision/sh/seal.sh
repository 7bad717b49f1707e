# Takes out of a host what is its own, so that others can be made of its disk. It stays a
# host with an Engine, and its users and what they installed stay.

if has cloud-init; then
	cloud-init clean --logs
fi
# The Engine knows itself by these, its clients know it, and the swarm that it was in does.
rm -rf /etc/docker/ca.pem /etc/docker/server.pem /etc/docker/server-key.pem /etc/docker/key.json /etc/docker/machine.json /var/lib/docker/engine-id /var/lib/docker/swarm
rmdir /etc/systemd/system/docker.service.d 2>/dev/null || :
# It starts once a machine that is made of the disk has configured it, not twice.
if has systemctl; then
	systemctl disable --quiet docker.service 2>/dev/null || :
elif has rc-update; then
	rc-update del docker default >/dev/null 2>&1 || :
fi

# What was fetched to install packages.
if has apt-get; then
	apt-get clean
	rm -rf /var/lib/apt/lists/*
fi
for packager in dnf yum; do
	if has $packager; then $packager clean all >/dev/null 2>&1 || :; fi
done
if has zypper; then zypper --non-interactive clean --all >/dev/null 2>&1 || :; fi
if has apk; then rm -rf /var/cache/apk/*; fi

# Networks, leases and names of this host.
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init* /etc/sysconfig/network-scripts/ifcfg-eth* \
	/etc/NetworkManager/system-connections/cloud-init-* /etc/udev/rules.d/70-persistent-net.rules \
	/var/lib/dhcp/*.leases /var/lib/dhclient/*.lease* /var/lib/NetworkManager/*.lease /var/lib/systemd/network/*.lease
echo localhost >/etc/hostname
if hosts=$(sed "/^127\.0\.1\.1[[:space:]]/d" /etc/hosts); then printf '%s\n' "$hosts" >/etc/hosts; fi

# What it did. The journal is in memory from here on.
if has journalctl; then journalctl --relinquish-var >/dev/null 2>&1 || :; fi
rm -rf /var/log/journal/* /var/log/*.gz /var/log/*.1 /root/.bash_history /root/.ash_history /home/*/.bash_history /home/*/.ash_history
for file in /var/log/*.log /var/log/apt/* /var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/messages /var/log/syslog; do
	if [ -f "$file" ]; then : >"$file"; fi
done

# Last what lets others in, and makes this host itself: from here on it boots as a new one.
cat >/run/machine-seal <<'EOF'
sleep 1
rm -f /etc/ssh/ssh_host_* /root/.ssh/authorized_keys /root/.ssh/authorized_keys2 /home/*/.ssh/authorized_keys
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then rm -f /var/lib/dbus/machine-id; fi
if [ -e /etc/machine-id ]; then : >/etc/machine-id; fi
fstrim -a 2>/dev/null
sync
command -v systemctl >/dev/null 2>&1 && exec systemctl poweroff
exec poweroff
EOF
if has systemd-run; then
	systemd-run --quiet --collect --unit=machine-seal sh /run/machine-seal
else
	setsid sh /run/machine-seal >/dev/null 2>&1 </dev/null &
fi
