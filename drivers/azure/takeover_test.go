package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// old is a virtual machine as docker-machine made and recorded it.
type old struct {
	t      *testing.T
	c      *simulated
	record map[string]any
	state  json.RawMessage
	dir    string
	notes  []string
}

// dockerMachine makes a virtual machine as docker-machine did, with a managed disk.
func (c *simulated) dockerMachine(t *testing.T, name, ssh string) *old {
	t.Helper()
	ctx, a, where := t.Context(), c.account(t), ptr("westus")
	const group = "docker-machine"
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := a.groups.CreateOrUpdate(ctx, group, armresources.ResourceGroup{Location: where}, nil)
	try(err)
	set, err := a.sets.CreateOrUpdate(ctx, group, "docker-machine", armcompute.AvailabilitySet{Location: where, SKU: &armcompute.SKU{Name: ptr("Aligned")},
		Properties: &armcompute.AvailabilitySetProperties{PlatformFaultDomainCount: ptr[int32](2), PlatformUpdateDomainCount: ptr[int32](5)}}, nil)
	try(err)
	wall, err := run(ctx, a, "nsg", func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], error) {
		return a.walls.BeginCreateOrUpdate(ctx, group, name+"-firewall", armnetwork.SecurityGroup{Location: where}, nil)
	})
	try(err)
	network, err := run(ctx, a, "vnet", func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error) {
		return a.networks.BeginCreateOrUpdate(ctx, group, "docker-machine-vnet", armnetwork.VirtualNetwork{Location: where, Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("192.168.0.0/16")}},
			Subnets:      []*armnetwork.Subnet{{Name: ptr("docker-machine"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("192.168.0.0/16")}}},
		}}, nil)
	})
	try(err)
	ip, err := run(ctx, a, "ip", func(ctx context.Context) (*runtime.Poller[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], error) {
		return a.ips.BeginCreateOrUpdate(ctx, group, name+"-ip", armnetwork.PublicIPAddress{Location: where, SKU: &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard)},
			Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic)}}, nil)
	})
	try(err)
	nic, err := run(ctx, a, "nic", func(ctx context.Context) (*runtime.Poller[armnetwork.InterfacesClientCreateOrUpdateResponse], error) {
		return a.nics.BeginCreateOrUpdate(ctx, group, name+"-nic", armnetwork.Interface{Location: where, Properties: &armnetwork.InterfacePropertiesFormat{
			NetworkSecurityGroup: &armnetwork.SecurityGroup{ID: wall.ID},
			IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: ptr("ip"), Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{
				PublicIPAddress: &armnetwork.PublicIPAddress{ID: ip.ID}, Subnet: &armnetwork.Subnet{ID: network.Properties.Subnets[0].ID},
			}}},
		}}, nil)
	})
	try(err)
	_, err = run(ctx, a, "vm", func(ctx context.Context) (*runtime.Poller[armcompute.VirtualMachinesClientCreateOrUpdateResponse], error) {
		return a.vms.BeginCreateOrUpdate(ctx, group, name, armcompute.VirtualMachine{Location: where, Properties: &armcompute.VirtualMachineProperties{
			AvailabilitySet: &armcompute.SubResource{ID: set.ID},
			HardwareProfile: &armcompute.HardwareProfile{VMSize: ptr(armcompute.VirtualMachineSizeTypes("Standard_B2s"))},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: &armcompute.ImageReference{Publisher: ptr("Canonical"), Offer: ptr("ubuntu-24_04-lts"), SKU: ptr("server"), Version: ptr("latest")},
				OSDisk: &armcompute.OSDisk{Name: ptr(name + "-os-disk"), CreateOption: ptr(armcompute.DiskCreateOptionTypesFromImage),
					ManagedDisk: &armcompute.ManagedDiskParameters{StorageAccountType: ptr(armcompute.StorageAccountTypesStandardLRS)}},
			},
			OSProfile: &armcompute.OSProfile{ComputerName: &name, AdminUsername: ptr("docker-user"), LinuxConfiguration: &armcompute.LinuxConfiguration{
				DisablePasswordAuthentication: ptr(true),
				SSH:                           &armcompute.SSHConfiguration{PublicKeys: []*armcompute.SSHPublicKey{{Path: ptr("/home/docker-user/.ssh/authorized_keys"), KeyData: ptr(ssh)}}},
			}},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{ID: nic.ID}}},
		}}, nil)
	})
	try(err)
	o := &old{t: t, c: c, dir: t.TempDir(), record: map[string]any{
		"IPAddress": "", "MachineName": name, "SSHUser": "docker-user", "SSHPort": 22, "SSHKeyPath": "/s/machines/" + name + "/id_rsa", "StorePath": "/s",
		"ClientID": azuresim.ClientID, "ClientSecret": azuresim.ClientSecret, "TenantID": azuresim.Tenant, "Environment": "AzurePublicCloud", "SubscriptionID": azuresim.Subscription,
		"ResourceGroup": group, "DockerPort": 2376, "Location": "westus", "Size": "Standard_A2", "Image": "canonical:UbuntuServer:16.04.0-LTS:latest",
		"VirtualNetwork": "docker-machine-vnet", "SubnetName": "docker-machine", "SubnetPrefix": "192.168.0.0/16", "AvailabilitySet": "docker-machine", "StorageType": "Standard_LRS",
		"OpenPorts": nil, "PrivateIPAddr": "", "UsePrivateIP": false, "NoPublicIP": false, "DNSLabel": "", "StaticPublicIP": false, "CustomDataFile": "",
	}}
	try(os.WriteFile(filepath.Join(o.dir, "id_rsa.pub"), []byte(testKey), 0o600))
	return o
}

// open opens the driver anew, as each command does; the record does not say where the simulator is.
func (o *old) open() drivers.Driver {
	o.t.Helper()
	raw, err := json.Marshal(o.record)
	if err != nil {
		o.t.Fatal(err)
	}
	h, ok, err := o.c.factory.(drivers.Heir).Inherit(raw)
	if err != nil || !ok {
		o.t.Fatal(ok, err)
	}
	config := map[string]any{}
	if err := json.Unmarshal(h.Config, &config); err != nil {
		o.t.Fatal(err)
	}
	config["Endpoint"], config["Authority"] = o.c.server.URL, o.c.server.URL
	if h.Config, err = json.Marshal(config); err != nil || strings.Contains(string(h.Config)+string(h.State), azuresim.ClientSecret) {
		o.t.Fatal("the secret is among the rest", err)
	}
	if o.state != nil {
		h.State = o.state
	}
	env := drivers.Env{Machine: "m1", StoreID: testStore, Creator: "test/1", Dir: o.dir, Note: func(_ context.Context, text string) { o.notes = append(o.notes, text) }}
	d, err := o.c.factory.Open(h.Config, h.Secrets, h.State, func(state json.RawMessage) error { o.state = state; return nil }, env)
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

func (o *old) status(want drivers.State) drivers.Status {
	o.t.Helper()
	s, err := o.open().Status(o.t.Context())
	if err != nil || s.State != want {
		o.t.Fatalf("it is %q (%v), want %s", s.State, err, want)
	}
	return s
}

func (c *simulated) kinds() (all []string) {
	for _, r := range c.Ledger() {
		all = append(all, r.Kind)
	}
	slices.Sort(all)
	return all
}

// TestDockerMachine has virtual machines of docker-machine go on: seen, stopped,
// started, killed, and removed with all that docker-machine removed.
func TestDockerMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	before := c.kinds()
	first, second := c.dockerMachine(t, "m1", testKey), c.dockerMachine(t, "m2", testKey)
	s := first.status(drivers.Running)
	if s.Host == "" || s.Peer == "" || s.Host == s.Peer || s.User != "docker-user" || s.SSHPort != 22 || s.EnginePort != 2376 {
		t.Errorf("%+v", s)
	}
	if k, ok := first.open().(drivers.HostKeySeeder); !ok || k.SeedsHostKey() {
		t.Error("docker-machine seeded no host key")
	}
	for _, step := range []struct {
		do   func() error
		want drivers.State
	}{
		{func() error { return first.open().Stop(t.Context()) }, drivers.Stopped},
		{func() error { return first.open().Start(t.Context()) }, drivers.Running},
		{func() error { return first.open().(drivers.Restarter).Restart(t.Context()) }, drivers.Running},
		{func() error { return first.open().(drivers.Killer).Kill(t.Context()) }, drivers.Stopped},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		first.status(step.want)
	}
	for range 2 {
		if err := first.open().Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := strings.Join(c.kinds(), " "); strings.Count(left, "virtualMachines") != 1 || !strings.Contains(left, "availabilitySets") || !strings.Contains(left, "virtualNetworks") {
		t.Errorf("left %s", left)
	}
	second.status(drivers.Running)
	if err := second.open().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.kinds(); !slices.Equal(left, append(before, "resourceGroups")) {
		t.Errorf("left %v", left)
	}
}

// TestDockerMachineOfOthers touches neither another virtual machine of the name, nor
// what belongs to a store.
func TestDockerMachineOfOthers(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	o := c.dockerMachine(t, "m1", strings.Replace(testKey, "AAAAC3", "AAAAC4", 1))
	before := c.kinds()
	for verb, do := range map[string]func(context.Context) error{"start": o.open().Start, "stop": o.open().Stop, "kill": o.open().(drivers.Killer).Kill} {
		if err := do(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("%s: got %v", verb, err)
		}
	}
	if err := o.open().Remove(t.Context()); err != nil || len(o.notes) != 1 {
		t.Errorf("got %v, told %q", err, o.notes)
	}
	if after := c.kinds(); !slices.Equal(before, after) {
		t.Errorf("left %v of %v", after, before)
	}
}

// TestDockerMachineDisk removes the container that docker-machine kept a disk in, once
// the disk is free, and none of another name.
func TestDockerMachineDisk(t *testing.T) {
	t.Parallel()
	for blob, want := range map[string]string{
		"vhd-m1/m1-os-disk.vhd": "/subscriptions/" + azuresim.Subscription + "/resourceGroups/docker-machine/providers/Microsoft.Storage/storageAccounts/vhdsabc/blobServices/default/containers/vhd-m1",
		"vhds/m1-os-disk.vhd":   "",
	} {
		c := newCloud(t, azuresim.Config{})
		o := c.dockerMachine(t, "m1", testKey)
		var mu sync.Mutex
		var removed []string
		leased := true
		disk := regexp.MustCompile(`"managedDisk":\{[^}]*\}`)
		inner := c.server.Config.Handler
		c.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case strings.Contains(r.URL.Path, "Microsoft.Storage"):
				if leased {
					leased = false
					w.WriteHeader(http.StatusConflict)
					_, _ = io.WriteString(w, `{"error":{"code":"LeaseIdMissing","message":"There is currently a lease on the container."}}`)
					return
				}
				removed = append(removed, r.Method+" "+r.URL.Path)
			case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/virtualMachines/m1"):
				w = &rewritten{w, func(b []byte) []byte {
					return disk.ReplaceAll(b, []byte(`"vhd":{"uri":"https://vhdsabc.blob.core.windows.net/`+blob+`"}`))
				}}
				inner.ServeHTTP(w, r)
			default:
				inner.ServeHTTP(w, r)
			}
		})
		if err := o.open().Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if got := strings.Join(removed, " "); got != strings.TrimSpace(fmt.Sprintf("%.*s%s", 7*min(1, len(want)), "DELETE ", want)) {
			t.Errorf("%s: removed %q", blob, removed)
		}
		mu.Unlock()
	}
}

// rewritten changes what is written.
type rewritten struct {
	http.ResponseWriter
	change func([]byte) []byte
}

func (w *rewritten) WriteHeader(code int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(code)
}

func (w *rewritten) Write(b []byte) (int, error) {
	_, err := w.ResponseWriter.Write(w.change(b))
	return len(b), err
}

// TestTakeOver reads records of several ages.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	base := map[string]any{"MachineName": "m1", "SubscriptionID": azuresim.Subscription, "ResourceGroup": "g", "VirtualNetwork": "net", "AvailabilitySet": "set"}
	for name, c := range map[string]struct {
		change map[string]any
		check  func(Config, State) bool
	}{
		"network of another group": {map[string]any{"VirtualNetwork": "other:net"}, func(_ Config, s State) bool { return s.Network == "" && s.VM != "" }},
		"no public address":        {map[string]any{"NoPublicIP": true}, func(c Config, s State) bool { return s.IP == "" && !c.KeepBilled }},
		"an address that changes":  {nil, func(c Config, s State) bool { return s.IP != "" && c.KeepBilled && c.Secret == "" }},
		"a static address":         {map[string]any{"StaticPublicIP": true}, func(c Config, _ State) bool { return !c.KeepBilled }},
		"a browser's log-in":       {map[string]any{"ClientID": "x"}, func(c Config, _ State) bool { return c.Client == "" }},
	} {
		record := maps.Clone(base)
		maps.Copy(record, c.change)
		raw, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if config, state, err := takeOver(raw); err != nil || !c.check(config, state) {
			t.Errorf("%s: %+v, %+v, %v", name, config, state, err)
		}
	}
	if _, _, err := takeOver(json.RawMessage(`{"MachineName":"m1","SubscriptionCert":"x"}`)); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("of the classic deployment: %v", err)
	}
}
