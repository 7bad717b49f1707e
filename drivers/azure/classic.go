package azure

import (
	"cmp"
	"path"
)

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	c, st := d.cfg, d.state.Value
	network, set := cmp.Or(c.VNet, lastOf(st.Network)), cmp.Or(c.Set, lastOf(st.Set))
	return record{
		MachineName: d.env.Machine, SSHUser: c.SSHUser, ClientID: c.Client, TenantID: c.Tenant, Environment: c.Environment,
		SubscriptionID: cmp.Or(st.Subscription, c.Subscription), ResourceGroup: cmp.Or(st.Group, c.Group),
		Location: cmp.Or(st.Location, c.Location), Size: cmp.Or(st.Size, c.Size), Image: cmp.Or(st.Image, c.Image), StorageType: c.StorageType,
		VirtualNetwork: network, SubnetName: cmp.Or(lastOf(st.Subnet), c.Subnet), SubnetPrefix: c.SubnetPrefix, AvailabilitySet: set,
		DockerPort: c.DockerPort, OpenPorts: c.OpenPort, PrivateIPAddr: cmp.Or(st.Private, c.PrivateIP),
		UsePrivateIP: c.UsePrivateIP, NoPublicIP: c.NoPublicIP, StaticPublicIP: c.StaticIP, DNSLabel: c.DNS, CustomDataFile: c.CustomData,
	}
}

// lastOf is the name that a resource's id ends with.
func lastOf(id string) string {
	if id == "" {
		return ""
	}
	return path.Base(id)
}
