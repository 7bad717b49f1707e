package hyperv

import "cmp"

// classic is a machine as docker-machine's driver of the same name recorded it.
type classic struct {
	Boot2DockerURL, VSwitch string
	DiskSize, MemSize, CPU  int
	MacAddr                 string
	VLanID                  int
	DisableDynamicMemory    bool
}

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	c, st := d.cfg, d.state.Value
	sw := c.Switch
	if st.Switch != nil {
		sw = cmp.Or(st.Switch.Name, sw)
	}
	return classic{
		Boot2DockerURL: c.Boot2DockerURL, VSwitch: sw, DiskSize: c.DiskSize, MemSize: c.Memory, CPU: c.CPUs,
		MacAddr: cmp.Or(st.MAC, c.MAC), VLanID: c.VLAN, DisableDynamicMemory: c.StaticMemory,
	}
}
