package vboxsim

import (
	"context"
	"fmt"
	"os"
	"strings"
)

func (c *call) startVM(args []string) Answer {
	o := parse(args, map[string]int{"--type": 1})
	if o.unknown != "" || len(o.rest) != 1 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	m := c.state.machine(o.rest[0])
	if m == nil {
		return noMachine(o.rest[0])
	}
	switch o.values["--type"] {
	case "gui", "headless", "sdl", "separate", "":
	default:
		return fail("NS_ERROR_INVALID_ARG", "Machine", "Invalid frontend name: '"+o.values["--type"]+"'")
	}
	if m.running() {
		return fail("VBOX_E_INVALID_OBJECT_STATE", "Machine", "The machine '"+m.Name+"' is already locked by a session (or being locked or unlocked)")
	}
	if m.lost() {
		return fail("E_ACCESSDENIED", "Machine", "The object functionality is limited")
	}
	waiting := "Waiting for VM \"" + m.Name + "\" to power on...\n"
	if no := c.cannotStart(m); no != "" {
		return Answer{Exit: 1, Stdout: waiting, Stderr: "VBoxManage: error: " + no +
			"\nVBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component ConsoleWrap, interface IConsole\n"}
	}
	if err := c.boot(m); err != nil {
		return fail("NS_ERROR_FAILURE", "Console", err.Error())
	}
	m.State = "running"
	return done(waiting + "VM \"" + m.Name + "\" has been successfully started.\n")
}

// cannotStart says why a machine does not start; empty: it does.
func (c *call) cannotStart(m *machine) string {
	if c.box.cfg.NoKernel {
		return "The virtual machine '" + m.Name + "' has terminated unexpectedly during startup with exit code 1 (0x1)"
	}
	if c.box.cfg.NoVTx {
		return "AMD-V is not available (VERR_SVM_NO_SVM)"
	}
	for _, slot := range m.Slots {
		if slot.Medium == "" {
			continue
		}
		med := c.state.medium(slot.Medium)
		if med == nil {
			return "File not found. (VERR_FILE_NOT_FOUND)"
		}
		if _, err := os.Stat(med.Path); err != nil {
			return "VD: error VERR_FILE_NOT_FOUND opening image file '" + med.Path + "' (VERR_FILE_NOT_FOUND)"
		}
	}
	for _, n := range m.NICs {
		if n.Kind == "hostonly" && c.state.adapter(n.Adapter) == nil {
			return "Nonexistent host networking interface, name '" + n.Adapter + "' (VERR_INTERNAL_ERROR)"
		}
	}
	return ""
}

// boot has the guest run: it reads its seed, takes its addresses and writes to its
// console.
func (c *call) boot(m *machine) error {
	g, err := c.guest(m)
	if err != nil {
		return err
	}
	if path := m.Settings["--uartmode1"]; path != "" && m.State != "saved" {
		if err := os.WriteFile(path, []byte("Welcome to "+g.Hostname+"\r\n"), 0o600); err != nil {
			return err
		}
	}
	return c.box.hosts().Boot(c.ctx, m.UUID, &m.Launched, g)
}

func (c *call) controlVM(args []string) Answer {
	if len(args) < 2 {
		return Answer{Stdout: "Usage - Change state and settings for a virtual machine that is running:\n", Exit: 1}
	}
	m := c.state.machine(args[0])
	if m == nil {
		return noMachine(args[0])
	}
	if !m.running() {
		return plain(1, "Machine '%s' is not currently running.", m.Name)
	}
	paused := m.State == "paused"
	switch args[1] {
	case "poweroff":
		if err := c.halt(m); err != nil {
			return fail("NS_ERROR_FAILURE", "Console", err.Error())
		}
		m.State = "poweroff"
		return progressed("")
	case "acpipowerbutton":
		if paused {
			return fail("VBOX_E_INVALID_VM_STATE", "Console", "Invalid machine state: Paused")
		}
		return c.press(m)
	case "pause":
		if paused {
			return fail("VBOX_E_INVALID_VM_STATE", "Console", "Invalid machine state: Paused")
		}
		m.State = "paused"
	case "resume":
		if !paused {
			return fail("VBOX_E_INVALID_VM_STATE", "Console", "Cannot resume the machine as it is not paused (machine state: Running)")
		}
		m.State = "running"
	case "reset":
		if hosts := c.box.cfg.Hosts; hosts != nil {
			if err := hosts.Restart(c.ctx, m.UUID); err != nil {
				return fail("NS_ERROR_FAILURE", "Console", err.Error())
			}
		}
	case "savestate":
		if err := c.halt(m); err != nil {
			return fail("NS_ERROR_FAILURE", "Console", err.Error())
		}
		m.State = "saved"
		return progressed("")
	default:
		return c.syntax(2, "Invalid parameter '%s'", args[1])
	}
	return Answer{}
}

func (c *call) halt(m *machine) error { return c.box.hosts().Cut(c.ctx, m.UUID, m.Launched) }

// press is the power button. The guest shuts down in its own time.
func (c *call) press(m *machine) Answer {
	hosts := c.box.cfg.Hosts
	switch {
	case c.box.Deaf(m.UUID):
	case hosts == nil:
		m.State = "poweroff"
	case m.Launched:
		ctx, id := context.WithoutCancel(c.ctx), m.UUID
		c.box.Go(func() { _ = hosts.Stop(ctx, id, false) }) // whether it did is seen by whether it runs
	}
	return Answer{}
}

func (c *call) discardState(args []string) Answer {
	if len(args) != 1 {
		return c.syntax(2, "Invalid parameter")
	}
	m := c.state.machine(args[0])
	if m == nil {
		return noMachine(args[0])
	}
	if m.State != "saved" {
		no := fail("VBOX_E_INVALID_VM_STATE", "Session", "Cannot discard the saved state as the machine is not in the Saved or Aborted-Saved state (machine state: PoweredOff)")
		no.Exit = 0 // yes
		return no
	}
	m.State = "poweroff"
	return Answer{}
}

func (c *call) guestProperty(args []string) Answer {
	if len(args) != 3 || args[0] != "get" {
		return c.syntax(2, "Invalid parameter")
	}
	if c.state.machine(args[1]) == nil {
		return noMachine(args[1])
	}
	return done("No value set!\n") // no guest here has Guest Additions
}

func (c *call) setExtraData(args []string) Answer {
	if len(args) < 2 || len(args) > 3 || args[0] != "global" {
		return c.syntax(1, "Invalid parameter")
	}
	if len(args) == 2 || args[2] == "" {
		delete(c.state.Extra, args[1])
		return Answer{}
	}
	c.state.Extra[args[1]] = args[2]
	return Answer{}
}

func (c *call) getExtraData(args []string) Answer {
	if len(args) != 2 || args[0] != "global" || args[1] != "enumerate" {
		return c.syntax(1, "Invalid parameter")
	}
	var b strings.Builder
	for _, key := range sortedKeys(c.state.Extra) {
		fmt.Fprintf(&b, "Key: %s, Value: %s\n", key, c.state.Extra[key])
	}
	return done(b.String())
}
