package amazonec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/hostsmith/machine/drivers"
)

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	_, i, err := d.find(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	return d.statusOf(i), nil
}

// find returns the machine's instance. Its error wraps ErrNotFound if there is none.
func (d *driver) find(ctx context.Context) (*account, types.Instance, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, types.Instance{}, err
	}
	if d.state.Value.Instance == "" {
		return nil, types.Instance{}, d.none()
	}
	a, err := d.account(ctx)
	if err != nil {
		return nil, types.Instance{}, err
	}
	i, found, err := a.instance(ctx, d.state.Value.Instance)
	if err != nil {
		return nil, i, err
	}
	if !found {
		err = d.elsewhere(ctx, a)
	}
	if err == nil && (!found || stateOf(i) == types.InstanceStateNameTerminated) {
		err = d.none()
	}
	return a, i, err
}

// statusOf says what EC2 knows of an instance in the contract's words.
func (d *driver) statusOf(i types.Instance) drivers.Status {
	six := ipv6Of(i)
	s := drivers.Status{
		State:   stateWord(stateOf(i)),
		Peer:    cmp.Or(aws.ToString(i.PrivateIpAddress), six),
		User:    cmp.Or(d.state.Value.User, d.cfg.SSHUser, defaultUser),
		SSHPort: d.cfg.SSHPort,
	}
	switch {
	case d.cfg.UsePrivate, d.cfg.PrivateOnly:
		s.Host = s.Peer
	case d.cfg.ElasticIP != "" && d.state.Value.Address.IP != "":
		if aws.ToString(i.PublicIpAddress) == d.state.Value.Address.IP { // else it is not bound yet
			s.Host = d.state.Value.Address.IP
		}
	default:
		s.Host = cmp.Or(aws.ToString(i.PublicIpAddress), six)
	}
	return s
}

// ipv6Of returns an instance's IPv6 address; empty: it has none.
func ipv6Of(i types.Instance) string {
	if six := aws.ToString(i.Ipv6Address); six != "" {
		return six
	}
	for _, n := range i.NetworkInterfaces {
		for _, a := range n.Ipv6Addresses {
			if six := aws.ToString(a.Ipv6Address); six != "" {
				return six
			}
		}
	}
	return ""
}

func stateWord(s types.InstanceStateName) drivers.State {
	switch s {
	case types.InstanceStateNamePending:
		return drivers.Starting
	case types.InstanceStateNameRunning:
		return drivers.Running
	case types.InstanceStateNameStopping, types.InstanceStateNameShuttingDown:
		return drivers.Stopping
	case types.InstanceStateNameStopped:
		return drivers.Stopped
	}
	return drivers.Error
}

// Start implements drivers.Driver.
func (d *driver) Start(ctx context.Context) error {
	a, _, err := d.find(ctx)
	if err != nil {
		return err
	}
	if err := d.start(ctx, a); err != nil {
		return err
	}
	d.readmit(ctx, a)
	return nil
}

// start has the instance run, once it stands still if it is about to.
func (d *driver) start(ctx context.Context, a *account) error {
	id := d.state.Value.Instance
	return d.within(ctx, d.pace.stop, errNotRunning, "instance "+id+" to start", func(ctx context.Context) (bool, error) {
		i, found, err := a.instance(ctx, id)
		switch {
		case err != nil:
			return false, err
		case !found, ended(i):
			return false, d.none()
		case stateOf(i) == types.InstanceStateNameRunning, stateOf(i) == types.InstanceStateNamePending:
			return true, nil
		case stateOf(i) != types.InstanceStateNameStopped:
			return false, nil
		}
		_, err = do(ctx, a.startInstances, &ec2.StartInstancesInput{InstanceIds: []string{id}})
		if says(err, "IncorrectInstanceState") { // it changed meanwhile
			return false, nil
		}
		return err == nil, powerError("start", id, err)
	})
}

// readmit has the machine's own groups admit this computer, whose address may
// have changed. A machine that runs is worth more than that.
func (d *driver) readmit(ctx context.Context, a *account) {
	st := d.state.Value.Groups
	if len(st.Ours) == 0 || d.cfg.GroupReadOnly {
		return
	}
	var ports []drivers.Port
	for _, word := range st.Ports {
		if p, err := parsePort(word); err == nil {
			ports = append(ports, p)
		}
	}
	from, err := d.allowed(ctx, a, st.VPC)
	if err == nil {
		err = d.readmitTo(ctx, a, func(self string) []rule { return rulesFor(d.cfg, ports, from, self) })
	}
	if err != nil && context.Cause(ctx) == nil {
		d.env.Note(ctx, fmt.Sprintf("the security group was not opened for this computer: %v", err))
	}
}

func (d *driver) readmitTo(ctx context.Context, a *account, rules func(self string) []rule) error {
	st := d.state.Value.Groups
	for _, name := range st.Names {
		if _, err := d.ensureGroup(ctx, a, st.VPC, name, rules); err != nil {
			return err
		}
	}
	return nil
}

// Stop implements drivers.Driver.
func (d *driver) Stop(ctx context.Context) error {
	a, i, err := d.find(ctx)
	if err != nil {
		return err
	}
	if stateOf(i) == types.InstanceStateNameStopped {
		return nil
	}
	if err := d.halt(ctx, a, false); err != nil {
		return err
	}
	err = d.awaitStopped(ctx, a)
	if !errors.Is(err, errNotStopped) {
		return err
	}
	if err := d.halt(ctx, a, true); err != nil {
		return err
	}
	return d.awaitStopped(ctx, a)
}

var errNotStopped = errors.New("it does not stop in time")

func (d *driver) awaitStopped(ctx context.Context, a *account) error {
	id := d.state.Value.Instance
	return d.within(ctx, d.pace.stop, errNotStopped, "instance "+id+" to stop", func(ctx context.Context) (bool, error) {
		i, found, err := a.instance(ctx, id)
		if err == nil && (!found || ended(i)) {
			err = d.none()
		}
		return stateOf(i) == types.InstanceStateNameStopped, err
	})
}

// halt asks for the instance to stop.
func (d *driver) halt(ctx context.Context, a *account, force bool) error {
	id := d.state.Value.Instance
	in := &ec2.StopInstancesInput{InstanceIds: []string{id}}
	if force {
		in.Force = aws.Bool(true)
	}
	return d.within(ctx, d.pace.launch, errNotStopped, "instance "+id+" to stop", func(ctx context.Context) (bool, error) {
		_, err := do(ctx, a.stopInstances, in)
		if !says(err, "IncorrectInstanceState") {
			return err == nil, powerError("stop", id, err)
		}
		i, found, err := a.instance(ctx, id)
		if err == nil && (!found || ended(i)) {
			err = d.none()
		}
		return false, err // it is just starting
	})
}

// Kill implements drivers.Killer.
func (d *driver) Kill(ctx context.Context) error {
	a, i, err := d.find(ctx)
	if err != nil || stateOf(i) == types.InstanceStateNameStopped {
		return err
	}
	return d.halt(ctx, a, true)
}

// Restart implements drivers.Restarter: unlike a stop and a start it keeps the address.
func (d *driver) Restart(ctx context.Context) error {
	a, i, err := d.find(ctx)
	if err != nil {
		return err
	}
	if stateOf(i) != types.InstanceStateNameRunning {
		return d.Start(ctx)
	}
	id := d.state.Value.Instance
	_, err = do(ctx, a.rebootInstances, &ec2.RebootInstancesInput{InstanceIds: []string{id}})
	if says(err, "InvalidAction") {
		if err := d.Stop(ctx); err != nil {
			return err
		}
		return d.Start(ctx)
	}
	return powerError("restart", id, err)
}

func powerError(verb, id string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s instance %s: %w", verb, id, err)
	switch {
	case verb == "start" && says(err, "IncorrectSpotRequestState"):
		return &drivers.HintError{Err: err, Advice: "EC2 stopped the spot instance and starts it when there is capacity again; only one that you stopped can you start"}
	case says(err, "UnsupportedOperation", "IncorrectSpotRequestState"):
		return &drivers.HintError{Err: err, Advice: "a spot instance can be stopped only if it was created with --" + Name + "-spot-interruption stop"}
	}
	return err
}

const consoleMost = 64 << 10

// Console implements drivers.ConsoleReader.
func (d *driver) Console(ctx context.Context) ([]byte, error) {
	id := d.state.Value.Instance
	if id == "" {
		return nil, d.none()
	}
	a, err := d.account(ctx)
	if err != nil {
		return nil, err
	}
	in := &ec2.GetConsoleOutputInput{InstanceId: aws.String(id), Latest: aws.Bool(true)}
	out, err := do(ctx, a.getConsoleOutput, in)
	var refused *refusal
	if errors.As(err, &refused) && !errors.Is(err, drivers.ErrPermission) { // only Nitro instances have the latest
		in.Latest = nil
		out, err = do(ctx, a.getConsoleOutput, in)
	}
	if err != nil {
		return nil, fmt.Errorf("read console of instance %s: %w", id, err)
	}
	data, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return nil, fmt.Errorf("read console of instance %s: %w", id, err)
	}
	return data[max(0, len(data)-consoleMost):], nil
}
