// Package generic is the driver of hosts that exist already and are reached
// over SSH. They are the user's own: nothing is made and nothing removed.
package generic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// Field names are those of docker-machine's records, where it had them.
type config struct {
	IPAddress   string `option:"ip-address" env:"GENERIC_IP_ADDRESS" required:"true" help:"address or name of the host"`
	SSHUser     string `option:"ssh-user" env:"GENERIC_SSH_USER" help:"login user, root or one with sudo"`
	SSHKey      string `option:"ssh-key" env:"GENERIC_SSH_KEY" help:"private key file; without it the SSH agent and the default keys are tried"`
	SSHPort     int    `option:"ssh-port" env:"GENERIC_SSH_PORT" min:"1" max:"65535" help:"port of SSH"`
	EnginePort  int    `option:"engine-port" env:"GENERIC_ENGINE_PORT" min:"1" max:"65535" help:"port of the engine, 2376 if nothing says otherwise"`
	JumpHost    string `option:"jump-host" env:"GENERIC_JUMP_HOST" help:"host to go through, as [user@]host[:port]"`
	PeerAddress string `option:"peer-address" env:"GENERIC_PEER_ADDRESS" help:"address that other machines of a swarm reach the host at"`
	Deprovision bool   `option:"deprovision" env:"GENERIC_DEPROVISION" help:"undo on removal what provisioning did"`
}

// Validate judges the addresses by their form.
func (c config) Validate() error {
	if err := address(c.IPAddress); err != nil {
		return &drivers.OptionError{Option: "generic-ip-address", Err: err}
	}
	if err := user(c.SSHUser); err != nil {
		return &drivers.OptionError{Option: "generic-ssh-user", Err: err}
	}
	if c.JumpHost != "" {
		if err := jump(c.JumpHost); err != nil {
			return &drivers.OptionError{Option: "generic-jump-host", Err: err, Advice: "give it as [user@]host[:port]"}
		}
	}
	if c.PeerAddress != "" {
		if err := address(c.PeerAddress); err != nil {
			return &drivers.OptionError{Option: "generic-peer-address", Err: err}
		}
	}
	return nil
}

// New returns the driver.
func New() drivers.Factory {
	def := func() config { return config{SSHUser: "root", SSHPort: 22} }
	return drivers.Define("generic", "any host that exists already, over SSH", def,
		func(c config, _ *drivers.Durable[struct{}], env drivers.Env) (drivers.Driver, error) {
			return &driver{config: c, env: env, dial: (&net.Dialer{}).DialContext}, nil
		})
}

type driver struct {
	config config
	env    drivers.Env
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// SSHAccess tells how the user logs in.
func (d *driver) SSHAccess() drivers.Access {
	return drivers.Access{KeyFile: d.config.SSHKey, Jump: d.config.JumpHost}
}

// Deprovision tells whether removal shall undo what provisioning did.
func (d *driver) Deprovision() bool { return d.config.Deprovision }

// Check judges the key file. Whether the host lets one in is seen by the login.
func (d *driver) Check(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d.config.SSHKey == "" {
		return nil
	}
	return d.checkKey(d.config.SSHKey)
}

// Create has nothing to make.
func (d *driver) Create(ctx context.Context, _ drivers.CreateRequest) error {
	return context.Cause(ctx)
}

// Remove leaves the host alone.
func (d *driver) Remove(ctx context.Context) error { return context.Cause(ctx) }

// knock bounds how long a host may take to accept a connection before it counts
// as stopped.
const knock = 5 * time.Second

var errSilent = errors.New("no answer at the SSH port")

// Status says that the host runs if its SSH port accepts a connection. Behind a
// jump host nobody can tell without logging in there, so it counts as running.
// EnginePort is 0 unless the user chose one.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	s := drivers.Status{
		State: drivers.Running, Host: d.config.IPAddress, Peer: d.config.PeerAddress, User: d.config.SSHUser,
		SSHPort: d.config.SSHPort, EnginePort: d.config.EnginePort,
	}
	if ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	if d.config.JumpHost != "" {
		return s, nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, knock, errSilent)
	defer cancel()
	conn, err := d.dial(bounded, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.SSHPort)))
	if err == nil {
		_ = conn.Close()
		return s, nil
	}
	if ctx.Err() != nil { // the caller's patience ended, not ours
		return s, context.Cause(ctx)
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return s, fmt.Errorf("%w: %w", drivers.ErrUnreachable, err) // which says nothing about the host
	}
	d.env.Log.Debug("SSH port does not accept connections", "host", s.Host, "port", s.SSHPort, "err", err)
	s.State = drivers.Stopped
	return s, nil
}

func (d *driver) Start(ctx context.Context) error { return cannot(ctx, "start") }
func (d *driver) Stop(ctx context.Context) error  { return cannot(ctx, "stop") }
func (d *driver) Kill(ctx context.Context) error  { return cannot(ctx, "kill") }

func cannot(ctx context.Context, do string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &unsupportedError{fmt.Sprintf("generic driver does not support %s", do)}
}

// unsupportedError speaks docker-machine's words.
type unsupportedError struct{ text string }

func (e *unsupportedError) Error() string { return e.text }
func (e *unsupportedError) Unwrap() error { return drivers.ErrUnsupported }
