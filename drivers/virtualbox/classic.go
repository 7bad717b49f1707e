package virtualbox

// classic is a machine as docker-machine's driver of the same name recorded it.
type classic struct {
	VBoxManager, HostInterfaces struct{}

	CPU, Memory, DiskSize               int
	NatNicType                          string
	Boot2DockerURL, Boot2DockerImportVM string
	HostDNSResolver                     bool
	HostOnlyCIDR, HostOnlyNicType       string
	HostOnlyPromiscMode, UIType         string
	HostOnlyNoDHCP, NoShare             bool
	DNSProxy, NoVTXCheck                bool
	ShareFolder                         string
}

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	c := d.cfg
	return classic{
		CPU: c.CPUs, Memory: c.Memory, DiskSize: c.DiskSize, NatNicType: c.NATNICType,
		Boot2DockerURL: c.Boot2DockerURL, Boot2DockerImportVM: c.Boot2DockerImport,
		HostDNSResolver: c.HostDNSResolver, DNSProxy: !c.NoDNSProxy, NoVTXCheck: c.NoVTXCheck,
		HostOnlyCIDR: c.HostOnlyCIDR, HostOnlyNicType: c.HostOnlyNICType, HostOnlyPromiscMode: c.HostOnlyPromisc,
		HostOnlyNoDHCP: c.HostOnlyNoDHCP, UIType: c.UIType,
		NoShare: c.NoShare || c.ShareFolder == "", ShareFolder: c.ShareFolder,
	}
}
