package vspheresim_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/vcenter"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
	. "github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// world is a cloud and a client of it.
type world struct {
	*testing.T
	hosts  *host.Memory
	cloud  *Cloud
	gate   *sim.Gate
	url    *url.URL
	client *govmomi.Client
	finder *find.Finder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, nil)
}

// newWorldOf has other hosts than those in memory, if not nil.
func newWorldOf(t *testing.T, hosts host.Hosts) *world {
	t.Helper()
	t.Parallel()
	w := &world{T: t, hosts: host.NewMemory()}
	if hosts == nil {
		hosts = w.hosts
	}
	var err error
	if w.cloud, err = New(Config{Hosts: hosts}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cloud.Close)
	w.gate = sim.NewGate(w.cloud)
	server := httptest.NewTLSServer(w.gate)
	t.Cleanup(server.Close)
	w.url, _ = url.Parse(server.URL + "/sdk")
	w.url.User = url.UserPassword(Username, Password)
	if w.client, err = govmomi.NewClient(t.Context(), w.url, true); err != nil {
		t.Fatal(err)
	}
	w.finder = find.NewFinder(w.client.Client, false)
	dc, err := w.finder.DefaultDatacenter(t.Context())
	w.must(err)
	w.finder.SetDatacenter(dc)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// spec is a clone's of a template.
func (w *world) spec(extra map[string]string) types.VirtualMachineCloneSpec {
	w.Helper()
	pool, err := w.finder.DefaultResourcePool(w.Context())
	w.must(err)
	ref := pool.Reference()
	config := &types.VirtualMachineConfigSpec{NumCPUs: 2, MemoryMB: 2048, Annotation: "made"}
	for k, v := range extra {
		config.ExtraConfig = append(config.ExtraConfig, &types.OptionValue{Key: k, Value: v})
	}
	return types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &ref}, Config: config}
}

func (w *world) clone(from, name string, spec types.VirtualMachineCloneSpec) (*object.VirtualMachine, error) {
	w.Helper()
	source, err := w.finder.VirtualMachine(w.Context(), from)
	w.must(err)
	folder, err := w.finder.DefaultFolder(w.Context())
	w.must(err)
	task, err := source.Clone(w.Context(), folder, name, spec)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(w.Context())
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(w.client.Client, info.Result.(types.ManagedObjectReference)), nil
}

func (w *world) wait(task *object.Task, err error) {
	w.Helper()
	w.must(err)
	w.must(task.WaitEx(w.Context()))
}

func (w *world) properties(vm *object.VirtualMachine) mo.VirtualMachine {
	w.Helper()
	var p mo.VirtualMachine
	w.must(vm.Properties(w.Context(), vm.Reference(), []string{"guest", "summary", "config", "runtime"}, &p))
	return p
}

// until waits for a machine to become as wanted.
func (w *world) until(vm *object.VirtualMachine, what string, is func(mo.VirtualMachine) bool) mo.VirtualMachine {
	w.Helper()
	for range 6000 {
		if p := w.properties(vm); is(p) {
			return p
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatalf("the machine did not become %s: %+v", what, w.properties(vm).Guest)
	return mo.VirtualMachine{}
}

func speaks(p mo.VirtualMachine) bool { return p.Guest.IpAddress != "" }
func silent(p mo.VirtualMachine) bool {
	return p.Guest.IpAddress == "" && p.Summary.Guest.IpAddress == "" && len(p.Guest.Net) == 0 &&
		p.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
}
func isOff(p mo.VirtualMachine) bool {
	return p.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff && silent(p)
}

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestLife(t *testing.T) {
	w := newWorld(t)
	if left := w.cloud.Ledger(); len(left) != 0 {
		t.Fatalf("Got %v in the beginning", left)
	}
	spec := w.spec(map[string]string{
		"guestinfo.userdata":          packed("#cloud-config\n"),
		"guestinfo.userdata.encoding": "gzip+base64",
		"guestinfo.metadata":          base64.StdEncoding.EncodeToString([]byte(`{"local-hostname":"m1","network":{"version":2,"ethernets":{"id0":{"addresses":["10.77.3.4/16"],"nameservers":{"addresses":["10.0.0.1"]}}}}}`)),
		"guestinfo.metadata.encoding": "base64",
	})
	spec.PowerOn = true
	vm, err := w.clone(Template, "box", spec)
	w.must(err)
	p := w.until(vm, "heard of", speaks)
	if p.Guest.IpAddress != "10.77.3.4" || p.Guest.HostName != "m1" || p.Guest.ToolsRunningStatus != "guestToolsRunning" {
		t.Errorf("Got guest %+v", p.Guest)
	}
	if len(p.Guest.Net) != 1 || p.Guest.Net[0].Network != Network || p.Guest.Net[0].IpAddress[0] != "10.77.3.4" || p.Guest.Net[0].MacAddress == "" {
		t.Errorf("Got guest's networks %+v", p.Guest.Net)
	}
	if p.Config.Annotation != "made" || p.Config.Hardware.NumCPU != 2 || p.Config.Hardware.MemoryMB != 2048 {
		t.Errorf("Got %q, %+v", p.Config.Annotation, p.Config.Hardware)
	}
	if v := object.OptionValueList(p.Config.ExtraConfig); !v.IsTrue("disk.EnableUUID") {
		t.Error("The clone did not inherit its template's extraConfig")
	}
	got, ok := w.hosts.Spec(vm.Reference().Value)
	if !ok || got.Hostname != "m1" || string(got.UserData) != "#cloud-config\n" || got.Private != netip.MustParseAddr("10.77.3.4") {
		t.Errorf("Got host %+v, %v", got, ok)
	}

	w.must(vm.ShutdownGuest(t.Context()))
	w.until(vm, "off", isOff)
	if running, _ := w.hosts.Running(t.Context(), vm.Reference().Value); running {
		t.Error("The host still runs")
	}
	w.wait(vm.PowerOn(t.Context()))
	w.until(vm, "heard of again", speaks)
	w.must(vm.RebootGuest(t.Context()))
	w.until(vm, "rebooted", speaks)
	w.wait(vm.Reset(t.Context()))
	w.until(vm, "reset", speaks)
	w.must(w.hosts.Stop(t.Context(), vm.Reference().Value, false))
	w.until(vm, "off by itself", isOff)
	w.wait(vm.PowerOn(t.Context()))
	w.until(vm, "heard of once more", speaks)
	if task, err := vm.Destroy(t.Context()); err != nil || task.WaitEx(t.Context()) == nil {
		t.Error("A running machine was destroyed")
	}
	w.wait(vm.PowerOff(t.Context()))
	w.until(vm, "off", isOff)
	if all := w.cloud.Ledger(); len(all) != 1 || all[0].Kind != KindVM || all[0].Name != "box" {
		t.Errorf("Got %v", all)
	}
	w.wait(vm.Destroy(t.Context()))
	w.empty()
}

// empty waits for all to be gone.
func (w *world) empty() {
	w.Helper()
	if left := w.cloud.Ledger(); len(left) != 0 {
		w.Errorf("Left over: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	_, err := w.clone(Template, "box", w.spec(nil))
	w.must(err)
	if _, err := w.clone(Template, "box", w.spec(nil)); !fault.Is(err, &types.DuplicateName{}) {
		t.Errorf("Got %v for a name that is taken", err)
	}
	spec := w.spec(nil)
	spec.Location.Pool = nil
	if _, err := w.clone(Template, "b2", spec); !fault.Is(err, &types.InvalidArgument{}) {
		t.Errorf("Got %v for a template's clone without pool", err)
	}
	spec = w.spec(nil)
	spec.Location.Datastore = &types.ManagedObjectReference{Type: "Datastore", Value: "datastore-0"}
	if _, err := w.clone(Template, "b3", spec); !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("Got %v for an unknown datastore", err)
	}
	spec = w.spec(nil)
	spec.Location.DiskMoveType = "createNewChildDiskBacking"
	if _, err := w.clone(Template, "b4", spec); !fault.Is(err, &types.InvalidArgument{}) {
		t.Errorf("Got %v for a linked clone without snapshot", err)
	}
	folder, err := w.finder.DefaultFolder(t.Context())
	w.must(err)
	pool, err := w.finder.DefaultResourcePool(t.Context())
	w.must(err)
	_, err = folder.CreateVM(t.Context(), types.VirtualMachineConfigSpec{
		Name: "b5", Files: &types.VirtualMachineFileInfo{VmPathName: "[nowhere]"},
	}, pool, nil)
	if !fault.Is(err, &types.InvalidDatastore{}) {
		t.Errorf("Got %v for an unknown datastore", err)
	}
	task, err := folder.CreateVM(t.Context(), types.VirtualMachineConfigSpec{
		Name: "box", Files: &types.VirtualMachineFileInfo{VmPathName: "[" + Datastore + "]"},
	}, pool, nil)
	w.must(err)
	if err := task.WaitEx(t.Context()); !fault.Is(err, &types.DuplicateName{}) {
		t.Errorf("Got %v for a name that is taken", err)
	}
	if all := w.cloud.Ledger(); len(all) != 1 {
		t.Errorf("Got %v", all)
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	wrong := *w.url
	wrong.User = url.UserPassword(Username, "wrong")
	if _, err := govmomi.NewClient(t.Context(), &wrong, true); !fault.Is(err, &types.InvalidLogin{}) {
		t.Errorf("Got %v for a wrong password", err)
	}
	w.cloud.ExpireSessions()
	if _, err := w.finder.VirtualMachineList(t.Context(), "*"); !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("Got %v for an expired session", err)
	}
}

func TestGate(t *testing.T) {
	w := newWorld(t)
	w.gate.Inject(sim.Fault{Action: "CloneVM_Task", Mode: sim.Fail, Code: "NoPermission", Text: "Permission to perform this operation was denied."})
	_, err := w.clone(Template, "box", w.spec(nil))
	if !fault.Is(err, &types.NoPermission{}) || !strings.Contains(err.Error(), "was denied") {
		t.Errorf("Got %v", err)
	}
	w.gate.Inject(sim.Fault{Action: "CloneVM_Task", Mode: sim.Throttle})
	_, err = w.clone(Template, "box", w.spec(nil))
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("Got %v", err)
	}
	w.gate.Clear()
	w.gate.Observe(func(int, bool) error { return context.Canceled })
	_, err = w.finder.VirtualMachineList(t.Context(), "*")
	if err == nil || !soap.IsSoapFault(err) || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("Got %v", err)
	}
	w.gate.Observe(nil)
	if calls := w.gate.Calls(); calls["CloneVM_Task"] != 2 || calls["Login"] != 0 || calls["WaitForUpdatesEx"] != 0 {
		t.Errorf("Got %v", calls)
	}
}

func TestVanish(t *testing.T) {
	w := newWorld(t)
	spec := w.spec(nil)
	spec.PowerOn = true
	vm, err := w.clone(Template, "box", spec)
	w.must(err)
	w.until(vm, "heard of", speaks)
	w.wait(vm.CreateSnapshot(t.Context(), "s", "", false, false))
	ds, err := w.finder.Datastore(t.Context(), Datastore)
	w.must(err)
	up := soap.DefaultUpload
	w.must(ds.Upload(t.Context(), strings.NewReader("x"), "dir/seed.iso", &up))
	kinds := map[string]int{}
	for _, r := range w.cloud.Ledger() {
		kinds[r.Kind]++
	}
	if kinds[KindVM] != 1 || kinds[KindFile] != 1 || kinds[KindSnapshot] != 1 {
		t.Errorf("Got %v", w.cloud.Ledger())
	}
	w.must(w.cloud.Vanish(KindVM, vm.Reference().Value))
	w.must(w.cloud.Vanish(KindFile, "["+Datastore+"] dir/seed.iso"))
	if err := w.cloud.Vanish(KindVM, "vm-0"); err == nil {
		t.Error("What does not exist vanished")
	}
	if all := w.cloud.Ledger(); len(all) != 1 || all[0].ID != "["+Datastore+"] dir" {
		t.Errorf("Got %v", all)
	}
}

// TestNames finds all that the package says to be there.
func TestNames(t *testing.T) {
	w := newWorld(t)
	for what, find := range map[string]func() error{
		Cluster:          func() error { _, err := w.finder.ClusterComputeResource(w.Context(), Cluster); return err },
		Host:             func() error { _, err := w.finder.HostSystem(w.Context(), Host); return err },
		Pool:             func() error { _, err := w.finder.ResourcePool(w.Context(), Pool); return err },
		ChildPool:        func() error { _, err := w.finder.ResourcePool(w.Context(), ChildPool); return err },
		Datastore:        func() error { _, err := w.finder.Datastore(w.Context(), Datastore); return err },
		DatastoreCluster: func() error { _, err := w.finder.DatastoreCluster(w.Context(), DatastoreCluster); return err },
		Network:          func() error { _, err := w.finder.Network(w.Context(), Network); return err },
		Portgroup:        func() error { _, err := w.finder.Network(w.Context(), Portgroup); return err },
		Template:         func() error { _, err := w.finder.VirtualMachine(w.Context(), Template); return err },
		TemplateFolder:   func() error { _, err := w.finder.Folder(w.Context(), TemplateFolder); return err },
		Template2: func() error {
			_, err := w.finder.VirtualMachine(w.Context(), TemplateFolder+"/"+Template2)
			return err
		},
		Snapshot: func() error {
			vm, err := w.finder.VirtualMachine(w.Context(), Golden)
			if err != nil {
				return err
			}
			_, err = vm.FindSnapshot(w.Context(), Snapshot)
			return err
		},
		ISO: func() error {
			ds, err := w.finder.Datastore(w.Context(), Datastore)
			if err != nil {
				return err
			}
			_, err = ds.Stat(w.Context(), strings.TrimPrefix(ISO, "["+Datastore+"] "))
			return err
		},
	} {
		if err := find(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestLibrary deploys the library's item, whose properties cloud-init reads.
func TestLibrary(t *testing.T) {
	w := newWorld(t)
	client := rest.NewClient(w.client.Client)
	w.must(client.Login(t.Context(), w.url.User))
	items, err := library.NewManager(client).FindLibraryItems(t.Context(), library.FindItem{Name: LibraryItem})
	w.must(err)
	if len(items) != 1 {
		t.Fatalf("Got %v", items)
	}
	pool, err := w.finder.DefaultResourcePool(t.Context())
	w.must(err)
	ds, err := w.finder.Datastore(t.Context(), Datastore)
	w.must(err)
	network, err := w.finder.Network(t.Context(), Network)
	w.must(err)
	made, err := vcenter.NewManager(client).DeployLibraryItem(t.Context(), items[0], vcenter.Deploy{
		DeploymentSpec: vcenter.DeploymentSpec{
			Name: "box", DefaultDatastoreID: ds.Reference().Value, AcceptAllEULA: true,
			NetworkMappings: []vcenter.NetworkMapping{{Key: "nat", Value: network.Reference().Value}},
			AdditionalParams: []vcenter.AdditionalParams{{
				Class: vcenter.ClassPropertyParams, Type: vcenter.TypePropertyParams,
				Properties: []vcenter.Property{{ID: "hostname", Value: "m1"}, {ID: "public-keys", Value: "ssh-ed25519 AAAA"}},
			}},
		},
		Target: vcenter.Target{ResourcePoolID: pool.Reference().Value},
	})
	w.must(err)
	vm := object.NewVirtualMachine(w.client.Client, *made)
	w.wait(vm.PowerOn(t.Context()))
	p := w.until(vm, "heard of", speaks)
	got, _ := w.hosts.Spec(made.Value)
	if got.Hostname != "m1" || len(got.Keys) != 1 || p.Guest.Net[0].Network != Network {
		t.Errorf("Got %+v, %+v", got, p.Guest.Net)
	}
	w.must(w.cloud.Vanish(KindVM, made.Value))
	w.empty()
}

// few has 15 addresses to give away.
type few struct{ *host.Memory }

func (few) Networks() (private, public netip.Prefix) {
	return netip.MustParsePrefix("10.0.0.0/27"), netip.MustParsePrefix("198.18.0.0/15")
}

func TestAddresses(t *testing.T) {
	w := newWorldOf(t, few{host.NewMemory()})
	seen := map[string]bool{}
	var some *object.VirtualMachine
	spec := w.spec(nil)
	spec.PowerOn = true
	for i := range 15 {
		vm, err := w.clone(Template, fmt.Sprint("box", i), spec)
		w.must(err)
		seen[w.until(vm, "heard of", speaks).Guest.IpAddress] = true
		some = vm
	}
	if len(seen) != 15 || seen["10.0.0.31"] || seen["10.0.0.15"] {
		t.Errorf("Got %v", seen)
	}
	vm, err := w.clone(Template, "more", spec)
	w.must(err)
	w.until(vm, "off, for want of an address", isOff)
	w.must(w.cloud.Vanish(KindVM, some.Reference().Value))
	for range 100 { // its host goes a little later
		w.wait(vm.PowerOn(t.Context()))
		p := w.until(vm, "on or off", func(p mo.VirtualMachine) bool { return speaks(p) || isOff(p) })
		if speaks(p) {
			if !seen[p.Guest.IpAddress] {
				t.Errorf("Got %s", p.Guest.IpAddress)
			}
			return
		}
	}
	t.Error("An address that is free again was not given away")
}

// TestPlacement asks storage DRS for a datastore and looks for a storage policy.
func TestPlacement(t *testing.T) {
	w := newWorld(t)
	pod, err := w.finder.DatastoreCluster(t.Context(), DatastoreCluster)
	w.must(err)
	source, err := w.finder.VirtualMachine(t.Context(), Template)
	w.must(err)
	folder, err := w.finder.DefaultFolder(t.Context())
	w.must(err)
	podRef, vmRef, folderRef, clone := pod.Reference(), source.Reference(), folder.Reference(), w.spec(nil)
	placed, err := object.NewStorageResourceManager(w.client.Client).RecommendDatastores(t.Context(), types.StoragePlacementSpec{
		Type: string(types.StoragePlacementSpecPlacementTypeClone), CloneName: "box", CloneSpec: &clone, Vm: &vmRef, Folder: &folderRef,
		PodSelectionSpec: types.StorageDrsPodSelectionSpec{StoragePod: &podRef},
	})
	w.must(err)
	if len(placed.Recommendations) != 2 {
		t.Errorf("Got %+v", placed)
	}
	policies, err := pbm.NewClient(t.Context(), w.client.Client)
	w.must(err)
	if id, err := policies.ProfileIDByName(t.Context(), "VM Encryption Policy"); err != nil || id == "" {
		t.Errorf("Got %q, %v", id, err)
	}
}
