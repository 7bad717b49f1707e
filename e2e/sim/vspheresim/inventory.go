package vspheresim

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// What is in the cloud from the beginning.
const (
	Datacenter       = "DC0"
	Cluster          = "DC0_C0"
	Host             = "DC0_C0_H0"              // the first of three
	Pool             = "DC0_C0/Resources"       // the cluster's own
	ChildPool        = "DC0_C0_RP1"             // below it
	Datastore        = "LocalDS_0"              // the only one that is not in the datastore cluster
	DatastoreCluster = "DC0_POD0"               // of LocalDS_1 and LocalDS_2
	Network          = "VM Network"             // a standard switch's
	Portgroup        = "DC0_DVPG0"              // a distributed switch's
	Template         = "ubuntu-24.04-cloudimg"  // with cloud-init and VMware Tools
	Golden           = "golden"                 // a powered off machine with the snapshot "base"
	Snapshot         = "base"                   // Golden's
	TemplateFolder   = "templates"              // with another Template: "debian-13-cloudimg"
	Template2        = "debian-13-cloudimg"     // in TemplateFolder
	ISO              = "[LocalDS_0] iso/ci.iso" // to boot from
	Library          = "images"                 // a content library
	LibraryItem      = "ubuntu-24.04-ovf"       // in Library
)

// building has vCenters built one after the other: the simulator writes into
// what all models in the process share.
var building sync.Mutex

// build makes the vCenter and what is in it.
func (c *Cloud) build() error {
	building.Lock()
	defer building.Unlock()
	c.model = simulator.VPX()
	c.model.Host, c.model.Machine, c.model.Datastore, c.model.Pod, c.model.Pool = 0, 0, 3, 1, 1
	c.model.Autostart = false
	if err := c.model.Create(); err != nil {
		return err
	}
	service := c.model.Service
	c.ctx, c.cancel = context.WithCancel(service.Context.Context)
	service.RegisterEndpoints = true
	service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword(Username, Password)}
	c.server = service.NewServer()
	c.server.Config.Handler = http.HandlerFunc(c.serveInside)
	c.registry().Handler = c.handle
	c.registry().AddHandler(newborns{&c.turns})
	if err := c.withSOAP(c.furnish); err != nil {
		return err
	}
	for _, r := range c.everything() {
		c.known[r.Kind+" "+r.ID] = true
	}
	return nil
}

// withSOAP does something as a user. The simulator's own clients in the process
// share one session, also those of several vCenters, and hear each other's updates.
func (c *Cloud) withSOAP(do func(*vim25.Client) error) error {
	u := *c.server.URL
	client, err := govmomi.NewClient(c.ctx, &u, false)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	defer func() { _ = client.Logout(c.ctx) }() // it would expire
	return do(client.Client)
}

func (c *Cloud) furnish(client *vim25.Client) error {
	finder := find.NewFinder(client, false)
	dc, err := finder.Datacenter(c.ctx, Datacenter)
	if err != nil {
		return err
	}
	finder.SetDatacenter(dc)
	if err := c.fillDatastoreCluster(finder); err != nil {
		return err
	}
	folders, err := dc.Folders(c.ctx)
	if err != nil {
		return err
	}
	templates, err := folders.VmFolder.CreateFolder(c.ctx, TemplateFolder)
	if err != nil {
		return err
	}
	network, err := finder.Network(c.ctx, Network)
	if err != nil {
		return err
	}
	pool, err := finder.ResourcePool(c.ctx, Pool)
	if err != nil {
		return err
	}
	for _, image := range []struct {
		name string
		in   *object.Folder
	}{{Template, folders.VmFolder}, {Template2, templates}, {Golden, folders.VmFolder}} {
		vm, err := c.image(image.name, image.in, pool, network)
		if err != nil {
			return fmt.Errorf("image %s: %w", image.name, err)
		}
		if image.name == Golden {
			if err := done(c.ctx)(vm.CreateSnapshot(c.ctx, Snapshot, "", false, false)); err != nil {
				return err
			}
		} else if err := vm.MarkAsTemplate(c.ctx); err != nil {
			return err
		}
	}
	if err := c.iso(finder); err != nil {
		return err
	}
	return c.library(finder)
}

// done waits for a task that was just begun.
func done(ctx context.Context) func(*object.Task, error) error {
	return func(t *object.Task, err error) error {
		if err != nil {
			return err
		}
		_, err = t.WaitForResult(ctx)
		return err
	}
}

func (c *Cloud) fillDatastoreCluster(finder *find.Finder) error {
	pod, err := finder.DatastoreCluster(c.ctx, DatastoreCluster)
	if err != nil {
		return err
	}
	var members []types.ManagedObjectReference
	for _, name := range []string{"LocalDS_1", "LocalDS_2"} {
		ds, err := finder.Datastore(c.ctx, name)
		if err != nil {
			return err
		}
		members = append(members, ds.Reference())
	}
	if err := done(c.ctx)(pod.MoveInto(c.ctx, members)); err != nil {
		return err
	}
	drs := types.StorageDrsConfigSpec{PodConfigSpec: &types.StorageDrsPodConfigSpec{Enabled: types.NewBool(true)}}
	return done(c.ctx)(object.NewStorageResourceManager(pod.Client()).ConfigureStorageDrsForPod(c.ctx, pod, drs, true))
}

// image makes a machine with a disk of 10 GB and one network card.
func (c *Cloud) image(name string, folder *object.Folder, pool *object.ResourcePool, network object.NetworkReference) (*object.VirtualMachine, error) {
	spec := types.VirtualMachineConfigSpec{
		Name: name, GuestId: "ubuntu64Guest", NumCPUs: 1, MemoryMB: 1024,
		Files: &types.VirtualMachineFileInfo{VmPathName: "[" + Datastore + "]"},
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "disk.EnableUUID", Value: "TRUE"},
		},
	}
	var devices object.VirtualDeviceList
	scsi, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	disk := devices.CreateDisk(scsi.(types.BaseVirtualController), types.ManagedObjectReference{}, "")
	disk.CapacityInKB = 10 << 20
	disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).ThinProvisioned = types.NewBool(true)
	backing, err := network.EthernetCardBackingInfo(c.ctx)
	if err != nil {
		return nil, err
	}
	card, err := devices.CreateEthernetCard("vmxnet3", backing)
	if err != nil {
		return nil, err
	}
	devices = append(devices, scsi, disk, card)
	if spec.DeviceChange, err = devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd); err != nil {
		return nil, err
	}
	task, err := folder.CreateVM(c.ctx, spec, pool, nil)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(c.ctx)
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(folder.Client(), info.Result.(types.ManagedObjectReference)), nil
}
