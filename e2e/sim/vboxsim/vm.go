package vboxsim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

const since = "2026-11-21T03:02:06.997000000"

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (c *call) createVM(args []string) Answer {
	o := parse(args, map[string]int{"--name": 1, "--uuid": 1, "--ostype": 1, "--basefolder": 1, "--groups": 1, "--platform-architecture": 1, "--register": 0, "--default": 0})
	if o.unknown != "" {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	if len(o.rest) > 0 {
		return c.syntax(2, "Invalid parameter '%s'", o.rest[0])
	}
	name, id := o.values["--name"], o.values["--uuid"]
	if name == "" {
		return Answer{Stdout: "Usage - Create a new virtual machine:\n", Exit: 1}
	}
	if id == "" {
		id = computer.UUID(&c.state.Serial)
	}
	if !uuidText.MatchString(id) {
		return c.syntax(2, "Invalid UUID '%s'", id)
	}
	base := o.values["--basefolder"]
	if base == "" {
		base = filepath.Join(c.box.cfg.Home, "VirtualBox VMs")
	}
	file := strings.ReplaceAll(name, "/", "_")
	config := filepath.Join(c.abs(base), file, file+".vbox")
	if _, err := os.Stat(config); err == nil {
		return fail("VBOX_E_FILE_ERROR", "Machine", "Machine settings file '"+config+"' already exists")
	}
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		return fail("VBOX_E_FILE_ERROR", "Machine", err.Error())
	}
	if err := os.WriteFile(config, []byte("<VirtualBox simulated=\""+id+"\"/>\n"), 0o600); err != nil {
		return fail("VBOX_E_FILE_ERROR", "Machine", err.Error())
	}
	if o.values["--register"] == "" {
		return done(fmt.Sprintf("Virtual machine '%s' is created.\nUUID: %s\nSettings file: '%s'\n", name, id, config))
	}
	for _, m := range c.state.Machines {
		if m.UUID == id {
			return fail("NS_ERROR_INVALID_ARG", "VirtualBox", fmt.Sprintf("Registered machine with UUID {%s} ('%s') already exists", id, m.Config))
		}
	}
	m := &machine{
		UUID: id, Name: name, Config: config, Arch: "x86", OSType: o.values["--ostype"], State: "poweroff", Since: since,
		Settings: map[string]string{"--cpus": "1", "--memory": "1024", "--firmware": "BIOS"},
		NICs:     map[int]*nic{}, Slots: map[string]*slot{}, Shares: map[string]string{}, Leases: map[string]string{},
	}
	if o.values["--platform-architecture"] == "arm" {
		m.Arch = "ARM"
	}
	for i := 1; i <= 8; i++ {
		m.NICs[i] = &nic{Kind: "none", Type: "82540EM", Promisc: "deny"}
	}
	m.NICs[1].Kind, m.NICs[1].MAC = "nat", "080027000001"
	c.state.Machines = append(c.state.Machines, m)
	return done(fmt.Sprintf("Virtual machine '%s' is created and registered.\nUUID: %s\nSettings file: '%s'\n", name, id, config))
}

func (c *call) unregisterVM(args []string) Answer {
	o := parse(args, map[string]int{"--delete": 0, "--delete-all": 0})
	if o.unknown != "" || len(o.rest) != 1 {
		return c.syntax(2, "Invalid parameter")
	}
	m := c.state.machine(o.rest[0])
	if m == nil {
		return noMachine(o.rest[0])
	}
	if m.running() {
		return fail("VBOX_E_INVALID_OBJECT_STATE", "Machine", "Cannot unregister the machine '"+m.Name+"' while it is locked")
	}
	wipe, lost := o.values["--delete"] != "" || o.values["--delete-all"] != "", m.lost()
	if err := c.state.drop(c.ctx, c.box.hosts(), m, wipe && !lost); err != nil {
		return fail("NS_ERROR_FAILURE", "Machine", err.Error())
	}
	if wipe && lost {
		return fail("E_ACCESSDENIED", "Machine", "The object is not ready")
	}
	return progressed("")
}

// Options of modifyvm with one value, and what the value may be; nil: anything.
func modifyOptions() map[string][]string {
	onOff := []string{"on", "off"}
	types := []string{"Am79C970A", "Am79C973", "82540EM", "82543GC", "82545EM", "virtio", "usbnet"}
	return map[string][]string{
		"--description": nil, "--cpus": nil, "--memory": nil, "--vram": nil, "--ostype": nil, "--name": nil,
		"--firmware": {"bios", "efi", "efi32", "efi64"}, "--graphicscontroller": {"none", "vboxvga", "vmsvga", "vboxsvga", "qemuramfb"},
		"--chipset": {"ich9", "piix3", "armv8virtual"}, "--acpi": onOff, "--ioapic": onOff, "--pae": onOff, "--hpet": onOff, "--rtcuseutc": onOff,
		"--audio": nil, "--audio-driver": nil, "--audio-enabled": onOff,
		"--boot": {"none", "floppy", "dvd", "disk", "net"}, "--nic": {"none", "null", "nat", "bridged", "intnet", "hostonly", "hostonlynet", "generic", "natnetwork"},
		"--nictype": types, "--cableconnected": onOff, "--macaddress": nil, "--natdnshostresolver": onOff, "--natdnsproxy": onOff,
		"--nicpromisc": {"deny", "allow-vms", "allow-all"}, "--hostonlyadapter": nil, "--hostonlynet": nil, "--bridgeadapter": nil,
		"--natpf": nil, "--uart": nil, "--uartmode": nil,
	}
}

var numbered = regexp.MustCompile(`^(--[a-z-]*[a-z])([1-8])$`)

// setting is one option of modifyvm.
type setting struct {
	name  string
	index int
	value string
	more  string // a second word
}

func (c *call) modifyVM(args []string) Answer {
	if len(args) < 2 {
		return Answer{Stdout: "Usage - Change settings for a virtual machine that is stopped:\n", Exit: 1}
	}
	m := c.state.machine(args[0])
	if m == nil {
		return noMachine(args[0])
	}
	settings, no := c.settings(args[1:])
	if no != nil {
		return *no
	}
	switch {
	case m.lost():
		return fail("E_ACCESSDENIED", "Machine", "The object functionality is limited")
	case m.running():
		return lockedFor(m)
	case m.State == "saved":
		return fail("VBOX_E_INVALID_VM_STATE", "Session", "The machine is not mutable (state is Saved)")
	}
	return c.applyAll(m, settings)
}

// applyAll applies all settings or none.
func (c *call) applyAll(m *machine, settings []setting) Answer {
	before, err := json.Marshal(m)
	if err != nil {
		return fail("NS_ERROR_FAILURE", "Machine", err.Error())
	}
	warnings := ""
	for _, s := range settings {
		a := c.apply(m, s)
		if a.Exit != 0 {
			*m = machine{}
			if err := json.Unmarshal(before, m); err != nil {
				return fail("NS_ERROR_FAILURE", "Machine", err.Error())
			}
			return a
		}
		warnings += a.Stderr
	}
	return Answer{Stderr: warnings}
}

func (c *call) settings(args []string) ([]setting, *Answer) {
	known := modifyOptions()
	var all []setting
	refuse := func(format string, a ...any) ([]setting, *Answer) {
		no := c.syntax(1, format, a...)
		return nil, &no
	}
	for i := 0; i < len(args); i++ {
		s := setting{name: args[i]}
		if name, value, ok := strings.Cut(args[i], "="); ok {
			s.name, s.value = name, value
		}
		whole := s.name
		if m := numbered.FindStringSubmatch(s.name); m != nil {
			s.name = m[1]
			s.index, _ = strconv.Atoi(m[2])
		}
		may, ok := known[s.name]
		if !ok || s.name == "--hostonlynet" && !c.box.cfg.Mac {
			return refuse("Unknown option: %s", whole)
		}
		if !strings.Contains(args[i], "=") {
			if i++; i == len(args) {
				return refuse("Missing argument: %s", whole)
			}
			s.value = args[i]
		}
		if may != nil && !slices.ContainsFunc(may, func(v string) bool { return strings.EqualFold(v, s.value) }) {
			return refuse("Invalid %s argument '%s'", whole, s.value)
		}
		two := s.name == "--uart" && s.value != "off" || s.name == "--uartmode" && s.value == "file" || s.name == "--natpf" && s.value == "delete"
		if two {
			if i++; i == len(args) {
				return refuse("Missing argument to %s", whole)
			}
			s.more = args[i]
		}
		all = append(all, s)
	}
	return all, nil
}

func (c *call) apply(m *machine, s setting) Answer {
	inRange := func(what, property, unit string, low, high int) Answer {
		if n, err := strconv.Atoi(s.value); err != nil || n < low || n > high {
			return fail("NS_ERROR_INVALID_ARG", "Machine", fmt.Sprintf("Invalid %s: %s%s (must be in range [%d, %d]%s)", what, s.value, unit, low, high, unit))
		}
		m.Settings[property] = s.value
		return Answer{}
	}
	n := m.NICs[max(s.index, 1)]
	switch s.name {
	case "--cpus":
		return inRange("virtual CPU count", s.name, "", 1, 64)
	case "--memory":
		return inRange("RAM size", s.name, " MB", 4, 2097152)
	case "--name":
		m.Name = s.value
	case "--nic":
		n.Kind = strings.ReplaceAll(s.value, "hostonlynet", "hostonlynetwork")
		if n.MAC == "" {
			n.MAC = "080027000002"
		}
	case "--nictype":
		n.Type = s.value
	case "--macaddress":
		n.MAC = strings.ToUpper(s.value)
	case "--nicpromisc":
		n.Promisc = s.value
	case "--hostonlynet", "--bridgeadapter":
		n.Adapter = s.value
	case "--hostonlyadapter":
		n.Adapter = s.value
		if c.state.adapter(s.value) == nil {
			return Answer{Stderr: "VBoxManage: warning: Interface \"" + s.value + "\" doesn't seem to exist\n"}
		}
	case "--natpf":
		return n.forward(s)
	case "--uartmode":
		m.Settings[s.name+strconv.Itoa(s.index)] = s.more
	default:
		key := s.name
		if s.index > 0 {
			key += strconv.Itoa(s.index)
		}
		m.Settings[key] = s.value
	}
	return Answer{}
}

// forward adds or deletes a rule by which a port leads to the guest.
func (n *nic) forward(s setting) Answer {
	name := s.more
	if s.value != "delete" {
		fields := strings.Split(s.value, ",")
		if len(fields) != 6 {
			return plain(1, "Missing or invalid argument for --natpf1 '%s'", s.value)
		}
		name = fields[0]
	}
	at := slices.IndexFunc(n.Rules, func(r string) bool { return strings.HasPrefix(r, name+",") })
	switch {
	case s.value == "delete" && at < 0:
		return Answer{Exit: 1, Stderr: "VBoxManage: error: Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value (extended info not available)\n" +
			"VBoxManage: error: Context: \"RemoveRedirect(Bstr(ValueUnion.psz).raw())\" at line 2264 of file VBoxManageModifyVM.cpp\n"}
	case s.value == "delete":
		n.Rules = slices.Delete(n.Rules, at, at+1)
	case at >= 0:
		return fail("NS_ERROR_INVALID_ARG", "NATEngine", "A NAT rule of this name already exists")
	default:
		n.Rules = append(n.Rules, s.value)
	}
	return Answer{}
}

func (c *call) sharedFolder(args []string) Answer {
	o := parse(args, map[string]int{"--name": 1, "--hostpath": 1, "--automount": 0, "--readonly": 0})
	if o.unknown != "" || len(o.rest) != 2 || o.rest[0] != "add" {
		return c.syntax(2, "Invalid parameter")
	}
	m, name, path := c.state.machine(o.rest[1]), o.values["--name"], o.values["--hostpath"]
	if m == nil {
		return noMachine(o.rest[1])
	}
	if m.running() {
		return lockedFor(m)
	}
	if _, ok := m.Shares[name]; ok {
		return fail("VBOX_E_OBJECT_IN_USE", "Session", "Shared folder named '"+name+"' already exists")
	}
	if _, err := os.Stat(path); err != nil {
		return fail("NS_ERROR_INVALID_ARG", "SharedFolder", "RTPathQueryInfo failed on shared folder path '"+path+"': VERR_FILE_NOT_FOUND")
	}
	m.Shares[name] = path
	return Answer{}
}
