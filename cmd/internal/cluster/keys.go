package cluster

// kind is what a value may be.
type kind int

const (
	anObject  kind = iota // the keys that it has are known
	aMap                  // names to values of one type
	aList                 // texts
	pairs                 // names to single values, or a list of NAME=VALUE
	aString               // text
	aScalar               // text, a number, true or false, taken as text
	anInteger             // a whole number
	aBoolean              // true or false
	anOption              // of a driver: a single value, a list of them, or {file: PATH}
)

// typ is what may stand at a place. Parser, JSON Schema and documentation are made of it, so that they cannot differ.
type typ struct {
	kind     kind
	keys     []key    // of an object
	apart    []string // keys of which an object has one at most
	elem     *typ     // of a map
	names    string   // pattern of a map's names and what it is called, see patterns
	oneOf    []string
	pattern  string
	min, max int // of an integer
}

// key is a key of an object.
type key struct {
	name     string
	doc      string
	typ      *typ
	required bool
}

// The patterns of texts by what they are called.
const (
	namePattern  = `^[a-zA-Z0-9][a-zA-Z0-9.-]*$` // of machines, groups and swarms
	stackPattern = `^[a-zA-Z0-9][a-zA-Z0-9_-]*$`
	anyPattern   = `^.+$`
)

func text() *typ                      { return &typ{kind: aString} }
func texts() *typ                     { return &typ{kind: aList} }
func scalar() *typ                    { return &typ{kind: aScalar} }
func named() *typ                     { return &typ{kind: aString, pattern: namePattern} }
func keyValues() *typ                 { return &typ{kind: pairs} }
func boolean() *typ                   { return &typ{kind: aBoolean} }
func integer(low, high int) *typ      { return &typ{kind: anInteger, min: low, max: high} }
func oneOf(words ...string) *typ      { return &typ{kind: aString, oneOf: words} }
func object(keys ...key) *typ         { return &typ{kind: anObject, keys: keys} }
func mapOf(elem *typ, as string) *typ { return &typ{kind: aMap, elem: elem, names: as} }

// root is the whole file.
func root() *typ {
	group := object(append(groupKeys(),
		key{name: "role", doc: "`manager` or `worker` of the swarm, or `none` (the default): not in a swarm", typ: oneOf(Manager, Worker, None)},
		key{name: "count", doc: "how many machines; they are called PROJECT-GROUP-1, PROJECT-GROUP-2 ... (default: 1)", typ: integer(0, 1000)},
		key{name: "names", doc: "the machines' own names, instead of `count`", typ: &typ{kind: aList, pattern: namePattern}},
	)...)
	group.apart = []string{"count", "names"}
	return object(
		key{name: "name", doc: "the project's name, by which `up` and `down` know what is theirs (default: the folder's name)", typ: named()},
		key{name: "defaults", doc: "what all groups have that say nothing else; lists are replaced, everything else is merged key by key", typ: object(groupKeys()...)},
		key{name: "swarm", doc: "the swarm of the managers and workers", typ: swarmType()},
		key{name: "machines", doc: "groups of machines by name", typ: mapOf(group, namePattern), required: true},
		key{name: "stacks", doc: "stacks to deploy on the swarm by name", typ: mapOf(stackType(), stackPattern)},
	)
}

// groupKeys are the keys that groups and defaults have.
func groupKeys() []key {
	return []key{
		{name: "driver", doc: "the driver that makes the hosts", typ: text()},
		{name: "options", doc: "options of the driver by their own names, without dashes; a value may be `{file: PATH}`", typ: mapOf(&typ{kind: anOption}, anyPattern)},
		{name: "labels", doc: "labels of the nodes in the swarm", typ: keyValues()},
		{name: "availability", doc: "`active`, `pause` or `drain` (default: as it is)", typ: oneOf("active", "pause", "drain")},
		{name: "advertise-addr", doc: "address that other nodes reach the node at", typ: text()},
		{name: "listen-addr", doc: "address to listen on for other nodes", typ: text()},
		{name: "data-path-addr", doc: "address for traffic between containers", typ: text()},
		{name: "engine", doc: "the Docker Engine", typ: engineType()},
		{name: "tls-san", doc: "further names and addresses that the engine's certificate is good for", typ: texts()},
		{name: "userdata", doc: "file with cloud-init user data for the host", typ: text()},
		{name: "docker-context", doc: "make a docker context of the machine's name", typ: boolean()},
	}
}

func engineType() *typ {
	return object(
		key{name: "version", doc: "version, exact or a prefix such as 28.5; another one than a machine has is an upgrade", typ: scalar()},
		key{name: "source", doc: "`repo`, `distro`, `script` or `keep`", typ: oneOf("repo", "distro", "script", "keep")},
		key{name: "install-url", doc: "URL of an install script, for source `script`", typ: text()},
		key{name: "repo-url", doc: "URL of a mirror of Docker's package repository", typ: text()},
		key{name: "port", doc: "port that the engine listens on for TLS clients", typ: integer(1, 65535)},
		key{name: "opts", doc: "flags of dockerd", typ: keyValues()},
		key{name: "labels", doc: "labels of the engine", typ: keyValues()},
		key{name: "env", doc: "environment of dockerd", typ: keyValues()},
		key{name: "insecure-registries", doc: "registries to speak to without TLS", typ: texts()},
		key{name: "registry-mirrors", doc: "URLs of registry mirrors", typ: texts()},
		key{name: "storage-driver", doc: "storage driver", typ: text()},
		key{name: "http-proxy", doc: "proxy for http", typ: text()},
		key{name: "https-proxy", doc: "proxy for https", typ: text()},
		key{name: "no-proxy", doc: "hosts reached without a proxy, comma-separated", typ: text()},
	)
}

func swarmType() *typ {
	return object(
		key{name: "name", doc: "the swarm's name (default: the project's)", typ: named()},
		key{name: "addr-pool", doc: "address pools (CIDR) of a new swarm", typ: texts()},
		key{name: "subnet-size", doc: "bits of the subnets taken from the pools, of a new swarm", typ: integer(1, 32)},
		key{name: "data-path-port", doc: "UDP port for traffic between containers, of a new swarm", typ: integer(1024, 49151)},
	)
}

func stackType() *typ {
	return object(
		key{name: "files", doc: "compose files, relative to the cluster file", typ: texts(), required: true},
		key{name: "env", doc: "variables for the compose files, besides the environment", typ: keyValues()},
		key{name: "registry-auth", doc: "send the nodes the login of this computer to the registry", typ: boolean()},
		key{name: "prune", doc: "remove services that the compose files no longer have", typ: boolean()},
		key{name: "resolve-image", doc: "ask the registry for digests: `always`, `changed` or `never`", typ: oneOf("always", "changed", "never")},
	)
}
