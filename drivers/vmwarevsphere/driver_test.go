package vmwarevsphere

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg    Config
		want   origin
		refuse string
	}{
		"nothing":        {Config{}, "", "vmwarevsphere-clone-from"},
		"template":       {Config{CloneFrom: "x"}, fromClone, ""},
		"vm":             {Config{CreationType: "vm", CloneFrom: "x"}, fromClone, ""},
		"library":        {Config{ContentLibrary: "l", CloneFrom: "x"}, fromLibrary, ""},
		"no item":        {Config{ContentLibrary: "l"}, "", "vmwarevsphere-clone-from"},
		"ova":            {Config{OVA: "x.ova"}, fromOVA, ""},
		"iso":            {Config{ISO: "x.iso"}, fromISO, ""},
		"legacy, no iso": {Config{CreationType: "legacy"}, "", "vmwarevsphere-boot2docker-url"},
		"by type":        {Config{CreationType: "ova", OVA: "x.ova", CloneFrom: "x"}, fromOVA, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.cfg.origin()
			if got != tt.want || (err != nil) != (tt.refuse != "") || err != nil && !strings.Contains(err.Error(), "--"+tt.refuse) {
				t.Errorf("got %q, %v", got, err)
			}
			var hint *drivers.OptionError
			if err != nil && (!errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--vmwarevsphere-ova")) {
				t.Errorf("the ways are not listed: %v", err)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"vcenter.example.com":              "https://vcenter.example.com/sdk",
		"vcenter.example.com:8443":         "https://vcenter.example.com:8443/sdk",
		"https://vcenter.example.com/sdk":  "https://vcenter.example.com/sdk",
		"https://a@vcenter.example.com/":   "https://vcenter.example.com/sdk",
		"2001:db8::1":                      "https://[2001:db8::1]/sdk",
		"https://a:b@vcenter.example.com/": "",
		"ftp://vcenter.example.com":        "",
		"https://":                         "",
	} {
		u, err := Config{VCenter: in, Port: 443}.endpoint()
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "a:b") {
				t.Errorf("%s: got %v, %v", in, u, err)
			}
			continue
		}
		if err != nil || u.String() != want {
			t.Errorf("%s: got %v, %v, want %s", in, u, err, want)
		}
	}
	if u, err := (Config{VCenter: "vc", Port: 8443}).endpoint(); err != nil || u.String() != "https://vc:8443/sdk" {
		t.Errorf("port: got %v, %v", u, err)
	}
}

// TestFaults says what each kind of fault is to callers, and that the
// vCenter's words and what it names are told.
func TestFaults(t *testing.T) {
	t.Parallel()
	object := reference{Type: "Folder", Value: "group-v3"}
	c := &center{}
	c.tree.Store(&inventory{object: &item{ref: object, path: "/DC/vm"}})
	for name, tt := range map[string]struct {
		fault types.BaseMethodFault
		want  error
		text  string
	}{
		"login":      {&types.InvalidLogin{}, drivers.ErrCredentials, "InvalidLogin"},
		"permission": {&types.NoPermission{Object: &object, PrivilegeId: "VirtualMachine.Inventory.CreateFromExisting"}, drivers.ErrPermission, "VirtualMachine.Inventory.CreateFromExisting on /DC/vm (Folder:group-v3)"},
		"privileges": {&types.NoPermission{MissingPrivileges: []types.NoPermissionEntityPrivileges{{Entity: object, PrivilegeIds: []string{"VirtualMachine.Inventory.Create", "Folder.Create"}}}}, drivers.ErrPermission, "VirtualMachine.Inventory.Create, Folder.Create on /DC/vm (Folder:group-v3)"},
		"file":       {&types.CannotAccessFile{FileFault: types.FileFault{File: "[DS1] a/b.vmdk"}}, nil, "[DS1] a/b.vmdk"},
		"cause":      {&types.MissingPowerOnConfiguration{VAppConfigFault: types.VAppConfigFault{VimFault: types.VimFault{MethodFault: types.MethodFault{FaultCause: &types.LocalizedMethodFault{LocalizedMessage: "no such image"}}}}}, nil, "no such image"},
		"gone":       {&types.ManagedObjectNotFound{Obj: object}, drivers.ErrNotFound, ""},
		"space":      {&types.NoDiskSpace{Datastore: "DS1"}, drivers.ErrCapacity, "DS1"},
		"memory":     {&types.InsufficientMemoryResourcesFault{}, drivers.ErrCapacity, "InsufficientMemoryResourcesFault"},
		"cpu":        {&types.InsufficientCpuResourcesFault{}, drivers.ErrCapacity, ""},
		"license":    {&types.NotEnoughLicenses{}, drivers.ErrQuota, ""},
		"limit":      {&types.LimitExceeded{Property: "numCPUs"}, drivers.ErrQuota, "numCPUs"},
		"expired":    {&types.LicenseExpired{}, drivers.ErrQuota, ""},
		"name":       {&types.DuplicateName{Name: "m1", Object: vmRef("vm-7")}, drivers.ErrConflict, "VirtualMachine:vm-7"},
		"host":       {&types.HostNotConnected{}, drivers.ErrCapacity, ""},
		"in use":     {&types.ResourceInUse{}, drivers.ErrInUse, ""},
		"other":      {&types.InvalidArgument{InvalidProperty: "x"}, nil, "InvalidArgument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byTask := task.Error{LocalizedMethodFault: &types.LocalizedMethodFault{Fault: tt.fault, LocalizedMessage: "The vCenter's words."}}
			for _, err := range []error{byTask, soap.WrapVimFault(tt.fault)} {
				got := c.explain(t.Context(), "do it", err)
				begin := "do it: "
				if tt.want != nil {
					begin += tt.want.Error() + ": "
				}
				if tt.want != nil && !errors.Is(got, tt.want) || !strings.HasPrefix(got.Error(), begin) || !strings.Contains(got.Error(), tt.text) {
					t.Errorf("got %q, want %q and %q", got, begin, tt.text)
				}
			}
			if got := c.explain(t.Context(), "do it", byTask); !strings.Contains(got.Error(), "The vCenter's words") {
				t.Errorf("got %q without the vCenter's words", got)
			}
		})
	}
}

// TestFaultsOverTheWire has the vCenter refuse calls.
func TestFaultsOverTheWire(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.values, "m1")
	for _, tt := range []struct {
		fault sim.Fault
		want  error
	}{
		{sim.Fault{Action: "CloneVM_Task", Mode: sim.Fail, Code: "NoPermission", Text: "Permission was denied"}, drivers.ErrPermission},
		{sim.Fault{Action: "ReconfigVM_Task", Mode: sim.Fail, Code: "InsufficientResourcesFault"}, drivers.ErrCapacity},
		{sim.Fault{Action: "PowerOnVM_Task", Mode: sim.Throttle}, drivers.ErrUnreachable},
	} {
		c.gate.Inject(tt.fault)
		if err := m.open().Create(t.Context(), request(t)); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.fault.Text) {
			t.Errorf("%s: got %v, want %v", tt.fault.Code, err, tt.want)
		}
	}
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(c.machines()); got != 1 {
		t.Errorf("got %d machines", got)
	}
}

func nicInfo(key int32, network string, addrs ...string) types.GuestNicInfo {
	return types.GuestNicInfo{DeviceConfigId: key, Network: network, IpAddress: addrs, Connected: true}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	both := seen{nics: []types.GuestNicInfo{
		nicInfo(-1, "", "172.17.0.1"), // the Engine's bridge
		nicInfo(4001, "backend", "fe80::2", "10.0.0.2"),
		nicInfo(4000, "frontend", "fe80::1", "2001:db8::1", "192.0.2.1"),
	}, address: "172.17.0.1"}
	for name, tt := range map[string]struct {
		cfg          Config
		static       string
		s            seen
		client, peer string
	}{
		"first adapter":     {Config{}, "", both, "192.0.2.1", ""},
		"v6":                {Config{IPv6: true}, "", both, "2001:db8::1", ""},
		"first named":       {Config{Networks: []string{"backend", "frontend"}}, "", both, "10.0.0.2", ""},
		"chosen":            {Config{ClientNetwork: "/DC/network/backend"}, "", both, "10.0.0.2", ""},
		"peer":              {Config{PeerNetwork: "backend"}, "", both, "192.0.2.1", "10.0.0.2"},
		"static":            {Config{}, "192.0.2.9/24", seen{}, "192.0.2.9", ""},
		"tools only":        {Config{}, "", seen{address: "192.0.2.1"}, "192.0.2.1", ""},
		"main one only":     {Config{Networks: []string{"a", "b"}}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "a"), nicInfo(4001, "b")}, address: "192.0.2.1"}, "192.0.2.1", ""},
		"main one, chosen":  {Config{ClientNetwork: "b"}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "a"), nicInfo(4001, "b")}, address: "192.0.2.1"}, "", ""},
		"main one, sole":    {Config{ClientNetwork: "b", PeerNetwork: "b"}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "b")}, address: "192.0.2.1"}, "192.0.2.1", "192.0.2.1"},
		"link-local only":   {Config{}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "a", "fe80::1", "169.254.1.1")}, address: "169.254.1.1"}, "", ""},
		"not yet on chosen": {Config{ClientNetwork: "a"}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "a"), nicInfo(4001, "b", "192.0.2.1")}}, "", ""},
		"only the bridge":   {Config{}, "", seen{nics: []types.GuestNicInfo{nicInfo(4000, "a"), nicInfo(-1, "", "172.17.0.1")}, address: "172.17.0.1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := plain(tt.cfg)
			d.state.Value.Address = tt.static
			client, peer := d.addresses(tt.s)
			text := func(a netip.Addr) string {
				if !a.IsValid() {
					return ""
				}
				return a.String()
			}
			if text(client) != tt.client || text(peer) != tt.peer {
				t.Errorf("got %s, %s, want %s, %s", client, peer, tt.client, tt.peer)
			}
		})
	}
}

// TestSilence says why there is no address.
func TestSilence(t *testing.T) {
	t.Parallel()
	for want, knob := range map[string]string{"VMware Tools": vspheresim.ToolsNever, "the guest has no address": vspheresim.ToolsNoAddress} {
		t.Run(knob, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			if err := c.SetTools(knob); err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-tools-timeout": {"1"}}), "m1")
			err := m.open().Create(t.Context(), request(t))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			if err := c.SetTools(vspheresim.ToolsRunning); err != nil {
				t.Fatal(err)
			}
			if err := m.open().Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestForeignDisk demands that what somebody attached survives the machine.
func TestForeignDisk(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.values, "m1")
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := m.open()
	vc, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	vm := vmRef(d.state.Value.VM)
	h, err := vc.hardware(t.Context(), vm)
	if err != nil {
		t.Fatal(err)
	}
	unit := int32(5)
	disk := &types.VirtualDisk{CapacityInKB: 1024, VirtualDevice: types.VirtualDevice{
		Key: -1, ControllerKey: h.disks()[0].ControllerKey, UnitNumber: &unit,
		Backing: &types.VirtualDiskFlatVer2BackingInfo{DiskMode: "persistent", VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[" + vspheresim.Datastore + "] theirs.vmdk"}},
	}}
	if err := d.apply(t.Context(), vc, vm, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
		Operation: types.VirtualDeviceConfigSpecOperationAdd, FileOperation: types.VirtualDeviceConfigSpecFileOperationCreate, Device: disk,
	}}}); err != nil {
		t.Fatal(err)
	}
	if err := m.open().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := fmt.Sprint(c.Ledger())
	if !strings.Contains(left, "theirs.vmdk") || len(c.machines()) != 0 {
		t.Errorf("left: %s", left)
	}
	if notes := strings.Join(m.notes, "\n"); !strings.Contains(notes, "theirs.vmdk") {
		t.Errorf("notes: %q", notes)
	}
}

// TestSession demands one log-in and one call for the states of many machines,
// and that a session that has ended is renewed.
func TestSession(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var all []*testMachine
	f := testFactory()
	for i := range 5 {
		m := newMachine(t, c, c.values, fmt.Sprintf("m%d", i))
		m.factory = f
		if err := m.open().Create(t.Context(), request(t)); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if err := c.Vanish(vspheresim.KindVM, all[4].open().state.Value.VM); err != nil {
		t.Fatal(err)
	}
	c.ExpireSessions()
	before := c.gate.Calls()
	var wg sync.WaitGroup
	for i, m := range all {
		wg.Go(func() {
			s, err := m.open().Status(t.Context())
			if i == 4 {
				if !errors.Is(err, drivers.ErrNotFound) {
					t.Errorf("vanished: got %v, %v", s, err)
				}
			} else if err != nil || s.State != drivers.Running || s.Host == "" {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	wg.Wait()
	after := c.gate.Calls()
	if got := after["RetrievePropertiesEx"] - before["RetrievePropertiesEx"]; got > 6 {
		t.Errorf("%d calls for 5 machines", got)
	}
}

// TestLogout demands that a command leaves no session behind.
func TestLogout(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	f := testFactory()
	var ends []func(context.Context)
	for i := range 2 {
		m := newMachine(t, c, c.values, fmt.Sprintf("m%d", i))
		m.factory = f
		m.env.AtEnd = func(fn func(context.Context)) { ends = append(ends, fn) }
		if err := m.open().Create(t.Context(), request(t)); err != nil {
			t.Fatal(err)
		}
	}
	if len(ends) != 1 || c.Sessions() == 0 {
		t.Fatalf("%d things to do in the end, %d sessions; want one and one", len(ends), c.Sessions())
	}
	ends[0](t.Context())
	if n := c.Sessions(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

// TestStopByForce cuts the power of a guest that does not shut down.
func TestStopByForce(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-graceful-shutdown-timeout": {"1"}}), "m1")
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	c.gate.Inject(sim.Fault{Action: "ShutdownGuest", Mode: sim.Before})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("stop hangs"))
	defer cancel()
	if err := m.open().Stop(ctx); err != nil {
		t.Fatal(err)
	}
	c.gate.Clear()
	if s, err := m.open().Status(t.Context()); err != nil || s.State != drivers.Stopped || s.Host != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	if calls := c.gate.Calls(); calls["PowerOffVM_Task"] != 1 || !strings.Contains(strings.Join(m.notes, "\n"), "did not shut down") {
		t.Errorf("calls %v, notes %q", calls, m.notes)
	}
}

// TestPasswordFromEnvironment demands that the variable is used and stored nowhere.
func TestPasswordFromEnvironment(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-password": nil}), "m1")
	if err := m.open().Check(t.Context()); !errors.Is(err, drivers.ErrCredentials) {
		t.Errorf("without a password: got %v", err)
	}
	m.env.Getenv = func(name string) string { return map[string]string{"VSPHERE_PASSWORD": vspheresim.Password}[name] }
	if err := m.open().Check(t.Context()); err != nil {
		t.Error(err)
	}
	if m.secrets != nil || strings.Contains(string(m.config)+m.log.String(), vspheresim.Password) {
		t.Error("the password is stored")
	}
}

// TestStatic gives a machine a fixed address, which is known without VMware Tools.
func TestStatic(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.with(drivers.Values{"vmwarevsphere-ip": {"10.77.3.3/16"}, "vmwarevsphere-gateway": {"10.77.0.1"}}), "m1")
	if err := c.SetTools(vspheresim.ToolsNever); err != nil {
		t.Fatal(err)
	}
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if s, err := m.open().Status(t.Context()); err != nil || s.Host != "10.77.3.3" {
		t.Errorf("got %+v, %v", s, err)
	}
	if spec, _ := c.hosts.Spec(m.open().state.Value.VM); spec.Private.String() != "10.77.3.3" {
		t.Errorf("guest has %v", spec.Private)
	}
}

// TestStillInUse demands that a removal waits for what uses the machine.
func TestStillInUse(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.values, "m1")
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	c.gate.Inject(sim.Fault{Action: "Destroy_Task", Mode: sim.Fail, Code: "TaskInProgress"})
	if err := m.open().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.machines(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
