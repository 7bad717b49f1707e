package amazonec2

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// Remove implements drivers.Driver. Nothing else goes before the instance, which uses it all; after that, one part that
// cannot be removed keeps no other.
func (d *driver) Remove(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if reflect.ValueOf(d.state.Value).IsZero() {
		return nil // nothing was ever asked for
	}
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	if err := d.removeInstance(ctx, a); err != nil {
		return err
	}
	var errs []error
	for _, remove := range []func(context.Context, *account) error{d.removeAddress, d.removeKey, d.removeGroups} {
		if cause := context.Cause(ctx); cause != nil {
			return errors.Join(append(errs, cause)...)
		}
		errs = append(errs, remove(ctx, a))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.state.Value = State{}
	return d.state.Save()
}

// removeInstance ends the instance and waits for its end: until then it holds
// its address and groups.
func (d *driver) removeInstance(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.Instance == "" {
		if err := d.findUnheard(ctx, a); err != nil {
			return err
		}
	}
	if err := d.cancelSpot(ctx, a); err != nil {
		return err
	}
	ids, err := d.doomed(ctx, a)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := d.terminate(ctx, a, id); err != nil {
			return err
		}
	}
	if st.Instance == "" && st.Launch == (Launch{}) {
		return nil
	}
	return d.forgetInstance()
}

// doomed returns the machine's instances: one, and what a spot request brought
// in its place.
func (d *driver) doomed(ctx context.Context, a *account) ([]string, error) {
	st := d.state.Value
	var ids []string
	if st.Instance != "" {
		ids = append(ids, st.Instance)
	}
	if st.SpotRequest == "" {
		return ids, nil
	}
	list, err := a.findInstances(ctx, filter("spot-instance-request-id", st.SpotRequest))
	if err != nil {
		return nil, fmt.Errorf("find instances of %s: %w", st.SpotRequest, err)
	}
	for _, i := range list {
		came := aws.ToString(i.SpotInstanceRequestId) == st.SpotRequest
		if id := aws.ToString(i.InstanceId); came && !ended(i) && id != st.Instance {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// unheardOf is how long after its request an instance may yet appear that
// nobody heard of.
const unheardOf = 10 * time.Minute

// findUnheard looks for an instance whose launch was asked for and not heard of.
func (d *driver) findUnheard(ctx context.Context, a *account) error {
	st := &d.state.Value
	if st.Launch.Asked.IsZero() {
		return nil
	}
	var found []types.Instance
	look := func(ctx context.Context) (bool, error) {
		list, err := a.launched(ctx, d, st.Launch.Token)
		for _, i := range list {
			if !ended(i) {
				found = append(found, i)
			}
		}
		return len(list) > 0, err
	}
	if time.Since(st.Launch.Asked) > unheardOf {
		if _, err := look(ctx); err != nil {
			return fmt.Errorf("find instance: %w", err)
		}
	} else if err := d.settle(ctx, "an instance that was asked for", look); err != nil && !errors.Is(err, errUnsettled) {
		return fmt.Errorf("find instance: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	return d.adopt(found[0])
}

// terminate ends an instance. One that was just asked for may not be known
// everywhere yet.
func (d *driver) terminate(ctx context.Context, a *account, id string) error {
	st := d.state.Value
	isNew := id == st.Instance && time.Since(st.Launch.Asked) < unheardOf
	var err error
	late := d.settle(ctx, "instance "+id+" to be known", func(ctx context.Context) (bool, error) {
		_, err = do(ctx, a.terminateInstances, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		return !isNew || !says(err, "InvalidInstanceID.NotFound"), nil
	})
	if late != nil && !errors.Is(late, errUnsettled) {
		return late
	}
	if says(err, "InvalidInstanceID.NotFound") {
		return d.elsewhere(ctx, a)
	}
	if says(err, "OperationNotPermitted") {
		return &drivers.HintError{
			Err:    fmt.Errorf("terminate instance %s: %w", id, err),
			Advice: "somebody protected it: aws ec2 modify-instance-attribute --no-disable-api-termination --instance-id " + id,
		}
	}
	if err != nil {
		return fmt.Errorf("terminate instance %s: %w", id, err)
	}
	return d.within(ctx, d.pace.gone, errNotGone, "instance "+id+" to end", func(ctx context.Context) (bool, error) {
		i, found, err := a.instance(ctx, id)
		return !found || stateOf(i) == types.InstanceStateNameTerminated, err
	})
}

var errNotGone = errors.New("it is still there")

// cancelSpot ends the request that a spot instance came of, before it brings
// another.
func (d *driver) cancelSpot(ctx context.Context, a *account) error {
	st := &d.state.Value
	if !st.Launch.Spot && st.SpotRequest == "" {
		return nil
	}
	ids := []string{st.SpotRequest}
	if st.Legacy {
		var err error
		if ids, err = d.spotRequestOf(ctx, a); err != nil {
			return err
		}
	} else if st.SpotRequest == "" {
		all, err := a.findSpotRequests(ctx, d.mine()...)
		if err != nil {
			return fmt.Errorf("find spot request: %w", err)
		}
		ids = nil
		for _, r := range all {
			if !d.isMine(r.Tags) {
				continue
			}
			ids = append(ids, aws.ToString(r.SpotInstanceRequestId))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	isNew := time.Since(st.Launch.Asked) < unheardOf
	var err error
	late := d.settle(ctx, fmt.Sprintf("spot request %v to be known", ids), func(ctx context.Context) (bool, error) {
		_, err = do(ctx, a.cancelSpotRequests, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: ids})
		return !isNew || !says(err, "InvalidSpotInstanceRequestID.NotFound"), nil
	})
	if late != nil && !errors.Is(late, errUnsettled) {
		return late
	}
	if err != nil && !says(err, "InvalidSpotInstanceRequestID.NotFound") {
		return fmt.Errorf("cancel spot request %v: %w", ids, err)
	}
	return nil
}

// removeGroups deletes the groups that are ours and that no other machine uses:
// those of the recorded names, and those of the recorded ids that were not found
// by a name.
func (d *driver) removeGroups(ctx context.Context, a *account) error {
	st := &d.state.Value.Groups
	var seen []string
	for _, name := range st.Names {
		ids, err := d.removeGroup(ctx, a, st.VPC, name)
		if err != nil {
			return err
		}
		seen = append(seen, ids...)
	}
	for _, id := range st.Ours {
		if slices.Contains(seen, id) {
			continue
		}
		if err := d.deleteGroup(ctx, a, id); err != nil {
			return fmt.Errorf("delete security group %s: %w", id, err)
		}
	}
	*st = Groups{}
	return d.state.Save()
}

// removeGroup deletes a group by its name, and returns the ids that it found. One that
// was asked for by a create that did not come further may not be known everywhere yet.
func (d *driver) removeGroup(ctx context.Context, a *account, vpc, name string) ([]string, error) {
	known, err := a.groups.Turn(ctx, vpc+"/"+name)
	if err != nil {
		return nil, err
	}
	defer known.Done()
	known.Known = false
	st := d.state.Value.Groups
	await := len(st.IDs) == 0 && time.Since(st.Asked) < unheardOf
	var all []types.SecurityGroup
	err = d.settle(ctx, "security group "+name, func(ctx context.Context) (_ bool, err error) {
		all, err = a.findGroups(ctx, filter("vpc-id", vpc), filter("group-name", name), filter("tag:"+tagStore, d.env.StoreID))
		return !await || len(all) > 0, err
	})
	if err != nil && !errors.Is(err, errUnsettled) {
		return nil, fmt.Errorf("find security group %s: %w", name, err)
	}
	var ids []string
	for _, g := range all {
		if tag(g.Tags, tagStore) != d.env.StoreID || aws.ToString(g.GroupName) != name {
			continue
		}
		if err := d.deleteGroup(ctx, a, aws.ToString(g.GroupId)); err != nil {
			return nil, fmt.Errorf("delete security group %s: %w", name, err)
		}
		ids = append(ids, aws.ToString(g.GroupId))
	}
	return ids, nil
}

// deleteGroup deletes a group unless another machine of the store uses it. What
// else holds it, such as a network interface that is about to go, is waited for.
func (d *driver) deleteGroup(ctx context.Context, a *account, id string) error {
	var last error
	err := d.within(ctx, d.pace.gone, errNotGone, "security group "+id+" to be free", func(ctx context.Context) (bool, error) {
		used, err := d.usedByOthers(ctx, a, id)
		if used || err != nil {
			return used, err
		}
		_, last = do(ctx, a.deleteGroup, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
		switch {
		case says(last, "InvalidGroup.NotFound"):
			return true, nil
		case says(last, "DependencyViolation", "InvalidGroup.InUse", "ResourceInUse"):
			return false, nil
		}
		return last == nil, last
	})
	if errors.Is(err, errNotGone) && last != nil {
		return last
	}
	return err
}

// usedByOthers tells whether another machine of the store uses a group. What is
// not of the store and uses it is an error.
func (d *driver) usedByOthers(ctx context.Context, a *account, id string) (bool, error) {
	list, err := a.findInstances(ctx, filter("instance.group-id", id),
		filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down"))
	if unfiltered(err) {
		list, err = a.findInstances(ctx)
	}
	if err != nil {
		return false, err
	}
	var foreign string
	for _, i := range list {
		switch {
		case !inGroup(i, id) || stateOf(i) == types.InstanceStateNameTerminated:
		case tag(i.Tags, tagStore) != d.env.StoreID:
			foreign = aws.ToString(i.InstanceId)
		case tag(i.Tags, tagMachine) != d.env.Machine:
			return true, nil
		}
	}
	if foreign != "" {
		return false, fmt.Errorf("%w by instance %s, which machine did not make", drivers.ErrInUse, foreign)
	}
	return false, nil
}

// inGroup tells whether an instance may be in a group.
func inGroup(i types.Instance, id string) bool {
	if len(i.SecurityGroups) == 0 {
		return true
	}
	is := func(g types.GroupIdentifier) bool { return aws.ToString(g.GroupId) == id }
	for _, n := range i.NetworkInterfaces {
		if slices.ContainsFunc(n.Groups, is) {
			return true
		}
	}
	return slices.ContainsFunc(i.SecurityGroups, is)
}
