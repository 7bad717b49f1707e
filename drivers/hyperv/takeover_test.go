package hyperv

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// dockerMachine makes a machine as docker-machine made it, and stored it.
func dockerMachine(t *testing.T, b *bench) (m *tester, id string) {
	t.Helper()
	m = b.machine("old", b.with())
	dir := m.Env.Dir
	tool := must(m.Open().connect(t.Context()))
	record := map[string]any{
		"IPAddress": "", "MachineName": "old", "SSHUser": "docker", "SSHPort": 22, "SSHKeyPath": filepath.Join(dir, "id_rsa"), "StorePath": "/store",
		"Boot2DockerURL": "", "VSwitch": "Default Switch", "DiskSize": 20000, "MemSize": 1024, "CPU": 1, "MacAddr": "", "VLanID": 0, "DisableDynamicMemory": false,
	}
	m.Config = must(json.Marshal(record))
	for _, file := range []string{"config.json", "id_rsa", "boot2docker.iso"} {
		vmtest.Write(t, filepath.Join(dir, file), strings.Repeat("\x00", 32769)+"CD001\x01", 0o600)
	}
	disk := filepath.Join(dir, "disk.vhd")
	if err := tool.newFixedDisk(t.Context(), disk, 16*mebi); err != nil {
		t.Fatal(err)
	}
	id = must(tool.newMachine(t.Context(), newMachineArgs{Name: "old", Path: dir, Generation: 1, Memory: 1024 * mebi}))
	err := tool.configureMachine(t.Context(), configureArgs{
		ID: id, Generation: 1, Processors: 1, Memory: 1024 * mebi, LeastMemory: 512 * mebi, Disk: disk, DVD: filepath.Join(dir, "boot2docker.iso"),
		cable: cable{SwitchID: defaultSwitch, MAC: "00155D0A0B0C"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, id
}

// TestDockerMachine has a machine of docker-machine go on: seen without a change, then
// started, stopped and removed with all that docker-machine made for it alone.
func TestDockerMachine(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m, id := dockerMachine(t, b)
	if s := m.Status(); s.State != drivers.Stopped || m.State != nil {
		t.Errorf("%+v, saved %s", s, m.State)
	}
	if err := m.Open().Start(t.Context()); err != nil {
		t.Fatalf("%v (%s)", err, vmtest.HintOf(err))
	}
	now := m.Status()
	if now.State != drivers.Running || now.Host == "" || now.SSHPort != 22 || now.User != "docker" || saved(m).ID != strings.ToLower(id) {
		t.Errorf("%+v, %+v", now, saved(m))
	}
	m.State = nil
	if s := m.Status(); s != now {
		t.Errorf("before it is taken over: %+v", s)
	}
	if d := m.Open(); d.SeedsHostKey() {
		t.Error("docker-machine seeded no host key")
	}
	if err := m.Open().Stop(t.Context()); err != nil || m.Status().State != drivers.Stopped {
		t.Errorf("%v, %+v", err, m.Status())
	}
	if err := m.Open().Image(t.Context(), filepath.Join(t.TempDir(), "image")); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("image of boot2docker: %v", err)
	}
	m.Remove()
	if left := b.ledger(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	for _, file := range []string{"disk.vhd", "boot2docker.iso", "old"} {
		if _, err := os.Stat(filepath.Join(m.Env.Dir, file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := os.Stat(filepath.Join(m.Env.Dir, "config.json")); err != nil {
		t.Errorf("what is the store's: %v", err)
	}
}

// TestDockerMachineGone removes what is left of a machine of docker-machine whose virtual
// machine was deleted by hand, and touches none that has its name elsewhere.
func TestDockerMachineGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, hypervsim.Config{})
	m, id := dockerMachine(t, b)
	tool := must(m.Open().connect(t.Context()))
	if err := tool.do(t.Context(), opRemove, id); err != nil {
		t.Fatal(err)
	}
	must(tool.newMachine(t.Context(), newMachineArgs{Name: "old", Path: t.TempDir(), Generation: 1, Memory: 1024 * mebi}))
	if _, err := m.Open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	vmtest.Refused(t, m.Open().Start(t.Context()), drivers.ErrNotFound, "of docker-machine, in", "")
	m.Remove()
	if b.count(hypervsim.KindMachine) != 1 {
		t.Errorf("%v", b.ledger())
	}
	if _, err := os.Stat(filepath.Join(m.Env.Dir, "boot2docker.iso")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
