package amazonec2

import (
	"cmp"
	"strings"
)

// classic is a machine as docker-machine's driver of the same name recorded it.
type classic struct {
	record
	Id, SecurityGroupId, ReservationId, SSHPrivateKeyPath string   //nolint:revive // docker-machine's names
	SecurityGroupIds                                      []string //nolint:revive // docker-machine's names
	SSHKeyID, BlockDurationMinutes                        int
}

// Classic implements drivers.Classic.
func (d *driver) Classic() any {
	c, st := d.cfg, d.state.Value
	region := cmp.Or(st.Region, c.Region)
	groups := st.Groups.Names
	if len(groups) == 0 {
		groups = c.Groups
	}
	return classic{
		SecurityGroupIds: st.Groups.IDs, SSHPrivateKeyPath: c.KeyPath, BlockDurationMinutes: c.BlockDuration,
		record: record{
			SSHUser: cmp.Or(st.User, c.SSHUser), SSHPort: c.SSHPort,
			Region: region, Endpoint: c.Endpoint, DisableSSL: c.Insecure, RetryCount: c.Retries,
			AMI: cmp.Or(st.Launch.Image, c.AMI), InstanceType: cmp.Or(st.Launch.Type, foremost(c.Types)), IamInstanceProfile: c.IAMProfile,
			DeviceName: c.DeviceName, VolumeType: c.VolumeType, RootSize: c.RootSize,
			UseEbsOptimizedInstance: c.EBSOptimized, Monitoring: c.Monitoring,
			VpcId: cmp.Or(st.Groups.VPC, c.VPC), SubnetId: cmp.Or(st.Launch.Subnet, foremost(c.Subnets)),
			Zone:               strings.TrimPrefix(cmp.Or(st.Launch.Zone, foremost(c.Zones)), region), // the letter alone
			SecurityGroupNames: groups, OpenPorts: c.OpenPorts, SecurityGroupReadOnly: c.GroupReadOnly,
			PrivateIPOnly: c.PrivateOnly, UsePrivateIP: c.UsePrivate, Tags: c.tagList(), UserDataFile: c.UserData,
			RequestSpotInstance: c.Spot, SpotPrice: c.SpotPrice,
			InstanceId: st.Instance, KeyName: st.Key.Name, ExistingKey: st.Key.Name != "" && !st.Key.Ours,
		},
	}
}

// tagList is the user's tags as docker-machine took them: KEY1,VALUE1,KEY2,VALUE2.
func (c Config) tagList() string {
	words := []string{}
	if c.TagList != "" {
		words = append(words, c.TagList)
	}
	for _, t := range c.Tags {
		if key, value, err := pair(t); err == nil {
			words = append(words, key, value)
		}
	}
	return strings.Join(words, ",")
}

// foremost returns the first of a list; empty: there is none.
func foremost(list []string) string { return strings.Join(list[:min(len(list), 1)], "") }
