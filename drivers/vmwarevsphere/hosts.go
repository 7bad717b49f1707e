package vmwarevsphere

import (
	"context"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// chooseHost chooses a host in a cluster without DRS, which does not choose one.
func (d *driver) chooseHost(ctx context.Context, p *plan) error {
	at := p.place.compute
	if p.place.host != nil || at == nil || at.ref.Type != "ClusterComputeResource" {
		return nil
	}
	props, err := p.center.properties(ctx, at.ref, "configurationEx")
	config, ok := props["configurationEx"].(types.ClusterConfigInfoEx)
	if err != nil || !ok || config.DrsConfig.Enabled == nil || *config.DrsConfig.Enabled {
		return nil //nolint:nilerr // a cluster that cannot be read may well choose
	}
	if p.place.host, err = p.roomiestHost(ctx); err != nil {
		return p.center.explain(ctx, "choose a host of "+at.path+", which has no DRS", err)
	}
	d.env.Note(ctx, fmt.Sprintf("%s has no DRS: %s goes to its host with most free memory, %s", at.path, d.env.Machine, p.place.host.name))
	return nil
}

// roomiestHost returns the host of the cluster that has most free memory.
func (p *plan) roomiestHost(ctx context.Context) (*item, error) {
	spec := types.PropertyFilterSpec{PropSet: []types.PropertySpec{{Type: "HostSystem", PathSet: []string{
		"runtime.connectionState", "runtime.inMaintenanceMode", "hardware.memorySize", "summary.quickStats.overallMemoryUsage", "datastore",
	}}}}
	for _, h := range p.tree.all(hosts(), p.place.compute.path) {
		spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: h.ref})
	}
	if len(spec.ObjectSet) == 0 {
		return nil, fmt.Errorf("%w: the user may see none", drivers.ErrPermission)
	}
	all, err := p.center.retrieve(ctx, spec)
	if err != nil {
		return nil, err
	}
	var best *item
	var most int64
	for ref, props := range all {
		size, _ := props["hardware.memorySize"].(int64)
		used, _ := props["summary.quickStats.overallMemoryUsage"].(int32)
		free := size - int64(used)<<20
		if h := p.tree[ref]; h != nil && p.usable(props) && (best == nil || free > most || free == most && h.path < best.path) {
			best, most = h, free
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: none is connected, outside of maintenance and has the datastore", drivers.ErrCapacity)
	}
	return best, nil
}

// usable tells whether a host can run the machine.
func (p *plan) usable(host properties) bool {
	if state, _ := host["runtime.connectionState"].(types.HostSystemConnectionState); state != types.HostSystemConnectionStateConnected {
		return false
	}
	mounted, known := host["datastore"].(types.ArrayOfManagedObjectReference)
	if ds := p.place.datastore; ds != nil && known && !slices.Contains(mounted.ManagedObjectReference, ds.ref) {
		return false
	}
	return !host.flag("runtime.inMaintenanceMode")
}
