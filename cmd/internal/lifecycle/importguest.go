package lifecycle

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/cmd/internal/bundle"
	"github.com/hostsmith/machine/store"
)

// guest is a machine of a bundle.
type guest struct {
	name    string // here
	from    string // in the bundle
	rec     store.Record
	secrets json.RawMessage
	files   bundle.Files
	state   string
	lone    string // the swarm that it is in, and that this store will not know
}

// guest reads one machine of the bundle, of which nothing is trusted but that it is whole.
func (i *importing) guest(from, name string) (*guest, error) {
	if err := store.ValidName(name); err != nil {
		return nil, withAdvice(err, "give it another name with --as")
	}
	files := maps.Clone(i.b.Machines[from])
	g := &guest{name: name, from: from, files: files, state: importedNew}
	var err error
	g.rec, err = store.DecodeRecord(from, files[bundle.RecordFile], func(file string) bool { return files[file] != nil })
	if err != nil {
		return nil, err
	}
	if secrets := files[bundle.SecretsFile]; secrets != nil {
		if _, err := overlaySecrets(nil, secrets); err != nil {
			return nil, err
		}
		g.secrets = secrets
	}
	delete(files, bundle.RecordFile)
	delete(files, bundle.SecretsFile)
	g.rec.Name, g.rec.Problem, g.rec.Bake, g.rec.DockerContext, g.rec.Computer = name, nil, nil, false, ""
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", bundle.ErrFormat, err)
	}
	if err := chosenElsewhere(g.rec.DriverName); err != nil {
		return nil, withAdvice(fmt.Errorf("%w: %w", ErrStays, err), "export it again where it comes from with --reference, or with the driver on PATH under its name")
	}
	if what := homebound(g.rec.DriverName); what != "" {
		return nil, fmt.Errorf("%w: %s is on another computer", ErrStays, what)
	}
	g.rec.Driver = relocate(g.rec.Driver, from, i.m.Store.Root(), i.m.Store.MachineDir(name))
	g.rec.DriverState = relocate(g.rec.DriverState, from, i.m.Store.Root(), i.m.Store.MachineDir(name)) // of a plugin
	return g, nil
}

// check refuses what would lead out of the machine's folder or into another program's options, and keys that do not fit.
func (g *guest) check() error {
	key := g.rec.SSH.Key
	known := []string{caFile, certFile, keyFile, serverFile, serverKeyFile, knownHostsFile, userDataFile}
	if key != "" {
		if g.files[key] == nil {
			return fmt.Errorf("SSH key %.80q is not in it", key)
		}
		known = append(known, key, key+".pub")
	}
	for name := range g.files {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unexpected file %.80q", name)
		}
	}
	if g.rec.Phase != store.Ready || g.rec.DriverName == "" {
		return errors.New("the machine is not ready")
	}
	at := g.rec.Address
	for _, word := range []string{at.Host, at.Peer, at.User, g.rec.SSH.Jump} {
		if strings.HasPrefix(word, "-") || strings.ContainsFunc(word, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("'\"`$;&|<>(){}*?!#,", r)
		}) {
			return fmt.Errorf("%.80q is no name or address", word)
		}
	}
	if at.SSHPort < 0 || at.SSHPort > 65535 || at.EnginePort < 0 || at.EnginePort > 65535 {
		return errors.New("a port is out of range")
	}
	for _, pair := range [][2]string{{certFile, keyFile}, {serverFile, serverKeyFile}} {
		if g.files[pair[0]] == nil && g.files[pair[1]] == nil {
			continue
		}
		if _, err := tls.X509KeyPair(g.files[pair[0]], g.files[pair[1]]); err != nil {
			return fmt.Errorf("%s and %s: %w", pair[0], pair[1], err)
		}
	}
	if ca := g.files[caFile]; ca != nil {
		if _, err := certs.Inspect(ca); err != nil {
			return fmt.Errorf("%s: %w", caFile, err)
		}
	}
	return nil
}

// relocate gives the paths that docker-machine's drivers keep in their records those that they have here. The
// paths may be another system's.
func relocate(driver json.RawMessage, from, root, dir string) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(driver, &fields) != nil || fields["StorePath"] == nil && fields["SSHKeyPath"] == nil {
		return driver
	}
	set := func(key, value string) {
		if data, err := json.Marshal(value); err == nil {
			fields[key] = data
		}
	}
	if fields["StorePath"] != nil {
		set("StorePath", root)
	}
	var key string
	if json.Unmarshal(fields["SSHKeyPath"], &key) == nil && key != "" {
		parts := strings.Split(strings.ReplaceAll(key, `\`, "/"), "/")
		if n := len(parts); n >= 3 && parts[n-3] == "machines" && parts[n-2] == from {
			set("SSHKeyPath", filepath.Join(dir, parts[n-1]))
		}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return driver
	}
	return out
}
