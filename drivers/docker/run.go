package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// maxTries bounds how often a container is made anew because the engine
// refuses its rights or somebody else took its address.
const maxTries = 12

// run makes the container and starts it, until the engine accepts it.
func (d *driver) run(ctx context.Context, api *client.Client, ep Endpoint, s spec, seed []byte) error {
	what := "start container " + s.Name
	avoid := map[netip.Addr]bool{}
	for range maxTries {
		if d.state.Value.ID == "" {
			err := d.place(ctx, api, ep, &s, avoid)
			if networkChanged(err) {
				if err := d.rejoin(ctx, api, ep); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
		}
		if !d.state.Value.Started { // later the files are the host's own
			if err := d.plant(ctx, api, ep, seed); err != nil {
				return err
			}
		}
		_, err := api.ContainerStart(ctx, d.state.Value.ID, client.ContainerStartOptions{})
		if err == nil {
			return d.started()
		}
		if ctx.Err() != nil {
			return fault(ctx, ep, what, err)
		}
		d.env.Log.Debug("container not started", "container", s.Name, "rights", d.state.Value.Rights, "err", err)
		again, aerr := d.yield(ctx, api, ep, avoid, err)
		if aerr != nil {
			return aerr
		}
		if !again {
			return withAdvice(fault(ctx, ep, what, err), "see what the engine says in its log, and what the container printed: docker logs "+s.Name)
		}
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("%s: no address could be kept in %d tries: %w", what, maxTries, drivers.ErrConflict),
		Advice: "name an address with --docker-address, or another network with --docker-network",
	}
}

// yield makes room for another attempt after the engine refused to start the
// container. It returns false if another attempt would end the same way.
func (d *driver) yield(ctx context.Context, api *client.Client, ep Endpoint, avoid map[netip.Addr]bool, refused error) (bool, error) {
	st := &d.state.Value
	switch {
	case errdefs.IsNotFound(refused) && says(refused, "network"):
		// The last machine of another command took the network with it. The
		// container is fine as soon as there is one again.
		return true, d.ensureNetwork(ctx, api, ep)
	case st.Started:
		return false, nil // what has run holds what its user made of it
	case addressTaken(refused):
		if d.cfg.Address != "" {
			return false, nil
		}
		if p, err := netip.ParsePrefix(st.Address); err == nil {
			avoid[p.Addr()] = true
		}
	case networkChanged(refused):
		return true, d.rejoin(ctx, api, ep)
	case says(refused, "operation not permitted", "permission denied", "privileged") && st.Rights.next() != "":
		st.Rights = st.Rights.next()
	default:
		return false, nil
	}
	return true, d.discard(ctx, api, ep)
}

// rejoin forgets the network, whose place another one took, and joins that.
func (d *driver) rejoin(ctx context.Context, api *client.Client, ep Endpoint) error {
	st := &d.state.Value
	if st.ID != "" {
		if err := d.discard(ctx, api, ep); err != nil {
			return err
		}
	}
	if err := wait.For(ctx, 100*time.Millisecond); err != nil { // the other process is at it
		return err
	}
	st.Address, st.Network.ID, st.Network.Subnet = "", "", ""
	return d.ensureNetwork(ctx, api, ep)
}

// discard removes the container, which never ran, and keeps the rest.
func (d *driver) discard(ctx context.Context, api *client.Client, ep Endpoint) error {
	_, err := api.ContainerRemove(ctx, d.state.Value.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fault(ctx, ep, "remove container "+d.state.Value.Container, err)
	}
	return d.forget()
}

// errTaken says that two machines chose one address at the same time.
var errTaken = errors.New("address was chosen twice")

// place chooses an address, records it and makes the container. Two processes
// may choose the same one: each looks again once its container is there to be
// seen, and who sees the other gives way.
func (d *driver) place(ctx context.Context, api *client.Client, ep Endpoint, s *spec, avoid map[netip.Addr]bool) error {
	leave, err := d.gates.enter(ctx, "address "+ep.Host+" "+s.Network)
	if err != nil {
		return err
	}
	defer leave()
	for try := range maxTries {
		err := d.placeOnce(ctx, api, ep, s, avoid, try > 0)
		if !errors.Is(err, errTaken) {
			return err
		}
		if err := d.discard(ctx, api, ep); err != nil {
			return err
		}
	}
	return fmt.Errorf("place container %s: %w in %d tries: %w", s.Name, errTaken, maxTries, drivers.ErrConflict)
}

func (d *driver) placeOnce(ctx context.Context, api *client.Client, ep Endpoint, s *spec, avoid map[netip.Addr]bool, random bool) error {
	what := "make container " + s.Name
	st := &d.state.Value
	others, err := machines(ctx, api)
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	subnet, err := netip.ParsePrefix(st.Network.Subnet)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	used, err := d.usedAddresses(ctx, api, onNetwork(others, s.Network))
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	maps.Copy(used, avoid)
	if s.Address, err = d.chooseAddress(subnet, used, random || len(avoid) > 0); err != nil {
		return err
	}
	if st.Rights == "" {
		st.Rights = likelyRights(others)
	}
	s.Rights = st.Rights
	st.Address = netip.PrefixFrom(s.Address, subnet.Bits()).String()
	st.Container = s.Name
	if err := d.state.Save(); err != nil {
		return err
	}
	s.Labels = d.labels()
	s.Labels[labelNetwork], s.Labels[labelAddress], s.Labels[labelRights] = s.Network, st.Address, string(st.Rights)
	if err := d.allocate(ctx, api, ep, s); err != nil {
		return err
	}
	if others, err = machines(ctx, api); err != nil {
		return fault(ctx, ep, what, err)
	}
	if slices.ContainsFunc(onNetwork(others, s.Network), func(c container.Summary) bool {
		return c.ID != st.ID && c.Labels[labelAddress] == st.Address
	}) {
		avoid[s.Address] = true
		return errTaken
	}
	return nil
}

// allocate makes the container and records its id.
func (d *driver) allocate(ctx context.Context, api *client.Client, ep Endpoint, s *spec) error {
	what := "make container " + s.Name
	through, done := seeThrough(ctx)
	defer done()
	made, err := api.ContainerCreate(through, s.request())
	if s.Modules && says(err, modulesDir) {
		s.Modules = false // the engine's computer has none
		made, err = api.ContainerCreate(through, s.request())
	}
	if errdefs.IsConflict(err) {
		// What an earlier, killed Create asked for may have come only now.
		if late, lerr := d.ours(ctx, api, ep); lerr != nil || late != nil {
			if lerr == nil {
				lerr = d.adopt(late)
			}
			return lerr
		}
	}
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	for _, w := range made.Warnings {
		d.env.Log.Warn("engine warns", "container", s.Name, "warning", w)
	}
	d.state.Value.ID = made.ID
	return d.state.Save()
}

// usedAddresses returns the addresses on the network that are somebody's:
// those of machines even while they are stopped, and those of others that run.
func (d *driver) usedAddresses(ctx context.Context, api *client.Client, others []container.Summary) (map[netip.Addr]bool, error) {
	used := map[netip.Addr]bool{}
	for _, c := range others {
		if p, err := netip.ParsePrefix(c.Labels[labelAddress]); err == nil {
			used[p.Addr()] = true
		}
	}
	n, err := api.NetworkInspect(ctx, d.state.Value.Network.ID, client.NetworkInspectOptions{})
	if err != nil {
		return nil, err
	}
	for _, c := range n.Network.Containers {
		used[c.IPv4Address.Addr()] = true
	}
	for _, c := range n.Network.IPAM.Config {
		used[c.Gateway] = true
		for _, a := range c.AuxAddress {
			used[a] = true
		}
	}
	return used, nil
}

// chooseAddress returns the address that the user asked for, the one that an
// interrupted Create had chosen, or a free one.
func (d *driver) chooseAddress(subnet netip.Prefix, used map[netip.Addr]bool, random bool) (netip.Addr, error) {
	if a, err := parseAddress(d.cfg.Address); err == nil && a.IsValid() {
		if used[a] {
			return a, &drivers.HintError{
				Err:    fmt.Errorf("take address %s: %w", a, drivers.ErrConflict),
				Advice: "leave --docker-address out to get a free one",
			}
		}
		return a, nil
	}
	if p, err := netip.ParsePrefix(d.state.Value.Address); err == nil && subnet.Contains(p.Addr()) && !used[p.Addr()] {
		return p.Addr(), nil
	}
	a := pickAddress(subnet, used, random)
	if !a.IsValid() {
		return a, &drivers.HintError{
			Err:    fmt.Errorf("choose address in %s: all are in use: %w", subnet, drivers.ErrQuota),
			Advice: "name another network with --docker-network",
		}
	}
	return a, nil
}

// likelyRights are those that machines on the same engine ended up with.
func likelyRights(others []container.Summary) rights {
	for _, r := range []rights{minimal, capabilities} {
		if slices.ContainsFunc(others, func(c container.Summary) bool {
			return c.Labels[labelRights] == string(r) && c.State == container.StateRunning
		}) {
			return r
		}
	}
	return privileged
}
