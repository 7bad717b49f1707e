package amazonec2

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// Kinds of what is tagged.
const (
	kindSpotRequest = "spot request"
	kindInstance    = "instance"
	kindAddress     = "elastic address"
	kindVolume      = "volume"
	kindInterface   = "network interface"
	kindKeyPair     = "key pair"
	kindGroup       = "security group"
)

// Place implements drivers.Orphans.
func (d *driver) Place(ctx context.Context) (string, error) {
	a, err := d.account(ctx)
	if err != nil {
		return "", err
	}
	owner, err := a.owner(ctx)
	return cmp.Or(owner, fmt.Sprintf("%.8x", sha256.Sum256([]byte(a.keyID)))) + "/" + a.region, err
}

// owner returns the id of the account: of the default security groups, which
// every account has; empty if there are none.
func (a *account) owner(ctx context.Context) (string, error) {
	return a.owners.Get(ctx, "", func(ctx context.Context) (string, error) {
		all, err := a.findGroups(ctx, filter("group-name", "default"))
		if err != nil {
			return "", fmt.Errorf("find the account: %w", err)
		}
		if len(all) == 0 {
			return "", nil
		}
		return aws.ToString(all[0].OwnerId), nil
	})
}

// elsewhere returns an error if the credentials are of another account than the
// machine, where its instance is not known but lives all the same.
func (d *driver) elsewhere(ctx context.Context, a *account) error {
	ours := d.state.Value.Account
	if ours == "" {
		return d.seesVPC(ctx, a)
	}
	owner, err := a.owner(ctx)
	if err != nil || owner == "" || owner == ours || d.seesGroups(ctx, a) {
		return err
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("find instance %s: %w: it is in account %s, and they are of account %s", d.state.Value.Instance, drivers.ErrCredentials, ours, owner),
		Advice: "use those that the machine was created with: AWS_PROFILE, or those of account " + ours,
	}
}

// seesGroups tells whether a group of the machine is there, which no other
// account would be shown.
func (d *driver) seesGroups(ctx context.Context, a *account) bool {
	ids := d.state.Value.Groups.Ours
	if len(ids) == 0 {
		return false
	}
	all, err := a.findGroups(ctx, filter("group-id", ids...))
	return err == nil && slices.ContainsFunc(all, func(g types.SecurityGroup) bool {
		return tag(g.Tags, tagStore) == d.env.StoreID && slices.Contains(ids, aws.ToString(g.GroupId))
	})
}

// Tagged implements drivers.Orphans.
func (d *driver) Tagged(ctx context.Context) ([]drivers.Resource, error) {
	a, err := d.account(ctx)
	if err != nil {
		return nil, err
	}
	var all []drivers.Resource
	var unseen []error
	for _, k := range []struct {
		list   func(ctx context.Context, store string) ([]drivers.Resource, error)
		spared bool // not all clouds have it
	}{
		{a.taggedSpotRequests, true}, {a.taggedInstances, false}, {a.taggedAddresses, true}, {a.taggedVolumes, true},
		{a.taggedInterfaces, true}, {a.taggedKeyPairs, true}, {a.taggedGroups, false},
	} {
		some, err := k.list(ctx, d.env.StoreID)
		if err != nil && k.spared && dispensable(err) {
			unseen = append(unseen, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list what is tagged: %w", err)
		}
		all = append(all, some...)
	}
	for _, err := range unseen {
		if !errors.Is(err, drivers.ErrUnsupported) { // what the provider does not know, it does not have
			d.env.Note(ctx, fmt.Sprintf("this was not looked at: %v", err))
		}
	}
	return all, nil
}

func resource(kind string, id *string, tags []types.Tag, costs bool) drivers.Resource {
	return drivers.Resource{Kind: kind, ID: aws.ToString(id), Name: tag(tags, "Name"), Machine: tag(tags, tagMachine), Costs: costs}
}

// ofStore leaves what carries the store's tag, of answers of clouds that do not
// heed filters too.
func ofStore[T any](store string, all []T, tags func(T) []types.Tag) []T {
	return slices.DeleteFunc(all, func(t T) bool { return tag(tags(t), tagStore) != store })
}

func storeFilter(store string) types.Filter { return filter("tag:"+tagStore, store) }

func (a *account) taggedSpotRequests(ctx context.Context, store string) ([]drivers.Resource, error) {
	list, err := a.findSpotRequests(ctx, storeFilter(store))
	var all []drivers.Resource
	for _, r := range ofStore(store, list, func(r types.SpotInstanceRequest) []types.Tag { return r.Tags }) {
		all = append(all, resource(kindSpotRequest, r.SpotInstanceRequestId, r.Tags, true))
	}
	return all, err
}

// findSpotRequests returns the spot requests that may yet bring an instance.
func (a *account) findSpotRequests(ctx context.Context, filters ...types.Filter) ([]types.SpotInstanceRequest, error) {
	in := &ec2.DescribeSpotInstanceRequestsInput{Filters: append(filters, filter("state", "open", "active", "disabled"))}
	var all []types.SpotInstanceRequest
	for {
		out, err := do(ctx, a.describeSpotRequests, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.SpotInstanceRequests...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

func (a *account) taggedInstances(ctx context.Context, store string) ([]drivers.Resource, error) {
	list, err := a.findInstances(ctx, storeFilter(store))
	var all []drivers.Resource
	for _, i := range ofStore(store, list, func(i types.Instance) []types.Tag { return i.Tags }) {
		if !ended(i) {
			all = append(all, resource(kindInstance, i.InstanceId, i.Tags, true))
		}
	}
	return all, err
}

func (a *account) taggedAddresses(ctx context.Context, store string) ([]drivers.Resource, error) {
	out, err := do(ctx, a.describeAddresses, &ec2.DescribeAddressesInput{Filters: []types.Filter{storeFilter(store)}})
	if err != nil {
		return nil, err
	}
	var all []drivers.Resource
	for _, r := range ofStore(store, out.Addresses, func(r types.Address) []types.Tag { return r.Tags }) {
		found := resource(kindAddress, r.AllocationId, r.Tags, true)
		found.Name = aws.ToString(r.PublicIp)
		all = append(all, found)
	}
	return all, nil
}

// taggedVolumes lists the volumes that no instance has: the others go with theirs.
func (a *account) taggedVolumes(ctx context.Context, store string) ([]drivers.Resource, error) {
	in := &ec2.DescribeVolumesInput{Filters: []types.Filter{storeFilter(store), filter("status", "available", "error")}}
	var all []drivers.Resource
	for {
		out, err := do(ctx, a.describeVolumes, in)
		if err != nil {
			return nil, err
		}
		for _, r := range ofStore(store, out.Volumes, func(r types.Volume) []types.Tag { return r.Tags }) {
			if len(r.Attachments) == 0 {
				all = append(all, resource(kindVolume, r.VolumeId, r.Tags, true))
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// taggedInterfaces lists the interfaces that no instance has.
func (a *account) taggedInterfaces(ctx context.Context, store string) ([]drivers.Resource, error) {
	in := &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{storeFilter(store), filter("status", "available")}}
	var all []drivers.Resource
	for {
		out, err := do(ctx, a.describeInterfaces, in)
		if err != nil {
			return nil, err
		}
		for _, r := range ofStore(store, out.NetworkInterfaces, func(r types.NetworkInterface) []types.Tag { return r.TagSet }) {
			if r.Attachment == nil {
				all = append(all, resource(kindInterface, r.NetworkInterfaceId, r.TagSet, false))
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

func (a *account) taggedKeyPairs(ctx context.Context, store string) ([]drivers.Resource, error) {
	out, err := do(ctx, a.describeKeyPairs, &ec2.DescribeKeyPairsInput{Filters: []types.Filter{storeFilter(store)}})
	if err != nil {
		return nil, err
	}
	var all []drivers.Resource
	for _, r := range ofStore(store, out.KeyPairs, func(r types.KeyPairInfo) []types.Tag { return r.Tags }) {
		found := resource(kindKeyPair, r.KeyPairId, r.Tags, false)
		found.Name = aws.ToString(r.KeyName)
		all = append(all, found)
	}
	return all, nil
}

func (a *account) taggedGroups(ctx context.Context, store string) ([]drivers.Resource, error) {
	list, err := a.findGroups(ctx, storeFilter(store))
	var all []drivers.Resource
	for _, r := range ofStore(store, list, func(r types.SecurityGroup) []types.Tag { return r.Tags }) {
		found := resource(kindGroup, r.GroupId, r.Tags, false)
		found.Name = aws.ToString(r.GroupName)
		all = append(all, found)
	}
	return all, err
}

// Claims implements drivers.Orphans.
func (d *driver) Claims(r drivers.Resource) bool {
	st := d.state.Value
	own := r.Machine == d.env.Machine
	switch r.Kind {
	case kindInstance:
		return r.ID == st.Instance || own && st.Instance == "" && !st.Launch.Asked.IsZero()
	case kindSpotRequest:
		return r.ID == st.SpotRequest || own && st.SpotRequest == "" && st.Launch.Spot
	case kindAddress:
		return r.ID == st.Address.Allocation || own && st.Address.Ours && st.Address.Allocation == ""
	case kindKeyPair:
		return r.ID == st.Key.ID || own && st.Key.Ours && st.Key.ID == ""
	case kindGroup:
		return slices.Contains(st.Groups.IDs, r.ID) || slices.Contains(st.Groups.Names, r.Name)
	}
	return false
}

// Release implements drivers.Orphans.
func (d *driver) Release(ctx context.Context, r drivers.Resource) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	if err := d.releaseOne(ctx, a, r); err != nil {
		return fmt.Errorf("release %s %s: %w", r.Kind, r.ID, err)
	}
	return nil
}

func (d *driver) releaseOne(ctx context.Context, a *account, r drivers.Resource) error {
	var err error
	switch r.Kind {
	case kindInstance:
		return d.terminate(ctx, a, r.ID)
	case kindSpotRequest:
		_, err = do(ctx, a.cancelSpotRequests, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{r.ID}})
	case kindAddress:
		return d.release(ctx, a, r.ID)
	case kindVolume:
		_, err = do(ctx, a.deleteVolume, &ec2.DeleteVolumeInput{VolumeId: aws.String(r.ID)})
	case kindInterface:
		_, err = do(ctx, a.deleteInterface, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(r.ID)})
	case kindKeyPair:
		return d.deleteKey(ctx, a, r.ID, r.Name)
	case kindGroup:
		return d.deleteGroup(ctx, a, r.ID)
	default:
		return fmt.Errorf("%w: %s", drivers.ErrUnsupported, r.Kind)
	}
	if says(err, "InvalidSpotInstanceRequestID.NotFound", "InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound") {
		return nil
	}
	return err
}
