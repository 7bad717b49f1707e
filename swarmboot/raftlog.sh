# What a manager's host tells of its Raft log. Nothing is changed. $1: the engine's folder.
dir=$1/swarm
for f in "$dir"/raft/snap-v3*/*.snap; do
	[ -f "$f" ] && echo "rl snap ${f##*/}"
done
for f in "$dir"/raft/wal-v3*/*.wal; do
	[ -f "$f" ] && echo "rl wal ${f##*/} $(stat -c %Y "$f" 2>/dev/null)"
done
if [ -f "$dir/certificates/swarm-node.crt" ]; then
	echo "rl cert $(base64 <"$dir/certificates/swarm-node.crt" | tr -d '\n')"
fi
if grep -q ENCRYPTED "$dir/certificates/swarm-node.key" 2>/dev/null; then
	echo "rl locked yes"
fi
said() { grep -m 1 -E 'newRaft |became leader|elected leader|logterm: [0-9]+, index: [0-9]+[^]]*\] (sent|cast|rejected)'; }
if command -v journalctl >/dev/null 2>&1; then
	line=$(journalctl -u docker.service --no-pager -q -o cat -r -n 50000 2>/dev/null | said)
elif [ -f /var/log/docker.log ]; then
	line=$(tac /var/log/docker.log | said)
fi
[ -z "${line:-}" ] || echo "rl said $line"
echo "rl end $1"
