package virtualbox

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func TestBoot2Docker(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	iso := filepath.Join(b.vars["HOME"], "boot2docker.iso")
	image := make([]byte, 18*2048)
	copy(image[16*2048:], "\x01CD001\x01")
	copy(image[17*2048:], "\xffCD001\x01")
	vmtest.Write(t, iso, string(image), 0o600)
	m := b.machine("m1", b.with("boot2docker-url", iso))
	if d := m.Open(); d.SeedsHostKey() || d.TakesUserData() {
		t.Error("boot2docker reads no seed")
	}
	if err := m.Open().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Create()
	if s := m.Status(); s.User != "docker" || s.Host != "192.168.56.101" {
		t.Errorf("%+v", s)
	}
	if images := m.Open().Images(); len(images) != 1 {
		t.Errorf("it boots from %v", images)
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestConversions makes disks of images in formats that VirtualBox converts, and
// loses each answer on the way.
func TestConversions(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		b := newBench(t, vboxsim.Config{})
		disk := filepath.Join(b.vars["HOME"], "disk.qcow2")
		vmtest.Write(t, disk, "QFI\xfb\x00\x00\x00\x03"+strings.Repeat("\x00", 1<<16), 0o600)
		m := b.machine("m1", b.with("image", disk))
		b.Observe(func(k int, done bool) error {
			if k == n && done {
				return errors.New("the answer was lost")
			}
			return nil
		})
		err := m.Open().Create(t.Context(), vmtest.Request())
		b.Observe(nil)
		if err != nil {
			m.Create()
		}
		if left := b.count(vboxsim.KindMedium); left != 2 {
			t.Errorf("answer %d lost: VirtualBox knows %v", n, b.ledger())
		}
		m.Remove()
		if left := b.ledger(); len(left) > 0 {
			t.Errorf("answer %d lost: left %v", n, left)
		}
		if err == nil {
			return
		}
	}
}

// TestForgetfulServer has VirtualBox's server end between a list and what follows.
func TestForgetfulServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	if err := b.Inject(sim.Fault{Action: "closemedium", Nth: 1, Mode: sim.Fail, Text: "The given path 'c68f2361-7984-488f-93a6-d09a1c67aedd' is not fully qualified"}); err != nil {
		t.Fatal(err)
	}
	m.Remove()
}
