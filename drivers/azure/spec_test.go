package azure

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

var update = flag.Bool("update", false, "write the golden files")

// bodies are the bodies of all requests that make a machine.
func bodies(t *testing.T, values drivers.Values, z size, img image, req drivers.CreateRequest) []byte {
	t.Helper()
	all := drivers.Values{"azure-subscription-id": {azuresim.Subscription}}
	for k, v := range values {
		all[k] = v
	}
	f := Factory()
	config, secrets, err := f.Configure(all)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := f.Open(config, secrets, nil, func(json.RawMessage) error { return nil }, drivers.Env{Machine: "m_1.x", StoreID: testStore, Creator: "test/1"})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*driver)
	st := &d.state.Value
	st.Subscription, st.Group, st.Location = d.cfg.Subscription, d.group(), d.cfg.Location
	st.NIC, st.IP, st.Firewall = "/NIC", "/IP", "/NSG"
	if d.cfg.IPv6 && !d.cfg.NoPublicIP {
		st.IP6 = "/IP6"
	}
	if d.cfg.Set != "" {
		st.Set = "/SET"
	}
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	if len(d.cfg.Allow) > 0 {
		if from, err = d.allowed(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	n := subnet{network: "/VNET", id: "/SUBNET", prefixes: []string{d.cfg.SubnetPrefix}}
	if d.cfg.NSG == "" {
		n.members = "/ASG"
	}
	group, name := d.networkName()
	made := map[string]any{
		"1 network " + group + "/" + name: d.networkSpec(),
		"2 firewall":                      d.firewallSpec(req, n, from),
		"4 interface":                     d.nicSpec(n, z),
		"6 machine " + d.name():           d.vmSpec(prepared{z, img, []byte("CUSTOM DATA"), req}),
	}
	if d.cfg.NSG == "" {
		made["2 members "+d.membersName()] = d.membersSpec()
	}
	if !d.cfg.NoPublicIP {
		made["3 address"] = d.ipSpec()
		if d.cfg.IPv6 {
			made["3 address of IPv6"] = d.ip6Spec()
		}
	}
	if d.cfg.Set != "" {
		made["5 set"] = d.setSpec()
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

func TestRequests(t *testing.T) {
	t.Parallel()
	ubuntu, err := parseImage("Canonical:ubuntu-24_04-lts:server:24.04.202510010")
	if err != nil {
		t.Fatal(err)
	}
	rocky, err := parseImage("resf:rockylinux-x86_64:9-base:9.6.20250531")
	if err != nil {
		t.Fatal(err)
	}
	modern := size{name: "Standard_B2s_v2", arch: x64, gen2: true, trusted: true, accelerated: true}
	trusted := image{urn: ubuntu, arch: x64, gen2: true, trusted: true}
	bought := image{urn: rocky, arch: x64, gen2: true}
	bought.plan, err = parsePlan("resf:rockylinux-x86_64:9-base")
	if err != nil {
		t.Fatal(err)
	}
	usual := []drivers.Port{{Number: 2376, Protocol: "tcp"}}
	swarm := append(usual, drivers.Port{Number: 2377, Protocol: "tcp", Peers: true}, drivers.Port{Number: 7946, Protocol: "tcp", Peers: true},
		drivers.Port{Number: 7946, Protocol: "udp", Peers: true}, drivers.Port{Number: 4789, Protocol: "udp", Peers: true})
	for name, c := range map[string]struct {
		values drivers.Values
		size   size
		image  image
		ports  []drivers.Port
	}{
		"default": {nil, modern, trusted, usual},
		"swarm":   {drivers.Values{"azure-subnet-prefix": {"10.1.0.0/16"}}, modern, trusted, swarm},
		"ports": {drivers.Values{"azure-open-port": {"80", "443/tcp", "8000-8010/udp"}, "azure-allow": {"192.0.2.0/24", "2001:db8::/32", "198.51.100.1"}},
			modern, trusted, usual},
		"zone and spot": {drivers.Values{"azure-zone": {"2"}, "azure-spot": {"true"}, "azure-spot-max-price": {"0.02"}, "azure-spot-eviction-policy": {"Delete"}},
			modern, trusted, usual},
		"spot at any price": {drivers.Values{"azure-spot": {"true"}}, modern, trusted, usual},
		"set":               {drivers.Values{"azure-availability-set": {"together"}, "azure-tag": {"team=search", "empty="}}, modern, trusted, usual},
		"private":           {drivers.Values{"azure-no-public-ip": {"true"}, "azure-private-ip-address": {"192.168.0.9"}, "azure-nsg": {"theirs:wall"}}, modern, trusted, usual},
		"dns and disk": {drivers.Values{"azure-dns": {"my-host"}, "azure-disk-size": {"64"}, "azure-storage-type": {"Premium_LRS"}, "azure-ssh-user": {"me"}, "azure-static-public-ip": {"true"}},
			modern, trusted, usual},
		"plan of the image": {nil, modern, bought, usual},
		"plan of the user":  {drivers.Values{"azure-plan": {"p:q:r"}, "azure-security-type": {"standard"}}, modern, trusted, usual},
		"ipv6":              {drivers.Values{"azure-ipv6": {"true"}, "azure-allow": {"192.0.2.7", "2001:db8:7::/48"}, "azure-zone": {"1"}, "azure-dns": {"my-host"}}, modern, trusted, swarm},
		"ipv6 private":      {drivers.Values{"azure-ipv6": {"true"}, "azure-no-public-ip": {"true"}}, modern, trusted, usual},
		"old size": {drivers.Values{"azure-size": {"Standard_A2_v2"}, "azure-location": {"westeurope"}, "azure-vnet": {"net:theirs"}, "azure-subnet": {"s"}},
			size{name: "Standard_A2_v2", arch: x64}, image{urn: ubuntu, arch: x64}, usual},
		"gallery": {drivers.Values{"azure-accelerated-networking": {"off"}, "azure-security-type": {"trusted-launch"}},
			modern, image{urn: urn{id: "/CommunityGalleries/x/Images/y/Versions/1.0.0"}, arch: x64}, usual},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := bodies(t, c.values, c.size, c.image, drivers.CreateRequest{AuthorizedKey: testKey, OpenPorts: c.ports})
			file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
