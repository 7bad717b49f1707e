package docker

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// ensureNetwork sees to it that the machine's network exists and is recorded.
// A network that is gone comes back with the subnet it had.
func (d *driver) ensureNetwork(ctx context.Context, api *client.Client, ep Endpoint) error {
	st := &d.state.Value
	if st.Network.Name == "" {
		st.Network.Name = d.cfg.Network
		if err := d.state.Save(); err != nil {
			return err
		}
	}
	name := st.Network.Name
	leave, err := d.gates.enter(ctx, "network "+ep.Host+" "+name)
	if err != nil {
		return err
	}
	defer leave()
	found, err := d.findNetwork(ctx, api, name)
	if err == nil && found == nil {
		found, err = d.makeNetwork(ctx, api, name)
	}
	if err != nil {
		return fault(ctx, ep, "make network "+name, err)
	}
	subnet, err := d.usable(*found)
	if err != nil {
		return fmt.Errorf("use network %s: %w", name, err)
	}
	st.Network.ID, st.Network.Subnet = found.ID, subnet.String()
	st.Network.Ours = found.Labels[labelStore] == d.env.StoreID
	return d.state.Save()
}

// findNetwork returns the network called name; nil: there is none. Old engines
// let two that ask at once have two of one name, and then start no container on
// either: the older one stays, and the other goes if this store made it.
func (d *driver) findNetwork(ctx context.Context, api *client.Client, name string) (*network.Network, error) {
	same, err := networksNamed(ctx, api, name)
	if err != nil || len(same) == 0 {
		return nil, err
	}
	return &same[0].Network, d.removeTwins(ctx, api, same[1:])
}

// networksNamed returns the networks of one name, the oldest first.
func networksNamed(ctx context.Context, api *client.Client, name string) ([]network.Summary, error) {
	list, err := api.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("name", name)})
	if err != nil {
		return nil, err
	}
	same := slices.DeleteFunc(list.Items, func(n network.Summary) bool { return n.Name != name }) // the filter takes parts of names
	slices.SortFunc(same, func(a, b network.Summary) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return same, nil
}

// removeTwins removes networks that this store made and nobody uses.
func (d *driver) removeTwins(ctx context.Context, api *client.Client, twins []network.Summary) error {
	for _, n := range twins {
		if n.Labels[labelStore] != d.env.StoreID {
			continue
		}
		_, err := api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) && !says(err, "active endpoints") {
			return err
		}
	}
	return nil
}

// makeNetwork makes the network with the first subnet that the engine accepts.
func (d *driver) makeNetwork(ctx context.Context, api *client.Client, name string) (*network.Network, error) {
	candidates, err := d.candidates(ctx, api, name)
	if err != nil {
		return nil, err
	}
	for _, subnet := range candidates {
		err := createNetwork(ctx, api, name, client.NetworkCreateOptions{
			Driver: "bridge",
			IPAM:   &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet, Gateway: gateway(subnet)}}},
			Labels: map[string]string{labelStore: d.env.StoreID, labelCreator: d.env.Creator},
		})
		switch {
		case err == nil, errdefs.IsConflict(err), errdefs.IsAlreadyExists(err), says(err, "overlap"):
			// Another process may have made it, or made it too.
			if found, err := d.findNetwork(ctx, api, name); err != nil || found != nil {
				return found, err
			}
		default:
			return nil, err
		}
	}
	return nil, &drivers.HintError{
		Err:    fmt.Errorf("no subnet is free among %d: %w", len(candidates), drivers.ErrConflict),
		Advice: "name one with --docker-subnet, or remove unused networks with docker network prune",
	}
}

func createNetwork(ctx context.Context, api *client.Client, name string, options client.NetworkCreateOptions) error {
	through, done := seeThrough(ctx)
	defer done()
	_, err := api.NetworkCreate(through, name, options)
	return err
}

// candidates returns the subnets that the network may have. One that machines
// on it already live in is the only one: their addresses are fixed.
func (d *driver) candidates(ctx context.Context, api *client.Client, name string) ([]netip.Prefix, error) {
	if p, err := netip.ParsePrefix(d.state.Value.Network.Subnet); err == nil {
		return []netip.Prefix{p}, nil
	}
	others, err := machines(ctx, api)
	if err != nil {
		return nil, err
	}
	for _, c := range onNetwork(others, name) {
		if p, err := netip.ParsePrefix(c.Labels[labelAddress]); err == nil {
			return []netip.Prefix{p.Masked()}, nil
		}
	}
	if p, err := parseSubnet(d.cfg.Subnet); err != nil || p.IsValid() {
		return []netip.Prefix{p}, err
	}
	list, err := api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, err
	}
	taken := d.local()
	for _, n := range list.Items {
		for _, c := range n.IPAM.Config {
			if c.Subnet.IsValid() {
				taken = append(taken, c.Subnet)
			}
		}
	}
	return free(subnets(), taken), nil
}

// localSubnets returns what this computer is connected to, such as a VPN, which
// a network of the same range would hide.
func localSubnets() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // a precaution, no condition
	}
	var all []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Bits() > 0 {
			all = append(all, p.Masked())
		}
	}
	return all
}

// machines returns the containers of all stores' machines on the engine,
// whatever their state.
func machines(ctx context.Context, api *client.Client) ([]container.Summary, error) {
	list, err := api.ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: client.Filters{}.Add("label", labelNetwork),
	})
	return list.Items, err
}

// onNetwork returns those of machines that are on a network.
func onNetwork(all []container.Summary, name string) []container.Summary {
	return slices.DeleteFunc(slices.Clone(all), func(c container.Summary) bool { return c.Labels[labelNetwork] != name })
}

// usable returns the IPv4 subnet of a network on which the machine can have
// the address that it was told to have.
func (d *driver) usable(n network.Network) (netip.Prefix, error) {
	var subnet netip.Prefix
	for _, c := range n.IPAM.Config {
		if c.Subnet.IsValid() && c.Subnet.Addr().Is4() {
			subnet = c.Subnet.Masked()
			break
		}
	}
	if !subnet.IsValid() {
		return subnet, fmt.Errorf("it has no IPv4 subnet: %w", drivers.ErrConflict)
	}
	other := func(format string, args ...any) (netip.Prefix, error) {
		return netip.Prefix{}, &drivers.HintError{
			Err:    fmt.Errorf("it has the subnet %s, and %s: %w", subnet, fmt.Sprintf(format, args...), drivers.ErrConflict),
			Advice: "name another network with --docker-network, or leave the option out",
		}
	}
	if p, err := parseSubnet(d.cfg.Subnet); err == nil && p.IsValid() && p != subnet {
		return other("--%s-subnet asks for %s", Name, p)
	}
	if a, err := parseAddress(d.cfg.Address); err == nil && a.IsValid() && !subnet.Contains(a) {
		return other("--%s-address asks for %s", Name, a)
	}
	if p, err := netip.ParsePrefix(d.state.Value.Address); err == nil && p.Masked() != subnet {
		return other("the machine's address is %s", p)
	}
	return subnet, nil
}

// removeNetwork removes the network if this store made it and no container is left on it.
func (d *driver) removeNetwork(ctx context.Context, api *client.Client) error {
	n := d.state.Value.Network
	leave, err := d.gates.enter(ctx, "network "+d.state.Value.Engine.Host+" "+n.Name)
	if err != nil {
		return err
	}
	defer leave()
	found, err := d.findNetwork(ctx, api, n.Name)
	if err != nil || found == nil || found.Labels[labelStore] != d.env.StoreID {
		return err
	}
	_, err = dropNetwork(ctx, api, *found)
	return err
}

// dropNetwork removes a network unless a container is on it, of whoever and in whatever state.
func dropNetwork(ctx context.Context, api *client.Client, n network.Network) (used bool, err error) {
	others, err := machines(ctx, api)
	if err != nil || len(onNetwork(others, n.Name)) > 0 {
		return true, err
	}
	all, err := api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("network", n.ID)})
	if err != nil || len(all.Items) > 0 {
		return true, err
	}
	_, err = api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
	if says(err, "active endpoints") {
		return true, nil // somebody has joined since
	}
	return false, ignoreGone(err)
}
