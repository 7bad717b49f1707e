package plugin

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// calls are the methods that the caller may call, by the names that docker-machine gave them. Heartbeats
// come while another call is under way; all else is done one after the other.
type calls struct {
	host   *host
	beats  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newCalls(h *host) *calls {
	return &calls{host: h, beats: make(chan struct{}, 1), closed: make(chan struct{})}
}

type none = struct{}

// guard does fn with the host. A panic, a driver's say, is an error: it must not take the machine's state along.
func (c *calls) guard(name string, fn func(context.Context, *host) error) (err error) {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			c.host.log.Error("panic", "call", name, "value", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in the driver: %v", r)
		}
	}()
	if err := context.Cause(c.host.ctx); err != nil {
		return fmt.Errorf("the plugin ends: %w", err)
	}
	err = fn(c.host.ctx, c.host)
	c.host.log.Debug("call", "name", name, "err", err)
	return worded(err)
}

// worded is an error as it crosses the wire: only its text does, so the advice goes along.
func worded(err error) error {
	var h interface{ Hint() string }
	if err == nil || !errors.As(err, &h) || h.Hint() == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, h.Hint())
}

// get is guard for calls that return something.
func get[T any](c *calls, name string, reply *T, fn func(*host, context.Context) (T, error)) error {
	return c.guard(name, func(ctx context.Context, h *host) (err error) {
		*reply, err = fn(h, ctx)
		return err
	})
}

// replyTime is what the reply to Close gets to be sent.
const replyTime = 20 * time.Millisecond

// Close ends the server.
func (c *calls) Close(_, _ *none) error {
	c.once.Do(func() { time.AfterFunc(replyTime, func() { close(c.closed) }) })
	return nil
}

// Heartbeat tells that the caller lives.
func (c *calls) Heartbeat(_, _ *none) error {
	select {
	case c.beats <- none{}:
	default: // there is one that nobody has seen yet
	}
	return nil
}

// GetVersion returns the version of the protocol.
func (c *calls) GetVersion(_ *none, reply *int) error {
	*reply = Version
	return nil
}

// DriverName returns what the caller calls the driver, and puts into its record.
func (c *calls) DriverName(_ *none, reply *string) error {
	*reply = c.host.name
	return nil
}

// GetCreateFlags returns the driver's options.
func (c *calls) GetCreateFlags(_ *none, reply *[]any) error {
	*reply = flagsOf(c.host.server.Factory.Options())
	return nil
}

// SetConfigFromFlags makes the configuration of a new machine.
func (c *calls) SetConfigFromFlags(flags *any, _ *none) error {
	return c.guard("SetConfigFromFlags", func(_ context.Context, h *host) error { return h.configure(*flags) })
}

// SetConfigRaw lays a record over what is known.
func (c *calls) SetConfigRaw(raw []byte, _ *none) error {
	return c.guard("SetConfigRaw", func(_ context.Context, h *host) error { return h.setRaw(raw) })
}

// GetConfigRaw returns the record.
func (c *calls) GetConfigRaw(_ *none, reply *[]byte) error {
	return get(c, "GetConfigRaw", reply, func(h *host, _ context.Context) ([]byte, error) { return h.raw() })
}

// GetMachineName returns the machine's name.
func (c *calls) GetMachineName(_ *none, reply *string) error {
	return get(c, "GetMachineName", reply, func(h *host, _ context.Context) (string, error) { return h.base.MachineName, nil })
}

// GetURL returns where the engine answers.
func (c *calls) GetURL(_ *none, reply *string) error { return get(c, "GetURL", reply, (*host).url) }

// GetIP returns the host's address.
func (c *calls) GetIP(_ *none, reply *string) error { return get(c, "GetIP", reply, (*host).ip) }

// GetIPv6 returns the host's address if it is one of IPv6, else nothing. Only rancher-machine asks.
func (c *calls) GetIPv6(_ *none, reply *string) error { return get(c, "GetIPv6", reply, (*host).ipv6) }

// GetSSHHostname returns where SSH answers.
func (c *calls) GetSSHHostname(_ *none, reply *string) error {
	return get(c, "GetSSHHostname", reply, (*host).sshHost)
}

// GetSSHPort returns the port of SSH.
func (c *calls) GetSSHPort(_ *none, reply *int) error {
	return get(c, "GetSSHPort", reply, (*host).sshPort)
}

// GetSSHUsername returns who logs in.
func (c *calls) GetSSHUsername(_ *none, reply *string) error {
	return get(c, "GetSSHUsername", reply, (*host).sshUser)
}

// GetSSHKeyPath returns the file of the key that logs in.
func (c *calls) GetSSHKeyPath(_ *none, reply *string) error {
	return get(c, "GetSSHKeyPath", reply, func(h *host, _ context.Context) (string, error) { return h.keyPath(), nil })
}

// GetState returns what the host is doing.
func (c *calls) GetState(_ *none, reply *int) error { return get(c, "GetState", reply, (*host).state) }

// PreCreateCheck returns why Create would fail.
func (c *calls) PreCreateCheck(_, _ *none) error { return c.do("PreCreateCheck", (*host).check) }

// Create makes the host, or goes on with one that was not finished.
func (c *calls) Create(_, _ *none) error { return c.do("Create", (*host).create) }

// Remove releases the host.
func (c *calls) Remove(_, _ *none) error { return c.do("Remove", (*host).remove) }

// Start makes the host run.
func (c *calls) Start(_, _ *none) error { return c.do("Start", (*host).start) }

// Stop shuts the host down.
func (c *calls) Stop(_, _ *none) error { return c.do("Stop", (*host).stop) }

// Restart restarts the host.
func (c *calls) Restart(_, _ *none) error { return c.do("Restart", (*host).restart) }

// Kill stops the host at once.
func (c *calls) Kill(_, _ *none) error { return c.do("Kill", (*host).kill) }

// do is guard for a method of the host.
func (c *calls) do(name string, fn func(*host, context.Context) error) error {
	return c.guard(name, func(ctx context.Context, h *host) error { return fn(h, ctx) })
}
