package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/bundle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// ErrStays: a machine cannot go to another computer.
var ErrStays = errors.New("machine cannot travel")

// ExportRequest asks for machines in a file that another store can take in.
type ExportRequest struct {
	Names      []string
	File       string // where to; "-": Out
	Out        io.Writer
	Plain      bool     // not encrypted
	Recipients []string // age or SSH public keys
	Passphrase string   // instead of recipients; secret
	Force      bool     // overwrite File

	WithCA         bool // the store's authority with its key
	WithSwarms     bool // records of swarms of which not all members are among Names, too
	WithoutSecrets bool // what the drivers need to get at their providers stays
	Reference      bool // hosts to be reached only: no driver, no state of it, no secrets
	DryRun         bool
}

// Exported is what went into a bundle.
type Exported struct {
	File      string           `json:"file"`
	Bytes     int64            `json:"bytes,omitempty"`
	SHA256    string           `json:"sha256,omitempty"`
	Created   time.Time        `json:"created"`
	Encrypted bool             `json:"encrypted"`
	CA        bool             `json:"ca"`
	Machines  []bundle.Machine `json:"machines"`
	Swarms    []string         `json:"swarms"`
}

// Export writes machines with all that it takes to use them into a file; the store stays as it is. One that cannot
// travel keeps the others back too, since whoever gets the file would miss it too late.
func (m *Manager) Export(ctx context.Context, req ExportRequest) (res Exported, err error) {
	var to *agefile.Recipients
	if !req.Plain {
		to = &agefile.Recipients{Keys: req.Recipients, Passphrase: req.Passphrase}
		if err := to.Check(); err != nil && !req.DryRun {
			return res, fmt.Errorf("export: %w", err)
		}
	}
	if err := m.exist(req.Names); err != nil {
		return res, err
	}
	e := &exporting{m: m, req: req, b: bundle.Bundle{Machines: map[string]bundle.Files{}, Swarms: map[string][]byte{}}}
	if err := e.collect(ctx); err != nil {
		return res, fmt.Errorf("export: %w", err)
	}
	res = Exported{
		File: req.File, Created: e.b.Manifest.Created, Encrypted: !req.Plain, CA: e.b.CA != nil,
		Machines: e.b.Manifest.Machines, Swarms: e.b.Manifest.Swarms,
	}
	if req.DryRun {
		return res, nil
	}
	out, err := newOutFile(req.File, req.Out, req.Force)
	if err != nil {
		return res, fmt.Errorf("export: %w", err)
	}
	defer func() { err = errors.Join(err, out.discard()) }()
	if err := bundle.Write(out, to, e.b); err != nil {
		return res, fmt.Errorf("export: %w", err)
	}
	if res.Bytes, res.SHA256, err = out.finish(); err != nil {
		return res, fmt.Errorf("export: %w", err)
	}
	return res, nil
}

// exporting is one export at work.
type exporting struct {
	m   *Manager
	req ExportRequest
	a   authority // the store's; zero: it has none
	b   bundle.Bundle

	member map[string]string // swarm by machine
}

func (e *exporting) collect(ctx context.Context) (err error) {
	if e.a, err = e.m.readAuthority(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.member = map[string]string{}
	e.b.Manifest = bundle.Manifest{
		Format: bundle.Format, Program: "machine " + e.m.Version, System: runtime.GOOS + "/" + runtime.GOARCH,
		Created: e.m.Now().UTC().Truncate(time.Second),
	}
	var errs []error
	for _, name := range e.req.Names {
		if err := e.addLocked(OnMachine(ctx, name), name); err != nil {
			errs = append(errs, &MachineError{Machine: name, Err: err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := e.addSwarms(ctx); err != nil {
		return err
	}
	return e.addCA()
}

// addLocked adds a machine that no other command changes meanwhile. A store that cannot be written has no such command.
func (e *exporting) addLocked(ctx context.Context, name string) (err error) {
	txn, err := e.m.locks().machine(ctx, name)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, txn.Close()) }()
	case !errors.Is(err, store.ErrReadOnly):
		return err
	}
	return e.add(ctx, name)
}

func (e *exporting) add(ctx context.Context, name string) error {
	x := &machine{m: e.m}
	var err error
	if x.rec, err = e.m.Store.Get(name); err != nil {
		return err
	}
	secrets, err := e.m.Store.Secrets(name)
	if err != nil {
		return err
	}
	if secrets, err = x.ready(e.req, secrets); err != nil {
		return err
	}
	told := bundle.Machine{
		Name: name, Driver: x.rec.DriverName, Record: store.Version, Engine: x.rec.Installed.Engine, Swarm: x.rec.Swarm.Name,
	}
	if e.req.Reference && x.rec.DriverName != genericDriver {
		told.Reference, told.Driver = x.rec.DriverName, genericDriver
		if err := x.becomeReference(); err != nil {
			return err
		}
		secrets = nil
	}
	files, err := x.belongings(e.a)
	if err != nil {
		return err
	}
	if x.rec.SSH.Key == "" && x.rec.Address.Host != "" {
		e.m.Note(ctx, "its login uses your SSH agent or default keys, which do not travel: the host must let in a key of who imports it")
	}
	if files[bundle.RecordFile], err = store.EncodeRecord(x.rec); err != nil {
		return err
	}
	if len(secrets) > 0 {
		files[bundle.SecretsFile], told.Secrets = secrets, true
	}
	e.b.Machines[name] = files
	e.b.Manifest.Machines = append(e.b.Manifest.Machines, told)
	e.member[name] = x.rec.Swarm.Name
	return nil
}

// ready judges whether the machine can travel, and makes its record one that can. It returns the driver's secrets, which
// are taken out of records of docker-machine.
func (x *machine) ready(req ExportRequest, secrets json.RawMessage) (json.RawMessage, error) {
	switch {
	case x.rec.Phase != store.Ready:
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("%w: it is %s", ErrStays, unfinished(x.rec)),
			Advice: "repeat the command that did not finish, or remove the machine",
		}
	case x.rec.Bake != nil:
		return nil, fmt.Errorf("%w: it is made for an image only", ErrStays)
	}
	if what := homebound(x.rec.DriverName); what != "" && !req.Reference {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("%w: %s is on this computer, and driver %s cannot reach it from another", ErrStays, what, x.rec.DriverName),
			Advice: "machine export --reference takes how to reach the host over SSH and TLS, if the network leads there; to move what runs on it, make a new machine there and move the workload",
		}
	}
	if byPath(x.rec.DriverName) && !req.Reference {
		return nil, withAdvice(fmt.Errorf("%w: its driver %s is a program of this computer", ErrStays, x.rec.DriverName),
			"--reference takes how to reach the host, without its driver")
	}
	f, err := x.m.driver(x.rec.DriverName)
	switch {
	case err == nil:
		if x.rec.NoStoredSecrets {
			secrets = nil
		}
		if secrets, err = x.inherit(f, secrets); err != nil {
			return nil, err
		}
	case req.WithoutSecrets && !req.Reference:
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("%w without secrets: driver %s is not known here, and so is which of its settings are secret", ErrStays, x.rec.DriverName),
			Advice: "install the driver's plugin, or use --reference, which leaves all settings of the driver out",
		}
	}
	if req.WithoutSecrets && !req.Reference && mixed(x.rec) {
		return nil, withAdvice(fmt.Errorf("%w without secrets: the record has settings of a plugin among which they are not told apart", ErrStays),
			"--reference leaves all settings of the driver out")
	}
	if req.WithoutSecrets && len(secrets) > 0 {
		secrets, x.rec.NoStoredSecrets = nil, true
	}
	x.rec.DockerContext, x.rec.Problem = false, nil // a context is of this computer's docker client
	return secrets, nil
}

// mixed tells whether a record has the settings of a driver as docker-machine's plugins keep them, secret or not.
func mixed(rec store.Record) bool {
	var fields struct{ StorePath *string }
	if rec.DriverName == genericDriver || rec.DriverName == "none" {
		return false // which have none
	}
	return json.Unmarshal(rec.Driver, &fields) == nil && fields.StorePath != nil
}

const genericDriver = "generic"

// homebound tells what of a driver's machines is on this computer; empty: nothing.
func homebound(driver string) string {
	const disk = "the disk of its virtual machine"
	switch driver {
	case "docker":
		return "its container"
	case "virtualbox", "hyperv", "qemu", "vmwarefusion", "vmware", "vmwareworkstation", "parallels", "xhyve", "hyperkit", "kvm", "kvm2", "utm", "vagrant":
		return disk
	}
	return ""
}

// becomeReference makes the record that of a host which is only reached.
func (x *machine) becomeReference() error {
	at := x.rec.Address
	if at.Host == "" {
		return &drivers.HintError{Err: fmt.Errorf("%w: where it is is not known: %w", ErrStays, ErrNotRunning), Advice: "machine start " + x.rec.Name + ", then export it again"}
	}
	f, err := x.m.Drivers.Lookup(genericDriver)
	if err != nil {
		return err
	}
	values := drivers.Values{
		"generic-ip-address": {at.Host}, "generic-ssh-user": {at.User}, "generic-ssh-port": {fmt.Sprint(at.SSHPort)},
		"generic-engine-port": {fmt.Sprint(x.clientPort())},
	}
	if x.rec.SSH.Jump != "" {
		values["generic-jump-host"] = []string{x.rec.SSH.Jump}
	}
	if at.Peer != "" && at.Peer != at.Host {
		values["generic-peer-address"] = []string{at.Peer}
	}
	config, _, err := f.Configure(values)
	if err != nil {
		return err
	}
	x.rec.DriverName, x.rec.Driver, x.rec.DriverState, x.rec.NoStoredSecrets = genericDriver, config, nil, false
	x.rec.Address.EnginePort = x.clientPort()
	return nil
}

// belongings are the files that the machine cannot do without elsewhere. The client certificate is a new one if the
// store can issue it, so that nobody else's key leaves the store.
func (x *machine) belongings(a authority) (bundle.Files, error) {
	files := bundle.Files{}
	dir := x.m.Store.MachineDir(x.rec.Name)
	take := func(names ...string) error {
		for _, name := range names {
			data, err := os.ReadFile(x.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			files[name] = data
		}
		return nil
	}
	if err := take(knownHostsFile, serverFile, serverKeyFile); err != nil {
		return nil, err
	}
	if key := x.rec.SSH.Key; key != "" {
		if err := take(key, key+".pub"); err != nil {
			return nil, err
		}
		if files[key] == nil {
			return nil, fmt.Errorf("%w: its SSH key %s is missing in %s", ErrStays, key, dir)
		}
	}
	if x.credentials() == dir {
		if err := take(caFile, certFile, keyFile); err != nil {
			return nil, err
		}
	} else if a.cert != nil {
		files[caFile], files[certFile], files[keyFile] = a.trust, a.client.Cert, a.client.Key
	}
	if files[caFile] == nil {
		return files, nil
	}
	if a.ca != nil && !x.foreign(a) {
		pair, err := a.ca.Client(x.m.organisation(), x.m.Now())
		if err != nil {
			return nil, fmt.Errorf("issue client certificate: %w", err)
		}
		files[certFile], files[keyFile] = pair.Cert, pair.Key
	}
	err := certs.Verify(certs.Pair{Cert: files[certFile], Key: files[keyFile]}, certs.Need{Roots: files[caFile], Client: true, Now: x.m.Now()})
	if err != nil {
		return nil, fmt.Errorf("%w: its client certificate: %w", ErrStays, err)
	}
	return files, nil
}

// addSwarms adds the records of swarms all of whose members travel, or some if that was asked for. None has a token.
func (e *exporting) addSwarms(ctx context.Context) error {
	var names []string
	for _, swarm := range e.member {
		if swarm != "" && !slices.Contains(names, swarm) {
			names = append(names, swarm)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		c, err := e.m.Store.Cluster(name)
		if errors.Is(err, store.ErrNoCluster) {
			continue
		}
		if err != nil {
			return err
		}
		if c.Operation != nil {
			return operationError(c)
		}
		stays := 0
		members := map[string]store.Member{}
		for member, is := range c.Members {
			if e.member[member] == name {
				members[member] = is
			} else {
				stays++
			}
		}
		if stays > 0 && !e.req.WithSwarms {
			e.m.Note(ctx, fmt.Sprintf("the record of swarm %s stays: %d of its %d members are not exported; --with-swarms takes it along with the others", name, stays, len(c.Members)))
			continue
		}
		c.Members = members
		if e.b.Swarms[name], err = store.EncodeCluster(c); err != nil {
			return err
		}
		e.b.Manifest.Swarms = append(e.b.Manifest.Swarms, name)
	}
	return nil
}

func (e *exporting) addCA() error {
	if !e.req.WithCA {
		return nil
	}
	if e.a.ca == nil {
		return errNoCAKey(e.m.Store.CertsDir())
	}
	pair := e.a.ca.Pair()
	e.b.CA, e.b.Manifest.CA = bundle.Files{caFile: pair.Cert, caKeyFile: pair.Key}, true
	return nil
}
