package amazonec2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// launch asks for an instance in one way and waits until it runs.
func (d *job) launch(ctx context.Context, c candidate) error {
	userData, err := d.userData(c)
	if err != nil {
		return err
	}
	i, err := d.run(ctx, c, userData)
	if says(err, vcpuLimits()...) {
		return fmt.Errorf("launch %s in %s (quota %q): %w", c.machineType, c.zone, vcpuQuota(c.machineType, c.spot), err)
	}
	if err != nil {
		return fmt.Errorf("launch %s in %s: %w", c.machineType, c.zone, err)
	}
	if err := d.adopt(i); err != nil {
		return err
	}
	_, err = d.awaitRunning(ctx, d.a)
	if err == nil {
		return nil
	}
	if another(err) { // it ended before it ran
		if forget := d.dropInstance(ctx, d.a); forget != nil {
			return errors.Join(err, forget)
		}
	}
	return err
}

// dropInstance clears an instance that ended, and the spot request that would
// bring it again.
func (d *driver) dropInstance(ctx context.Context, a *account) error {
	if err := d.cancelSpot(ctx, a); err != nil {
		return err
	}
	return d.forgetInstance()
}

// adopt records an instance.
func (d *driver) adopt(i types.Instance) error {
	st := &d.state.Value
	st.Instance = aws.ToString(i.InstanceId)
	st.SpotRequest = aws.ToString(i.SpotInstanceRequestId)
	return d.state.Save()
}

// errTokenSpent says that the instance of a token has ended.
var errTokenSpent = errors.New("the instance of an earlier attempt has ended")

// run asks for an instance. What may be wrong about an attempt that is repeated,
// or about shared things that others change, is put right a few times.
func (d *job) run(ctx context.Context, c candidate, userData []byte) (types.Instance, error) {
	var i types.Instance
	var last error
	err := d.settle(ctx, "what the instance needs", func(ctx context.Context) (bool, error) {
		if last = d.ensureGroups(ctx, d.a, c.vpc, d.ports); last == nil {
			i, last = d.runOnce(ctx, c, userData)
		}
		switch {
		case last == nil:
			return true, nil
		case says(last, "InvalidGroup.NotFound"): // another machine took it along, or it is too new
			d.forgetGroups(d.a, c.vpc)
			return false, nil
		case says(last, "InvalidKeyPair.NotFound") && d.state.Value.Key.Ours:
			return false, d.reimport(ctx)
		case errors.Is(last, errTokenSpent):
			return false, d.dropInstance(ctx, d.a)
		}
		return false, last
	})
	if errors.Is(err, errUnsettled) && last != nil {
		return i, last
	}
	return i, err
}

// reimport makes the key pair again, which somebody deleted.
func (d *job) reimport(ctx context.Context) error {
	d.state.Value.Key.ID = ""
	return d.ensureKey(ctx, d.a, d.public)
}

// runOnce sends the request. Its token has a repeated request return the
// instance of the first.
func (d *job) runOnce(ctx context.Context, c candidate, userData []byte) (types.Instance, error) {
	st := &d.state.Value
	asked := !st.Launch.Asked.IsZero()
	if !asked {
		st.User = d.user(c.image)
		st.Launch = Launch{
			Token: cmp.Or(st.Launch.Token, newToken()), Asked: time.Now().UTC().Truncate(time.Second),
			Image: c.image.id, ImageName: c.image.name, Architecture: c.image.arch,
			Type: c.machineType, Subnet: c.subnet, Zone: c.zone,
		}
	}
	if !asked || c.spot && !st.Launch.Spot { // the earlier attempt may have been one on demand
		st.Launch.Spot = c.spot
		if err := d.state.Save(); err != nil {
			return types.Instance{}, err
		}
	}
	out, err := do(ctx, d.a.runInstances, request(d.cfg, order{
		candidate: c, token: st.Launch.Token, key: st.Key.Name, groups: st.Groups.IDs, userData: userData, tags: d.tags(d.env.Machine, true),
	}))
	switch {
	case err == nil && len(out.Instances) == 0:
		return types.Instance{}, errors.New("RunInstances: the answer names no instance")
	case err == nil && ended(out.Instances[0]), says(err, "IdempotentInstanceTerminated"):
		return types.Instance{}, errTokenSpent
	case err == nil:
		st.Account = aws.ToString(out.OwnerId)
		return out.Instances[0], nil
	case says(err, "IdempotentParameterMismatch"):
		return d.findLaunched(ctx, d.a, err)
	case definite(err):
		st.Launch.Asked, st.Launch.Token = time.Time{}, newToken()
		return types.Instance{}, errors.Join(err, d.state.Save())
	}
	return types.Instance{}, err
}

// definite tells whether a refusal means that nothing was made.
func definite(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.kind != nil || strings.HasPrefix(r.code, "Invalid") || strings.HasPrefix(r.code, "Missing")
}

// findLaunched returns the instance that an earlier request with other
// parameters made.
func (d *driver) findLaunched(ctx context.Context, a *account, mismatch error) (types.Instance, error) {
	var found types.Instance
	err := d.settle(ctx, "the instance of an earlier attempt", func(ctx context.Context) (bool, error) {
		list, err := a.launched(ctx, d, d.state.Value.Launch.Token)
		if err != nil || len(list) == 0 {
			return false, err
		}
		found = list[0]
		return true, nil
	})
	switch {
	case errors.Is(err, errUnsettled):
		return found, mismatch
	case err == nil && ended(found):
		return found, errTokenSpent
	}
	return found, err
}

// launched returns the machine's instances that a token made.
func (a *account) launched(ctx context.Context, d *driver, token string) ([]types.Instance, error) {
	list, err := a.findInstances(ctx, filter("client-token", token))
	if unfiltered(err) {
		list, err = a.findInstances(ctx)
	}
	return slices.DeleteFunc(list, func(i types.Instance) bool {
		if i.ClientToken != nil {
			return *i.ClientToken != token
		}
		return !d.isMine(i.Tags)
	}), err
}

// awaitRunning waits until the instance runs and returns it.
func (d *driver) awaitRunning(ctx context.Context, a *account) (types.Instance, error) {
	id := d.state.Value.Instance
	var i types.Instance
	unseen := time.Now().Add(d.pace.settle)
	err := d.within(ctx, d.pace.launch, errNotRunning, "instance "+id+" to run", func(ctx context.Context) (bool, error) {
		var found bool
		var err error
		i, found, err = a.instance(ctx, id)
		switch {
		case err != nil:
			return false, err
		case !found && time.Now().After(unseen):
			return false, d.none()
		case !found: // not known everywhere yet
			return false, nil
		case ended(i):
			return false, endedError(i)
		}
		return stateOf(i) == types.InstanceStateNameRunning, nil
	})
	return i, err
}

var errNotRunning = errors.New("it does not run in time")

func stateOf(i types.Instance) types.InstanceStateName {
	if i.State == nil {
		return ""
	}
	if i.State.Name == "" && i.State.Code != nil { // only its low byte counts
		return map[int32]types.InstanceStateName{
			0: types.InstanceStateNamePending, 16: types.InstanceStateNameRunning, 32: types.InstanceStateNameShuttingDown,
			48: types.InstanceStateNameTerminated, 64: types.InstanceStateNameStopping, 80: types.InstanceStateNameStopped,
		}[*i.State.Code&0xff]
	}
	return i.State.Name
}

// ended tells whether an instance is gone for good.
func ended(i types.Instance) bool {
	return stateOf(i) == types.InstanceStateNameTerminated || stateOf(i) == types.InstanceStateNameShuttingDown
}

// endedError says why an instance ended.
func endedError(i types.Instance) error {
	r := &refusal{operation: "instance " + aws.ToString(i.InstanceId), code: "Terminated", message: cmp.Or(aws.ToString(i.StateTransitionReason), "it has ended")}
	var advice string
	if i.StateReason != nil {
		code := aws.ToString(i.StateReason.Code)
		if code == "Client.InternalError" {
			advice = "mostly the key of the encrypted volume may not be used: see --" + Name + "-kms-key and the policy of the key"
		}
		code = code[strings.LastIndex(code, ".")+1:]
		r.code, r.message = code, aws.ToString(i.StateReason.Message)
	}
	kind, more := meaning(r.code)
	r.kind, advice = kind, cmp.Or(advice, more)
	if r.kind == nil && r.code == "SpotInstanceTermination" {
		r.kind = drivers.ErrCapacity
	}
	if r.kind == nil {
		r.kind = drivers.ErrNotFound
	}
	if advice == "" {
		return r
	}
	return &drivers.HintError{Err: r, Advice: advice}
}
