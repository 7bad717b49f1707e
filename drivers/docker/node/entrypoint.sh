#!/bin/sh
# First process of a node: what has to be so before systemd looks at it.
set -eu

# A first process gets only the signals that it asks for: let the one that
# stops a node (SIGRTMIN+3) end it before systemd is there to hear it.
trap 'exit 0' 37

# On cgroup v1 each hierarchy is a mount of its own, read-only unless the
# container is privileged; on v2 there is one. "bind" limits the change to this
# mount: without it the kernel refuses to touch the shared superblock.
for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
	if [ -d "$dir" ] && [ ! -L "$dir" ] && grep -q " $dir cgroup2\{0,1\} ro[, ]" /proc/mounts; then
		mount -o remount,bind,rw "$dir" || echo "machine: $dir stays read-only" >&2
	fi
done

# A nested Engine mounts inside its containers; that must not be private to this one.
mount --make-rshared / 2>/dev/null || true

exec /sbin/init "$@"
