package vboxsim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

func (c *call) hostOnlyIf(args []string) Answer {
	o := parse(args, map[string]int{"--ip": 1, "--netmask": 1})
	if o.unknown != "" || len(o.rest) == 0 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	if c.box.cfg.NoKernel && o.rest[0] == "create" {
		return Answer{Exit: 1, Stderr: "0%...NS_ERROR_FAILURE\nVBoxManage: error: Failed to create the host-only adapter\n" +
			"VBoxManage: error: VBoxNetAdpCtl: Error while adding new interface: failed to open /dev/vboxnetctl: No such file or directory\n" +
			"VBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component HostNetworkInterfaceWrap, interface IHostNetworkInterface\n"}
	}
	if o.rest[0] != "ipconfig" && len(o.values) > 0 {
		return c.syntax(2, "Unknown option: %s", sortedKeys(o.values)[0])
	}
	if o.rest[0] == "create" && len(o.rest) == 1 {
		return c.createAdapter()
	}
	if len(o.rest) != 2 || o.rest[0] != "ipconfig" && o.rest[0] != "remove" {
		return c.syntax(2, "Unknown sub-command '%s'", o.rest[0])
	}
	a := c.state.adapter(o.rest[1])
	if a == nil {
		return fail("NS_ERROR_INVALID_ARG", "Host", "The host network interface named '"+o.rest[1]+"' could not be found")
	}
	if o.rest[0] == "remove" {
		c.state.Adapters = slices.DeleteFunc(c.state.Adapters, func(x *adapter) bool { return x == a })
		return progressed("")
	}
	if !c.inRange(o.values["--ip"]) {
		return Answer{Exit: 1, Stderr: "VBoxManage: error: Code E_ACCESSDENIED (0x80070005) - Access denied (extended info not available)\n" +
			"VBoxManage: error: Context: \"EnableStaticIPConfig(Bstr(pszIp).raw(), Bstr(pszNetmask).raw())\" at line 252 of file VBoxManageHostonly.cpp\n"}
	}
	a.IP, a.Mask = o.values["--ip"], o.values["--netmask"]
	return Answer{}
}

func (c *call) inRange(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(c.box.cfg.Ranges, func(r string) bool {
		p, err := netip.ParsePrefix(r)
		return err == nil && p.Contains(a)
	})
}

// createAdapter makes the first free one. The first of all has an address at once.
func (c *call) createAdapter() Answer {
	n := 0
	for c.state.adapter(fmt.Sprintf("vboxnet%d", n)) != nil {
		n++
	}
	a := &adapter{Name: fmt.Sprintf("vboxnet%d", n), GUID: fmt.Sprintf("786f6276-656e-4%d74-8000-0a0027000000", n)}
	if n < 10 {
		a.GUID = fmt.Sprintf("786f6276-656e-407%d-8000-0a00270000%02x", n, n)
	}
	a.IP, a.Mask = fmt.Sprintf("192.168.%d.1", 56+n), "255.255.255.0"
	c.state.Adapters = append(c.state.Adapters, a)
	return done("0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\nInterface '" + a.Name + "' was successfully created\n")
}

func (c *call) hostOnlyNet(args []string) Answer {
	if !c.box.cfg.Mac {
		return c.syntax(2, "Invalid command 'hostonlynet'")
	}
	o := parse(args, map[string]int{"--name": 1, "--netmask": 1, "--lower-ip": 1, "--upper-ip": 1, "--enable": 0, "--disable": 0})
	if o.unknown != "" || len(o.rest) != 1 || o.values["--name"] == "" {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	name := o.values["--name"]
	at := slices.IndexFunc(c.state.Nets, func(n *hostNet) bool { return n.Name == name })
	switch o.rest[0] {
	case "add":
		if at >= 0 {
			return fail("NS_ERROR_INVALID_ARG", "VirtualBox", "Host-only network '"+name+"' already exists")
		}
		c.state.Nets = append(c.state.Nets, &hostNet{name, computer.UUID(&c.state.Serial), o.values["--netmask"], o.values["--lower-ip"], o.values["--upper-ip"], false})
		return Answer{}
	case "modify", "remove":
		if at < 0 {
			return fail("VBOX_E_OBJECT_NOT_FOUND", "VirtualBox", "Host-only network '"+name+"' could not be found")
		}
		if o.rest[0] == "remove" {
			c.state.Nets = slices.Delete(c.state.Nets, at, at+1)
		} else if o.values["--enable"] != "" {
			c.state.Nets[at].Disabled = false
		}
		return Answer{}
	}
	return c.syntax(2, "Unknown sub-command '%s'", o.rest[0])
}

func (c *call) dhcpServer(args []string) Answer {
	o := parse(args, map[string]int{
		"--netname": 1, "--network": 1, "--interface": 1, "--ip": 1, "--server-ip": 1, "--netmask": 1, "--lowerip": 1, "--lower-ip": 1,
		"--upperip": 1, "--upper-ip": 1, "--enable": 0, "--disable": 0, "--mac-address": 1,
	})
	if o.unknown != "" || len(o.rest) != 1 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	network := o.first("--network", "--netname")
	if name := o.values["--interface"]; name != "" {
		network = "HostInterfaceNetworking-" + name
	}
	server := c.state.server(network)
	switch o.rest[0] {
	case "add":
		if server != nil {
			return plain(2, "DHCP server already exists")
		}
		c.state.DHCP = append(c.state.DHCP, &dhcp{network, o.first("--server-ip", "--ip"), o.values["--netmask"],
			o.first("--lower-ip", "--lowerip"), o.first("--upper-ip", "--upperip"), o.values["--enable"] != ""})
		return Answer{}
	case "modify":
		if server == nil {
			return plain(2, "DHCP server does not exist")
		}
		for _, v := range []struct {
			field *string
			value string
		}{
			{&server.IP, o.first("--server-ip", "--ip")}, {&server.Mask, o.values["--netmask"]},
			{&server.Lower, o.first("--lower-ip", "--lowerip")}, {&server.Upper, o.first("--upper-ip", "--upperip")},
		} {
			if v.value != "" {
				*v.field = v.value
			}
		}
		server.Enabled = (server.Enabled || o.values["--enable"] != "") && o.values["--disable"] == ""
		return Answer{}
	case "remove", "findlease":
		if server == nil {
			return plain(1, "Failed to find DHCP server for network '%s'", network)
		}
		if o.rest[0] == "findlease" {
			return c.findLease(strings.ToUpper(strings.ReplaceAll(o.values["--mac-address"], ":", "")))
		}
		c.state.DHCP = slices.DeleteFunc(c.state.DHCP, func(d *dhcp) bool { return d == server })
		return Answer{}
	}
	return c.syntax(2, "Unknown sub-command '%s'", o.rest[0])
}

func (c *call) findLease(mac string) Answer {
	for _, m := range c.state.Machines {
		if a := m.Leases[mac]; a != "" {
			return done("IP Address:  " + a + "\nMAC Address: " + mac + "\nState:       acked\n" +
				"Issued:      2026-11-21T03:42:04Z (1795232524)\nExpire:      2026-11-21T03:52:04Z (1795233124)\nTTL:         600 sec, currently 590 sec left\n")
		}
	}
	return fail("VBOX_E_OBJECT_NOT_FOUND", "DHCPServer", "Could not find a lease for "+mac)
}
