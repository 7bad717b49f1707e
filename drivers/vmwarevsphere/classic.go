package vmwarevsphere

import "path/filepath"

// classic is a machine as docker-machine's driver of the same name recorded it.
type classic struct {
	record
	ISO, SSHPassword string
	CPUS             int
}

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	c := d.cfg
	out := classic{CPUS: c.CPUs, ISO: filepath.Join(d.env.Dir, "boot2docker.iso"), record: record{
		MachineName: d.env.Machine, SSHUser: c.SSHUser, SSHPort: c.SSHPort,
		IP: c.VCenter, Port: c.Port, Username: c.Username,
		CPU: c.CPUs, Memory: c.Memory, DiskSize: c.DiskSize, Boot2DockerURL: c.ISO, CloudInit: c.CloudInit,
		Networks: c.Networks, CfgParams: c.CfgParams,
		Datastore: c.Datastore, Datacenter: c.Datacenter, Folder: c.Folder, Pool: c.Pool, HostSystem: c.HostSystem,
	}}
	if len(c.Networks) > 0 {
		out.Network = c.Networks[0]
	}
	return out
}
