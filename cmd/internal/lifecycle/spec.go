package lifecycle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// spec is a checked CreateRequest: what each record will hold.
type spec struct {
	req     CreateRequest
	factory drivers.Factory
	config  json.RawMessage
	secrets json.RawMessage
	options store.HostOptions
	names   []string

	userData string // SHA-256; empty: none

	dataPathPort int // of the swarm; 0: none
}

// check validates a request as a whole; nothing is written.
func (m *Manager) check(req CreateRequest) (*spec, error) {
	if len(req.Names) == 0 {
		return nil, fmt.Errorf("%w: no machine name", ErrUsage)
	}
	for i, name := range req.Names {
		if err := store.ValidName(name); err != nil {
			return nil, err
		}
		if slices.Contains(req.Names[:i], name) {
			return nil, fmt.Errorf("%w: machine %q is named twice", ErrUsage, name)
		}
	}
	for _, san := range req.SANs {
		if err := certs.CheckHost(san); err != nil {
			return nil, fmt.Errorf("--tls-san %w", err)
		}
	}
	s := &spec{req: req, names: req.Names}
	var err error
	if s.factory, err = m.driver(req.Driver); err != nil {
		return nil, err
	}
	if s.config, s.secrets, err = s.factory.Configure(req.Options); err != nil {
		return nil, err
	}
	s.options = store.HostOptions{
		EngineOptions: req.Engine,
		SwarmOptions:  req.Swarm,
		AuthOptions:   store.AuthOptions{ServerCertSANs: req.SANs},
	}
	s.options.EngineOptions.TLSVerify = true
	if err := engineOf(req.Engine).Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if err := m.checkUserData(s); err != nil {
		return nil, err
	}
	// Before anything is recorded: without its secrets a machine could be made by halves only.
	if err := m.Store.CanSeal(); err != nil {
		return nil, err
	}
	if req.Classic {
		return s, m.checkClassic(&s.options.SwarmOptions, req.Names)
	}
	if s.dataPathPort, err = m.checkSwarm(&s.options.SwarmOptions, req.Names); err != nil {
		return nil, err
	}
	s.dataPathPort = cmp.Or(s.dataPathPort, req.dataPathPort)
	return s, nil
}

// checkUserData refuses user data that the driver has no use for.
func (m *Manager) checkUserData(s *spec) error {
	if s.req.UserData == nil {
		return nil
	}
	x := &machine{m: m, rec: store.Record{Name: s.names[0], DriverName: s.factory.Name(), Driver: s.config}}
	if err := x.openWith(s.factory, s.secrets); err != nil {
		return err
	}
	if t, ok := x.drv.(drivers.UserDataTaker); !ok || !t.TakesUserData() {
		return fmt.Errorf("%w: driver %s cannot give a host user data: leave --userdata out", ErrUsage, s.factory.Name())
	}
	sum := sha256.Sum256(s.req.UserData)
	s.userData = hex.EncodeToString(sum[:])
	return nil
}

// checkSwarm resolves the name of the swarm that a request is about, and its data path port.
func (m *Manager) checkSwarm(o *SwarmOptions, names []string) (int, error) {
	if !o.IsSwarm && !o.Master {
		return 0, nil
	}
	o.IsSwarm = true
	if o.Master {
		if o.Name == "" {
			o.Name = names[0]
		}
		if err := store.ValidName(o.Name); err != nil {
			return 0, err
		}
		if s, ok := m.findClassic(o.Name); ok && s.name == o.Name {
			return 0, m.notClassic(o.Name)
		}
	} else {
		c, err := m.findCluster(o.Name)
		if err != nil {
			return 0, err
		}
		o.Name = c.Name
	}
	c, err := m.clusterOrNew(o.Name)
	if err != nil {
		return 0, err
	}
	return dataPathPort(c, *o)
}

// clusterOrNew returns the record of a swarm, or that of one to be made.
func (m *Manager) clusterOrNew(name string) (store.Cluster, error) {
	c, err := m.Store.Cluster(name)
	if errors.Is(err, store.ErrNoCluster) {
		return store.Cluster{Name: name}, nil
	}
	return c, err
}

// dataPathPort is the UDP port of a swarm's traffic between containers: what is asked for if it is new or its port is
// not known, and else its own, which nothing changes.
func dataPathPort(c store.Cluster, o SwarmOptions) (int, error) {
	asked := cmp.Or(o.DataPathPort, swarmboot.DataPathPort)
	if c.DataPathPort == 0 || c.ID == "" && o.Master {
		return asked, nil
	}
	if o.DataPathPort != 0 && asked != c.DataPathPort {
		return 0, fmt.Errorf("%w: %s has %d, not %d", swarmboot.ErrDataPath, c.Name, c.DataPathPort, asked)
	}
	return c.DataPathPort, nil
}

// resumes returns why the request is not one that a recorded machine can be continued by.
func (s *spec) resumes(rec store.Record) error {
	switch rec.Phase {
	case store.Ready:
		if s.done(rec) {
			return nil
		}
		return fmt.Errorf("create %q: %w", rec.Name, store.ErrExist)
	case store.Removing:
		return fmt.Errorf("create %q: %w: its removal has begun", rec.Name, store.ErrExist)
	}
	if diff := s.differs(rec); len(diff) > 0 {
		return &SpecError{Machine: rec.Name, Diff: diff}
	}
	return nil
}

// done tells whether a recorded machine is what the request asks for. Only one of several may be:
// the request is then repeated for the sake of the others. A single one is refused, as its name is taken.
func (s *spec) done(rec store.Record) bool {
	return rec.Phase == store.Ready && len(s.names) > 1 && len(s.differs(rec)) == 0
}

// differs tells by which flags the request is another one than that of a record.
func (s *spec) differs(rec store.Record) []string {
	var diff []string
	if rec.DriverName != s.factory.Name() {
		diff = append(diff, fmt.Sprintf("--driver: %s → %s", rec.DriverName, s.factory.Name()))
	} else {
		diff = drivers.Diff(s.factory, rec.Driver, s.config)
	}
	if baked := bakedAs(rec); baked != s.req.bake {
		diff = append(diff, fmt.Sprintf("image to bake: %s → %s", show(baked), show(s.req.bake)))
	}
	if rec.UserData != s.userData {
		diff = append(diff, "--userdata")
	}
	diff = append(diff, differ(rec.HostOptions.EngineOptions, s.options.EngineOptions, engineFlags())...)
	diff = append(diff, differ(rec.HostOptions.SwarmOptions, s.options.SwarmOptions, swarmFlags())...)
	return append(diff, differ(rec.HostOptions.AuthOptions, s.options.AuthOptions, map[string]string{"ServerCertSANs": "tls-san"})...)
}

// engineFlags and swarmFlags tell by which flag of create each option is given. An option may hold
// a password if it is an address, a variable or a flag of the engine: "!" keeps its value unsaid.
func engineFlags() map[string]string {
	return map[string]string{
		"ArbitraryFlags": "!engine-opt", "Env": "!engine-env", "InsecureRegistry": "engine-insecure-registry", "Labels": "engine-label",
		"RegistryMirror": "!engine-registry-mirror", "StorageDriver": "engine-storage-driver", "InstallURL": "!engine-install-url",
		"TLSVerify": "tls-verify", "Version": "engine-version", "Source": "engine-source", "RepoURL": "!engine-repo-url", "Port": "engine-port",
		"HTTPProxy": "!engine-http-proxy", "HTTPSProxy": "!engine-https-proxy", "NoProxy": "engine-no-proxy",
	}
}

func swarmFlags() map[string]string {
	return map[string]string{
		"IsSwarm": "swarm", "Master": "swarm-master", "Name": "swarm-name", "Advertise": "swarm-advertise-addr", "Listen": "swarm-listen-addr",
		"DataPath": "swarm-data-path-addr", "Availability": "swarm-availability", "Labels": "swarm-node-label",
		"AddrPool": "swarm-default-addr-pool", "SubnetSize": "swarm-subnet-size", "DataPathPort": "swarm-data-path-port", "CertExpiry": "swarm-cert-expiry",
		"Agent": "swarm", "Address": "swarm-addr", "Discovery": "!swarm-discovery", "Host": "swarm-host", "Image": "swarm-image",
		"Strategy": "swarm-strategy", "ArbitraryFlags": "!swarm-opt", "ArbitraryJoinFlags": "!swarm-join-opt", "IsExperimental": "swarm-experimental",
	}
}

// differ returns a line for each field by which two structs of one type differ.
func differ[T any](a, b T, flags map[string]string) (lines []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		from, to := x.Field(i).Interface(), y.Field(i).Interface()
		if sameJSON(from, to) {
			continue
		}
		name := x.Type().Field(i).Name
		flag, ok := flags[name]
		switch silent, hidden := strings.CutPrefix(flag, "!"); {
		case !ok:
			lines = append(lines, name)
		case hidden:
			lines = append(lines, "--"+silent)
		default:
			lines = append(lines, fmt.Sprintf("--%s: %s → %s", flag, show(from), show(to)))
		}
	}
	return lines
}

// show is a value as it is given on a command line.
func show(v any) string {
	text := fmt.Sprint(v)
	if list, ok := v.([]string); ok {
		text = strings.Join(list, ",")
	}
	if text == "" || text == "0" || text == "0s" {
		return "none"
	}
	return text
}

// SpecError is a machine that exists, unfinished, with other options. It wraps ErrSpec.
type SpecError struct {
	Machine string
	Diff    []string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("create %q: %v: %s", e.Machine, ErrSpec, joinWords(e.Diff))
}

func (e *SpecError) Unwrap() error { return ErrSpec }
