package vmwarevsphere

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

var update = flag.Bool("update", false, "write the golden files anew")

// outlined is a specification as a golden file has it: without what is empty, without
// what is chance. What is in the inventory has its path instead of its number.
func outlined(t testing.TB, token string, spec any, in inventory) string {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	if in != nil {
		tree = unnumbered(tree, in)
	}
	text, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), token, "TOKEN") + "\n"
}

var number = regexp.MustCompile(`\d+$`)

// unnumbered replaces the numbers of managed objects, which are given out in any order.
func unnumbered(tree any, in inventory) any {
	switch node := tree.(type) {
	case []any:
		for i := range node {
			node[i] = unnumbered(node[i], in)
		}
	case map[string]any:
		kind, isRef := node["type"].(string)
		value, ok := node["value"].(string)
		if isRef && ok && len(node) == 2 {
			node["value"] = number.ReplaceAllString(value, "N")
			if i := in[reference{Type: kind, Value: value}]; i != nil {
				node["value"] = i.path
			}
			return node
		}
		for key := range node {
			node[key] = unnumbered(node[key], in)
		}
	}
	return tree
}

func golden(t testing.TB, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// TestCloneSpec says what a clone is asked for under which options.
func TestCloneSpec(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for name, more := range map[string]drivers.Values{
		"clone-template": {},
		"clone-linked":   {"vmwarevsphere-clone-from": {vspheresim.Golden}, "vmwarevsphere-linked-clone": {"true"}},
		"clone-placed": {
			"vmwarevsphere-hostsystem": {vspheresim.Host}, "vmwarevsphere-pool": {vspheresim.ChildPool}, "vmwarevsphere-folder": {vspheresim.TemplateFolder},
			"vmwarevsphere-clone-from": {vspheresim.Template2}, "vmwarevsphere-datastore": nil, "vmwarevsphere-datastore-cluster": {vspheresim.DatastoreCluster},
			"vmwarevsphere-storage-policy": {"aa6d5a82-1c88-45da-85d3-3d74b91a5bad"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newMachine(t, c, c.with(more), "m1").open()
			vc, err := d.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, err := d.plan(t.Context(), vc)
			if err != nil {
				t.Fatal(err)
			}
			d.state.Value.Token, d.state.Value.Name = newToken(), "m1"
			spec, err := d.cloneSpec(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, outlined(t, d.state.Value.Token, spec, p.tree))
		})
	}
}

func nicOf(key int32, mac string, backing types.BaseVirtualDeviceBackingInfo) types.BaseVirtualDevice {
	return &types.VirtualE1000{VirtualEthernetCard: types.VirtualEthernetCard{
		VirtualDevice: types.VirtualDevice{Key: key, Backing: backing}, MacAddress: mac,
	}}
}

func networkBacking(value, name string) *types.VirtualEthernetCardNetworkBackingInfo {
	return &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: name},
		Network:                        &reference{Type: "Network", Value: value},
	}
}

func someHardware() *hardware {
	return &hardware{devices: []types.BaseVirtualDevice{
		nicOf(4001, "00:50:56:00:00:02", networkBacking("network-1", "A")),
		nicOf(4000, "00:50:56:00:00:01", networkBacking("network-1", "A")),
		&types.VirtualDisk{CapacityInKB: 10 << 20, VirtualDevice: types.VirtualDevice{Key: 2001, Backing: &types.VirtualDiskFlatVer2BackingInfo{Uuid: "second"}}},
		&types.VirtualDisk{CapacityInKB: 10 << 20, VirtualDevice: types.VirtualDevice{Key: 2000, Backing: &types.VirtualDiskFlatVer2BackingInfo{Uuid: "first"}}},
	}}
}

// plain returns a driver that is not connected to anything.
func plain(c Config) *driver {
	d := &driver{cfg: c, state: &drivers.Durable[State]{}, env: drivers.Env{Machine: "m1", StoreID: testStore, Creator: "test/1"}}
	d.env.Note = func(context.Context, string) {}
	d.state.Value.Token = "TOKEN"
	return d
}

// TestHardwareSpec says what a clone's hardware is changed to.
func TestHardwareSpec(t *testing.T) {
	t.Parallel()
	b := adapter{"B", networkBacking("network-2", "B")}
	a := adapter{"A", networkBacking("network-1", "A")}
	dv := adapter{"DV", &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: "pg", SwitchUuid: "sw"}}}
	with := func(change func(*Config)) Config {
		c := defaults()
		change(&c)
		return c
	}
	for name, tt := range map[string]struct {
		cfg      Config
		adapters []adapter
	}{
		"hardware-defaults":     {defaults(), nil},
		"hardware-same-network": {defaults(), []adapter{a, a}},
		"hardware-one-removed":  {defaults(), []adapter{b}},
		"hardware-one-added":    {defaults(), []adapter{a, b, dv}},
		"hardware-no-growth":    {with(func(c *Config) { c.DiskSize, c.CPUs, c.Memory = 10240, 8, 16384 }), nil},
		"hardware-linked":       {with(func(c *Config) { c.LinkedClone = true }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := plain(tt.cfg).hardwareSpec(t.Context(), someHardware(), tt.adapters)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, outlined(t, "TOKEN", spec, nil))
		})
	}
}

// TestProfile demands that each disk gets the storage policy, in the change that it has anyway.
func TestProfile(t *testing.T) {
	t.Parallel()
	h := someHardware()
	spec, err := plain(defaults()).hardwareSpec(t.Context(), h, nil) // grows the first disk
	if err != nil {
		t.Fatal(err)
	}
	policy := []types.BaseVirtualMachineProfileSpec{&types.VirtualMachineDefinedProfileSpec{ProfileId: "p"}}
	var got []string
	for _, c := range withProfile(spec.DeviceChange, h.disks(), policy) {
		change := c.GetVirtualDeviceConfigSpec()
		got = append(got, fmt.Sprint(change.Operation, change.Device.GetVirtualDevice().Key, len(change.Profile)))
	}
	if want := []string{"edit2000 1", "edit2001 1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if none := withProfile(nil, h.disks(), nil); none != nil {
		t.Errorf("without a policy: got %v", none)
	}
}

// decoded returns guest data in clear.
func decoded(t testing.TB, list []types.BaseOptionValue, key string) string {
	t.Helper()
	all := parameters(list)
	if how := all[key+encoding]; how != "base64" {
		t.Fatalf("%s is encoded as %q", key, how)
	}
	text, err := base64.StdEncoding.DecodeString(all[key])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGuestInfo(t *testing.T) {
	t.Parallel()
	static := defaults()
	static.IP, static.Gateway, static.DNS = []string{"192.0.2.10/24"}, []string{"192.0.2.1"}, []string{"192.0.2.53", "2001:db8::53"}
	v6 := defaults()
	v6.IP, v6.Gateway = []string{"2001:db8::10/64"}, []string{"fe80::1"}
	both := defaults()
	both.Networks, both.DNS = []string{"front", "back"}, []string{"192.0.2.53"}
	both.IP, both.Gateway = []string{"192.0.2.10/24", "2001:db8::10/64", "back=10.0.0.10/32"}, []string{"192.0.2.1", "2001:db8::1"}
	one := &hardware{devices: someHardware().devices[1:]}
	for name, tt := range map[string]struct {
		cfg  Config
		h    *hardware
		want string
	}{
		"image's own": {defaults(), one, `{"instance-id":"TOKEN","local-hostname":"m1","cleanup-guestinfo":["userdata"]}`},
		"static": {static, one, `{"instance-id":"TOKEN","local-hostname":"m1","network":{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"00:50:56:00:00:01"},"dhcp4":false,"dhcp6":false,` +
			`"addresses":["192.0.2.10/24"],"routes":[{"to":"0.0.0.0/0","via":"192.0.2.1"}],"nameservers":{"addresses":["192.0.2.53","2001:db8::53"]}}}},"cleanup-guestinfo":["userdata"]}`},
		"static v6": {v6, one, `{"instance-id":"TOKEN","local-hostname":"m1","network":{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"00:50:56:00:00:01"},"dhcp4":false,"dhcp6":false,` +
			`"addresses":["2001:db8::10/64"],"routes":[{"to":"::/0","via":"fe80::1"}]}}},"cleanup-guestinfo":["userdata"]}`},
		"both families, two": {both, someHardware(), `{"instance-id":"TOKEN","local-hostname":"m1","network":{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"00:50:56:00:00:01"},"dhcp4":false,"dhcp6":false,` +
			`"addresses":["192.0.2.10/24","2001:db8::10/64"],"routes":[{"to":"0.0.0.0/0","via":"192.0.2.1"},{"to":"::/0","via":"2001:db8::1"}],"nameservers":{"addresses":["192.0.2.53"]}},` +
			`"nic1":{"match":{"macaddress":"00:50:56:00:00:02"},"dhcp4":false,"dhcp6":false,"addresses":["10.0.0.10/32"],"optional":true}}},"cleanup-guestinfo":["userdata"]}`},
		"two": {defaults(), someHardware(), `{"instance-id":"TOKEN","local-hostname":"m1","network":{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"00:50:56:00:00:01"},"dhcp4":true,"dhcp6":false},` +
			`"nic1":{"match":{"macaddress":"00:50:56:00:00:02"},"dhcp4":true,"dhcp6":false,"dhcp4-overrides":{"route-metric":200},"optional":true}}},"cleanup-guestinfo":["userdata"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, err := plain(tt.cfg).guestInfo(tt.h, []byte("#cloud-config\n"), len(tt.h.nics()))
			if err != nil {
				t.Fatal(err)
			}
			if got := decoded(t, list, guestMetadata); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := decoded(t, list, guestUserData); got != "#cloud-config\n" {
				t.Errorf("user data: got %q", got)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	if _, how, err := encode([]byte(strings.Repeat("x", 100<<10))); err != nil || how != "gzip+base64" {
		t.Errorf("long data: got %s, %v", how, err)
	}
	noise := make([]byte, 100<<10)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	if _, _, err := encode(noise); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("data that cannot be compressed: got %v", err)
	}
}

// TestVApp says how vApp properties are changed and added.
func TestVApp(t *testing.T) {
	t.Parallel()
	c := defaults()
	if plain(c).vApp(nil) != nil {
		t.Error("a configuration that nobody asked for")
	}
	c.VAppProtocol, c.VAppAllocation, c.VAppTransport = "IPv4", "fixedAllocated", "com.vmware.guestInfo"
	c.VAppProperties = []string{"hostname=m1", "new=a=b"}
	golden(t, "vapp", outlined(t, "TOKEN", plain(c).vApp([]types.VAppPropertyInfo{{Key: 7, Id: "hostname", Type: "string"}}), nil))
}

// TestISOSpec says what a machine that boots from an ISO is made of.
func TestISOSpec(t *testing.T) {
	t.Parallel()
	d := plain(defaults())
	d.state.Value.Name = "m1"
	p := &plan{place: &place{networks: []adapter{{"A", networkBacking("network-1", "A")}}}}
	golden(t, "iso", outlined(t, "TOKEN", d.isoSpec(p, "DS", "[DS] machine-TOKEN/boot.iso", nil), nil))
}

// TestMade looks at a finished machine: what its vCenter has of it is what was asked for.
func TestMade(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := newMachine(t, c, c.with(drivers.Values{
		"vmwarevsphere-network":  {vspheresim.Network, vspheresim.Portgroup},
		"vmwarevsphere-cfgparam": {"guestinfo.color=red"},
		"vmwarevsphere-tag":      {"team=a"},
	}), "m1")
	req := request(t)
	if err := m.open().Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	d := m.open()
	vc, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := vc.properties(t.Context(), vmRef(d.state.Value.VM), "config.extraConfig", "config.hardware.numCPU", "config.hardware.memoryMB", "config.instanceUuid")
	if err != nil {
		t.Fatal(err)
	}
	params := parameters(p["config.extraConfig"].(types.ArrayOfOptionValue).OptionValue)
	for key, want := range map[string]string{
		markStore: testStore, markName: "m1", markCreator: "test/1", markToken: d.state.Value.Token,
		"guestinfo.color": "red", markTag + "team": "a",
	} {
		if params[key] != want {
			t.Errorf("parameter %s: got %q, want %q", key, params[key], want)
		}
	}
	if fmt.Sprint(p["config.hardware.numCPU"], p["config.hardware.memoryMB"]) != "2 2048" || p.text("config.instanceUuid") != d.state.Value.Token {
		t.Errorf("hardware: got %v", p)
	}
	h, err := vc.hardware(t.Context(), vmRef(d.state.Value.VM))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.disks()[0].CapacityInKB; got != 20480*1024 {
		t.Errorf("disk: got %d KiB", got)
	}
	if got := len(h.nics()); got != 2 {
		t.Errorf("got %d adapters", got)
	}
	spec, ok := c.hosts.Spec(d.state.Value.VM)
	if !ok || spec.Hostname != "m1" || !strings.Contains(string(spec.UserData), req.AuthorizedKey) {
		t.Errorf("guest got %+v", spec)
	}
}
