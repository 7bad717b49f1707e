package azure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
		if err == nil {
			d.env.Note(ctx, fmt.Sprintf("network security group %s stays as it is; it must admit %s", d.cfg.NSG, d.mustAdmit(req)))
		}
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

// mustAdmit says which ports the machine is to be reached at.
func (d *driver) mustAdmit(req drivers.CreateRequest) string {
	words := []string{strconv.Itoa(sshPort) + "/tcp"}
	for _, p := range req.OpenPorts {
		words = append(words, fmt.Sprintf("%d/%s", p.Number, p.Protocol))
	}
	for _, s := range d.cfg.OpenPort {
		p, _ := parsePort(s) // validated
		words = append(words, p.ports+"/"+p.protocol)
	}
	return joined(words)
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
	from, err := a.known.caller.Get(ctx, "", func(ctx context.Context) (netip.Prefix, error) {
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
	return joined(words)
}

func joined(words []string) string { return strings.Join(words, ", ") }

const sshPort = 22

// ports are those of a rule, by protocol.
type ports map[string][]string

func (p ports) add(protocol, number string) {
	if !slices.Contains(p[protocol], number) {
		p[protocol] = append(p[protocol], number)
	}
}

func (p ports) addAll(other ports) {
	for protocol, numbers := range other {
		for _, n := range numbers {
			p.add(protocol, n)
		}
	}
}

// source is who a rule is about: addresses, or the members of a group.
type source struct {
	prefixes []string
	group    string
}

func (s source) empty() bool { return len(s.prefixes) == 0 && s.group == "" }

// firewallSpec returns the security group. Azure's own rules close all to the
// outside and open all inside of the virtual network: who has nothing to do with
// the ports that are named here is kept from them there, too.
func (d *driver) firewallSpec(req drivers.CreateRequest, n subnet, from []netip.Prefix) armnetwork.SecurityGroup {
	clients, peers, everybody := ports{"tcp": {strconv.Itoa(sshPort), strconv.Itoa(d.cfg.DockerPort)}}, ports{}, ports{}
	for _, p := range req.OpenPorts {
		if p.Peers {
			peers.add(p.Protocol, strconv.Itoa(p.Number))
		} else {
			clients.add(p.Protocol, strconv.Itoa(p.Number))
		}
	}
	for _, s := range d.cfg.OpenPort {
		p, _ := parsePort(s) // validated
		everybody.add(p.protocol, p.ports)
	}
	closed := ports{}
	if len(from) > 0 { // else the virtual network is who the clients are
		closed.addAll(clients)
	}
	closed.addAll(peers)
	near4, near6 := families(parsed(n.prefixes)) // Azure wants no rule for both
	members, members6 := source{prefixes: near4}, source{prefixes: near6}
	if n.members != "" {
		members, members6 = source{group: n.members}, source{}
	}
	v4, v6 := families(from)
	rules := allow(nil, "clients", clients, source{prefixes: v4})
	rules = allow(rules, "clients6", clients, source{prefixes: v6})
	rules = allow(rules, "members", peers, members)
	rules = allow(rules, "members6", peers, members6)
	rules = allow(rules, "everybody", everybody, source{prefixes: []string{"*"}})
	return armnetwork.SecurityGroup{
		Location:   &d.cfg.Location,
		Tags:       d.tags(),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: append(rules, denials(closed)...)},
	}
}

// families sorts ranges by their families.
func families(all []netip.Prefix) (v4, v6 []string) {
	for _, p := range all {
		if p.Addr().Is4() {
			v4 = append(v4, p.String())
		} else {
			v6 = append(v6, p.String())
		}
	}
	return v4, v6
}

// allow adds rules that admit somebody to ports.
func allow(rules []*armnetwork.SecurityRule, name string, to ports, from source) []*armnetwork.SecurityRule {
	for _, protocol := range []string{"tcp", "udp"} {
		if !from.empty() && len(to[protocol]) > 0 {
			rules = append(rules, rule(name+"-"+protocol, int32(100+10*len(rules)), protocol, from, to[protocol]))
		}
	}
	return rules
}

// afterAll is the priority of rules that come after all that admit somebody.
const afterAll = 4000

// denials returns the rules that close ports to the rest of the virtual network.
func denials(closed ports) (rules []*armnetwork.SecurityRule) {
	for i, protocol := range []string{"tcp", "udp"} {
		if len(closed[protocol]) > 0 {
			r := rule("neighbours-"+protocol, int32(afterAll+10*i), protocol, source{prefixes: []string{"VirtualNetwork"}}, closed[protocol])
			r.Properties.Access = ptr(armnetwork.SecurityRuleAccessDeny)
			rules = append(rules, r)
		}
	}
	return rules
}

// rule returns a rule that admits somebody.
func rule(name string, priority int32, protocol string, from source, to []string) *armnetwork.SecurityRule {
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
	switch {
	case from.group != "":
		r.SourceApplicationSecurityGroups = []*armnetwork.ApplicationSecurityGroup{{ID: &from.group}}
	case len(from.prefixes) == 1:
		r.SourceAddressPrefix = &from.prefixes[0]
	default:
		r.SourceAddressPrefixes = pointers(from.prefixes)
	}
	if len(to) == 1 {
		r.DestinationPortRange = &to[0]
	} else {
		r.DestinationPortRanges = pointers(to)
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
