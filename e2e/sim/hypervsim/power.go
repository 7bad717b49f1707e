package hypervsim

import (
	"context"
	"os"
)

func (c *call) startMachine(a arguments) (any, error) {
	m, err := c.find(a)
	if err != nil {
		return nil, err
	}
	switch m.State {
	case "Running":
		return none{}, nil // it warns
	case "Off", "Saved":
	default:
		return nil, refuse("InvalidOperation", "InvalidState", "StartVM", "'%s' failed to change state. The operation cannot be performed while the object is in its current state.", m.Name)
	}
	if err := c.cannotStart(m); err != nil {
		return nil, err
	}
	if err := c.boot(m); err != nil {
		return nil, err
	}
	m.State = "Running"
	return none{}, nil
}

func (c *call) cannotStart(m *machine) error {
	no := refuse("NotSpecified", "OperationFailed", "StartVM", "'%s' failed to start.", m.Name)
	if c.box.cfg.NoHypervisor {
		no.Message = "Virtual machine '" + m.Name + "' could not be started because the hypervisor is not running."
		return no
	}
	used := m.Memory
	for _, other := range c.state.Machines {
		if other.State == "Running" {
			used += other.Memory
		}
	}
	if used > c.box.cfg.Memory {
		no.Message = "'" + m.Name + "' failed to start.\n\nNot enough memory in the system to start the virtual machine " + m.Name + "."
		return no
	}
	for _, path := range []string{m.Disk, m.DVD} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			no.Message = "'" + m.Name + "' Synthetic SCSI Controller: Failed to Power on with Error 'The system cannot find the file specified.' (0x80070002).\n\nAttachment '" + path + "' not found."
			return no
		}
	}
	return nil
}

func (c *call) resumeMachine(a arguments) (any, error) {
	m, err := c.find(a)
	switch {
	case err != nil:
		return nil, err
	case m.State != "Paused":
		return nil, refuse("InvalidOperation", "InvalidState", "ResumeVM", "'%s' failed to change state. The operation cannot be performed while the object is in its current state.", m.Name)
	}
	m.State = "Running"
	return none{}, nil
}

// shutDownMachine tells the guest, which shuts down in its own time.
func (c *call) shutDownMachine(a arguments) (any, error) {
	m, err := c.find(a)
	if err != nil {
		return nil, err
	}
	hosts := c.box.cfg.Hosts
	switch {
	case m.State == "Off":
	case m.State != "Running":
		return nil, refuse("InvalidOperation", "InvalidState", "StopVM", "'%s' failed to change state. The operation cannot be performed while the object is in its current state.", m.Name)
	case c.box.Deaf(m.ID):
	case hosts == nil:
		m.State = "Off"
	case m.Launched:
		ctx, id := context.WithoutCancel(c.ctx), m.ID
		c.box.Go(func() { _ = hosts.Stop(ctx, id, false) }) // whether it did is seen by whether it runs
	}
	return none{}, nil
}

func (c *call) turnOffMachine(a arguments) (any, error) {
	m, err := c.find(a)
	if err == nil {
		err = c.cut(m)
	}
	return none{}, err
}

func (c *call) cut(m *machine) error {
	if m.State == "Running" || m.State == "Paused" {
		if err := c.box.hosts().Cut(c.ctx, m.ID, m.Launched); err != nil {
			return err
		}
	}
	m.State = "Off"
	return nil
}

func (c *call) removeMachine(a arguments) (any, error) {
	m := c.state.machine(a.ID)
	if m == nil {
		return none{}, nil
	}
	if err := c.cut(m); err != nil {
		return nil, err
	}
	return none{}, c.state.drop(c.ctx, c.box.hosts(), m)
}
