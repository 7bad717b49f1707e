package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

func (h *host) check(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	if a, ok := d.(drivers.SSHAccess); ok && a.SSHAccess().Jump != "" {
		return fmt.Errorf("%w: the caller's SSH goes through no jump host", drivers.ErrUnsupported)
	}
	return d.Check(ctx)
}

// create makes the host and returns once it has an address: the caller's next call is for it.
func (h *host) create(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	if err := h.begin(); err != nil {
		return err
	}
	req := drivers.CreateRequest{OpenPorts: append(h.server.OpenPorts, h.swarmPort()...)}
	if req.AuthorizedKey, req.HostKey, err = h.keys(d); err != nil {
		return err
	}
	if err := h.persist(); err != nil {
		return err
	}
	ctx, cancel := wait.Within(ctx, createLimit, "create the host")
	defer cancel()
	if err := d.Create(ctx, req); err != nil {
		return err
	}
	if err := h.run(ctx, d); err != nil {
		return err
	}
	h.own.Created = true
	return errors.Join(h.persist(), h.forgetHostKey())
}

// run waits until the host runs and has an address.
func (h *host) run(ctx context.Context, d drivers.Driver) error {
	h.seenAt = time.Time{}
	if _, ok := d.(drivers.Unmanaged); ok {
		_, err := h.status(ctx)
		return err
	}
	if _, ok := d.(drivers.Adopter); ok {
		_, err := h.status(ctx) // SSH tells better than a state why such a host does not answer
		return err
	}
	ctx, cancel := wait.Within(ctx, runLimit, "wait for the host to run")
	defer cancel()
	return wait.Until(ctx, wait.Pace{First: 100 * time.Millisecond, Most: 2 * time.Second}, "the host to run", func(ctx context.Context) (bool, error) {
		st, err := h.status(ctx)
		switch {
		case err != nil:
			return false, err
		case st.State == drivers.Stopped || st.State == drivers.Error:
			return false, fmt.Errorf("wait for the host to run: its state is %s", st.State)
		}
		return st.State == drivers.Running && st.Host != "", nil
	})
}

// start makes the host run, and first of all exist, if its creation was not finished.
func (h *host) start(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	if !h.own.Created {
		h.say("going on with an unfinished create...")
		return h.create(ctx)
	}
	return h.power(ctx, d, d.Start, true)
}

func (h *host) stop(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	return h.power(ctx, d, d.Stop, false)
}

func (h *host) kill(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	if k, ok := d.(drivers.Killer); ok {
		return h.power(ctx, d, k.Kill, false)
	}
	return h.power(ctx, d, d.Stop, false)
}

func (h *host) restart(ctx context.Context) error {
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	cycle := func(ctx context.Context) error {
		if err := d.Stop(ctx); err != nil {
			return err
		}
		return d.Start(ctx)
	}
	if r, ok := d.(drivers.Restarter); ok {
		cycle = r.Restart
	}
	return h.power(ctx, d, cycle, true)
}

// power does something after which the host may be elsewhere. If it is to run then, that is waited for.
func (h *host) power(ctx context.Context, d drivers.Driver, do func(context.Context) error, runs bool) error {
	h.seenAt = time.Time{}
	if err := do(ctx); err != nil {
		return err
	}
	if !runs {
		return nil
	}
	return h.run(ctx, d)
}

// remove releases the host. The folder is the caller's to remove.
func (h *host) remove(ctx context.Context) error {
	if h.own == nil {
		return nil // nothing was made
	}
	d, err := h.driver(ctx)
	if err != nil {
		return err
	}
	h.seenAt = time.Time{}
	if err := d.Remove(ctx); err != nil && !errors.Is(err, drivers.ErrNotFound) {
		return err
	}
	return nil
}
