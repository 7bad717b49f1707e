package ec2sim

import (
	"context"
	"net/netip"
	"time"
)

const (
	userInitiated   = "Client.UserInitiatedShutdown"
	userInitiatedAt = "User initiated (2006-01-02 15:04:05 GMT)"
)

func byUser(now time.Time) string { return now.UTC().Format(userInitiatedAt) }

func wrongState(in *instance, done string) error {
	return fault("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", in.id, done)
}

// changes does something to several instances, or to none of them.
func (k *call) changes(may func(*instance) error, do func(*instance)) (m, error) {
	ids := k.p.strs("InstanceIds")
	if err := k.check(); err != nil {
		return nil, err
	}
	all, err := k.theInstances(ids)
	if err != nil {
		return nil, err
	}
	for _, in := range all {
		if err := may(in); err != nil {
			return nil, err
		}
	}
	var told []m
	for _, in := range all {
		before := in.state
		do(in)
		told = append(told, m{"InstanceId": in.id, "PreviousState": before.told(), "CurrentState": in.state.told()})
	}
	return m{"StoppingInstances": told}, nil
}

func startInstances(k *call) (m, error) {
	may := func(in *instance) error {
		switch in.state {
		case running, pending:
			return nil
		case stopped:
			if vcpus := k.r.vcpus(in.spot != nil); in.spot == nil && vcpus+in.kind.vcpus > k.r.quota(QuotaVCPUs) {
				return tooManyVCPUs(k.r.quota(QuotaVCPUs))
			}
			if n, limited := k.r.left(in.kind.name, in.subnet.zone); limited && n < 1 && in.order.reservation == "" {
				return &problem{500, "InsufficientInstanceCapacity", "Insufficient capacity."}
			}
			return nil
		}
		return wrongState(in, "started")
	}
	answer, err := k.changes(may, func(in *instance) {
		if in.state != stopped {
			return
		}
		if in.wantPublic && !in.public.IsValid() {
			in.public, _ = k.c.public.take(k.c.public.prefix)
		}
		if in.spot != nil && in.spot.state == "disabled" {
			in.spot.state, in.spot.status = "active", "fulfilled"
		}
		in.become(pending, k.now, "", "")
		in.launched = k.now
		public := in.public
		k.host(in, false, func(ctx context.Context) error {
			if err := k.c.config.Hosts.SetPublic(ctx, in.id, public); err != nil {
				return err
			}
			return k.c.config.Hosts.Start(ctx, in.id)
		})
	})
	return m{"StartingInstances": answer["StoppingInstances"]}, err
}

func stopInstances(k *call) (m, error) {
	hard := k.p.flag("Force", false)
	may := func(in *instance) error {
		switch {
		case in.ended() || in.state == pending:
			return wrongState(in, "stopped")
		case in.noStop:
			return fault("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", in.id)
		case in.spot != nil && !in.spot.persistent:
			return fault("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. "+
				"You can only stop Spot Instances associated with persistent Spot Instance requests.", in.id)
		}
		return nil
	}
	return k.changes(may, func(in *instance) {
		switch {
		case in.state == running:
			if in.spot != nil && in.spot.state == "active" {
				in.spot.state, in.spot.status = "disabled", "instance-stopped-by-user"
			}
			k.stop(in, hard, userInitiated, byUser(k.now))
		case in.state == stopping && hard:
			k.host(in, true, func(ctx context.Context) error { return k.c.config.Hosts.Stop(ctx, in.id, true) })
		}
	})
}

func (k *call) stop(in *instance, hard bool, code, reason string) {
	k.c.unpublish(k.r, in)
	in.become(stopping, k.now, code, reason)
	public := in.public
	k.host(in, false, func(ctx context.Context) error {
		if err := k.c.config.Hosts.Stop(ctx, in.id, hard); err != nil || public.IsValid() {
			return err
		}
		return k.c.config.Hosts.SetPublic(ctx, in.id, netip.Addr{})
	})
}

func rebootInstances(k *call) (m, error) {
	may := func(in *instance) error {
		if in.state != running {
			return wrongState(in, "rebooted")
		}
		return nil
	}
	return k.changes(may, func(in *instance) {
		k.host(in, false, func(ctx context.Context) error { return k.c.config.Hosts.Restart(ctx, in.id) })
	})
}

func terminateInstances(k *call) (m, error) {
	k.p.flag("Force", false) // instances are never stuck
	may := func(in *instance) error {
		if in.noTerminate && !in.ended() {
			return fault("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", in.id)
		}
		return nil
	}
	answer, err := k.changes(may, func(in *instance) {
		if !in.ended() {
			k.terminate(in, userInitiated, byUser(k.now))
		}
	})
	return m{"TerminatingInstances": answer["StoppingInstances"]}, err
}

func (k *call) terminate(in *instance, code, reason string) {
	in.become(shuttingDown, k.now, code, reason)
	k.host(in, false, func(ctx context.Context) error { return k.c.config.Hosts.Remove(ctx, in.id) })
}

// maxConsole is how much of a console's output EC2 keeps.
const maxConsole = 64 << 10

func getConsoleOutput(k *call) (m, error) {
	id := k.p.str("InstanceId")
	latest := k.p.flag("Latest", false)
	if err := k.check(); err != nil {
		return nil, err
	}
	in, err := k.theInstance(id)
	if err != nil {
		return nil, err
	}
	if latest && !in.kind.nitro {
		return nil, fault("UnsupportedOperation", "This instance type does not support retrieving the latest console logs. Supported instance types are those on the Nitro system.")
	}
	answer := m{"InstanceId": in.id, "Timestamp": k.now, "Output": ""}
	if in.ended() {
		return answer, nil
	}
	k.later(func(ctx context.Context) error {
		text, err := k.c.config.Hosts.Console(ctx, in.id)
		if err != nil {
			return err
		}
		answer["Output"] = encoded(text[max(0, len(text)-maxConsole):])
		return nil
	})
	return answer, nil
}
