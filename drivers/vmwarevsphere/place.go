package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// place is where a machine goes.
type place struct {
	datacenter *item
	folder     *item
	pool       *item
	beside     bool  // compute and pool are the source's, as none were named
	host       *item // nil: the vCenter chooses
	compute    *item // that the pool is of; nil: unknown
	datastore  *item // nil: that of the source, or one of pod's
	pod        *item // nil: none
	networks   []adapter
}

// adapter is what a network adapter is connected to.
type adapter struct {
	name    string
	backing types.BaseVirtualDeviceBackingInfo
}

// place finds what the options name.
func (d *driver) place(t inventory, from origin) (*place, error) {
	p := &place{}
	var err error
	if p.datacenter, err = d.datacenter(t); err != nil {
		return nil, err
	}
	below := p.datacenter.path
	if p.folder, err = d.folder(t, p.datacenter); err != nil {
		return nil, err
	}
	if err := d.placeCompute(t, p, from); err != nil {
		return nil, err
	}
	switch {
	case d.cfg.Datastore != "":
		p.datastore, err = t.find(datastores(), below, d.cfg.Datastore)
	case d.cfg.DatastoreCluster != "":
		p.pod, err = t.find(pods(), below, d.cfg.DatastoreCluster)
	case from != fromClone:
		p.datastore, err = soleDatastore(t, p)
	}
	if err != nil {
		return nil, err
	}
	names := d.cfg.Networks
	if len(names) == 0 && from == fromISO {
		names = []string{"VM Network"}
	}
	for _, name := range names {
		a, err := t.adapter(below, name)
		if err != nil {
			return nil, err
		}
		p.networks = append(p.networks, a)
	}
	return p, nil
}

func (d *driver) datacenter(t inventory) (*item, error) {
	if d.cfg.Datacenter == "" {
		return t.only(datacenters(), "", "datacenter")
	}
	return t.find(datacenters(), "", d.cfg.Datacenter)
}

func (d *driver) folder(t inventory, dc *item) (*item, error) {
	root := t[dc.props.ref("vmFolder")]
	if root == nil {
		return nil, fmt.Errorf("find the folder of virtual machines of %s: %w: the user may not see it", dc.path, drivers.ErrPermission)
	}
	if d.cfg.Folder == "" || d.cfg.Folder == root.name || d.cfg.Folder == root.path {
		return root, nil
	}
	if f, err := t.find(folders(), root.path, root.path+"/"+d.cfg.Folder); err == nil {
		return f, nil
	}
	return t.find(folders(), root.path, d.cfg.Folder)
}

// placeCompute finds pool and host. If none are named and there are several,
// a clone goes where its source is.
func (d *driver) placeCompute(t inventory, p *place, from origin) error {
	below := p.datacenter.path
	var err error
	if d.cfg.HostSystem != "" {
		if p.host, err = t.find(hosts(), below, d.cfg.HostSystem); err == nil {
			p.compute = t[p.host.parent]
		} else if compute, clusterErr := t.find(computes(), below, d.cfg.HostSystem); clusterErr == nil {
			p.compute = compute
		} else {
			return err
		}
	}
	if d.cfg.Cluster != "" {
		cluster, err := t.find(computes(), below, d.cfg.Cluster)
		if err != nil {
			return err
		}
		if p.compute != nil && p.compute != cluster {
			return fmt.Errorf("run on --vmwarevsphere-hostsystem %s: %w: it is not in %s", d.cfg.HostSystem, drivers.ErrOption, cluster.path)
		}
		p.compute = cluster
	}
	if d.cfg.Pool != "" {
		within := below
		if p.compute != nil {
			within = p.compute.path
		}
		if p.pool, err = t.find(pools(), within, d.cfg.Pool); err != nil {
			return err
		}
		p.compute = t.computeOf(p.pool)
		return nil
	}
	if p.compute == nil {
		if p.beside = from == fromClone && len(t.all(computes(), below)) > 1; p.beside {
			return nil
		}
		if p.compute, err = t.only(computes(), below, "cluster or -pool"); err != nil {
			return err
		}
	}
	return p.placeAtRoot(t)
}

// placeBeside takes cluster or host and pool from the source.
func (p *place) placeBeside(t inventory, s *source) error {
	if s.pool != nil {
		p.compute = t.computeOf(t[*s.pool])
	}
	if host := t[s.host]; p.compute == nil && host != nil {
		p.compute = t[host.parent]
	}
	if p.compute == nil {
		_, err := t.only(computes(), p.datacenter.path, "cluster or -pool")
		return err
	}
	return p.placeAtRoot(t)
}

// placeAtRoot chooses the root pool. A template has no pool, so that one is always told.
func (p *place) placeAtRoot(t inventory) error {
	if p.pool = t[p.compute.props.ref("resourcePool")]; p.pool == nil {
		return fmt.Errorf("find the resource pool of %s: %w: the user may not see it", p.compute.path, drivers.ErrPermission)
	}
	return nil
}

// computeOf returns the cluster or host that a pool is of.
func (t inventory) computeOf(i *item) *item {
	for i != nil && !slices.Contains(computes().types, i.ref.Type) {
		i = t[i.parent]
	}
	return i
}

// soleDatastore returns the one datastore that the chosen hosts have.
func soleDatastore(t inventory, p *place) (*item, error) {
	var usable []*item
	var mounted []reference
	if p.compute != nil {
		if list, ok := p.compute.props["datastore"].(types.ArrayOfManagedObjectReference); ok {
			mounted = list.ManagedObjectReference
		}
	}
	for _, ds := range t.all(datastores(), p.datacenter.path) {
		if ds.props.flag("summary.accessible") && (mounted == nil || slices.Contains(mounted, ds.ref)) {
			usable = append(usable, ds)
		}
	}
	if len(usable) == 1 {
		return usable[0], nil
	}
	return nil, &drivers.HintError{
		Err:    fmt.Errorf("choose a datastore: %w: there are %d to choose from%s", drivers.ErrOption, len(usable), have(usable)),
		Advice: "choose one with --vmwarevsphere-datastore",
	}
}

// adapter returns how an adapter is connected to a network.
func (t inventory) adapter(below, name string) (adapter, error) {
	n, err := t.find(networks(), below, name)
	if err != nil {
		return adapter{}, err
	}
	fail := func(why string) (adapter, error) {
		return adapter{}, fmt.Errorf("use network %s: %w", n.path, errors.New(why))
	}
	switch n.ref.Type {
	case "DistributedVirtualPortgroup":
		sw := t[n.props.ref("config.distributedVirtualSwitch")]
		if sw == nil || sw.props.text("uuid") == "" {
			return fail("the user may not see its distributed switch")
		}
		return adapter{n.name, &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: n.props.text("key"), SwitchUuid: sw.props.text("uuid")},
		}}, nil
	case "OpaqueNetwork":
		s, ok := n.props["summary"].(types.OpaqueNetworkSummary)
		if !ok {
			return fail("the user may not see its summary")
		}
		return adapter{n.name, &types.VirtualEthernetCardOpaqueNetworkBackingInfo{OpaqueNetworkId: s.OpaqueNetworkId, OpaqueNetworkType: s.OpaqueNetworkType}}, nil
	}
	ref := n.ref
	return adapter{n.name, &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: n.name},
		Network:                        &ref,
	}}, nil
}

// recommended returns the datastore that storage DRS recommends in a cluster
// for a spec. If it recommends none, as when it is switched off, it is the one
// with most free space.
func (c *center) recommended(ctx context.Context, t inventory, p *place, spec types.StoragePlacementSpec) (*item, error) {
	manager := c.client.ServiceContent.StorageResourceManager
	if manager == nil {
		return roomiest(t, p.pod)
	}
	pod := p.pod.ref
	spec.PodSelectionSpec = types.StorageDrsPodSelectionSpec{StoragePod: &pod}
	refs, err := recommend(ctx, c.client, *manager, spec)
	if fault.Is(err, &types.NotSupported{}) || fault.Is(err, &types.NotImplemented{}) || fault.Is(err, &types.MethodNotFound{}) {
		return roomiest(t, p.pod)
	}
	if err != nil {
		return nil, c.explain(ctx, "ask for a datastore of "+p.pod.path, err)
	}
	for _, ref := range refs {
		if ds := t[ref]; ds != nil {
			return ds, nil
		}
	}
	return roomiest(t, p.pod)
}

func roomiest(t inventory, pod *item) (*item, error) {
	var best *item
	var most int64 = -1
	for _, ds := range t.all(datastores(), pod.path) {
		if free, _ := ds.props["summary.freeSpace"].(int64); ds.props.flag("summary.accessible") && free > most {
			best, most = ds, free
		}
	}
	if best == nil {
		return nil, fmt.Errorf("choose a datastore of %s: %w: it has none that is accessible", pod.path, drivers.ErrCapacity)
	}
	return best, nil
}
