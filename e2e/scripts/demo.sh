#!/usr/bin/env bash
# demo.sh: a swarm of one manager and two workers on this computer, and a service
# that answers on each node. What is there already is not made again.
set -euo pipefail
. "$(dirname "$0")/tools.sh"
cd "$root"

export MACHINE_STORAGE_PATH=$root/.demo
unset DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_MACHINE_NAME
made=$MACHINE_STORAGE_PATH/made # what demo-clean.sh removes besides the machines
machine=$root/bin/machine
image="machine-demo-hello:1"
manager=m1
nodes=(m1 m2 m3)

# shown COMMAND... prints the command as one would type it, then runs it.
shown() {
	printf '\n$ %s\n' "${*/#$machine/machine}"
	"$@"
}
record() { while read -r line; do grep -qxF "$1 $line" "$made" || echo "$1 $line" >>"$made"; done; }

have go || die "go is missing; install Go $(sed -n 's/^go //p' go.mod) or newer: https://go.dev/dl/"
printf '== build bin/machine, find a Docker Engine\n'
make -s build
mkdir -p "$MACHINE_STORAGE_PATH"
touch "$made"
"$scripts/engine.sh" | record engine
"$scripts/base-image.sh" bookworm | record image
have docker || die "the docker client is missing; install it: $(advice engine)"

printf '\n== one manager, two workers\n'
node_images() { docker image ls --format '{{.Repository}}:{{.Tag}}' machine-node | sort; }
images=$(node_images)
# An unfinished machine is continued by the same create that began it.
missing=()
while read -r name state phase; do printf -v "state_$name" %s "$state/$phase"; done \
	< <("$machine" ls --format '{{.Name}} {{.State}} {{.Phase}}')
for node in "${nodes[@]}"; do
	state=state_$node
	case ${!state:-} in
	Running/ready) say "$node is there already" ;;
	Stopped/ready) shown "$machine" start "$node" ;;
	*)
		if [ "$node" = "$manager" ]; then
			shown "$machine" create -d docker --swarm-master "$node"
		else
			missing+=("$node")
		fi
		;;
	esac
done
[ ${#missing[@]} = 0 ] || shown "$machine" create -d docker --swarm "${missing[@]}"
comm -13 <(echo "$images") <(node_images) | record image
shown "$machine" ls

printf '\n$ eval "$(machine env --swarm %s)"\n' "$manager"
environment=$("$machine" env --swarm --shell bash "$manager")
eval "$environment"
shown docker node ls

printf '\n== a service on all three\n'
if ! [ -s bin/hello.tar ] || [ e2e/hello/main.go -nt bin/hello.tar ]; then
	arch=$(docker version --format '{{.Server.Arch}}')
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -ldflags '-s -w' -o bin/hello ./e2e/hello
	tar -C bin -cf - hello | docker import --change 'ENTRYPOINT ["/hello"]' - "$image" >/dev/null
	docker save -o bin/hello.tar "$image"
fi
for node in "${nodes[@]}"; do # no registry needed: each Engine gets the image through its TLS port
	(
		environment=$("$machine" env --shell bash "$node")
		eval "$environment"
		docker image inspect "$image" >/dev/null 2>&1 || shown docker load -q -i bin/hello.tar
	)
done
docker service inspect hello >/dev/null 2>&1 ||
	shown docker service create --quiet --name hello --mode global --no-resolve-image \
		--endpoint-mode dnsrr --publish mode=host,target=8080,published=8080 \
		--env 'NODE={{.Node.Hostname}}' "$image"

# A node's address is not routable where Engines run in a virtual machine, so the
# node itself is asked; bash needs no curl for that.
fetch='exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET / HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3'
printf '\n'
for node in "${nodes[@]}"; do
	answer=
	for ((try = 0; try < 60; try++)); do
		answer=$("$machine" ssh "$node" bash -c "'$fetch'" 2>/dev/null) && [ -n "$answer" ] && break
		answer=
		sleep 0.5
	done
	[ -n "$answer" ] || die "no answer from $node on port 8080; see: machine ssh $node sudo journalctl -u docker"
	printf 'http://%s:8080 on %s answers: %s\n' "$("$machine" ip "$node")" "$node" "$answer"
done

cat <<EOT

The swarm is yours. In this shell:

    export MACHINE_STORAGE_PATH=$MACHINE_STORAGE_PATH PATH=$root/bin:\$PATH
    eval "\$(machine env --swarm $manager)"
    docker node ls
    docker service ps hello

Try next:

    machine swarm status                 who leads, how many managers may be lost
    machine ssh m2 uptime                a shell on a node
    machine create -d docker --swarm m4  one worker more
    machine rm -y m3                     drained, then removed from the swarm and from here

Remove it all: make demo-clean
EOT
