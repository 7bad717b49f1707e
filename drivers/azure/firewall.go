package azure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/caller"
)

func isInUse(err error) bool { return errors.Is(err, drivers.ErrInUse) }

func (a *account) firewall(ctx context.Context, group, name string) (*armnetwork.SecurityGroup, error) {
	got, err := call(ctx, a, "look for network security group "+name, func(ctx context.Context) (armnetwork.SecurityGroupsClientGetResponse, error) {
		return a.walls.Get(ctx, group, name, nil)
	})
	if err != nil {
		return nil, gone(err)
	}
	return &got.SecurityGroup, nil
}

// theirFirewallID is the id of the security group that the user names.
func (d *driver) theirFirewallID() string {
	if strings.HasPrefix(d.cfg.NSG, "/") {
		return d.cfg.NSG
	}
	group, name := splitName(d.cfg.NSG)
	if group == "" {
		group = d.group()
	}
	return id(d.cfg.Subscription, group, typeFirewall, name)
}

// theirFirewall returns the security group that the user names.
func (d *driver) theirFirewall(ctx context.Context, a *account) (*armnetwork.SecurityGroup, error) {
	p, err := parseID(d.theirFirewallID())
	if err != nil {
		return nil, &drivers.OptionError{Option: Name + "-nsg", Err: err}
	}
	found, err := a.firewall(ctx, p.group, p.name)
	if err == nil && found == nil {
		err = fmt.Errorf("use network security group %s of resource group %s: %w", p.name, p.group, drivers.ErrNotFound)
	}
	return found, err
}

// ensureFirewall makes the machine's own security group, or brings its rules up
// to date while the machine is being made.
func (d *driver) ensureFirewall(ctx context.Context, a *account, req drivers.CreateRequest, n subnet) error {
	if d.cfg.NSG != "" {
		_, err := d.theirFirewall(ctx, a)
		return err
	}
	name := d.name() + endFirewall
	found, err := a.firewall(ctx, d.group(), name)
	if err != nil {
		return err
	}
	if found != nil && !d.mine(found.Tags) {
		return conflict(typeFirewall, d.group(), name)
	}
	from, err := d.allowed(ctx, a)
	if err != nil {
		return err
	}
	st := &d.state.Value
	if err := d.claim(&st.Firewall, id(a.subscription, st.Group, typeFirewall, name)); err != nil {
		return err
	}
	spec := d.firewallSpec(req, n, from)
	_, err = run(ctx, a, "make network security group "+name, func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], error) {
		return a.walls.BeginCreateOrUpdate(ctx, st.Group, name, spec, nil)
	})
	return err
}

// allowed returns who may reach SSH and the Engine from outside of the network.
func (d *driver) allowed(ctx context.Context, a *account) ([]netip.Prefix, error) {
	if len(d.cfg.Allow) > 0 {
		from, err := caller.Prefixes(d.cfg.Allow)
		if err != nil {
			return nil, &drivers.OptionError{Option: Name + "-allow", Err: err}
		}
		d.env.Note(ctx, "SSH and the Engine are open to "+prefixes(from))
		return from, nil
	}
	if d.cfg.NoPublicIP || d.cfg.UsePrivateIP {
		d.env.Note(ctx, "SSH and the Engine are open to the virtual network only; --azure-allow admits others")
		return nil, nil
	}
	from, err := once(ctx, &a.memos, "caller", func() (netip.Prefix, error) {
		if a.env.own {
			return caller.Towards(ctx, a.env.endpoint)
		}
		return caller.Ask(ctx, a.web, caller.Public)
	})
	if err != nil {
		return nil, &drivers.HintError{Err: err, Advice: "say who may reach the machine with --azure-allow"}
	}
	d.env.Note(ctx, fmt.Sprintf("SSH and the Engine are open to %s, this computer's address; --azure-allow admits others", from))
	return []netip.Prefix{from}, nil
}

func prefixes(all []netip.Prefix) string {
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

const sshPort = 22

// firewallSpec returns the security group. What it does not name, Azure's own
// rules decide: all is open inside of the virtual network, and nothing from outside.
func (d *driver) firewallSpec(req drivers.CreateRequest, n subnet, from []netip.Prefix) armnetwork.SecurityGroup {
	clients := map[string][]string{"tcp": {strconv.Itoa(sshPort), strconv.Itoa(d.cfg.DockerPort)}}
	peers, everybody := map[string][]string{}, map[string][]string{}
	add := func(to map[string][]string, protocol, ports string) {
		for _, p := range to[protocol] {
			if p == ports {
				return
			}
		}
		to[protocol] = append(to[protocol], ports)
	}
	for _, p := range req.OpenPorts {
		if p.Peers {
			add(peers, p.Protocol, strconv.Itoa(p.Number))
		} else {
			add(clients, p.Protocol, strconv.Itoa(p.Number))
		}
	}
	for _, s := range d.cfg.OpenPort {
		p, _ := parsePort(s) // validated
		add(everybody, p.protocol, p.ports)
	}
	var v4, v6 []string
	for _, p := range from {
		if p.Addr().Is4() {
			v4 = append(v4, p.String())
		} else {
			v6 = append(v6, p.String())
		}
	}
	var rules []*armnetwork.SecurityRule
	for _, g := range []struct {
		name  string
		ports map[string][]string
		from  []string
	}{{"clients", clients, v4}, {"clients6", clients, v6}, {"members", peers, n.prefixes}, {"everybody", everybody, []string{"*"}}} {
		for _, protocol := range []string{"tcp", "udp"} {
			if len(g.from) > 0 && len(g.ports[protocol]) > 0 {
				rules = append(rules, rule(g.name+"-"+protocol, int32(100+10*len(rules)), protocol, g.from, g.ports[protocol]))
			}
		}
	}
	return armnetwork.SecurityGroup{
		Location:   &d.cfg.Location,
		Tags:       d.tags(),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: rules},
	}
}

func rule(name string, priority int32, protocol string, from, ports []string) *armnetwork.SecurityRule {
	p := armnetwork.SecurityRuleProtocolTCP
	if protocol == "udp" {
		p = armnetwork.SecurityRuleProtocolUDP
	}
	r := &armnetwork.SecurityRulePropertiesFormat{
		Access:                   ptr(armnetwork.SecurityRuleAccessAllow),
		Direction:                ptr(armnetwork.SecurityRuleDirectionInbound),
		Priority:                 &priority,
		Protocol:                 &p,
		SourcePortRange:          ptr("*"),
		DestinationAddressPrefix: ptr("*"),
	}
	if len(from) == 1 {
		r.SourceAddressPrefix = &from[0]
	} else {
		r.SourceAddressPrefixes = pointers(from)
	}
	if len(ports) == 1 {
		r.DestinationPortRange = &ports[0]
	} else {
		r.DestinationPortRanges = pointers(ports)
	}
	return &armnetwork.SecurityRule{Name: &name, Properties: r}
}

func pointers(list []string) []*string {
	all := make([]*string, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	return all
}
