package azure

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// live takes a machine through its whole life, and looks at what is left.
func live(t *testing.T, c *simulated, more drivers.Values) {
	t.Helper()
	d := c.driver(t, more, drivers.Env{})
	state := func(want drivers.State) {
		t.Helper()
		s, err := d.Status(t.Context())
		if err != nil || s.State != want || s.Host == "" || s.Peer == "" {
			t.Errorf("got %+v, %v, want %s", s, err, want)
		}
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	do("check", d.Check(t.Context()))
	do("create", d.Create(t.Context(), request(t)))
	state(drivers.Running)
	do("stop", d.Stop(t.Context()))
	state(drivers.Stopped)
	do("start", d.Start(t.Context()))
	state(drivers.Running)
	do("restart", d.Restart(t.Context()))
	state(drivers.Running)
	do("kill", d.Kill(t.Context()))
	state(drivers.Stopped)
	do("start", d.Start(t.Context()))
	do("create again", d.Create(t.Context(), request(t)))
	do("remove", d.Remove(t.Context()))
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestFakes lives at an endpoint that is built on the SDK's fake servers.
func TestFakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		front  azuresim.FrontConfig
		values drivers.Values
	}{
		"all":    {},
		"sparse": {front: azuresim.FrontConfig{Sparse: true}},
		"set":    {values: drivers.Values{"azure-availability-set": {"together"}, "azure-dns": {"my-own-label"}}},
		"arm":    {values: drivers.Values{"azure-size": {"Standard_B2ps_v2"}, "azure-image": {"debian-12"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := newFront(t, azuresim.Config{}, &c.front)
			live(t, cloud, c.values)
			t.Logf("calls: %v", cloud.gate.Calls())
		})
	}
}

// optional are the methods of the SDK without which a machine can live.
func optional() []string {
	return []string{
		"ResourceSKUsClient.NewListPager", "VirtualMachineImagesClient.Get", "VirtualMachineImagesClient.List",
		"VirtualMachinesClient.NewListAllPager", "VirtualMachinesClient.InstanceView", "VirtualMachinesClient.RetrieveBootDiagnosticsData",
		"DisksClient.Get", "DisksClient.BeginUpdate", "DisksClient.BeginDelete", "ResourceGroupsClient.CheckExistence", "ResourceGroupsClient.Get",
		"Client.NewListByResourceGroupPager", "Client.NewListPager", "ResourceGroupsClient.NewListPager",
		"VirtualNetworksClient.NewListPager", "PublicIPAddressesClient.NewListPager", "SubnetsClient.Get", "SubnetsClient.BeginCreateOrUpdate",
		"ApplicationSecurityGroupsClient.Get", "ApplicationSecurityGroupsClient.BeginCreateOrUpdate",
	}
}

// guarded are those that it takes rights for that a machine can live without.
func guarded() []string {
	return []string{
		"ResourceSKUsClient.NewListPager", "VirtualMachineImagesClient.Get", "VirtualMachineImagesClient.List", "VirtualMachinesClient.InstanceView",
		"VirtualMachinesClient.NewListAllPager", "VirtualMachinesClient.RetrieveBootDiagnosticsData", "ResourceGroupsClient.CheckExistence",
		"ApplicationSecurityGroupsClient.Get", "ApplicationSecurityGroupsClient.BeginCreateOrUpdate",
	}
}

// TestFakesWithout leaves methods out, one by one and all at once.
func TestFakesWithout(t *testing.T) {
	t.Parallel()
	without := map[string][]string{"any of them": optional()}
	for _, name := range optional() {
		without[name] = []string{name}
	}
	for _, name := range slices.Sorted(maps.Keys(without)) {
		for _, status := range []int{501, 500, 404, 403} {
			whole := name == "any of them"
			if status == 404 && whole || status == 403 && !slices.Contains(guarded(), name) || status == 500 && !whole {
				continue // a group that is not there, rights that are needed, and what "any of them" tries
			}
			t.Run(fmt.Sprintf("%s %d", name, status), func(t *testing.T) {
				t.Parallel()
				live(t, newFront(t, azuresim.Config{}, &azuresim.FrontConfig{Without: without[name], Status: status}), nil)
			})
		}
	}
}

// TestRemovalDoesNotGuess fails where an answer fails that things hang on, and
// takes what is not its own for nobody's.
func TestRemovalDoesNotGuess(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"GET disks", "GET resources", "GET resourceGroups", "GET publicIPAddresses", "GET virtualNetworks"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, azuresim.Config{})
			d := c.driver(t, nil, drivers.Env{})
			if err := d.Create(t.Context(), request(t)); err != nil {
				t.Fatal(err)
			}
			c.gate.Inject(sim.Fault{Action: action, Mode: sim.Fail, Status: 500, Times: -1})
			if err := d.Remove(t.Context()); err == nil {
				t.Error("removed in the dark")
			}
			c.gate.Clear()
			if err := d.Remove(t.Context()); err != nil {
				t.Error(err)
			}
			if left := c.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestFakesTellTheVersion records the version of the image even if the catalogue
// does not tell it.
func TestFakesTellTheVersion(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{nil, {"VirtualMachineImagesClient.List"}, {"VirtualMachineImagesClient.Get", "VirtualMachineImagesClient.List"}} {
		c := newFront(t, azuresim.Config{}, &azuresim.FrontConfig{Without: without})
		d := c.driver(t, nil, drivers.Env{})
		if err := d.Create(t.Context(), request(t)); err != nil {
			t.Fatal(err)
		}
		if got := d.state.Value.Image; !strings.HasPrefix(got, "Canonical:ubuntu-24_04-lts:server:24.04.") {
			t.Errorf("without %q: image is %s", without, got)
		}
	}
}

func TestFakesConsole(t *testing.T) {
	t.Parallel()
	c := newFront(t, azuresim.Config{}, &azuresim.FrontConfig{})
	d := c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if text, err := d.Console(t.Context()); err != nil || !strings.Contains(string(text), "m1 login:") {
		t.Errorf("got %q, %v", text, err)
	}
	c = newFront(t, azuresim.Config{}, &azuresim.FrontConfig{Without: []string{"VirtualMachinesClient.RetrieveBootDiagnosticsData"}})
	d = c.driver(t, nil, drivers.Env{})
	if err := d.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if text, err := d.Console(t.Context()); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("got %q, %v, want ErrUnsupported", text, err)
	}
}

// TestFakesStatesAtOnce asks for the states of several machines that were made at once.
func TestFakesStatesAtOnce(t *testing.T) {
	t.Parallel()
	for name, front := range map[string]azuresim.FrontConfig{"list": {}, "no list": {Without: []string{"VirtualMachinesClient.NewListAllPager"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFront(t, azuresim.Config{}, &front)
			var all []*driver
			for i := range 6 {
				all = append(all, c.driver(t, nil, drivers.Env{Machine: fmt.Sprintf("m%d", i)}))
			}
			each(t, all, func(d *driver) error { return d.Create(t.Context(), request(t)) })
			each(t, all, func(d *driver) error {
				s, err := d.Status(t.Context())
				if err == nil && s.State != drivers.Running {
					err = fmt.Errorf("state is %s", s.State)
				}
				return err
			})
			each(t, all, func(d *driver) error { return d.Remove(t.Context()) })
			if left := c.list(true); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestFakesConformance demands of the endpoint on the fake servers what is
// demanded of the other: faults at each call, kills, things of others.
func TestFakesConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
		return world(t, newDirect(t, &azuresim.FrontConfig{}), nil)
	}})
}
