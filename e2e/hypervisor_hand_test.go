package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// hand is somebody who changes a virtual machine behind machine's back.
type hand struct {
	f  *fleet
	c  *cloud
	p  provider
	id string // of the virtual machine
}

func (f *fleet) hand(c *cloud, p provider) hand {
	f.t.Helper()
	for _, r := range c.ledger() {
		if r.Kind == p.instance {
			return hand{f, c, p, r.ID}
		}
	}
	f.t.Fatal("There is no virtual machine")
	return hand{}
}

// does uses VBoxManage, with the words after the machine, or Hyper-V Manager, which
// sets one thing.
func (h hand) does(virtualbox, hyperv string) {
	h.f.t.Helper()
	if h.p.name == "hyperv" {
		what, value, _ := strings.Cut(hyperv, " ")
		h.c.ask("POST", "/set", map[string]string{what + ":" + h.id: value}, nil)
		return
	}
	dir, err := programs()
	if err != nil {
		h.f.t.Fatal(err)
	}
	words := strings.Fields(virtualbox)
	cmd := exec.CommandContext(h.f.t.Context(), dir+"/VBoxManage", append([]string{words[0], h.id}, words[1:]...)...)
	cmd.Env = append(os.Environ(), h.f.extra...)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.f.t.Fatalf("VBoxManage %s: %v: %s", virtualbox, err, out)
	}
}

// TestHypervisorByHand has somebody change the virtual machine of a machine. Each
// change has its own message, and rm removes all in the end.
func TestHypervisorByHand(t *testing.T) {
	onEachHypervisor(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "memory")
		m := f.name("m")
		if err := f.atProvider(p, m); err != nil {
			t.Fatal(err)
		}
		h := f.hand(c, p)
		is := func(want string) {
			t.Helper()
			if got := f.ok("status", m); got != want {
				t.Errorf("status: got %q, want %q", got, want)
			}
		}
		is("Running")
		h.does("controlvm pause", "state Paused")
		is("Paused")
		h.does("controlvm poweroff", "state Off")
		is("Stopped")

		h.does("modifyvm --name another", "name another")
		is("Stopped")
		killed, r := f.until(func() bool { return f.run("status", m).stdout == "Running\n" }, "start", m)
		if !killed || !strings.Contains(r.stderr, `was renamed to "another"`) {
			t.Errorf("renamed: %s", r)
		}
		h.does("controlvm poweroff", "state Off")

		if p.name == "virtualbox" {
			c.inject(spoil{Action: "startvm", Nth: 1, Times: -1, Mode: "fail", Text: "The machine 'another' is already locked by a session (or being locked or unlocked)"})
			if r := f.run("start", m); r.code == 0 || !strings.Contains(r.stderr, "already locked by a session") || !strings.Contains(r.stderr, "close its window") {
				t.Errorf("locked: %s", r)
			}
			c.clear()
		}

		h.does("modifyvm --nic2 null", "mac 020000000001")
		if r := f.run("start", m); r.code == 0 || !strings.Contains(r.stderr, "edited by hand") {
			t.Errorf("edited: %s", r)
		}
		is("Stopped")
		if p.name == "virtualbox" {
			c.inject(spoil{Action: "unregistervm", Nth: 1, Mode: "fail", Text: "Cannot unregister the machine 'another' while it is locked"})
		}
		f.ok("rm", "-y", m)
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	})
}

// TestHypervisorList lists 50 machines, with few calls for all of them.
func TestHypervisorList(t *testing.T) {
	onEachHypervisor(t, func(t *testing.T, p provider) {
		if p.name == "hyperv" {
			p.config = `{"Memory": 1099511627776}`
		}
		c, f := newCloudFleet(t, p, "memory")
		const n = 50
		names := make([]string, n)
		for i := range names {
			names[i] = f.name(fmt.Sprint(i))
		}
		made := func() bool {
			for _, m := range names {
				if f.phase(m) != "created" {
					return false
				}
			}
			return true
		}
		if killed, r := f.until(made, p.create(append([]string{"--parallel", fmt.Sprint(n)}, names...)...)...); !killed {
			t.Fatal(r)
		}
		what, most := "", 3
		if p.name == "hyperv" {
			what, most = "PowerShell", 1
		}
		before := c.callsOf(what)
		r := f.run("ls", "--timeout", "3")
		calls := c.callsOf(what) - before
		t.Logf("ls of %d machines took %s and %d calls", n, r.took, calls)
		if got := strings.Count(r.stdout, "Running"); r.code != 0 || got != n || calls < 1 || calls > most {
			t.Errorf("ls of %d machines: %d run, %d calls\n%s", n, got, calls, r)
		}
		f.ok(append([]string{"rm", "-y", "--parallel", fmt.Sprint(n)}, names...)...)
	})
}

// TestHypervisorImage has downloads that break, that are not what they should be, and
// that two commands want at once.
func TestHypervisorImage(t *testing.T) {
	onEachHypervisor(t, func(t *testing.T, p provider) {
		c, f := newCloudFleet(t, p, "memory")
		wrong := newDepot(t, append([]byte(nil), append(p.image, 0)...))
		f.image(p, wrong.URL+"/disk", newDepot(t, p.image).sum)
		a, b := f.name("a"), f.name("b")
		if r := f.run(p.create(a)...); r.code == 0 || !strings.Contains(r.stderr, "checksum") || !strings.Contains(r.stderr, wrong.URL) {
			t.Errorf("another content: %s", r)
		}
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("of a wrong image there is %v", left)
		}
		f.ok("rm", "-y", a)

		good := newDepot(t, p.image)
		good.cut.Store(int64(len(p.image) / 2))
		f.image(p, good.URL+"/disk", good.sum)
		done := make(chan error, 2)
		for _, m := range []string{a, b} {
			go func() {
				killed, r := f.until(func() bool { return f.phase(m) == "created" }, p.create("--debug", m)...)
				switch {
				case !killed:
					done <- errors.New(r.String())
				case strings.Contains(r.String(), "PRIVATE KEY") || !strings.Contains(r.stderr, map[string]string{"virtualbox": "VBoxManage", "hyperv": "PowerShell"}[p.name]):
					done <- fmt.Errorf("what --debug shows has a key, or no calls: %s", r)
				default:
					done <- nil
				}
			}()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		if got := good.fetched.Load(); got != int64(len(p.image)) {
			t.Errorf("Fetched %d bytes of an image of %d", got, len(p.image))
		}
		f.ok("rm", "-y", a, b)
		if left := c.ledger(); len(left) > 0 {
			t.Errorf("rm left %v", left)
		}
	})
}
