package hyperv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/host"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func TestLife(t *testing.T) {
	t.Parallel()
	hosts := host.NewMemory()
	b := newBench(t, hypervsim.Config{Hosts: hosts})
	m := b.machine("m1", b.with())
	m.Create()
	s := m.Status()
	want := drivers.Status{State: drivers.Running, Host: "10.77.0.20", SSHPort: 22, User: "machine"}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	st := saved(m)
	spec, ok := hosts.Spec(st.ID)
	if !ok || spec.Private.String() != "10.77.0.20" || spec.Hostname != "m1" || !strings.Contains(string(spec.UserData), "ssh_keys") {
		t.Errorf("the guest got %+v", spec)
	}
	if err := m.Open().Stop(t.Context()); err != nil || m.Status().State != drivers.Stopped {
		t.Errorf("stop: %v", err)
	}
	if err := m.Open().Start(t.Context()); err != nil || m.Status() != want {
		t.Errorf("start: %v, %+v", err, m.Status())
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := os.Stat(st.Folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the machine's folder is there: %v", err)
	}
	if b.starts != 1 {
		t.Errorf("PowerShell was started %d times", b.starts)
	}
}

// TestListOfFifty demands that the states of fifty machines are one request to one
// PowerShell.
func TestListOfFifty(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.Create()
	before := must(b.Calls())
	starts := b.starts
	f := factory(b.world)
	var g sync.WaitGroup
	for range 50 {
		g.Go(func() {
			d, err := f.Open(m.Config, nil, m.State, nil, m.Env)
			if err == nil {
				_, err = d.Status(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if n := len(must(b.Calls())) - len(before); n > 2 {
		t.Errorf("%d requests for 50 states", n) // one, unless this computer took a nap between two
	}
	if n := b.starts - starts; n != 1 {
		t.Errorf("PowerShell was started %d times", n)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg           hypervsim.Config
		kind          error
		words, advice string
	}{
		"no module":     {hypervsim.Config{NoModule: true}, drivers.ErrUnreachable, "module is not installed", "Enable-WindowsOptionalFeature"},
		"no rights":     {hypervsim.Config{NoRights: true}, drivers.ErrPermission, "no administrator", "S-1-5-32-578"},
		"stopped":       {hypervsim.Config{Stopped: true}, drivers.ErrUnreachable, "vmms is Stopped", "Start-Service vmms"},
		"no hypervisor": {hypervsim.Config{NoHypervisor: true}, drivers.ErrUnsupported, "hypervisor is not running", "hypervisorlaunchtype"},
		"server":        {hypervsim.Config{Server: true}, drivers.ErrNotFound, "find the Default Switch", "--hyperv-nat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.cfg)
			m := b.machine("m1", b.with())
			if c.cfg.NoRights {
				b.by("probe", "{}", nil)
			}
			vmtest.Refused(t, m.Open().Check(t.Context()), c.kind, c.words, c.advice)
			err := m.Open().Create(t.Context(), vmtest.Request())
			if !errors.Is(err, c.kind) || vmtest.HintOf(err) == "" {
				t.Errorf("create: %v (%s)", err, vmtest.HintOf(err))
			}
			if name != "server" && name != "no hypervisor" {
				// What cannot be asked is not gone.
				m.State = []byte(`{"id":"x","folder":"` + m.Env.Dir + `/hyperv","name":"m1"}`)
				if err := m.Open().Remove(t.Context()); err == nil || errors.Is(err, drivers.ErrNotFound) {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	b := newBench(t, hypervsim.Config{Memory: 3 << 30})
	m, n := b.machine("m1", b.with()), b.machine("m2", b.with())
	m.Create()
	vmtest.Refused(t, n.Open().Create(t.Context(), vmtest.Request()), drivers.ErrCapacity, "Not enough memory in the system", "--hyperv-memory")
}

func TestNameTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	if err := b.by("newMachine", `{"name":"M1","path":"`+b.home+`","generation":2,"memory":1073741824,"notes":""}`, nil); err != nil {
		t.Fatal(err)
	}
	m := b.machine("m1", b.with())
	vmtest.Refused(t, m.Open().Check(t.Context()), drivers.ErrConflict, "Hyper-V has a virtual machine M1 already", "another name")
	vmtest.Refused(t, m.Open().Create(t.Context(), vmtest.Request()), drivers.ErrConflict, "Hyper-V has a virtual machine M1 already", "another name")
	m.Remove()
	if b.count(hypervsim.KindMachine) != 1 {
		t.Error("what is not ours is gone")
	}
	mac := b.machine("m2", b.with("static-macaddress", "00-00-5d-00-00-01"))
	mac.Create()
	other := b.machine("m3", b.with("static-macaddress", "00:00:5D:00:00:01"))
	vmtest.Refused(t, other.Open().Check(t.Context()), drivers.ErrConflict, "virtual machine m2 has it", "")
	vmtest.Refused(t, other.Open().Create(t.Context(), vmtest.Request()), drivers.ErrConflict, "virtual machine m2 has it", "")
}

// TestNastyFolder keeps machines in a folder whose name would be something else in a
// script.
func TestNastyFolder(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m := b.machine("m1", b.with())
	m.Env.Dir = filepath.Join(t.TempDir(), strings.ReplaceAll(nasty, "/", ""))
	if err := os.MkdirAll(m.Env.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.Create()
	if got := m.Status().State; got != drivers.Running {
		t.Error(got)
	}
	m.Remove()
	if left := must(os.ReadDir(m.Env.Dir)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestLinux is about Windows's Subsystem for Linux.
func TestLinux(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.vars["WSL_DISTRO_NAME"] = "Debian"
	drive := filepath.Join(t.TempDir(), "c")
	vmtest.Write(t, filepath.Join(drive, "Users", "Jürgen B", "x"), "", 0o600)
	b.world.run = func(_ context.Context, program string, args ...string) (string, error) {
		switch path := args[1]; {
		case program != "wslpath":
			return "", errors.New(program)
		case args[0] == "-u":
			return "/mnt/c" + strings.ReplaceAll(strings.TrimPrefix(path, "C:"), `\`, "/") + "\n", nil
		case strings.HasPrefix(path, drive):
			return `C:` + strings.ReplaceAll(strings.TrimPrefix(path, drive), "/", `\`) + "\r\n", nil
		default:
			return `\\wsl.localhost\Debian` + strings.ReplaceAll(path, "/", `\`) + "\n", nil
		}
	}
	d := b.machine("m1", b.with()).Open()
	vmtest.Refused(t, d.Check(t.Context()), drivers.ErrUnsupported, "lies in a file system of Linux", "--storage-path /mnt/c/")
	got := must(d.windowsPath(t.Context(), filepath.Join(drive, "Users", "Jürgen B", ".docker", "disk.vhdx"))) // not there yet
	if want := `C:\Users\Jürgen B\.docker\disk.vhdx`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := d.below(`C:\Users\Jürgen B\.docker`, "disk.vhdx"); got != `C:\Users\Jürgen B\.docker\disk.vhdx` {
		t.Errorf("got %s", got)
	}
	if got := must(d.ownPath(t.Context(), `C:\Users\x`)); got != "/mnt/c/Users/x" {
		t.Errorf("got %s", got)
	}
	if !inFolder(`c:\users\JÜRGEN B\.docker\m1`, `C:\Users\Jürgen B\.docker`) || inFolder(`C:\x\m10`, `C:\x\m1`) {
		t.Error("paths are not compared as Windows does")
	}
}

func TestNoWindows(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	b.vars["PATH"] = "/nonexistent"
	vmtest.Refused(t, b.machine("m1", b.with()).Open().Check(t.Context()), drivers.ErrUnreachable, "Hyper-V is a part of Windows", "-d qemu")
	b.world.os = "windows"
	vmtest.Refused(t, b.machine("m1", b.with()).Open().Check(t.Context()), drivers.ErrUnreachable, "find powershell.exe", "System32")
}
