package virtualbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// TestByHand has somebody change what is ours in VirtualBox.
func TestByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	fresh := func(name string) *testMachine {
		m := b.machine(name, b.with())
		m.Create()
		b.manage("controlvm", name, "poweroff")
		return m
	}
	renamed := fresh("renamed")
	b.manage("modifyvm", "renamed", "--name", "another")
	if err := renamed.Open().Start(t.Context()); err != nil || !renamed.Noted(`was renamed to "another"`) {
		t.Errorf("renamed: %v, notes %q", err, renamed.Notes)
	}
	renamed.Remove()

	edited := fresh("edited")
	b.manage("modifyvm", "edited", "--nic2", "bridged", "--bridgeadapter2", "eth0")
	vmtest.Refused(t, edited.Open().Start(t.Context()), nil, `was edited by hand: adapter 2 is "bridged"`, "--nic2 hostonly --hostonlyadapter2 vboxnet0")
	b.manage("modifyvm", "edited", "--nic2", "hostonly", "--hostonlyadapter2", "vboxnet0")
	b.manage("storageattach", "edited", "--storagectl", "SATA", "--port", "0", "--device", "0", "--medium", "none")
	vmtest.Refused(t, edited.Open().Start(t.Context()), nil, "disk.vdi is not at port 0 of SATA", "")
	edited.Remove()

	lost := fresh("lost")
	if err := os.RemoveAll(filepath.Join(saved(lost).Folder, "lost")); err != nil {
		t.Fatal(err)
	}
	_, err := lost.Open().Status(t.Context())
	vmtest.Refused(t, err, nil, "cannot read the settings", "machine rm")
	vmtest.Refused(t, lost.Open().Start(t.Context()), nil, "cannot read the settings", "machine rm")
	vmtest.Refused(t, lost.Open().Create(t.Context(), vmtest.Request()), nil, "cannot read the settings", "machine rm")
	lost.Remove()

	deleted := fresh("deleted")
	b.manage("unregistervm", "deleted", "--delete")
	if _, err := deleted.Open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	deleted.Create() // makes it anew
	if s := deleted.Status(); s.State != drivers.Running {
		t.Errorf("deleted and made again: %+v", s)
	}
	b.manage("controlvm", "deleted", "poweroff")
	b.manage("unregistervm", "deleted")
	deleted.Remove()

	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestForeignDisk demands that a disk which somebody attached is not deleted.
func TestForeignDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	b.manage("controlvm", "m1", "poweroff")
	data := filepath.Join(b.vars["HOME"], "data.vdi")
	b.manage("convertfromraw", b.values["virtualbox-image"][0], data, "--format", "VDI")
	b.manage("storageattach", "m1", "--storagectl", "SATA", "--port", "1", "--device", "0", "--type", "hdd", "--medium", data)
	m.Remove()
	if _, err := os.Stat(data); err != nil || !m.Noted("is detached and stays") {
		t.Errorf("%v, notes %q", err, m.Notes)
	}
	if b.count(vboxsim.KindMedium) != 1 {
		t.Errorf("%v", b.ledger())
	}
}

// TestLocked has another session at the machine for a while, or for good.
func TestLocked(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	b.manage("controlvm", "m1", "poweroff")
	const words = "The machine 'm1' is already locked by a session (or being locked or unlocked)"
	for range 3 {
		if err := b.Inject(sim.Fault{Action: "startvm", Nth: 1, Mode: sim.Fail, Text: words}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Open().Start(t.Context()); err != nil {
		t.Errorf("locked for a while: %v", err)
	}
	if err := b.Inject(sim.Fault{Action: "unregistervm", Nth: 1, Mode: sim.Fail, Text: "Cannot unregister the machine 'm1' while it is locked"}); err != nil {
		t.Fatal(err)
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestPowerByHand(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with("stop-timeout", "1"))
	m.Create()
	id := saved(m).UUID
	for _, c := range []struct {
		before []string
		is     drivers.State
		do     func(context.Context) error
		then   drivers.State
	}{
		{[]string{"controlvm", id, "pause"}, drivers.Paused, m.Open().Start, drivers.Running},
		{[]string{"controlvm", id, "pause"}, drivers.Paused, m.Open().Stop, drivers.Stopped},
		{[]string{"startvm", id, "--type", "headless"}, drivers.Running, m.Open().Start, drivers.Running},
		{[]string{"controlvm", id, "savestate"}, drivers.Saved, m.Open().Stop, drivers.Saved},
		{nil, drivers.Saved, m.Open().Start, drivers.Running},
		{[]string{"controlvm", id, "savestate"}, drivers.Saved, m.Open().Kill, drivers.Stopped},
		{[]string{"startvm", id, "--type", "headless"}, drivers.Running, m.Open().Kill, drivers.Stopped},
		{nil, drivers.Stopped, m.Open().Kill, drivers.Stopped},
	} {
		if c.before != nil {
			b.manage(c.before...)
		}
		if got := m.Status().State; got != c.is {
			t.Fatalf("%v: got %s, want %s", c.before, got, c.is)
		}
		if err := c.do(t.Context()); err != nil {
			t.Fatalf("%v: %v", c.before, err)
		}
		if got := m.Status().State; got != c.then {
			t.Fatalf("%v: then %s, want %s", c.before, got, c.then)
		}
	}
	b.manage("startvm", id, "--type", "headless")
	b.Deafen(id)
	if err := m.Open().Stop(t.Context()); err != nil || m.Status().State != drivers.Stopped || !m.Noted("its power is cut") {
		t.Errorf("stop of a deaf guest: %v, notes %q", err, m.Notes)
	}
	b.manage("startvm", id, "--type", "headless")
	b.manage("controlvm", id, "savestate")
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestFilesGone has somebody delete the files of a machine and its record. VirtualBox
// knows a virtual machine then of which it cannot tell anything.
func TestFilesGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	running := b.machine("m2", b.with())
	running.Create()
	b.manage("controlvm", "m1", "poweroff")
	for _, m := range []*testMachine{m, running} {
		if err := os.RemoveAll(saved(m).Folder); err != nil {
			t.Fatal(err)
		}
	}
	b.manage("createvm", "--name", "theirs", "--basefolder", filepath.Join(b.vars["HOME"], "theirs"), "--register")
	if err := os.RemoveAll(filepath.Join(b.vars["HOME"], "theirs")); err != nil {
		t.Fatal(err)
	}
	collector := b.machine("", b.with()).Open()
	found, err := collector.Tagged(t.Context())
	if err != nil || len(found) != 3 {
		t.Fatalf("found %+v, %v", found, err)
	}
	for _, r := range found {
		if r.ID == saved(m).UUID && (r.Machine != "m1" || r.Name != "m1") {
			t.Errorf("found %+v", r)
		}
		if err := collector.Release(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if left := b.ledger(); len(left) != 2 { // theirs, and the interface, of which nobody knows whether it is on it
		t.Errorf("left %v", left)
	}
	if err := collector.Release(t.Context(), drivers.Resource{Kind: kindMachine, ID: b.ledger()[1].ID}); err == nil {
		t.Error("what is not ours is removed")
	}
}
