package virtualbox

import (
	"context"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// TestGuestAdditions takes the address of the adapter that is on the host-only network,
// wherever the guest has it in its list.
func TestGuestAdditions(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("ip", "dhcp"))
	manage := b.world.exec
	b.world.exec = func(ctx context.Context, path string, args, env []string) (answer, error) {
		switch args[0] {
		case "dhcpserver":
			if args[1] == "findlease" {
				return answer{exit: 1, stderr: "VBoxManage: error: Failed to get IP address"}, nil
			}
		case "guestproperty":
			said := map[string]string{
				"0/MAC": "0242AC110001", "0/V4/IP": "172.17.0.1", "1/MAC": saved(m).NATMAC, "1/V4/IP": "10.0.2.15",
				"2/MAC": strings.ToLower(saved(m).MAC), "2/V4/IP": "192.168.56.104",
			}[strings.TrimPrefix(args[3], "/VirtualBox/GuestInfo/Net/")]
			if said == "" {
				return answer{stdout: "No value set!\n"}, nil
			}
			return answer{stdout: "Value: " + said + "\n"}, nil
		}
		return manage(ctx, path, args, env)
	}
	m.Factory = factory(b.world)
	m.Create()
	if s := m.Status(); s.Host != "192.168.56.104" {
		t.Errorf("%+v", s)
	}
}

// TestMacLease has the address from macOS's own DHCP server, which gives those of
// networks without interfaces.
func TestMacLease(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{Mac: true})
	b.world.os = "darwin"
	m := b.machine("m1", b.with("ip", "dhcp"))
	manage := b.world.exec
	b.world.exec = func(ctx context.Context, path string, args, env []string) (answer, error) {
		if args[0] == "startvm" {
			vmtest.Write(t, b.world.leases, "{\n\tname=m1\n\tip_address=192.168.56.7\n\thw_address=1,"+short(saved(m).MAC)+"\n\tlease=0x65f1a2b3\n}\n", 0o644)
		}
		return manage(ctx, path, args, env)
	}
	m.Factory = factory(b.world)
	m.Create()
	if s := m.Status(); s.Host != "192.168.56.7" {
		t.Errorf("%+v", s)
	}
}

// short writes 08002701AABB as macOS does, 8:0:27:1:aa:bb.
func short(mac string) string {
	parts := strings.Split(localvm.Colons(mac), ":")
	for i, p := range parts {
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ":")
}

const macLeases = `{
	name=other
	ip_address=192.168.56.3
	hw_address=1,8:0:27:1:aa:b
	identifier=1,8:0:27:1:aa:b
	lease=0x65f1a2b3
}
{
	name=m1
	ip_address=192.168.64.9
	hw_address=1,8:0:27:1:aa:b
	lease=0x75f1a2b3
}
{
	name=m1
	ip_address=192.168.56.4
	hw_address=1,8:0:27:1:aa:b
	lease=0x65f1a2b4
}
{
	name=m2
	ip_address=192.168.56.8
	hw_address=ff,f1:f5:dd:7f:0:2:0:0:ab:11:83:a6:40:aa
	lease=0x65f1a2b4
}
}
ip_address=192.168.56.66
{
	name=m3
	ip_address=nonsense
	lease=0xZZ
`

func TestParseLeases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mac, name, want string }{
		{"08002701AA0B", "m1", "192.168.56.4"}, // the newest of the network
		{"08002701AA0B", "m2", "192.168.56.4"}, // the address counts before the name
		{"08002701AA0C", "m2", "192.168.56.8"}, // a guest that tells another identity
		{"08002701AA0C", "m3", ""},
		{"08002701AA0C", "", ""},
	} {
		if got := parseLeases(macLeases, c.mac, c.name, "192.168.56.1/24"); got != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.mac, c.name, got, c.want)
		}
	}
}
