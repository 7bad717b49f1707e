package amazonec2

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// record is what docker-machine recorded of an instance, by its names.
type record struct {
	SSHUser string
	SSHPort int

	AccessKey, SecretKey, SessionToken string

	Region, Endpoint string
	DisableSSL       bool
	RetryCount       int

	AMI, InstanceType, IamInstanceProfile string
	DeviceName, VolumeType                string
	RootSize                              int
	UseEbsOptimizedInstance, Monitoring   bool
	VpcId, SubnetId, Zone                 string //nolint:revive // docker-machine's names
	SecurityGroupName                     string
	SecurityGroupNames, OpenPorts         []string
	SecurityGroupReadOnly                 bool
	PrivateIPOnly, UsePrivateIP           bool
	Tags, UserDataFile                    string
	RequestSpotInstance                   bool
	SpotPrice                             string
	InstanceId, KeyName, PrivateIPAddress string //nolint:revive // docker-machine's names
	ExistingKey                           bool
}

// takeOver makes a machine of docker-machine one of ours. Its security groups are
// left out: docker-machine kept them for machines to come, and did not record
// which it had made.
func takeOver(raw json.RawMessage) (Config, State, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Config{}, State{}, err
	}
	c := defaults()
	c.Region, c.Endpoint, c.Insecure = r.Region, r.Endpoint, r.DisableSSL
	c.Retries = cmp.Or(r.RetryCount, c.Retries)
	if r.AccessKey != "" && r.SecretKey != "" { // else it took those of the environment
		c.AccessKey, c.SecretKey, c.SessionToken = drivers.Secret(r.AccessKey), drivers.Secret(r.SecretKey), drivers.Secret(r.SessionToken)
	}
	c.SSHUser, c.SSHPort = r.SSHUser, cmp.Or(r.SSHPort, sshPort)
	c.AMI, c.Types, c.IAMProfile, c.UserData = r.AMI, some(r.InstanceType), r.IamInstanceProfile, r.UserDataFile
	c.DeviceName, c.VolumeType, c.RootSize = r.DeviceName, cmp.Or(r.VolumeType, c.VolumeType), cmp.Or(r.RootSize, c.RootSize)
	c.EBSOptimized, c.Monitoring, c.TagList = r.UseEbsOptimizedInstance, r.Monitoring, r.Tags
	c.VPC, c.Subnets, c.Zones = r.VpcId, some(r.SubnetId), some(r.Zone)
	c.Groups, c.GroupReadOnly, c.OpenPorts = r.SecurityGroupNames, r.SecurityGroupReadOnly, r.OpenPorts
	if len(c.Groups) == 0 {
		c.Groups = some(r.SecurityGroupName)
	}
	c.PrivateOnly, c.UsePrivate = r.PrivateIPOnly, r.UsePrivateIP
	if c.Spot = r.RequestSpotInstance; c.Spot {
		c.SpotPrice = r.SpotPrice
	}
	return c, State{
		Legacy: true, Region: r.Region, Instance: r.InstanceId, User: r.SSHUser,
		Key:    Key{Name: r.KeyName, Ours: r.KeyName != "" && !r.ExistingKey},
		Groups: Groups{VPC: r.VpcId},
		Launch: Launch{Spot: r.RequestSpotInstance, Image: r.AMI, Type: r.InstanceType, Subnet: r.SubnetId},
	}, nil
}

// some returns a list of what was given.
func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// isImported tells whether a key pair is the one that docker-machine imported for
// the machine: it had no tag, and another may have the name by now.
func (d *driver) isImported(k *types.KeyPairInfo) bool {
	public, err := os.ReadFile(filepath.Join(d.env.Dir, "id_rsa.pub"))
	if err != nil || aws.ToString(k.PublicKey) == "" {
		return true // there is nothing to tell them apart by
	}
	return sameKey(string(public), aws.ToString(k.PublicKey))
}

// spotRequestOf returns the request that an instance of docker-machine came of,
// which it did not record.
func (d *driver) spotRequestOf(ctx context.Context, a *account) ([]string, error) {
	if d.state.Value.Instance == "" {
		return nil, nil
	}
	i, _, err := a.instance(ctx, d.state.Value.Instance)
	return some(aws.ToString(i.SpotInstanceRequestId)), err
}

// seesVPC returns an error if the credentials show neither the instance that
// docker-machine recorded nor its VPC: they may be of another account.
func (d *driver) seesVPC(ctx context.Context, a *account) error {
	st := d.state.Value
	if !st.Legacy || st.Groups.VPC == "" {
		return nil
	}
	_, err := a.ranges(ctx, st.Groups.VPC)
	if !says(err, "InvalidVpcID.NotFound") {
		return nil
	}
	return &drivers.HintError{
		Err: fmt.Errorf("neither instance %s nor its VPC %s is there in %s: %w", st.Instance, st.Groups.VPC, a.region, drivers.ErrCredentials),
		Advice: "use the credentials that docker-machine made it with, such as AWS_PROFILE; " +
			"if the VPC was deleted with all that was in it, machine rm --force removes the record",
	}
}
