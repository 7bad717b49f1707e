package azure

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

//go:embed role.json
var role []byte

func roleActions(t testing.TB) []string {
	t.Helper()
	var r struct{ Actions []string }
	if err := json.Unmarshal(role, &r); err != nil {
		t.Fatal(err)
	}
	return r.Actions
}

// life does all that a machine can be told to do, each as soon as what it needs
// is there, and reports the first error.
func life(ctx context.Context, t testing.TB, c *simulated) error {
	shared := c.driver(t, drivers.Values{"azure-vnet": {"theirs:network"}, "azure-subnet": {"ours"}, "azure-subnet-prefix": {"10.77.128.0/24"}, "azure-resource-group": {"theirs"}}, drivers.Env{Machine: "guest"})
	d := c.driver(t, drivers.Values{"azure-availability-set": {"together"}}, drivers.Env{})
	steps := []func(context.Context) error{
		d.Check,
		func(ctx context.Context) error { return d.Create(ctx, request(t)) },
		func(ctx context.Context) error { return shared.Create(ctx, request(t)) },
		func(ctx context.Context) error { _, err := d.Status(ctx); return err },
		func(ctx context.Context) error {
			a, err := d.account(ctx)
			if err == nil {
				err = a.list(ctx, map[string]view{})
			}
			return err
		},
		func(ctx context.Context) error { _, err := d.Console(ctx); return err },
		d.Restart, d.Stop, d.Start, d.Kill,
		func(ctx context.Context) error { _, err := d.Tagged(ctx); return err },
		func(ctx context.Context) error { return loose(ctx, t, c, d) },
		shared.Remove, d.Remove,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// loose does what is only needed when a virtual machine did not come to be or
// did not take its parts along.
func loose(ctx context.Context, t testing.TB, c *simulated, d *driver) error {
	half := c.driver(t, nil, drivers.Env{Machine: "half"})
	c.gate.Inject(sim.Fault{Action: "PUT virtualMachines", Mode: sim.Fail, Status: 400, Code: "BadRequest"})
	if err := half.Create(ctx, request(t)); err == nil {
		return errors.New("the fault did not come")
	}
	c.gate.Clear()
	if err := half.Remove(ctx); err != nil {
		return err
	}
	a, err := d.account(ctx)
	if err != nil {
		return err
	}
	other := *d
	other.env.StoreID = d.env.StoreID[:8] + "-untagged" // makes the same names, and other tags
	if err := other.tagDisk(ctx, a); err != nil {
		return err
	}
	return d.deleteDisk(ctx, a, d.group(), "nothing")
}

// spareable are rights whose lack costs the look at the catalogues only, or that
// the subnet stands for the machine's own group.
func spareable() []string {
	return []string{
		"Microsoft.Compute/skus/read", "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
		"Microsoft.Network/applicationSecurityGroups/read", "Microsoft.Network/applicationSecurityGroups/write",
		"Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action", "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action",
	}
}

func TestRole(t *testing.T) {
	t.Parallel()
	actions := roleActions(t)
	const client, secret = "44444444-4444-4444-8444-444444444444", "b~secret~of~the~role"
	play := func(t *testing.T, actions []string) (*simulated, error) {
		c := newCloud(t, azuresim.Config{})
		plantNetwork(t, c)
		c.AddPrincipal(client, secret, actions...)
		c.as = drivers.Values{"azure-client-id": {client}, "azure-client-secret": {secret}}
		return c, life(t.Context(), t, c)
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		c, err := play(t, actions)
		if err != nil {
			t.Fatal(err)
		}
		if left := c.list(true); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	for i, action := range actions {
		t.Run("without "+action, func(t *testing.T) {
			t.Parallel()
			c, err := play(t, append(append([]string(nil), actions[:i]...), actions[i+1:]...))
			if slices.Contains(spareable(), action) {
				if err != nil {
					t.Errorf("got %v, want a machine all the same", err)
				}
				if left := c.list(true); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				return
			}
			if !errors.Is(err, drivers.ErrPermission) {
				t.Fatalf("got %v, want ErrPermission", err)
			}
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(action)) {
				t.Errorf("%q does not name %s", err, action)
			}
		})
	}
}

// TestRoleIsOnThePage keeps the page and the file the same.
func TestRoleIsOnThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/drivers/azure.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), string(role)) {
		t.Error("docs/drivers/azure.md does not hold role.json")
	}
}
