// Package fake is a driver of hosts that do not exist: records of a provider
// that lives in memory or in a folder. It takes faults and delays as options,
// so that the lifecycle and the command line can be tested without a provider.
// A test's own SSH server and engine may stand behind its addresses.
package fake

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// The driver's name, and another one that it goes by.
const (
	Name  = "fake"
	Alias = "pretend"
)

// Environment variables that act on each command without becoming part of a
// machine's configuration: a create that failed can be resumed without the fault.
const (
	EnvFail  = "FAKE_FAIL"  // STEP[:KIND], comma-separated, besides those of --fake-fail
	EnvDelay = "FAKE_DELAY" // a duration, besides that of --fake-delay
	EnvWant  = "FAKE_WANT"  // the credential that the provider takes; empty: any, and none
)

type config struct {
	Address    string         `option:"address" help:"address of the host"`
	Peer       string         `option:"peer-address" help:"address for other machines"`
	User       string         `option:"ssh-user" help:"login user"`
	SSHPort    int            `option:"ssh-port" min:"1" max:"65535" help:"port of SSH"`
	EnginePort int            `option:"engine-port" min:"1" max:"65535" help:"port of the engine, if not the one it listens on"`
	StateDir   string         `option:"state-dir" env:"FAKE_STATE_DIR" help:"folder that holds the provider's resources"`
	Size       string         `option:"size" oneof:"small,large" help:"size of the host"`
	Labels     []string       `option:"labels" env:"FAKE_LABELS" help:"labels of the host"`
	Token      drivers.Secret `option:"secret" env:"FAKE_SECRET" help:"credential of the provider"`
	Network    string         `option:"network" help:"network that the machines of the store share; made and removed as needed"`
	Place      string         `option:"place" help:"name of the place that the provider's resources are at"`
	Console    string         `option:"console" help:"file with what the host prints on its console"`
	Image      string         `option:"image" help:"file in the store's cache that the host's disk is based on"`
	Key        string         `option:"ssh-keypath" help:"private key of the user's own that logs in"`
	Seed       bool           `option:"seed-host-key" help:"present the host key that was asked for"`
	Fail       []string       `option:"fail" help:"step at which to fail, with :kind if the kind matters"`
	Delay      time.Duration  `option:"delay" min:"0s" help:"time each operation takes"`
}

func (c config) Validate() error {
	if _, err := parseFaults(c.Fail); err != nil {
		return &drivers.OptionError{Option: "fake-fail", Err: err}
	}
	return nil
}

// state is saved with a token before anything is made with it.
type state struct {
	Token   string `json:",omitempty"`
	Network string `json:",omitempty"`
	Disk    string `json:",omitempty"`
	Host    string `json:",omitempty"`
}

// New returns the driver on a provider. If p is nil, the provider is the folder
// that the option fake-state-dir names.
func New(p *Provider) drivers.Factory {
	def := func() config {
		return config{Address: "192.0.2.1", User: "root", SSHPort: 22, Size: "small", Place: "nowhere"}
	}
	return drivers.Define(Name, "hosts that do not exist, for tests", def,
		func(c config, s *drivers.Durable[state], env drivers.Env) (drivers.Driver, error) {
			d := &driver{config: c, state: s, env: env, provider: p}
			if p == nil {
				if c.StateDir == "" {
					return nil, &drivers.OptionError{Option: "fake-state-dir", Err: errors.New("must be given")}
				}
				d.provider = Folder(c.StateDir)
			}
			return d, nil
		}, Alias)
}

type driver struct {
	config   config
	state    *drivers.Durable[state]
	env      drivers.Env
	provider *Provider
}

// SeedsHostKey tells whether the host will present the key it was born with.
func (d *driver) SeedsHostKey() bool { return d.config.Seed }

// Images returns the file of the cache that the host's disk is based on.
func (d *driver) Images() []string {
	if d.config.Image == "" {
		return nil
	}
	return []string{filepath.Join(d.env.Cache, filepath.FromSlash(d.config.Image))}
}

// Image writes what stands for the disk of a stopped host.
func (d *driver) Image(ctx context.Context, to string) error {
	if err := d.at(ctx, "image"); err != nil {
		return err
	}
	h, err := d.host(ctx)
	if err != nil {
		return err
	}
	if h.State != drivers.Stopped {
		return fmt.Errorf("image of %s: its state is %s", h.Name, h.State)
	}
	disk := make([]byte, 4096)
	copy(disk, "\x00disk of "+h.Name)
	return os.WriteFile(to, disk, 0o600)
}

// SSHAccess returns the user's own key, if one was given.
func (d *driver) SSHAccess() drivers.Access { return drivers.Access{KeyFile: d.config.Key} }

// TakesUserData tells that the host is born with the user data that was given.
func (d *driver) TakesUserData() bool { return true }

func (d *driver) Check(ctx context.Context) error { return d.at(ctx, "check") }

func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	if err := d.at(ctx, "create-before"); err != nil {
		return err
	}
	s := &d.state.Value
	if s.Token == "" {
		s.Token = rand.Text()
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	labels := map[string]string{"machine": d.env.Machine, "store": d.env.StoreID, "creator": d.env.Creator}
	for _, l := range d.config.Labels {
		key, value, _ := strings.Cut(l, "=")
		labels[key] = value
	}
	if err := d.share(ctx); err != nil {
		return err
	}
	err := d.ensure(ctx, &s.Disk, Resource{Kind: KindDisk, Name: d.env.Machine, Token: s.Token, Place: d.config.Place, Labels: labels})
	if err != nil {
		return err
	}
	if err := d.at(ctx, "create-between"); err != nil {
		return err
	}
	err = d.ensure(ctx, &s.Host, Resource{
		Kind: KindHost, Name: d.env.Machine, Token: s.Token, Place: d.config.Place, Labels: labels, State: drivers.Running, Disk: s.Disk, Network: s.Network,
		AuthorizedKey: req.AuthorizedKey, HostKey: string(req.HostKey), UserData: string(req.UserData), OpenPorts: req.OpenPorts,
		DataPathPort: req.DataPathPort,
	})
	if err != nil {
		return err
	}
	if err := d.at(ctx, "create-after"); err != nil {
		return err
	}
	return d.turn(ctx, drivers.Running)
}

// ensure makes r unless *id, or else its token, says that it exists already.
func (d *driver) ensure(ctx context.Context, id *string, r Resource) error {
	if *id != "" {
		_, err := d.provider.find(ctx, r.Kind, *id, "")
		if !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
	}
	made, err := d.provider.allocate(ctx, r)
	if err != nil {
		return fmt.Errorf("create %s: %w", r.Kind, err)
	}
	*id = made.ID
	return d.state.Save()
}

func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	if err := d.at(ctx, "status"); err != nil {
		return drivers.Status{}, err
	}
	h, err := d.host(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	return drivers.Status{
		State: h.State, Host: d.config.Address, Peer: d.config.Peer, User: d.config.User,
		SSHPort: d.config.SSHPort, EnginePort: d.config.EnginePort,
	}, nil
}

// host returns the host that the state tells of.
func (d *driver) host(ctx context.Context) (Resource, error) {
	s := d.state.Value
	if s.Token == "" {
		return Resource{}, fmt.Errorf("host: %w", drivers.ErrNotFound)
	}
	return d.provider.find(ctx, KindHost, s.Host, s.Token)
}

func (d *driver) Start(ctx context.Context) error { return d.power(ctx, "start", drivers.Running) }
func (d *driver) Stop(ctx context.Context) error  { return d.power(ctx, "stop", drivers.Stopped) }
func (d *driver) Kill(ctx context.Context) error  { return d.power(ctx, "kill", drivers.Stopped) }

// Restart stops and starts the host.
func (d *driver) Restart(ctx context.Context) error {
	if err := d.Stop(ctx); err != nil {
		return err
	}
	return d.Start(ctx)
}

func (d *driver) power(ctx context.Context, step string, to drivers.State) error {
	if err := d.at(ctx, step); err != nil {
		return err
	}
	return d.turn(ctx, to)
}

func (d *driver) turn(ctx context.Context, to drivers.State) error {
	h, err := d.host(ctx)
	if err != nil || h.State == to {
		return err
	}
	return d.provider.setState(ctx, h.ID, to)
}

func (d *driver) Remove(ctx context.Context) error {
	if err := d.at(ctx, "remove"); err != nil {
		return err
	}
	s := &d.state.Value
	if s.Token == "" {
		return nil
	}
	if err := d.release(ctx, KindHost, &s.Host); err != nil {
		return err
	}
	if err := d.release(ctx, KindDisk, &s.Disk); err != nil {
		return err
	}
	if err := d.unshare(ctx); err != nil {
		return err
	}
	s.Token = ""
	return d.state.Save()
}

// release deletes what *id or the token says, and clears *id.
func (d *driver) release(ctx context.Context, kind string, id *string) error {
	r, err := d.provider.find(ctx, kind, *id, d.state.Value.Token)
	if err == nil {
		err = d.provider.delete(ctx, r.ID)
	}
	if err != nil && !errors.Is(err, drivers.ErrNotFound) {
		return fmt.Errorf("remove %s: %w", kind, err)
	}
	if *id == "" {
		return nil
	}
	*id = ""
	return d.state.Save()
}
