package hyperv

import (
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func TestNAT(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first, second := b.machine("m1", b.with("nat", "192.168.144.0/24")), b.machine("m2", b.with("nat", "192.168.144.0/24"))
	if err := first.Open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Create()
	second.Create()
	if a, z := first.Status().Host, second.Status().Host; a != "192.168.144.20" || z != "192.168.144.21" {
		t.Errorf("got %s and %s", a, z)
	}
	var guests struct {
		Machines []vm
	}
	if err := b.by("listMachines", `{"ids":[]}`, &guests); err != nil {
		t.Fatal(err)
	}
	if got := guests.Machines[0].address(""); got != "192.168.144.20" {
		t.Errorf("the guest has %q", got)
	}
	taken := b.machine("m3", b.with("nat", "192.168.144.0/24", "ip", "192.168.144.21"))
	vmtest.Refused(t, taken.Open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has the address 192.168.144.21", "")
	over := b.machine("m3", b.with("nat", "192.168.0.0/16"))
	vmtest.Refused(t, over.Open().Check(t.Context()), drivers.ErrConflict, "in the way of 192.168.0.0/16", "--hyperv-nat")
	lan := b.machine("m3", b.with("nat", "192.0.2.0/25"))
	vmtest.Refused(t, lan.Open().Check(t.Context()), drivers.ErrConflict, `192.0.2.7/24 on "Ethernet", which is in the way of 192.0.2.0/25`, "--hyperv-nat")
	first.Remove()
	if b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("what another machine uses is gone: %v", b.ledger())
	}
	second.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestStores has two stores use one network: it is the one's that made it.
func TestStores(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first, second := b.machine("m1", b.with("nat", "10.99.0.0/29")), b.machine("m2", b.with("nat", "10.99.0.0/29"))
	second.Env.StoreID, second.Env.Cache = "another", t.TempDir()
	first.Create()
	second.Create()
	if a, z := first.Status().Host, second.Status().Host; a != "10.99.0.2" || z != "10.99.0.3" {
		t.Errorf("got %s and %s", a, z)
	}
	first.Remove()
	if b.count(hypervsim.KindSwitch) != 1 {
		t.Errorf("what another store uses is gone: %v", b.ledger())
	}
	second.Remove()
	all, err := first.Open().Tagged(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("found %v, %v: want the switch of the first store", all, err)
	}
	if err := first.Open().Release(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestHalfMadeNAT has the group Hyper-V Administrators make what is for
// administrators to make, and an administrator complete it.
func TestHalfMadeNAT(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{Manager: true})
	m := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	vmtest.Refused(t, m.Open().Check(t.Context()), drivers.ErrPermission, "that takes an administrator", "first machine")
	vmtest.Refused(t, m.Open().Create(t.Context(), vmtest.Request()), drivers.ErrPermission, "Access is denied", "administrators")
	if b.count(hypervsim.KindSwitch) != 1 {
		t.Fatal("the simulator made nothing")
	}
	box := must(hypervsim.New(hypervsim.Config{Home: b.home}))
	b.Box = box
	m.Factory = factory(b.world)
	m.Create()
	if b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("%v", b.ledger())
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	must(b.AddSwitch(t.Context(), "Büro $1", "External"))
	m := b.machine("m1", b.with("virtual-switch", "Büro $"))
	vmtest.Refused(t, m.Open().Check(t.Context()), drivers.ErrOption, `there is no switch "Büro $"; Hyper-V has "Büro $1" (External), "Default Switch" (Internal)`, `did you mean "Büro $1"`)
	must(b.AddSwitch(t.Context(), "alone", "Private"))
	m = b.machine("m1", b.with("virtual-switch", "ALONE"))
	vmtest.Refused(t, m.Open().Check(t.Context()), drivers.ErrOption, `"alone" is a Private switch`, "Internal or External")
	m = b.machine("m1", b.with("virtual-switch", "Büro $1", "vlan-id", "7"))
	m.Create()
	if st := saved(m); st.Switch.Name != "Büro $1" {
		t.Errorf("on %+v", st.Switch)
	}
	n := b.machine("m2", b.with())
	n.Create()
	if st := saved(n); st.Switch.ID != defaultSwitch {
		t.Errorf("on %+v: an External switch is not to be taken unless it is named", st.Switch)
	}
}

func TestNoAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.world.patience = 50 * time.Millisecond
	must(b.AddSwitch(t.Context(), "lab", "Internal"))
	m := b.machine("m1", b.with("virtual-switch", "lab"))
	vmtest.Refused(t, m.Open().Create(t.Context(), vmtest.Request()), nil, `no address for m1 on switch "lab" (Internal)`, "there is no DHCP on a switch of this kind")
}

// TestSilent has guests that do not tell their addresses.
func TestSilent(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{Silent: true})
	m := b.machine("m1", b.with())
	m.Create()
	if got := m.Status().Host; got != "172.20.16.20" {
		t.Errorf("at %q", got)
	}
}

// TestSwarm tells what a swarm is in for on the Default Switch, and on no other one.
func TestSwarm(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	req := vmtest.Request()
	req.OpenPorts = []drivers.Port{{Number: 2377, Protocol: "tcp", Peers: true}}
	for _, c := range []struct {
		name string
		more []string
		want bool
	}{{"m1", nil, true}, {"m2", []string{"nat", "192.168.144.0/24"}, false}} {
		m := b.machine(c.name, b.with(c.more...))
		if err := m.Open().Create(t.Context(), req); err != nil || m.Noted("a swarm does not survive") != c.want {
			t.Errorf("%s: %v, %q", c.name, err, m.Notes)
		}
	}
}

// TestManager has an administrator make a network, and a member of the group Hyper-V
// Administrators use it, who can neither see nor remove the translation.
func TestManager(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	first := b.machine("m1", b.with("nat", "192.168.144.0/24"))
	first.Create()
	admin := b.Box
	b.Box = must(hypervsim.New(hypervsim.Config{Home: b.home, Manager: true}))
	second := b.machine("m2", b.with("nat", "192.168.144.0/24"))
	if err := second.Open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.Create()
	second.Remove()
	first.Factory = factory(b.world)
	first.Remove()
	if !first.Noted("takes an administrator") || b.count(hypervsim.KindSwitch) != 1 || b.count(hypervsim.KindNat) != 1 {
		t.Errorf("%q, %v", first.Notes, b.ledger())
	}
	b.Box = admin
	first.Factory = factory(b.world)
	for _, r := range must(first.Open().Tagged(t.Context())) {
		if err := first.Open().Release(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
