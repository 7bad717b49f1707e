# Tells what a host sees of its peers, one fact a line: "pf WORD...". It changes
# nothing. Functions only: the peers to probe are called at the end, from a function
# too, so that all is read before any of it runs.

have() { command -v "$1" >/dev/null 2>&1; }

# listens PROTOCOL: what listens here tells the peers' silence apart from a firewall's.
listens() {
	for f in "/proc/net/$1" "/proc/net/${1}6"; do
		[ -r "$f" ] || continue
		echo "pf listing $1"
		while read -r _ at _ state _; do
			case "$1 ${at##*:} $state" in
			"tcp 0949 0A") echo "pf listen 2377/tcp" ;;
			"tcp 1F0A 0A") echo "pf listen 7946/tcp" ;;
			"udp 1F0A 07") echo "pf listen 7946/udp" ;;
			"udp $data_path_hex 07") echo "pf listen $data_path/udp" ;;
			esac
		done <"$f"
	done
}

# addresses of the host's own interfaces
addresses() {
	have ip || return
	ip -o addr show 2>/dev/null | while read -r _ dev _ at _; do
		echo "pf address ${at%%/*} $dev"
	done
}

# balances: whether the kernel can balance load between the tasks of a service. A container is not told of the host's
# modules, and says nothing.
balances() {
	modules=/lib/modules/$(uname -r)
	if [ -e /proc/net/ip_vs ]; then
		echo "pf ipvs yes"
	elif [ -d "$modules" ]; then
		grep -qs 'ip_vs\.ko' "$modules/modules.dep" "$modules/modules.builtin"
		case $? in
		0) echo "pf ipvs yes" ;;
		1) echo "pf ipvs no" ;;
		esac
	fi
}

# begin DATA_PATH_PORT
begin() {
	LC_ALL=C
	export LC_ALL
	data_path=$1
	data_path_hex=$(printf %04X "$1")
	echo "pf clock $(date +%s.%N)"
	addresses
	balances
	listens tcp
	listens udp
	if have bash && have timeout; then
		tool=bash
	elif have perl; then
		tool=perl
	elif have python3; then
		tool=python3
	elif have nc && have timeout; then
		tool=nc
	elif have curl; then
		tool=curl
	else
		tool=none
	fi
	echo "pf tool $tool"
}

perl_probe='
use strict; use Socket qw(:all); use Errno qw(ECONNREFUSED);
my ($proto, $host, $port) = @ARGV;
my $type = $proto eq "tcp" ? SOCK_STREAM : SOCK_DGRAM;
my ($err, $to) = getaddrinfo($host, $port, {socktype => $type});
if ($err) { print "error $err\n"; exit }
sub fail { print $! == ECONNREFUSED ? "refused\n" : "error $!\n"; exit }
$SIG{ALRM} = sub { print $proto eq "tcp" ? "timeout\n" : "silent\n"; exit };
alarm 4;
socket(my $s, $to->{family}, $type, 0) or fail();
connect($s, $to->{addr}) or fail();
if ($proto eq "tcp") { print "open\n"; exit }
for (1 .. 5) { defined send($s, "x", 0) or fail(); select(undef, undef, undef, 0.3) }
print "silent\n";
'
python_probe='
import socket, sys, time
proto, host, port = sys.argv[1:4]
kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
try:
    to = socket.getaddrinfo(host, int(port), 0, kind)[0]
    s = socket.socket(to[0], kind)
    s.settimeout(4)
    s.connect(to[4])
    if proto == "tcp":
        print("open")
    else:
        for _ in range(5):
            s.send(b"x")
            time.sleep(0.3)
        print("silent")
except ConnectionRefusedError:
    print("refused")
except socket.timeout:
    print("timeout")
except OSError as e:
    print("error " + str(e))
'

# told CODE TEXT: the answer in one word, and the text if it is not one of the expected.
told() {
	case "$2" in
	*"efused"*) echo refused ;;
	*"sage:"*) echo "untold this $tool cannot" ;;
	*"timed out"* | *"imeout"*) echo timeout ;;
	*"o such file"* | *"nvalid option"* | *"nrecognized option"*) echo "untold $2" ;;
	*)
		case "$1" in
		0) echo open ;;
		77) echo silent ;;
		124 | 137 | 143) echo timeout ;;
		*) echo "error $2" ;;
		esac
		;;
	esac
}

tcp() {
	case "$tool" in
	bash)
		out=$(timeout 4 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1 </dev/null)
		told $? "$out"
		;;
	nc)
		out=$(timeout 6 nc -z -v -w 4 "$1" "$2" 2>&1 </dev/null)
		code=$?
		case "$out" in
		*"nvalid option"* | *"nrecognized option"*)
			# busybox: a connection that nobody ends is a connection
			out=$(timeout 6 nc -w 4 "$1" "$2" 2>&1 </dev/null)
			code=$?
			case "$code:$out" in 124: | 137: | 143:) code=0 ;; esac
			;;
		esac
		told "$code" "$out"
		;;
	curl)
		case "$1" in *:*) at="[$1]" ;; *) at=$1 ;; esac
		out=$(curl -sv -o /dev/null --noproxy '*' --connect-timeout 4 --max-time 5 "http://$at:$2/" 2>&1 </dev/null)
		case "$?:$out" in
		7:*efused*) echo refused ;;
		7:*"o route to host"* | *nreachable* | *rohibited*) echo "error no route to host" ;;
		28:*"onnected to"*) echo open ;;
		7:*"imed out"* | 28:*) echo timeout ;;
		7:*) echo "untold $out" ;;
		*) echo open ;;
		esac
		;;
	*) other tcp "$1" "$2" ;;
	esac
}

# A datagram to a port where nobody listens comes back as "refused" at the next one that is sent.
udp() {
	case "$tool" in
	bash)
		out=$(timeout 8 bash -c 'exec 3<>"/dev/udp/$0/$1" || exit 1
			for i in 1 2 3 4 5; do printf x >&3 || exit 1; sleep 0.3 || sleep 1; done; exit 77' "$1" "$2" 2>&1 </dev/null)
		told $? "$out"
		;;
	*) other udp "$1" "$2" ;;
	esac
}

other() {
	case "$tool" in
	perl) perl -e "$perl_probe" "$1" "$2" "$3" 2>&1 </dev/null ;;
	python3) python3 -c "$python_probe" "$1" "$2" "$3" 2>&1 </dev/null ;;
	*) echo "untold no bash with timeout, perl or python3" ;;
	esac
}

# path INDEX ADDRESS: the MTU of the interface towards the peer, and whether packets of that size arrive.
path() {
	have ip || {
		echo "pf path $1 0 untold no ip"
		return
	}
	dev=$(ip -o route get "$2" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
	mtu=$(ip -o link show dev "$dev" 2>/dev/null | sed -n 's/.* mtu \([0-9]*\).*/\1/p')
	case "$mtu" in '' | *[!0-9]*) mtu=0 ;; esac
	have ping || {
		echo "pf path $1 $mtu untold no ping"
		return
	}
	case "$2" in *:*) head=48 ;; *) head=28 ;; esac
	[ "$mtu" -gt 9000 ] && probe=9000 || probe=$mtu
	if [ "$mtu" -eq 0 ] || ! ping -n -c 2 -W 2 "$2" >/dev/null 2>&1 </dev/null; then
		echo "pf path $1 $mtu untold no answer to ping"
		return
	fi
	out=$(ping -n -M do -c 3 -i 0.3 -W 2 -s $((probe - head)) "$2" 2>&1 </dev/null)
	case "$?:$out" in
	0:*) echo "pf path $1 $mtu passes" ;;
	*mtu*[0-9]*) echo "pf path $1 $mtu tells $(printf %s "$out" | sed -n 's/.*mtu *[=:]* *\([0-9][0-9]*\).*/\1/p' | sort -n | head -n 1)" ;;
	*nvalid* | *nrecognized* | *sage:*) echo "pf path $1 $mtu untold this ping cannot" ;;
	*) echo "pf path $1 $mtu lost" ;;
	esac
}

# peer INDEX ADDRESS PORT/PROTO...
peer() {
	index=$1 address=$2
	shift 2
	for subject; do
		case "$subject" in
		mtu) path "$index" "$address" & ;;
		*/tcp) { echo "pf probe $index $subject $(tcp "$address" "${subject%/*}" | tr '\n' ' ')"; } & ;;
		*/udp) { echo "pf probe $index $subject $(udp "$address" "${subject%/*}" | tr '\n' ' ')"; } & ;;
		esac
	done
}

