package e2e_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// onVSphere starts a vCenter for a test.
func onVSphere(t *testing.T, hosts string) (provider, *cloud, *fleet) {
	t.Helper()
	needEngines(t)
	t.Parallel()
	for _, p := range providers() {
		if p.name == "vsphere" {
			c, f := newCloudFleet(t, p, hosts)
			return p, c, f
		}
	}
	t.Fatal("no vSphere")
	return provider{}, nil, nil
}

// TestVSphereSources makes machines from all that they can be made from at once,
// in the places that options name.
func TestVSphereSources(t *testing.T) {
	p, c, f := onVSphere(t, "docker")
	network := c.ready.Private
	static := network.Masked().Addr()
	for range 200 {
		static = static.Next()
	}
	sources := map[string][]string{
		"linked": {
			"--vmwarevsphere-clone-from", "golden", "--vmwarevsphere-linked-clone",
			"--vmwarevsphere-ip", netip.PrefixFrom(static, network.Bits()).String(),
			"--vmwarevsphere-gateway", network.Masked().Addr().Next().String(), "--vmwarevsphere-dns", "192.0.2.53",
		},
		"placed": {
			"--vmwarevsphere-clone-from", "templates/debian-13-cloudimg", "--vmwarevsphere-folder", "templates",
			"--vmwarevsphere-pool", "DC0_C0_RP1", "--vmwarevsphere-datastore", "LocalDS_1",
			"--vmwarevsphere-network", "DC0_DVPG0", "--vmwarevsphere-disk-size", "20480",
		},
		"library": {
			"--vmwarevsphere-content-library", "images", "--vmwarevsphere-clone-from", "ubuntu-24.04-ovf",
			"--vmwarevsphere-datastore", "LocalDS_0", "--vmwarevsphere-network", "VM Network",
		},
	}
	for source, flags := range sources {
		t.Run(source, func(t *testing.T) {
			f := f.in(t)
			m := f.name(source)
			f.ok(p.create(append(flags, m)...)...)
			f.docker(m, "info")
			if got := f.ok("ssh", m, "hostname"); got != m {
				t.Errorf("Name: got %q", got)
			}
			if got := f.ok("ip", m); source == "linked" && got != static.String() {
				t.Errorf("Address: got %s, want %s", got, static)
			}
			f.ok("rm", "-y", m)
		})
	}
	if left := c.ledger(); len(left) > 0 {
		t.Errorf("rm left %v", left)
	}
}

// TestVSphereGuestShutsDown has the guest itself power off, and the vCenter's
// session expire in between.
func TestVSphereGuestShutsDown(t *testing.T) {
	p, c, f := onVSphere(t, "docker")
	m := f.name("m1")
	f.ok(p.create(m)...)
	f.run("ssh", m, "sudo systemctl poweroff")
	eventually(t, time.Minute, func() error {
		if got := f.ok("status", m); got != "Stopped" {
			return errors.New(got)
		}
		return nil
	})
	c.ask("POST", "/set", map[string]string{"sessions": "expired"}, nil)
	f.ok("start", m)
	f.docker(m, "info")
	f.ok("rm", "-y", m)
}

// TestVSphereSilentGuest has images without VMware Tools, and networks without DHCP.
func TestVSphereSilentGuest(t *testing.T) {
	p, c, f := onVSphere(t, "memory")
	for tools, words := range map[string]string{"never": "Tools", "noaddress": "address"} {
		c.ask("POST", "/set", map[string]string{"tools": tools}, nil)
		m := f.name(tools)
		r := f.run(p.create("--vmwarevsphere-tools-timeout", "3", m)...)
		if r.code == 0 || !strings.Contains(r.stderr, words) {
			t.Errorf("%s: %s", tools, r)
		}
		f.ok("rm", "-y", m)
	}
	if left := c.ledger(); len(left) > 0 {
		t.Errorf("rm left %v", left)
	}
}
