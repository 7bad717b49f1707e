package vboxsim

import (
	"fmt"
	"strings"
)

func (c *call) list(args []string) Answer {
	o := parse(args, map[string]int{"--long": 0})
	long := o.values["--long"] != ""
	var what []string
	for _, word := range o.rest {
		if word == "-l" {
			long = true
		} else {
			what = append(what, word)
		}
	}
	if o.unknown != "" || len(what) != 1 {
		return c.syntax(2, "Missing subcommand for \"list\" command")
	}
	var b strings.Builder
	switch what[0] {
	case "vms", "runningvms":
		return c.listVMs(long, what[0] == "runningvms")
	case "hdds":
		return done(c.media("disk"))
	case "dvds":
		return done(c.media("dvd"))
	case "hostinfo":
		c.hostInfo(&b)
	case "hostonlyifs":
		for _, a := range c.state.Adapters {
			fmt.Fprintf(&b, "Name:            %s\nGUID:            %s\nDHCP:            Disabled\nIPAddress:       %s\nNetworkMask:     %s\n"+
				"IPV6Address:     \nIPV6NetworkMaskPrefixLength: 0\nHardwareAddress: 0a:00:27:00:00:00\nMediumType:      Ethernet\nWireless:        No\n"+
				"Status:          Up\nVBoxNetworkName: HostInterfaceNetworking-%s\n\n", a.Name, a.GUID, a.IP, a.Mask, a.Name)
		}
	case "hostonlynets":
		if !c.box.cfg.Mac {
			return c.syntax(2, "Unknown subcommand \"hostonlynets\".")
		}
		for _, n := range c.state.Nets {
			state := "Enabled"
			if n.Disabled {
				state = "Disabled"
			}
			fmt.Fprintf(&b, "Name:            %s\nGUID:            %s\n\nState:           %s\nNetworkMask:     %s\nLowerIP:         %s\nUpperIP:         %s\nVBoxNetworkName: hostonly-%s\n\n",
				n.Name, n.GUID, state, n.Mask, n.Lower, n.Upper, n.Name)
		}
	case "dhcpservers":
		for _, d := range c.state.DHCP {
			enabled := "No"
			if d.Enabled {
				enabled = "Yes"
			}
			fmt.Fprintf(&b, "NetworkName:    %s\nDhcpd IP:       %s\nLowerIPAddress: %s\nUpperIPAddress: %s\nNetworkMask:    %s\nEnabled:        %s\n"+
				"Global Configuration:\n    minLeaseTime:     default\n    defaultLeaseTime: default\n    maxLeaseTime:     default\n    Forced options:   None\n"+
				"    Suppressed opts.: None\n        1/legacy: 255.255.255.0\nGroups:               None\nIndividual Configs:   None\n\n",
				d.Network, d.IP, d.Lower, d.Upper, d.Mask, enabled)
		}
	default:
		return c.syntax(2, "Unknown subcommand \"%s\".", what[0])
	}
	return done(b.String())
}

func (c *call) hostInfo(b *strings.Builder) {
	vtx := "yes"
	if c.box.cfg.NoVTx {
		vtx = "no"
	}
	fmt.Fprintf(b, "Host Information:\n\nHost time: 2026-11-21T03:42:04.872000000Z\nProcessor online count: 4\nProcessor count: 4\nProcessor online core count: 4\n"+
		"Processor core count: 4\nProcessor supports HW virtualization: %s\nProcessor supports PAE: yes\nProcessor supports long mode: yes\n"+
		"Processor supports nested paging: yes\nProcessor#0 speed: 2500 MHz\nProcessor#0 description: AMD EPYC Processor\nMemory size: 65536 MByte\nMemory available: 60000 MByte\n"+
		"Operating system: Linux\nOperating system version: 6.12.0\n", vtx)
}

func (c *call) listVMs(long, running bool) Answer {
	var out, stderr strings.Builder
	out.WriteString(c.warning())
	for _, m := range c.state.Machines {
		switch {
		case running && !m.running():
		case m.lost() && long:
			fmt.Fprintf(&out, "Name:            <inaccessible!>\nUUID:            %s\nConfig file:     %s\nEncryption:     disabled\nAccess error details:\n\n", m.UUID, m.Config)
			fmt.Fprintf(&stderr, "VBoxManage: error: Runtime error opening '%s' for reading VERR_FILE_NOT_FOUND (File not found.).\n", m.Config)
		case m.lost():
			fmt.Fprintf(&out, "\"<inaccessible>\" {%s}\n", m.UUID)
		case long:
			c.longVM(&out, m)
		default:
			fmt.Fprintf(&out, "\"%s\" {%s}\n", m.Name, m.UUID)
		}
	}
	return Answer{Stdout: out.String(), Stderr: stderr.String()}
}

// longVM prints a machine as list --long vms does, without most of its hardware.
func (c *call) longVM(b *strings.Builder, m *machine) {
	words := map[string]string{"poweroff": "powered off"}
	state := m.State
	if w := words[state]; w != "" {
		state = w
	}
	fmt.Fprintf(b, "Name:                        %s\nEncryption:                  disabled\nGroups:                      /\nPlatform Architecture:       %s\n"+
		"Guest OS:                    %s\nUUID:                        %s\nConfig file:                 %s\nHardware UUID:               %s\n"+
		"Memory size:                 %sMB\nNumber of CPUs:              %s\nState:                       %s (since %s)\nGraphics Controller:         VMSVGA\nStorage Controllers:\n",
		m.Name, m.Arch, m.OSType, m.UUID, m.Config, m.UUID, m.Settings["--memory"], m.Settings["--cpus"], state, m.Since)
	for i, ctl := range m.Controllers {
		fmt.Fprintf(b, "#%d: '%s', Type: %s, Instance: 0, Ports: %d (max 30), Bootable\n", i, ctl.Name, ctl.Kind, ctl.Ports)
		for _, key := range sortedKeys(m.Slots) {
			if s := m.Slots[key]; s.Controller == ctl.Name {
				if med := c.state.medium(s.Medium); med != nil {
					fmt.Fprintf(b, "  Port %d, Unit %d: UUID: %s\n    Location: \"%s\"\n", s.Port, s.Device, med.UUID, med.Path)
				} else {
					fmt.Fprintf(b, "  Port %d, Unit %d: Empty\n", s.Port, s.Device)
				}
			}
		}
	}
	for i := 1; i <= 8; i++ {
		c.longNIC(b, i, m.NICs[i])
	}
	b.WriteString("UART 2:                      disabled\nAudio:                       disabled\n")
	if len(m.Shares) == 0 {
		b.WriteString("Shared folders:              <none>\n")
	} else {
		b.WriteString("Shared folders:              \n\n")
		for _, name := range sortedKeys(m.Shares) {
			fmt.Fprintf(b, "Name: '%s', Host path: '%s' (machine mapping), writable\n", name, m.Shares[name])
		}
		b.WriteString("\n")
	}
	b.WriteString("Recording status:            stopped\n")
	if d := m.Settings["--description"]; d != "" {
		fmt.Fprintf(b, "Description:\n%s\n", d)
	}
	b.WriteString("* Guest:\nConfigured memory balloon:   0MB\n\n")
}

func (c *call) longNIC(b *strings.Builder, i int, n *nic) {
	attachment := ""
	switch n.Kind {
	case "none":
		fmt.Fprintf(b, "NIC %d:                       disabled\n", i)
		return
	case "nat":
		attachment = "NAT"
	case "hostonly":
		attachment = "Host-only Interface '" + n.Adapter + "'"
	case "hostonlynetwork":
		attachment = "Host Only Network '" + n.Adapter + "'"
	default:
		attachment = "Bridged Interface '" + n.Adapter + "'"
	}
	fmt.Fprintf(b, "NIC %d:                       MAC: %s, Attachment: %s, Cable connected: on, Trace: off (file: none), Type: %s, Reported speed: 0 Mbps, Boot priority: 0, Promisc Policy: %s, Bandwidth group: none\n",
		i, n.MAC, attachment, n.Type, n.Promisc)
	if n.Kind == "nat" {
		fmt.Fprintf(b, "NIC %d Settings:\n\tMTU: 0, Socket (send: 64, receive: 64), TCP Window (send:64, receive: 64),\n\tLocalhostReachable: 1, ForwardBroadcast: 0, EnableTFTP: 0\n", i)
	}
	for k, r := range n.Rules {
		f := strings.Split(r, ",")
		fmt.Fprintf(b, "NIC %d Rule(%d):   name = %s, protocol = %s, host ip = %s, host port = %s, guest ip = %s, guest port = %s\n", i, k, f[0], f[1], f[2], f[3], f[4], f[5])
	}
}

func (c *call) showVMInfo(args []string) Answer {
	o := parse(args, map[string]int{"--machinereadable": 0})
	if o.unknown != "" || len(o.rest) != 1 || o.values["--machinereadable"] == "" {
		return Answer{Stdout: "Usage - Show configuration information or log file contents for a virtual machine:\n", Exit: 1}
	}
	m := c.state.machine(o.rest[0])
	if m == nil {
		return noMachine(o.rest[0])
	}
	if m.lost() {
		return fail("E_ACCESSDENIED", "Machine", "The object functionality is limited")
	}
	var b strings.Builder
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	fmt.Fprintf(&b, "name=%s\nencryption=\"disabled\"\ngroups=\"/\"\nplatformArchitecture=\"%s\"\nostype=%s\nUUID=\"%s\"\nCfgFile=%s\nhardwareuuid=\"%s\"\n",
		quote(m.Name), m.Arch, quote(m.OSType), m.UUID, quote(m.Config), m.UUID)
	fmt.Fprintf(&b, "memory=%s\nvram=16\nfirmware=%s\ncpus=%s\nVMState=\"%s\"\nVMStateChangeTime=\"%s\"\n",
		m.Settings["--memory"], quote(strings.ToUpper(m.Settings["--firmware"])), m.Settings["--cpus"], m.State, m.Since)
	for i, ctl := range m.Controllers {
		fmt.Fprintf(&b, "storagecontrollername%d=%s\nstoragecontrollertype%d=\"%s\"\n", i, quote(ctl.Name), i, ctl.Kind)
	}
	for _, ctl := range m.Controllers {
		for port := range ctl.Ports {
			c.showSlot(&b, ctl.Name, port, m.Slots[fmt.Sprintf("%s-%d-0", ctl.Name, port)])
		}
	}
	for i := 1; i <= 8; i++ {
		showNIC(&b, i, m.NICs[i])
	}
	if m.running() {
		b.WriteString("SessionName=\"headless\"\nVideoMode=\"720,400,0\"@0,0 1\n")
	}
	for i, name := range sortedKeys(m.Shares) {
		fmt.Fprintf(&b, "SharedFolderNameMachineMapping%d=%s\nSharedFolderPathMachineMapping%d=%s\n", i+1, quote(name), i+1, quote(m.Shares[name]))
	}
	if m.running() {
		b.WriteString("VRDEActiveConnection=\"off\"\nVRDEClients==0\n")
	}
	b.WriteString("recording_screens=1\n rec_screen0\nrec_screen_enabled=\"on\"\n")
	if d := m.Settings["--description"]; d != "" {
		fmt.Fprintf(&b, "description=%s\n", quote(d))
	}
	b.WriteString("GuestMemoryBalloon=0\n")
	return done(b.String())
}

func (c *call) showSlot(b *strings.Builder, ctl string, port int, s *slot) {
	switch med := (*medium)(nil); {
	case s == nil:
		fmt.Fprintf(b, "\"%s-%d-0\"=\"none\"\n", ctl, port)
	default:
		if med = c.state.medium(s.Medium); med == nil {
			fmt.Fprintf(b, "\"%s-%d-0\"=\"emptydrive\"\n", ctl, port)
			return
		}
		fmt.Fprintf(b, "\"%s-%d-0\"=\"%s\"\n\"%s-ImageUUID-%d-0\"=\"%s\"\n", ctl, port, med.Path, ctl, port, med.UUID)
	}
}

func showNIC(b *strings.Builder, i int, n *nic) {
	switch n.Kind {
	case "none":
		fmt.Fprintf(b, "nic%d=\"none\"\n", i)
		return
	case "nat":
		fmt.Fprintf(b, "natnet%d=\"nat\"\n", i)
	case "hostonly":
		fmt.Fprintf(b, "hostonlyadapter%d=\"%s\"\n", i, n.Adapter)
	case "hostonlynetwork":
		fmt.Fprintf(b, "hostonly-network%d=\"%s\"\n", i, n.Adapter)
	case "bridged":
		fmt.Fprintf(b, "bridgeadapter%d=\"%s\"\n", i, n.Adapter)
	}
	fmt.Fprintf(b, "macaddress%d=\"%s\"\ncableconnected%d=\"on\"\nnic%d=\"%s\"\nnictype%d=\"%s\"\n", i, n.MAC, i, i, n.Kind, i, n.Type)
	for k, r := range n.Rules {
		fmt.Fprintf(b, "Forwarding(%d)=\"%s\"\n", k, r)
	}
}
