package amazonec2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// ensureAddress gives the instance its elastic address.
func (d *driver) ensureAddress(ctx context.Context, a *account) error {
	st := &d.state.Value.Address
	if d.cfg.ElasticIP == "" || st.Bound {
		return nil
	}
	if st.Allocation == "" {
		if err := d.takeAddress(ctx, a); err != nil {
			return err
		}
	}
	err := d.settle(ctx, "elastic address "+st.IP, func(ctx context.Context) (bool, error) {
		_, err := do(ctx, a.associateAddress, &ec2.AssociateAddressInput{
			AllocationId: aws.String(st.Allocation), InstanceId: aws.String(d.state.Value.Instance), AllowReassociation: aws.Bool(false),
		})
		if says(err, "IncorrectInstanceState", "InvalidInstanceID") || says(err, "InvalidAllocationID.NotFound") && st.Ours { // not known everywhere yet
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("associate elastic address %s with instance %s: %w", st.IP, d.state.Value.Instance, err)
	}
	st.Bound = true
	return d.state.Save()
}

// takeAddress finds the address that the user named, or allocates one.
func (d *driver) takeAddress(ctx context.Context, a *account) error {
	st := &d.state.Value.Address
	var found *types.Address
	var err error
	switch e := d.cfg.ElasticIP; {
	case e != newAddress && allocationID.MatchString(e):
		found, err = a.findAddress(ctx, func(r types.Address) bool { return aws.ToString(r.AllocationId) == e }, filter("allocation-id", e))
	case e != newAddress:
		found, err = a.findAddress(ctx, func(r types.Address) bool { return aws.ToString(r.PublicIp) == e }, filter("public-ip", e))
	case st.Ours: // an earlier attempt may have
		var all []types.Address
		if all, err = d.allocated(ctx, a); len(all) > 0 {
			found = &all[0]
		}
	}
	if err != nil {
		return fmt.Errorf("find elastic address: %w", err)
	}
	if found == nil && d.cfg.ElasticIP != newAddress {
		return &drivers.OptionError{
			Option: Name + "-elastic-ip", Err: fmt.Errorf("%s in %s: %w", d.cfg.ElasticIP, a.region, errMissing),
			Advice: "aws ec2 describe-addresses lists them",
		}
	}
	if found != nil {
		st.Allocation, st.IP = aws.ToString(found.AllocationId), aws.ToString(found.PublicIp)
		return d.state.Save()
	}
	st.Ours, st.Asked = true, time.Now().UTC().Truncate(time.Second)
	if err := d.state.Save(); err != nil {
		return err
	}
	return d.allocate(ctx, a)
}

// allocate asks for a new address. The request has no token that would make it
// safe to repeat, so that the SDK must not do it by itself.
func (d *driver) allocate(ctx context.Context, a *account) error {
	in := &ec2.AllocateAddressInput{
		Domain:            types.DomainTypeVpc,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeElasticIp, Tags: d.tags(d.env.Machine, true)}},
	}
	once := func(o *ec2.Options) { o.Retryer = aws.NopRetryer{} }
	var out *ec2.AllocateAddressOutput
	var last error
	err := d.settle(ctx, "an elastic address", func(ctx context.Context) (bool, error) {
		out, last = do(ctx, a.allocateAddress, in, once)
		if errors.Is(last, drivers.ErrThrottled) {
			return false, nil
		}
		return true, last
	})
	if errors.Is(err, errUnsettled) {
		err = last
	}
	st := &d.state.Value.Address
	if definite(err) { // there is none to look for
		st.Asked = time.Time{}
		err = errors.Join(err, d.state.Save())
	}
	if err != nil {
		return fmt.Errorf("allocate elastic address: %w", err)
	}
	st.Allocation, st.IP = aws.ToString(out.AllocationId), aws.ToString(out.PublicIp)
	return d.state.Save()
}

// allocated returns the addresses that were allocated for the machine: several if
// one was not seen yet when its allocation was asked for again.
func (d *driver) allocated(ctx context.Context, a *account) ([]types.Address, error) {
	return a.findAddresses(ctx, func(r types.Address) bool { return d.isMine(r.Tags) }, d.mine()...)
}

// findAddress returns an address; nil: there is none.
func (a *account) findAddress(ctx context.Context, meant func(types.Address) bool, filters ...types.Filter) (*types.Address, error) {
	all, err := a.findAddresses(ctx, meant, filters...)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (a *account) findAddresses(ctx context.Context, meant func(types.Address) bool, filters ...types.Filter) ([]types.Address, error) {
	out, err := do(ctx, a.describeAddresses, &ec2.DescribeAddressesInput{Filters: filters})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out.Addresses, func(r types.Address) bool { return !meant(r) }), nil
}

// removeAddress releases what Create allocated.
func (d *driver) removeAddress(ctx context.Context, a *account) error {
	st := &d.state.Value.Address
	if *st == (Address{}) {
		return nil
	}
	if st.Ours {
		if err := d.releaseAddresses(ctx, a); err != nil {
			return err
		}
	}
	*st = Address{}
	return d.state.Save()
}

// releaseAddresses releases the recorded address, and those whose allocation was not
// heard of.
func (d *driver) releaseAddresses(ctx context.Context, a *account) error {
	recorded := d.state.Value.Address.Allocation
	all, err := d.unreleased(ctx, a)
	if err != nil && (recorded == "" || !dispensable(err)) {
		return fmt.Errorf("find elastic address: %w", err)
	}
	var ids []string
	if recorded != "" {
		ids = append(ids, recorded)
	}
	for _, r := range all {
		if id := aws.ToString(r.AllocationId); id != recorded {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if err := d.release(ctx, a, id); err != nil {
			return fmt.Errorf("release elastic address %s: %w", id, err)
		}
	}
	return nil
}

// unreleased returns the addresses that were allocated for the machine. One whose
// allocation was not heard of may show up late.
func (d *driver) unreleased(ctx context.Context, a *account) (all []types.Address, err error) {
	st := d.state.Value.Address
	await := st.Allocation == "" && time.Since(st.Asked) < unheardOf
	late := d.settle(ctx, "an elastic address that was asked for", func(ctx context.Context) (bool, error) {
		all, err = d.allocated(ctx, a)
		return !await || len(all) > 0, err
	})
	if errors.Is(late, errUnsettled) {
		late = nil
	}
	return all, late
}

// release releases an address. One that was just allocated may not be known
// everywhere yet.
func (d *driver) release(ctx context.Context, a *account, allocation string) error {
	isNew := time.Since(d.state.Value.Address.Asked) < unheardOf
	unknown := func(err error) bool {
		return says(err, "InvalidAllocationID.NotFound", "InvalidAddressID.NotFound", "InvalidAddress.NotFound")
	}
	var last error
	err := d.settle(ctx, "elastic address "+allocation+" to be free", func(ctx context.Context) (bool, error) {
		_, last = do(ctx, a.releaseAddress, &ec2.ReleaseAddressInput{AllocationId: aws.String(allocation)})
		switch {
		case unknown(last):
			return !isNew, nil
		case says(last, "InvalidIPAddress.InUse", "DependencyViolation"):
			return false, nil
		}
		return last == nil, last
	})
	if errors.Is(err, errUnsettled) {
		err = last
	}
	if unknown(err) {
		return nil
	}
	return err
}
