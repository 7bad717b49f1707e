package azure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// view is what Azure says of a virtual machine's state: the ends of the codes
// PowerState/... and ProvisioningState/...
type view struct {
	power, provisioning string

	blind bool // nobody tells whether it runs
}

// viewOf reads the instance view.
func viewOf(vm *armcompute.VirtualMachine) view {
	v := view{provisioning: lower(provisioning(vm))}
	if vm.Properties == nil || vm.Properties.InstanceView == nil {
		v.blind = true
		return v
	}
	for _, s := range vm.Properties.InstanceView.Statuses {
		if s == nil || s.Code == nil {
			continue
		}
		kind, value, _ := strings.Cut(lower(*s.Code), "/")
		switch kind {
		case "powerstate":
			v.power = value
		case "provisioningstate":
			if v.provisioning == "" {
				v.provisioning, _, _ = strings.Cut(value, "/")
			}
		}
	}
	return v
}

// state returns the state in docker-machine's words.
func (v view) state() drivers.State {
	switch v.power {
	case "running":
		return drivers.Running
	case "starting":
		return drivers.Starting
	case "stopping", "deallocating":
		return drivers.Stopping
	case "stopped", "deallocated":
		return drivers.Stopped
	}
	if v.blind && v.provisioning == "succeeded" {
		return drivers.Running // who comes to it will see
	}
	switch v.provisioning {
	case "creating", "updating", "succeeded":
		return drivers.Starting
	case "deleting":
		return drivers.Stopping
	}
	return drivers.Error
}

// Status implements drivers.Driver.
func (d *driver) Status(ctx context.Context) (drivers.Status, error) {
	v, err := d.view(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	st := &d.state.Value
	s := drivers.Status{State: v.state(), User: d.cfg.SSHUser, SSHPort: sshPort, Host: st.Public, Peer: st.Private}
	if st.Legacy != "" {
		a, err := d.account(ctx)
		if err == nil && s.State == drivers.Running {
			err = d.addresses(ctx, a) // which may have changed, as it need not be static
		}
		if err != nil {
			return drivers.Status{}, err
		}
		s.Host, s.Peer, s.EnginePort = st.Public, st.Private, d.cfg.DockerPort
	}
	if d.cfg.UsePrivateIP || s.Host == "" {
		s.Host = st.Private
	}
	return s, nil
}

// view asks for the machine's state, together with all who ask at the same time.
func (d *driver) view(ctx context.Context) (view, error) {
	if err := begun(ctx); err != nil {
		return view{}, err
	}
	if d.state.Value.VM == "" {
		return view{}, d.errNever()
	}
	a, err := d.account(ctx)
	if err != nil {
		return view{}, err
	}
	ctx, cancel := wait.Within(ctx, askLimit, "asking for the state")
	defer cancel()
	v, found, err := a.states.Get(ctx, lower(d.state.Value.VM))
	if err != nil {
		return view{}, err
	}
	if !found {
		return view{}, fmt.Errorf("virtual machine %s: %w", d.name(), drivers.ErrNotFound)
	}
	return v, nil
}

// ask answers for several virtual machines: few are asked for one by one, many
// by the list of the whole subscription.
func (a *account) ask(ctx context.Context, ids []string) (map[string]view, error) {
	found := map[string]view{}
	if len(ids) > fewMachines {
		err := a.list(ctx, found)
		if err != nil && !spared(err) && !errors.Is(err, drivers.ErrNotFound) {
			return nil, err
		}
	}
	for _, one := range ids {
		if _, ok := found[one]; ok {
			continue
		}
		p, err := parseID(one)
		if err != nil {
			return nil, err
		}
		vm, err := a.vm(ctx, p.group, p.name)
		if err != nil {
			return nil, err
		}
		if vm != nil {
			found[one] = viewOf(vm)
		}
	}
	return found, nil
}

// fewMachines are asked for one by one: the list is of all machines of the subscription.
const fewMachines = 2

// list adds the states of all virtual machines of the subscription.
func (a *account) list(ctx context.Context, to map[string]view) error {
	pager := a.vms.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: ptr("true")})
	for pager.More() {
		page, err := pager.NextPage(a.curious(ctx))
		if err != nil {
			return a.fault(ctx, "list states of virtual machines", err)
		}
		for _, vm := range page.Value {
			if vm != nil && vm.ID != nil {
				if v := viewOf(vm); v.power != "" {
					to[lower(*vm.ID)] = v
				}
			}
		}
	}
	return nil
}
