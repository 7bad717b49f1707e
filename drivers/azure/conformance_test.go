package azure

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

const testStore = "0123456789abcdef"

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlFTpTSUBbRDVN8hlIPm7BYUp3MxbQ0mUHXzZ5zxKcY me"

// newHostKey makes a host key.
func newHostKey(t testing.TB) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// simulated is a simulated Azure with a gate before it.
type simulated struct {
	*azuresim.Cloud
	gate    *sim.Gate
	server  *httptest.Server // nil: it is reached directly
	url     string
	factory drivers.Factory
	as      drivers.Values // who logs in, if not who may do everything
}

func newCloud(t testing.TB, config azuresim.Config) *simulated {
	t.Helper()
	return newFront(t, config, nil)
}

// newFront returns a simulated Azure behind the SDK's fake servers; nil: without them.
func newFront(t testing.TB, config azuresim.Config, front *azuresim.FrontConfig) *simulated {
	t.Helper()
	c := newGate(t, config, front)
	c.server = serve(t, c.gate)
	c.reach(c.server.URL, c.server.Client())
	return c
}

// newDirect returns what newFront does, but without connections.
func newDirect(t testing.TB, front *azuresim.FrontConfig) *simulated {
	t.Helper()
	c := newGate(t, azuresim.Config{}, front)
	c.reach("https://127.0.0.1:443", &http.Client{Transport: sim.Direct{Handler: c.gate}})
	return c
}

func newGate(t testing.TB, config azuresim.Config, front *azuresim.FrontConfig) *simulated {
	t.Helper()
	config.Hosts = host.NewMemory()
	if config.Operation == 0 {
		config.Operation = time.Millisecond
	}
	config.RetryAfter = -1
	c, err := azuresim.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if front != nil {
		return &simulated{Cloud: c, gate: sim.NewGate(azuresim.NewFront(c, *front))}
	}
	return &simulated{Cloud: c, gate: sim.NewGate(c)}
}

// reach has drivers reach the cloud at url. What was asked for is seen late also
// without connections: an operation that was accepted ends in its own time.
func (c *simulated) reach(url string, client *http.Client) {
	c.url = url
	c.factory = factory(settings{client: client, pace: quick(), delay: time.Millisecond, late: 30 * time.Millisecond})
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	return server
}

func quick() wait.Pace { return wait.Pace{First: time.Millisecond, Most: 20 * time.Millisecond} }

func (c *simulated) values(more drivers.Values) drivers.Values {
	all := drivers.Values{
		"azure-subscription-id":           {azuresim.Subscription},
		"azure-tenant-id":                 {azuresim.Tenant},
		"azure-client-id":                 {azuresim.ClientID},
		"azure-client-secret":             {azuresim.ClientSecret},
		"azure-resource-manager-endpoint": {c.url},
		"azure-authority-host":            {c.url},
	}
	maps.Copy(all, c.as)
	maps.Copy(all, more)
	return all
}

func request(t testing.TB) drivers.CreateRequest {
	return drivers.CreateRequest{
		AuthorizedKey: testKey,
		HostKey:       newHostKey(t),
		OpenPorts:     []drivers.Port{{Number: 2376, Protocol: "tcp"}, {Number: 7946, Protocol: "udp", Peers: true}},
	}
}

func (c *simulated) list(ours bool) (all []string) {
	for _, r := range c.Ledger() {
		if (r.Tags[tagStore] == testStore) != ours {
			continue
		}
		text := r.Kind + "/" + r.ID
		if !ours {
			tags, _ := json.Marshal(r.Tags)
			text += string(tags)
		}
		all = append(all, text)
	}
	return all
}

// plant makes things of the machine's names that are not its own.
func (c *simulated) plant(ctx context.Context, machine string) error {
	config, secrets, err := c.factory.Configure(c.values(drivers.Values{"azure-resource-group": {"docker-machine-01234567"}}))
	if err != nil {
		return err
	}
	save := func(json.RawMessage) error { return nil }
	other, err := c.factory.Open(config, secrets, nil, save, drivers.Env{Machine: machine, StoreID: "01234567-another", Creator: "another"})
	if err != nil {
		return err
	}
	return other.Create(ctx, drivers.CreateRequest{AuthorizedKey: testKey})
}

func world(t testing.TB, c *simulated, more drivers.Values) drivertest.World {
	return drivertest.World{
		Factory: c.factory,
		Values:  c.values(more),
		Env:     drivers.Env{StoreID: testStore, Creator: "test/1", Dir: "/nonexistent"}, // nothing is written
		Request: request(t),
		Bad: map[string][]string{
			"azure-subscription-id": {"mine"}, "azure-location": {"west/us"}, "azure-size": {"big"}, "azure-image": {"windows"},
			"azure-vnet": {"a:b:c d"}, "azure-subnet": {"a b"}, "azure-subnet-prefix": {"192.168.0.1/16"}, "azure-private-ip-address": {"x"},
			"azure-open-port": {"http"}, "azure-allow": {"0.0.0.1/0"}, "azure-tag": {"machine-name=x"}, "azure-environment": {"http://plain"}, "azure-resource-manager-endpoint": {"http://plain"}, "azure-authority-host": {"http://127.0.0.1"},
			"azure-dns": {"UPPER"}, "azure-ssh-user": {"root"}, "azure-plan": {"x"}, "azure-spot-max-price": {"0.5"}, "azure-spot-eviction-policy": {"Delete"}, "azure-resource-group": {"a/b"},
		},
		Refused: map[string]drivers.Values{
			"credentials": {"azure-client-secret": {"wrong"}},
			"size":        {"azure-size": {"Standard_Z99"}},
			"image":       {"azure-image": {"nobody:nothing:none"}},
			"group":       {"azure-nsg": {"theirs:wall"}},
			"custom data": {"azure-custom-data": {"/nonexistent/data"}},
		},
		Spoil:     map[string]any{"Size": "gone", "Image": "?", "VNet": "a b", "Location": "", "Tags": []string{"?"}, "OpenPort": []string{"?"}, "Allow": []string{"?"}},
		Resources: func(context.Context) ([]string, error) { return c.list(true), nil },
		Foreign:   func(context.Context) ([]string, error) { return c.list(false), nil },
		Vanish: func(_ context.Context, resource string) error {
			kind, id, _ := strings.Cut(resource, "/")
			err := c.Vanish(kind, id)
			if err != nil && strings.Contains(err.Error(), "azuresim: no ") {
				return nil // went along with another
			}
			return err
		},
		Plant:   c.plant,
		Observe: c.gate.Observe,
	}
}

// TestConformance has its clouds reached directly, as they get a hundred thousand
// requests, but for the default one's.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values drivers.Values
		before func(t testing.TB, c *simulated)
	}{
		"default":           {},
		"availability set":  {values: drivers.Values{"azure-availability-set": {"together"}, "azure-no-public-ip": {"true"}}},
		"ipv6":              {values: drivers.Values{"azure-ipv6": {"true"}, "azure-allow": {"127.0.0.1", "2001:db8::/32"}}},
		"network of others": {values: drivers.Values{"azure-vnet": {"theirs:network"}, "azure-subnet": {"ours"}, "azure-subnet-prefix": {"10.77.128.0/24"}}, before: plantNetwork},
		"group of others":   {values: drivers.Values{"azure-resource-group": {"theirs"}, "azure-location": {"westeurope"}, "azure-zone": {"2"}, "azure-spot": {"true"}}, before: plantNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
				if name == "default" {
					return world(t, newCloud(t, azuresim.Config{}), c.values)
				}
				cloud := newDirect(t, nil)
				if c.before != nil {
					c.before(t, cloud)
				}
				return world(t, cloud, c.values)
			}})
		})
	}
}

// plantNetwork makes a resource group with a virtual network of others.
func plantNetwork(t testing.TB, c *simulated) {
	t.Helper()
	a := c.account(t)
	ctx := t.Context()
	if _, err := a.groups.CreateOrUpdate(ctx, "theirs", armresources.ResourceGroup{Location: ptr("westus"), Tags: map[string]*string{"owner": ptr("them")}}, nil); err != nil {
		t.Fatal(err)
	}
	network := armnetwork.VirtualNetwork{Location: ptr("westus"), Properties: &armnetwork.VirtualNetworkPropertiesFormat{
		AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr("10.77.0.0/16")}},
		Subnets:      []*armnetwork.Subnet{{Name: ptr("default"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.77.0.0/24")}}},
	}}
	if _, err := run(ctx, a, "plant", func(ctx context.Context) (*runtime.Poller[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], error) {
		return a.networks.BeginCreateOrUpdate(ctx, "theirs", "network", network, nil)
	}); err != nil {
		t.Fatal(err)
	}
}

// account returns an account that may do everything.
func (c *simulated) account(t testing.TB) *account {
	t.Helper()
	a, err := c.driver(t, nil, drivers.Env{}).account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// driver returns the driver of a machine that does not exist yet.
func (c *simulated) driver(t testing.TB, more drivers.Values, env drivers.Env) *driver {
	t.Helper()
	config, secrets, err := c.factory.Configure(c.values(more))
	if err != nil {
		t.Fatal(err)
	}
	if env.Machine == "" {
		env.Machine = "m1"
	}
	env.StoreID, env.Creator = testStore, "test/1"
	d, err := c.factory.Open(config, secrets, nil, func(json.RawMessage) error { return nil }, env)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver)
}
