package provision

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// layout is how a host's init system starts the engine and where its files are.
type layout struct {
	init   string // as the scripts call it
	tlsDir string
	json   bool   // daemon.json is what the engine reads at every start
	file   string // our drop-in or options file
}

const (
	unitDir    = "/etc/systemd/system/docker.service.d"
	dropInName = "10-machine.conf" // docker-machine's name
	lastDropIn = "zz-machine.conf" // sorts behind what people call theirs
	unixSocket = "unix:///var/run/docker.sock"
	unitMark   = "@UNIT@" // the unit's own command line, where only the host knows it
)

func layoutOf(f Facts) (layout, error) {
	switch {
	case f.Init == "systemd":
		l := layout{init: "systemd", tlsDir: "/etc/docker", json: true, file: path.Join(unitDir, dropInName)}
		for _, other := range f.DropIns {
			if path.Base(other) > dropInName {
				l.file = path.Join(unitDir, lastDropIn)
			}
			if path.Base(other) > lastDropIn {
				return l, refuse(ErrConfig, "rename it so that it sorts before "+lastDropIn, "%s sets ExecStart and sorts behind every name of ours", other)
			}
		}
		return l, nil
	case f.Init == "openrc":
		return layout{init: "openrc", tlsDir: "/etc/docker", json: true, file: "/etc/conf.d/docker"}, nil
	case f.ID == "boot2docker":
		return layout{init: "boot2docker", tlsDir: "/var/lib/boot2docker", file: "/var/lib/boot2docker/profile"}, nil
	}
	return layout{}, refuse(ErrUnsupportedOS, "use a host with systemd or OpenRC", "%s has neither systemd nor OpenRC", f.name())
}

// listen is the engine's address; an unspecified IPv4 address listens on IPv6 too.
func (e Engine) listen() string { return fmt.Sprintf("tcp://0.0.0.0:%d", e.port()) }

// words splits the command line of a unit, with the variables of its environment files in
// place. It serves to see which flags are set; quotes are of no concern to that.
func (f Facts) words() []string {
	if f.Init == "openrc" {
		conf := parseOSRelease(string(service{}.openRC(f.OurOptions)))
		return strings.Fields(conf["DOCKER_OPTS"])
	}
	var words []string
	for _, w := range strings.Fields(f.ExecStart) {
		if name, ok := strings.CutPrefix(w, "$"); ok {
			words = append(words, strings.Fields(f.EnvFiles[strings.Trim(name, "{}")])...)
		} else {
			words = append(words, w)
		}
	}
	return words
}

// flagValues returns the values of a flag on a command line; found tells whether it is there
// at all.
func flagValues(words []string, names ...string) (values []string, found bool) {
	for i, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !slices.Contains(names, name) {
			continue
		}
		found = true
		if !ok && i+1 < len(words) {
			value = words[i+1]
		}
		values = append(values, strings.Trim(value, `"'`))
	}
	return values, found
}

// service is what the init system gets to know.
type service struct {
	flags []string // words of the command line
	env   []string
}

// listens tells whether an address is among the flags: then the local socket, the default
// as long as there is none, must be named too.
func (s service) listens() bool { return listens(s.flags) }

func (s service) empty() bool { return len(s.flags) == 0 && len(s.env) == 0 }

// dropIn renders the systemd drop-in; unit is the unit's own command line.
func (s service) dropIn(unit string) []byte {
	var b strings.Builder
	b.WriteString("# Written by machine; changes to this file are lost.\n[Service]\n")
	if len(s.flags) > 0 {
		b.WriteString("ExecStart=\nExecStart=" + unit)
		for _, w := range s.flags {
			b.WriteString(" " + unitQuote(w, true))
		}
		b.WriteString("\n")
	}
	for _, kv := range s.env {
		b.WriteString("Environment=" + unitQuote(kv, false) + "\n")
	}
	return []byte(b.String())
}

// listens tells whether a command line names an address to listen on.
func listens(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		return strings.HasPrefix(w, "-H") || w == "--host" || strings.HasPrefix(w, "--host=")
	})
}

// The block of ours in a file of shell assignments that is the user's otherwise.
const (
	blockBegin = "# BEGIN machine\n"
	blockEnd   = "# END machine\n"
)

// openRC returns /etc/conf.d/docker with our block in it, or without for an empty service.
func (s service) openRC(current []byte) []byte {
	rest := string(current)
	if before, after, ok := strings.Cut(rest, blockBegin); ok {
		_, after, _ = strings.Cut(after, blockEnd)
		rest = before + after
	}
	if s.empty() {
		return []byte(rest)
	}
	var b strings.Builder
	b.WriteString(rest)
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		b.WriteString("\n")
	}
	b.WriteString(blockBegin)
	// OpenRC evaluates the value once more, hence the quotes within quotes.
	fmt.Fprintf(&b, "DOCKER_OPTS=\"${DOCKER_OPTS-} \"%s\n", shellQuote(shellWords(s.flags...)))
	for _, kv := range s.env {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&b, "export %s=%s\n", k, shellQuote(v))
	}
	b.WriteString(blockEnd)
	return []byte(b.String())
}

// boot2docker renders the profile of boot2docker, in docker-machine's form. Its script splits
// EXTRA_ARGS at blanks and knows no quotes.
func (s service) boot2docker(tlsDir, listen, storage string) ([]byte, error) {
	for _, w := range s.flags {
		if strings.ContainsAny(w, " \t'\"\\$`*?[") {
			return nil, refuse(ErrOption, "boot2docker passes options on unquoted: leave out blanks and quotes", "%q", w)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "EXTRA_ARGS='\n%s\n'\n", strings.Join(s.flags, "\n"))
	fmt.Fprintf(&b, "CACERT=%[1]s/ca.pem\nDOCKER_HOST='-H %[2]s'\nDOCKER_STORAGE=%[3]s\nDOCKER_TLS=auto\nSERVERKEY=%[1]s/server-key.pem\nSERVERCERT=%[1]s/server.pem\n", tlsDir, listen, storage)
	for _, kv := range s.env {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&b, "export %s=%s\n", k, shellQuote(v))
	}
	return []byte(b.String()), nil
}
