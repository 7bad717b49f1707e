package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// What an adoption does to the engine.
const (
	EngineKeep    = "keep"
	EngineInstall = "install"
	EngineUpgrade = "upgrade"
)

// AdoptRequest asks to take over a host that somebody else set up.
type AdoptRequest struct {
	Name    string
	URL     string // ssh://user@host[:port]
	Engine  string // keep, install or upgrade
	Version string // of the engine, to install or upgrade to
	Source  string // of an engine to install: repo or distro; empty: decided by what the host has
	RepoURL string // mirror of Docker's package repository, to install from; empty: Docker's own
	TLS     bool   // the engine listens with TLS for clients; else they go through SSH, and nothing is changed
	Port    int    // of the engine; 0: the usual one
	SANs    []string

	KeyFile string // private key that logs in; empty: the agent, then the default keys
	Jump    string
	HostKey string // SHA256:... that the host must present; empty: known, or confirmed
	Confirm ConfirmFunc

	DockerContext bool
	DryRun        bool
}

// ConfirmFunc asks a person whether a host key is the right one; nil, or the error io.EOF: there is nobody to ask.
type ConfirmFunc = func(ctx context.Context, host, fingerprint string) (bool, error)

// Adoption is what was found on a host and what is done with it.
type Adoption struct {
	Machine  string       `json:"machine"`
	URL      string       `json:"url"` // of the engine, as docker clients get it
	Found    AdoptedHost  `json:"found"`
	Steps    []string     `json:"steps"`
	Warnings []string     `json:"warnings,omitempty"`
	Refused  string       `json:"refused,omitempty"` // why it is not done
	Hint     string       `json:"hint,omitempty"`    // what can be done about that
	HostKey  string       `json:"hostKey"`
	plan     adoptionPlan // what comes of it
}

// Adopt looks at a host without changing anything, tells what will be done, and does only what was asked for: nothing at
// all on the host without TLS. Interrupted, the same request goes on.
func (m *Manager) Adopt(ctx context.Context, req AdoptRequest) (res Adoption, err error) {
	a, err := m.newAdopting(req)
	if err != nil {
		return res, fmt.Errorf("adopt: %w", err)
	}
	defer a.close()
	ctx = OnMachine(ctx, req.Name)
	if res, err = a.look(ctx); err != nil {
		return res, fmt.Errorf("adopt %s: %w", a.address(), err)
	}
	if req.DryRun {
		return res, nil
	}
	m.tell(ctx, res)
	if res.plan.refused != nil {
		return res, fmt.Errorf("adopt %s: %w", a.address(), res.plan.refused)
	}
	if req.TLS {
		err = a.secure(ctx, res.plan)
	} else {
		err = a.record(ctx)
	}
	if err != nil {
		return res, err
	}
	return res, a.recordSwarm(ctx)
}

// tell shows the plan to who waits.
func (m *Manager) tell(ctx context.Context, res Adoption) {
	for _, line := range res.Found.Lines() {
		m.Note(ctx, "found: "+line)
	}
	for _, step := range res.Steps {
		m.Note(ctx, "plan: "+step)
	}
	for _, w := range res.Warnings {
		m.Note(ctx, "warning: "+w)
	}
}

// adopting is one adoption at work.
type adopting struct {
	m      *Manager
	req    AdoptRequest
	values drivers.Values
	x      *machine // as it would be recorded
	conn   *ssh.Client

	known       []string // lines of known_hosts that were verified
	fingerprint string
	found       AdoptedHost
	facts       provision.Facts
	nodeAddr    string // at which the others of its swarm reach it, if that swarm is recorded
}

func (a *adopting) close() {
	if a.conn != nil {
		_ = a.conn.Close() // nothing is under way
	}
}

func (a *adopting) address() string {
	return net.JoinHostPort(a.x.rec.Address.Host, strconv.Itoa(a.x.rec.Address.SSHPort))
}

// newAdopting judges a request; nobody is asked.
func (m *Manager) newAdopting(req AdoptRequest) (*adopting, error) {
	if err := store.ValidName(req.Name); err != nil {
		return nil, err
	}
	a := &adopting{m: m, req: req, x: &machine{m: m}}
	if a.req.Engine = cmp.Or(req.Engine, EngineKeep); !slices.Contains([]string{EngineKeep, EngineInstall, EngineUpgrade}, a.req.Engine) {
		return nil, fmt.Errorf("%w: engine %q: want keep, install or upgrade", ErrUsage, req.Engine)
	}
	if !req.TLS && a.req.Engine != EngineKeep {
		return nil, withAdvice(fmt.Errorf("%w: without TLS nothing on the host is changed, so its engine is kept", ErrUsage), "--tls on goes with --engine "+a.req.Engine)
	}
	if a.req.Engine == EngineKeep && req.Version != "" {
		return nil, fmt.Errorf("%w: an engine that is kept has the version that it has", ErrUsage)
	}
	if a.req.Engine != EngineInstall && (req.Source != "" || req.RepoURL != "") {
		return nil, fmt.Errorf("%w: only an engine that is installed has a source to choose", ErrUsage)
	}
	if err := a.readURL(); err != nil {
		return nil, err
	}
	switch rec, err := m.Store.Get(req.Name); {
	case errors.Is(err, store.ErrNotExist):
	case err != nil:
		return nil, err
	case rec.Phase == store.Ready || rec.DriverName != genericDriver || rec.OverSSH:
		return nil, fmt.Errorf("%w: %q", store.ErrExist, req.Name)
	}
	return a, nil
}

// readURL makes options of the driver generic of the URL, and of these the record.
func (a *adopting) readURL() error {
	u, err := url.Parse(a.req.URL)
	if err != nil || u.Scheme != "ssh" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return withAdvice(fmt.Errorf("%w: %.100q is no address of a host", ErrUsage, redactURL(a.req.URL)), "give it as ssh://user@host or ssh://user@host:port")
	}
	if _, set := u.User.Password(); set {
		return withAdvice(fmt.Errorf("%w: the address has a password in it", ErrUsage), "log in with a key: --ssh-key FILE, or the SSH agent")
	}
	a.values = drivers.Values{
		"generic-ip-address": {u.Hostname()}, "generic-ssh-user": {cmp.Or(u.User.Username(), "root")}, "generic-ssh-port": {cmp.Or(u.Port(), "22")},
	}
	for option, value := range map[string]string{"generic-ssh-key": a.req.KeyFile, "generic-jump-host": a.req.Jump} {
		if value != "" {
			a.values[option] = []string{value}
		}
	}
	if a.req.Port != 0 && a.req.TLS {
		a.values["generic-engine-port"] = []string{strconv.Itoa(a.req.Port)}
	}
	f, err := a.m.Drivers.Lookup(genericDriver)
	if err != nil {
		return err
	}
	config, _, err := f.Configure(a.values)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(a.values["generic-ssh-port"][0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	a.x.rec = store.Record{
		ConfigVersion: store.Version, Name: a.req.Name, DriverName: f.Name(), Driver: config, Phase: store.Ready,
		Created: a.m.Now().UTC(), Creator: a.m.Version, OverSSH: !a.req.TLS, DockerContext: a.req.DockerContext,
		Address:   store.Address{Host: u.Hostname(), Peer: u.Hostname(), User: a.values["generic-ssh-user"][0], SSHPort: port, EnginePort: a.req.Port},
		SSH:       store.SSH{Jump: a.req.Jump, HostKey: pinned},
		Installed: store.Installed{Source: "kept"},
	}
	a.x.rec.HostOptions.EngineOptions = store.EngineOptions{Source: string(provision.SourceKeep), TLSVerify: a.req.TLS, Port: a.req.Port}
	return a.x.openWith(f, nil)
}

// redactURL leaves a password out.
func redactURL(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return "ssh://..."
}

// dial connects to the host, whose key must be known, told or confirmed before anything is said to it.
func (a *adopting) dial(ctx context.Context) error {
	if err := a.x.drv.Check(ctx); err != nil {
		return checkError(ctx, err)
	}
	t := a.x.target()
	if a.req.KeyFile != "" {
		t.Key = expandHome(a.req.KeyFile, a.m.Getenv)
	}
	if home := cmp.Or(a.m.Getenv("HOME"), a.m.Getenv("USERPROFILE")); home != "" {
		t.Vouch = filepath.Join(home, ".ssh", "known_hosts")
	}
	t.Pin = true
	t.OnKnown = func(line, fingerprint string) error { return a.accept(ctx, line, fingerprint, true) }
	t.OnPin = func(line, fingerprint string) error { return a.accept(ctx, line, fingerprint, false) }
	ctx, cancel := within(ctx, a.m.Wait.SSH, ownSSHDeadline, "connect over SSH")
	defer cancel()
	var err error
	a.conn, err = ssh.Dial(ctx, t)
	return err
}

// accept decides on a host key, of the host or of its jump host.
func (a *adopting) accept(ctx context.Context, line, fingerprint string, known bool) error {
	host, _, _ := strings.Cut(line, " ")
	target := strings.ToLower(a.x.rec.Address.Host)
	isTarget := host == target || strings.HasPrefix(host, "["+target+"]:")
	switch {
	case isTarget && a.req.HostKey != "":
		if fingerprint != a.req.HostKey {
			return &ssh.HostKeyError{Host: host, Want: a.req.HostKey, Got: fingerprint, File: "--host-key"}
		}
	case known:
	default:
		if err := a.confirm(ctx, host, fingerprint, isTarget); err != nil {
			return err
		}
	}
	if isTarget {
		a.fingerprint = fingerprint
	}
	a.known = append(a.known, line)
	return nil
}

// confirm asks whether a host key that nothing vouches for is the right one.
func (a *adopting) confirm(ctx context.Context, host, fingerprint string, isTarget bool) error {
	yes, err := false, io.EOF
	if a.req.Confirm != nil {
		yes, err = a.req.Confirm(ctx, host, fingerprint)
	}
	advice := "compare the fingerprint over another way, then repeat with --host-key " + fingerprint
	if !isTarget {
		advice = "compare the fingerprint over another way, then log in there once with ssh, which asks and remembers it"
	}
	switch {
	case errors.Is(err, io.EOF):
		return withAdvice(fmt.Errorf("%w: it presents %s", ssh.ErrUnknownKey, fingerprint), advice)
	case err != nil:
		return err
	case !yes:
		return withAdvice(fmt.Errorf("%w: %s was not confirmed", ssh.ErrUnknownKey, fingerprint), advice)
	}
	return nil
}

// knownHosts is the file of the machine.
func (a *adopting) knownHosts() []byte {
	if len(a.known) == 0 {
		data, _ := os.ReadFile(a.x.path(knownHostsFile)) // of an adoption that was begun
		return data
	}
	return []byte(strings.Join(a.known, "\n") + "\n")
}

// record takes the machine into the store as a whole, and touches nothing on the host.
func (a *adopting) record(ctx context.Context) (err error) {
	m := a.m
	if err := m.ensureID(ctx); err != nil {
		return err
	}
	files := map[string][]byte{knownHostsFile: a.knownHosts()}
	if a.req.KeyFile != "" {
		if files[ownKeyFile], err = os.ReadFile(expandHome(a.req.KeyFile, m.Getenv)); err != nil {
			return fmt.Errorf("read SSH key: %w", err)
		}
		a.x.rec.SSH.Key = ownKeyFile
	}
	if a.req.DockerContext {
		if err := m.checkContext(ctx, a.req.Name); err != nil {
			return err
		}
	}
	a.x.rec.Installed.Engine, a.x.rec.Installed.OS, a.x.rec.Installed.Arch = a.found.Engine, a.found.OS, a.found.Arch
	txn, err := m.locks().machine(ctx, a.req.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	if err := txn.Import(a.x.rec, nil, files); err != nil {
		return err
	}
	a.x.txn = txn
	if a.req.DockerContext {
		if err := m.makeContext(ctx, a.x); err != nil {
			return a.x.fail(err)
		}
	}
	return nil
}

// secure makes the host a machine like those of create, with its containers running all the while.
func (a *adopting) secure(ctx context.Context, plan adoptionPlan) error {
	if err := provision.Apply(ctx, a.conn, plan.before, a.m.Step); err != nil {
		return err
	}
	engine := store.EngineOptions{TLSVerify: true, Port: a.req.Port, Source: string(provision.SourceKeep)}
	if a.req.Engine == EngineInstall {
		engine.Source, engine.Version, engine.RepoURL = a.req.Source, a.req.Version, a.req.RepoURL
	}
	results, err := a.m.Create(ctx, CreateRequest{
		Names: []string{a.req.Name}, Driver: genericDriver, Options: a.values, Engine: engine, SANs: a.req.SANs,
		DockerContext: a.req.DockerContext, knownHosts: a.knownHosts(),
	})
	if err != nil {
		return err
	}
	a.m.Log.Info("adopted", "machine", a.req.Name, "url", results[0].URL)
	if a.req.Engine == EngineUpgrade {
		if err := a.m.Upgrade(ctx, UpgradeRequest{Names: []string{a.req.Name}, Version: a.req.Version}); err != nil {
			return err
		}
	}
	return a.settle(ctx)
}

// settle takes back what was for the time of the change only.
func (a *adopting) settle(ctx context.Context) error {
	facts, err := provision.Probe(ctx, a.conn, a.x.wanted())
	if err != nil {
		return err
	}
	steps, err := provision.PlanLiveRestore(facts, false)
	if err != nil {
		return err
	}
	return provision.Apply(ctx, a.conn, steps, a.m.Step)
}
