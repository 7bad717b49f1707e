package hypervsim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

// call is one operation.
type call struct {
	box   *Box
	state *state
	ctx   context.Context
	args  json.RawMessage
}

// none is the value of operations that have none.
type none struct{}

// arguments are those of all operations.
type arguments struct {
	IDs         []string `json:"ids"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Path        string   `json:"path"`
	From        string   `json:"from"`
	To          string   `json:"to"`
	Notes       string   `json:"notes"`
	Gateway     string   `json:"gateway"`
	Bits        int      `json:"bits"`
	Subnet      string   `json:"subnet"`
	Bytes       int64    `json:"bytes"`
	Generation  int      `json:"generation"`
	Processors  int      `json:"processors"`
	Memory      int64    `json:"memory"`
	LeastMemory int64    `json:"leastMemory"`
	Dynamic     bool     `json:"dynamic"`
	SwitchID    string   `json:"switchId"`
	MAC         string   `json:"mac"`
	VLAN        int      `json:"vlan"`
	Disk        string   `json:"disk"`
	DVD         string   `json:"dvd"`
	SecureBoot  bool     `json:"secureBoot"`
}

func (c *call) do(op string) (any, error) {
	known, ok := c.operations()[op]
	if !ok {
		return nil, &Refusal{Kind: "unknown", Category: "OperationStopped", Message: "There is no such operation."}
	}
	a, err := c.arguments(strings.Fields(known.takes))
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", op, err)
	}
	if op != "probe" && op != "nameServers" {
		if no := c.unmanageable(op); no != nil {
			return nil, no
		}
	}
	return known.do(a)
}

// operation is one that the script knows, with the arguments that it takes.
type operation struct {
	takes string
	do    func(arguments) (any, error)
}

func (c *call) operations() map[string]operation {
	return map[string]operation{
		"probe": {"", c.probe}, "nameServers": {"", c.nameServers},
		"listMachines": {"ids", c.listMachines}, "listSwitches": {"", c.listSwitches},
		"makeNat": {"name notes gateway bits subnet", c.makeNat}, "removeNat": {"id name", c.removeNat},
		"newFixedDisk": {"path bytes", c.newFixedDisk}, "convertDisk": {"from to", c.convertDisk}, "growDisk": {"path bytes", c.growDisk},
		"newMachine":       {"name path generation memory notes", c.newMachine},
		"configureMachine": {"id generation notes processors memory leastMemory dynamic switchId mac vlan disk dvd secureBoot", c.configureMachine},
		"connectMachine":   {"id switchId mac vlan", c.connectMachine},
		"startMachine":     {"id", c.startMachine}, "resumeMachine": {"id", c.resumeMachine}, "shutDownMachine": {"id", c.shutDownMachine},
		"turnOffMachine": {"id", c.turnOffMachine}, "removeMachine": {"id", c.removeMachine},
	}
}

// arguments reads those that an operation takes, which must all be there, and no
// others: the script would take what is not there for nothing.
func (c *call) arguments(takes []string) (a arguments, err error) {
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.args, &given); err != nil {
		return a, err
	}
	slices.Sort(takes)
	if names := slices.Sorted(maps.Keys(given)); !slices.Equal(names, takes) {
		return a, fmt.Errorf("they are %q, not %q", takes, names)
	}
	return a, json.Unmarshal(c.args, &a)
}

func (c *call) nameServers(arguments) (any, error) {
	return map[string]any{"servers": []string{"127.0.0.1", "192.0.2.53"}}, nil
}

func (c *call) probe(arguments) (any, error) {
	cfg := c.box.cfg
	service := "Running"
	if cfg.Stopped {
		service = "Stopped"
	}
	if cfg.NoModule {
		service = ""
	}
	return map[string]any{
		"powershell": "5.1.22621.4391", "windows": "10.0.22631", "admin": !cfg.NoRights && !cfg.Manager, "hyperVAdmin": cfg.Manager,
		"module": !cfg.NoModule, "service": service, "hypervisor": !cfg.NoHypervisor, "processors": 8, "memory": cfg.Memory,
	}, nil
}

const exceptionType = "Microsoft.HyperV.PowerShell.VirtualizationException"

// unmanageable says why Hyper-V cannot be managed at all, as the first cmdlet would.
func (c *call) unmanageable(op string) *Refusal {
	cmdlet, name := "GetVM", "Get-VM"
	if strings.Contains(op, "Switch") || strings.HasSuffix(op, "Nat") {
		cmdlet, name = "GetVMSwitch", "Get-VMSwitch"
	}
	switch cfg := c.box.cfg; {
	case cfg.NoModule:
		return &Refusal{
			Category: "ObjectNotFound", FQID: "CommandNotFoundException", Type: "System.Management.Automation.CommandNotFoundException", HResult: "80131501",
			Message: "The term '" + name + "' is not recognized as the name of a cmdlet, function, script file, or operable program. Check the spelling of the name, or if a path was included, verify that the path is correct and try again.",
		}
	case cfg.Stopped:
		return &Refusal{
			Category: "ObjectNotFound", FQID: "ObjectNotFound,Microsoft.HyperV.PowerShell.Commands." + cmdlet, Type: exceptionType, HResult: "80131500",
			Message: "Hyper-V encountered an error trying to access an object on computer 'SIM' because the object was not found. The object might have been deleted. Verify that the Virtual Machine Management service on the computer is running.",
		}
	case cfg.NoRights:
		return &Refusal{
			Category: "PermissionDenied", FQID: "AccessDenied,Microsoft.HyperV.PowerShell.Commands." + cmdlet, Type: exceptionType, HResult: "80131500",
			Message: "You do not have the required permission to complete this task. Contact the administrator of the authorization policy for the computer 'SIM'.",
		}
	}
	return nil
}

func (c *call) listMachines(a arguments) (any, error) {
	found := []any{}
	for _, m := range c.state.Machines {
		wanted := func(id string) bool { return strings.EqualFold(id, m.ID) }
		if len(a.IDs) > 0 && !slices.ContainsFunc(a.IDs, wanted) {
			continue
		}
		adapter := map[string]any{"mac": m.MAC, "switch": "", "switchId": m.Switch, "addresses": []string{}, "neighbours": []string{}}
		if v := c.state.vswitch(m.Switch); v != nil {
			adapter["switch"] = v.Name
		}
		if m.Address != "" && m.State == "Running" {
			key := "addresses"
			if c.box.cfg.Silent {
				key = "neighbours"
			}
			adapter[key] = []string{m.Address}
		}
		found = append(found, map[string]any{
			"id": m.ID, "name": m.Name, "state": m.State, "status": "Operating normally", "generation": m.Generation,
			"notes": m.Notes, "path": m.Path, "adapters": []any{adapter},
		})
	}
	return map[string]any{"machines": found}, nil
}

func (c *call) listSwitches(arguments) (any, error) {
	switches, nats := c.state.Switches, c.state.Nats
	if switches == nil {
		switches = []*vswitch{}
	}
	if nats == nil {
		nats = []*nat{}
	}
	if c.box.cfg.Manager {
		nats = []*nat{}
	}
	return map[string]any{"switches": switches, "nats": nats, "natsKnown": !c.box.cfg.Manager, "others": []any{
		map[string]any{"name": "Loopback Pseudo-Interface 1", "address": "127.0.0.1/8"},
		map[string]any{"name": "Ethernet", "address": "192.0.2.7/24"},
	}}, nil
}

func denied(cmdlet string) *Refusal {
	return &Refusal{
		Category: "PermissionDenied", FQID: "Windows System Error 5," + cmdlet, Type: "Microsoft.Management.Infrastructure.CimException",
		HResult: "80338000", Message: "Access is denied. ",
	}
}

// makeNat makes the switch, which the group Hyper-V Administrators may, and what only
// administrators may.
func (c *call) makeNat(a arguments) (any, error) {
	var v *vswitch
	for _, s := range c.state.Switches {
		if s.Name == a.Name {
			v = s
		}
	}
	if v == nil {
		v = &vswitch{ID: computer.UUID(&c.state.Serial), Name: a.Name, Type: "Internal", Notes: a.Notes, Addresses: []string{}}
		c.state.Switches = append(c.state.Switches, v)
	}
	if c.box.cfg.Manager {
		return nil, denied("New-NetIPAddress")
	}
	address := fmt.Sprintf("%s/%d", a.Gateway, a.Bits)
	if !slices.Contains(v.Addresses, address) {
		v.Addresses = append(v.Addresses, address)
	}
	if !slices.ContainsFunc(c.state.Nats, func(n *nat) bool { return n.Subnet == a.Subnet }) {
		c.state.Nats = append(c.state.Nats, &nat{Name: a.Name, Subnet: a.Subnet})
	}
	return v, nil
}

func (c *call) removeNat(a arguments) (any, error) {
	v := c.state.vswitch(a.ID)
	for _, m := range c.state.Machines {
		if v != nil && m.Switch == v.ID {
			return nil, &Refusal{Kind: "inuse", Category: "OperationStopped", Message: fmt.Sprintf("The switch %q is used by the virtual machine %q.", v.Name, m.Name)}
		}
	}
	if c.box.cfg.Manager {
		return nil, denied("Remove-NetNat")
	}
	c.state.Nats = slices.DeleteFunc(c.state.Nats, func(n *nat) bool { return n.Name == a.Name })
	if v != nil {
		c.state.dropSwitch(v.ID)
	}
	return none{}, nil
}

func (c *call) newMachine(a arguments) (any, error) {
	if a.Memory < 32<<20 {
		return nil, refuse("InvalidArgument", "InvalidParameter", "NewVM", "The amount of memory assigned to '%s' is less than the minimum of 32 MB.", a.Name)
	}
	for _, m := range c.state.Machines {
		if m.Path == filepath.Join(a.Path, a.Name) {
			return map[string]any{"id": m.ID}, nil
		}
	}
	m := &machine{
		ID: computer.UUID(&c.state.Serial), Name: a.Name, Path: filepath.Join(a.Path, a.Name), Generation: a.Generation, State: "Off",
		Notes: a.Notes, Memory: a.Memory, Processors: 1, MAC: "000000000000", SecureBoot: true,
	}
	if err := os.MkdirAll(filepath.Dir(m.settings()), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.settings(), nil, 0o600); err != nil {
		return nil, err
	}
	c.state.Machines = append(c.state.Machines, m)
	return map[string]any{"id": m.ID}, nil
}

func refuse(category, code, cmdlet, format string, args ...any) *Refusal {
	return &Refusal{
		Category: category, FQID: code + ",Microsoft.HyperV.PowerShell.Commands." + cmdlet, Type: exceptionType, HResult: "80131500",
		Message: fmt.Sprintf(format, args...),
	}
}

// find returns the machine that an operation is about.
func (c *call) find(a arguments) (*machine, error) {
	if m := c.state.machine(a.ID); m != nil {
		return m, nil
	}
	return nil, &Refusal{Kind: "notfound", Category: "OperationStopped", Message: "Hyper-V was unable to find a virtual machine with id " + a.ID + "."}
}

// off returns the machine, which must not run.
func (c *call) off(a arguments, cmdlet string) (*machine, error) {
	m, err := c.find(a)
	if err == nil && m.State != "Off" {
		return nil, refuse("InvalidOperation", "InvalidState", cmdlet, "The operation cannot be performed while the virtual machine is in its current state.")
	}
	return m, err
}

func (c *call) configureMachine(a arguments) (any, error) {
	m, err := c.off(a, "SetVM")
	if err != nil {
		return nil, err
	}
	m.Notes = a.Notes
	if a.Processors < 1 || a.Processors > 8 {
		return nil, refuse("InvalidArgument", "InvalidParameter", "SetVMProcessor", "Cannot set the number of virtual processors to %d: the value is out of range.", a.Processors)
	}
	if a.Dynamic && a.LeastMemory > a.Memory {
		return nil, refuse("InvalidArgument", "InvalidParameter", "SetVMMemory", "The minimum amount of memory is greater than the startup amount.")
	}
	if a.Generation != m.Generation {
		return nil, refuse("InvalidArgument", "InvalidParameter", "SetVMFirmware", "The virtual machine is of generation %d.", m.Generation)
	}
	m.Processors, m.Memory, m.SecureBoot = a.Processors, a.Memory, a.SecureBoot
	if _, err := c.connectMachine(a); err != nil {
		return nil, err
	}
	for _, path := range []string{a.Disk, a.DVD} {
		if _, err := os.Stat(path); err != nil {
			return nil, refuse("ObjectNotFound", "ObjectNotFound", "AddVMHardDiskDrive", "The system failed to open '%s'. The system cannot find the file specified. (0x80070002)", path)
		}
	}
	if !strings.HasSuffix(a.Disk, ".vhdx") && !strings.HasSuffix(a.Disk, ".vhd") {
		return nil, refuse("InvalidArgument", "InvalidParameter", "AddVMHardDiskDrive", "'%s' is no virtual hard disk.", a.Disk)
	}
	m.Disk, m.DVD = a.Disk, a.DVD
	return none{}, nil
}

func (c *call) connectMachine(a arguments) (any, error) {
	m, err := c.off(a, "SetVMNetworkAdapter")
	if err != nil {
		return nil, err
	}
	v := c.state.vswitch(a.SwitchID)
	if v == nil {
		return nil, &Refusal{Kind: "notfound", Category: "OperationStopped", Message: "Hyper-V was unable to find a virtual switch with id " + a.SwitchID + "."}
	}
	if len(a.MAC) != 12 || strings.Trim(a.MAC, "0123456789ABCDEFabcdef") != "" {
		return nil, refuse("InvalidArgument", "InvalidParameter", "SetVMNetworkAdapter", "'%s' is not a valid MAC address.", a.MAC)
	}
	m.Switch, m.MAC, m.VLAN = v.ID, strings.ToUpper(a.MAC), a.VLAN
	return none{}, nil
}
