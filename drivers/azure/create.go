package azure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/cloudinit"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// longestData is Azure's limit of custom data, before it is encoded.
const longestData = 65535

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	limit := askLimit
	if d.cfg.DeviceCode { // the first request waits for somebody to sign in
		limit += signInLimit
	}
	ctx, cancel := wait.Within(ctx, limit, "checking what Azure has")
	defer cancel()
	if _, err := d.ownData(); err != nil {
		return err
	}
	if _, _, err := d.choose(ctx, a); err != nil {
		return err
	}
	if d.cfg.NSG != "" {
		if _, err := d.theirFirewall(ctx, a); err != nil {
			return err
		}
	}
	if err := d.checkNetwork(ctx, a); err != nil {
		return err
	}
	_, err = d.look(ctx, a)
	return err
}

// choose returns size and image of the machine: the recorded image if there is one.
func (d *driver) choose(ctx context.Context, a *account) (size, image, error) {
	z, err := a.size(ctx, d.cfg.Location, d.cfg.Size, d.cfg.Zone)
	if err != nil {
		return size{}, image{}, err
	}
	name := d.cfg.Image
	if d.state.Value.Image != "" {
		name = d.state.Value.Image
	}
	img, err := a.image(ctx, d.cfg.Location, name, z.arch)
	if err != nil {
		return size{}, image{}, err
	}
	switch {
	case img.arch != z.arch:
		err = &drivers.OptionError{Option: Name + "-image", Advice: "an alias such as ubuntu-24.04 is resolved for the size's processor",
			Err: fmt.Errorf("%s is for %s, and size %s is %s", img.urn, img.arch, z.name, z.arch)}
	case img.gen2 && !z.gen2:
		err = &drivers.OptionError{Option: Name + "-size", Advice: offerNone,
			Err: fmt.Errorf("%s boots images of generation 1 only, and %s is of generation 2", z.name, img.urn)}
	case d.cfg.Spot && z.unspot:
		err = &drivers.OptionError{Option: Name + "-spot", Err: fmt.Errorf("size %s is not to be had as spare capacity", z.name),
			Advice: "sizes of the D series are, such as --azure-size Standard_D2as_v5"}
	case d.cfg.Security == "trusted-launch" && !z.trusted:
		err = &drivers.OptionError{Option: Name + "-security-type", Err: fmt.Errorf("size %s has no trusted launch", z.name)}
	case d.cfg.Accelerated == "on" && !z.accelerated && z.cpus > 0:
		err = &drivers.OptionError{Option: Name + "-accelerated-networking", Err: fmt.Errorf("size %s has none", z.name)}
	}
	return z, img, err
}

const offerNone = "sizes of the D and B series of version 2 and later boot generation 2"

// ownData returns what --azure-custom-data names.
func (d *driver) ownData() ([]byte, error) {
	if d.cfg.CustomData == "" {
		return nil, nil
	}
	data, err := os.ReadFile(d.cfg.CustomData)
	if err != nil {
		return nil, &drivers.OptionError{Option: Name + "-custom-data", Err: err}
	}
	return data, nil
}

// Create implements drivers.Driver.
func (d *driver) Create(ctx context.Context, req drivers.CreateRequest) error {
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	ready, err := d.resume(ctx, a)
	if ready || err != nil {
		return err
	}
	if d.cfg.DockerPort != enginePort && !listens(req, d.cfg.DockerPort) {
		d.env.Note(ctx, fmt.Sprintf("port %d is opened, but the Engine listens where --engine-port says", d.cfg.DockerPort))
	}
	p, err := d.prepare(ctx, a, req)
	if err != nil {
		return err
	}
	tries := 0
	return wait.Until(ctx, a.pace, "what the machine hangs on", func(ctx context.Context) (bool, error) {
		err := d.build(ctx, a, p)
		if tries++; lost(err) && tries < 8 {
			d.forgetShared(a) // somebody removed it meanwhile, or it is not seen everywhere yet
			return false, nil
		}
		return err == nil, err
	})
}

// enginePort is where the Engine listens unless something else is said.
const enginePort = 2376

// listens tells whether something on the host is to be reached at a port.
func listens(req drivers.CreateRequest, port int) bool {
	return slices.ContainsFunc(req.OpenPorts, func(p drivers.Port) bool { return p.Number == port })
}

// resume goes on with a virtual machine that exists already, and tells whether
// there is nothing more to do than that.
func (d *driver) resume(ctx context.Context, a *account) (ready bool, err error) {
	vm, err := d.look(ctx, a)
	if err == nil && vm != nil {
		vm, err = d.settled(ctx, a)
	}
	if err != nil || vm == nil {
		if err == nil && d.state.Value.Made {
			d.state.Value.Made = false // it was removed behind our back: another one is made
			err = d.state.Save()
		}
		return false, err
	}
	if provisioning(vm) == "Failed" && !d.state.Value.Made {
		return false, d.removeVM(ctx, a) // it never came up: its custom data cannot be changed any more
	}
	if err := d.made(ctx, a); err != nil {
		return false, err
	}
	return true, d.start(ctx, a, viewOf(vm))
}

// look returns the machine's virtual machine; nil: there is none. One that is
// not ours is an error that wraps drivers.ErrConflict.
func (d *driver) look(ctx context.Context, a *account) (*armcompute.VirtualMachine, error) {
	ctx, cancel := wait.Within(ctx, askLimit, "looking for the virtual machine")
	defer cancel()
	vm, err := a.vm(ctx, d.group(), d.name())
	if err != nil || vm == nil {
		return nil, err
	}
	if !d.mine(vm.Tags) {
		return nil, conflict(typeVM, d.group(), d.name())
	}
	return vm, nil
}

// conflict is a name that is taken by something of somebody else.
func conflict(kind, group, name string) error {
	return &drivers.HintError{
		Err:    fmt.Errorf("make %s %s in resource group %s: %w: it does not carry the tags of this machine", kind, name, group, drivers.ErrConflict),
		Advice: "take another name for the machine, or another --azure-resource-group",
	}
}

// settled waits until nothing is done to the virtual machine any more; nil: it is gone.
func (d *driver) settled(ctx context.Context, a *account) (vm *armcompute.VirtualMachine, err error) {
	ctx, cancel := wait.Within(ctx, bootLimit, "the virtual machine's change")
	defer cancel()
	err = wait.Until(ctx, a.pace, "virtual machine "+d.name(), func(ctx context.Context) (bool, error) {
		if vm, err = a.vm(ctx, d.group(), d.name()); err != nil || vm == nil {
			return true, err
		}
		switch provisioning(vm) {
		case "Creating", "Updating", "Deleting", "Migrating":
			return false, nil
		}
		return true, nil
	})
	return vm, err
}

func provisioning(vm *armcompute.VirtualMachine) string {
	if vm.Properties == nil || vm.Properties.ProvisioningState == nil {
		return ""
	}
	return *vm.Properties.ProvisioningState
}

// prepared is what is known of a machine before it is built.
type prepared struct {
	size       size
	image      image
	customData []byte
	req        drivers.CreateRequest
}

// prepare decides what is to be made and records it.
func (d *driver) prepare(ctx context.Context, a *account, req drivers.CreateRequest) (prepared, error) {
	ctx, cancel := wait.Within(ctx, askLimit, "choosing size and image")
	defer cancel()
	z, img, err := d.choose(ctx, a)
	if err != nil {
		return prepared{}, err
	}
	data, err := d.userData(req)
	if err != nil {
		return prepared{}, err
	}
	st := &d.state.Value
	if st.Image == "" {
		st.Subscription, st.Group, st.Location = a.subscription, d.group(), d.cfg.Location
		st.Image, st.Size = img.urn.String(), z.name
		if err := d.state.Save(); err != nil {
			return prepared{}, err
		}
		d.env.Log.InfoContext(ctx, "azure: chosen", "image", st.Image, "size", st.Size, "location", st.Location, "group", st.Group)
	}
	return prepared{z, img, data, req}, nil
}

// userData returns what cloud-init gets: the keys, and what the user gives.
func (d *driver) userData(req drivers.CreateRequest) ([]byte, error) {
	own, err := d.ownData()
	if err != nil {
		return nil, err
	}
	if own != nil && req.UserData != nil {
		return nil, &drivers.OptionError{Option: Name + "-custom-data", Err: errors.New("there is user data from another option already")}
	}
	if own == nil {
		own = req.UserData
	}
	seed := cloudinit.Seed{Hostname: d.hostname(), HostKey: req.HostKey}
	if req.AuthorizedKey != "" {
		seed.Keys = []string{req.AuthorizedKey}
	}
	data, err := cloudinit.UserData(seed, own)
	if err == nil {
		data, err = cloudinit.Fit(data, longestData)
	}
	if err != nil {
		return nil, fmt.Errorf("make custom data: %w", err)
	}
	return data, nil
}

// build makes all that does not exist yet.
func (d *driver) build(ctx context.Context, a *account, p prepared) error {
	var n subnet
	err := d.env.Step(ctx, "network", func(ctx context.Context) (err error) {
		ctx, cancel := wait.Within(ctx, prepareLimit, "making the network")
		defer cancel()
		if err := d.ensureGroup(ctx, a); err != nil {
			return err
		}
		if n, err = d.ensureNetwork(ctx, a); err != nil {
			return err
		}
		if n.members, err = d.ensureMembers(ctx, a); err != nil {
			return err
		}
		if err = d.wire(ctx, a, p, n); n.members != "" && errors.Is(err, drivers.ErrPermission) {
			n.members = "" // to make a group is one right, to join it another
			err = d.wire(ctx, a, p, n)
		}
		if err == nil && n.members == "" {
			d.noMembers(ctx, p.req, n)
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.env.Step(ctx, "virtual machine", func(ctx context.Context) error {
		ctx, cancel := wait.Within(ctx, bootLimit, "making the virtual machine")
		defer cancel()
		if err := d.ensureSet(ctx, a); err != nil {
			return err
		}
		return d.makeVM(ctx, a, p)
	})
}

// wire makes what the machine reaches the network through, and is reached.
func (d *driver) wire(ctx context.Context, a *account, p prepared, n subnet) error {
	if err := d.ensureFirewall(ctx, a, p.req, n); err != nil {
		return err
	}
	if err := d.ensureIPs(ctx, a); err != nil {
		return err
	}
	return d.ensureNIC(ctx, a, n, p.size)
}

// makeVM makes the virtual machine with its disk.
func (d *driver) makeVM(ctx context.Context, a *account, p prepared) error {
	st := &d.state.Value
	disk := d.name() + endDisk
	if err := d.clearDisk(ctx, a, disk); err != nil {
		return err
	}
	st.VM, st.Disk = id(a.subscription, st.Group, typeVM, d.name()), id(a.subscription, st.Group, typeDisk, disk)
	if err := d.state.Save(); err != nil {
		return err
	}
	spec := d.vmSpec(p)
	got, err := run(ctx, a, "make virtual machine "+d.name(), func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientCreateOrUpdateResponse], error) {
		return a.vms.BeginCreateOrUpdate(ctx, st.Group, d.name(), spec, nil)
	})
	if err != nil {
		return d.elsewhere(ctx, a, err)
	}
	if u := p.image.urn; u.version == latest {
		if u.version = exact(got.VirtualMachine); u.version != "" {
			st.Image = u.String()
		}
	}
	return d.made(ctx, a)
}

// exact returns the version of the image that a virtual machine was made from;
// empty: it is not told.
func exact(vm armcompute.VirtualMachine) string {
	if vm.Properties == nil || vm.Properties.StorageProfile == nil || vm.Properties.StorageProfile.ImageReference == nil ||
		vm.Properties.StorageProfile.ImageReference.ExactVersion == nil {
		return ""
	}
	return *vm.Properties.StorageProfile.ImageReference.ExactVersion
}

// elsewhere adds to a lack of capacity where there is more.
func (d *driver) elsewhere(ctx context.Context, a *account, err error) error {
	if !errors.Is(err, drivers.ErrCapacity) {
		return err
	}
	all, failed := a.sizes(ctx, d.cfg.Location)
	if failed != nil {
		return err
	}
	z := all[lower(d.cfg.Size)]
	advice := offer(all, z, d.cfg.Zone)
	for _, zone := range z.zones {
		if d.cfg.Zone != "" && zone != d.cfg.Zone {
			advice += "; the size is also in zone " + zone
		}
	}
	return &drivers.HintError{Err: err, Advice: advice}
}

// made records that the virtual machine exists, and its addresses.
func (d *driver) made(ctx context.Context, a *account) error {
	ctx, cancel := wait.Within(ctx, askLimit, "asking for the addresses")
	defer cancel()
	st := &d.state.Value
	if st.Made && st.Private != "" {
		return nil
	}
	if err := d.tagDisk(ctx, a); err != nil {
		return err
	}
	if err := d.addresses(ctx, a); err != nil {
		return err
	}
	st.VM = id(a.subscription, d.group(), typeVM, d.name())
	st.Made = true
	if st.Public6 != "" {
		d.env.Note(ctx, d.env.Machine+" is also at "+st.Public6)
	}
	return d.state.Save()
}
