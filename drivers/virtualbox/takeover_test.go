package virtualbox

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// dockerMachine makes a machine as docker-machine made it, and stored it.
func dockerMachine(t *testing.T, b *bench) *testMachine {
	t.Helper()
	m := b.machine("old", b.with())
	dir := m.Env.Dir
	record, err := json.Marshal(map[string]any{
		"IPAddress": "192.168.56.101", "MachineName": "old", "SSHUser": "docker", "SSHPort": 53507, "SSHKeyPath": filepath.Join(dir, "id_rsa"),
		"StorePath": filepath.Dir(filepath.Dir(dir)), "VBoxManager": struct{}{}, "HostInterfaces": struct{}{}, "CPU": 1, "Memory": 1024, "DiskSize": 20000,
		"NatNicType": "82540EM", "Boot2DockerURL": "", "HostOnlyCIDR": "192.168.56.1/24", "HostOnlyNicType": "82540EM", "HostOnlyPromiscMode": "deny",
		"UIType": "headless", "DNSProxy": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Config = record
	for _, file := range []string{"config.json", "id_rsa", "boot2docker.iso"} {
		vmtest.Write(t, filepath.Join(dir, file), strings.Repeat("\x00", 32769)+"CD001\x01"+strings.Repeat("\x00", 8192), 0o600)
	}
	raw, disk := filepath.Join(dir, "raw"), filepath.Join(dir, "disk.vmdk")
	vmtest.Write(t, raw, strings.Repeat("\x00", 1<<20), 0o600)
	b.manage("hostonlyif", "create")
	b.manage("hostonlyif", "ipconfig", "vboxnet0", "--ip", "192.168.56.1", "--netmask", "255.255.255.0")
	b.manage("dhcpserver", "add", "--interface", "vboxnet0", "--ip", "192.168.56.100", "--netmask", "255.255.255.0", "--lowerip", "192.168.56.101", "--upperip", "192.168.56.254", "--enable")
	b.manage("convertfromraw", raw, disk, "--format", "VDI") // which it was not, and all the same here
	b.manage("createvm", "--basefolder", dir, "--name", "old", "--register")
	b.manage("modifyvm", "old", "--nic1", "nat", "--nictype1", "82540EM", "--cableconnected1", "on", "--memory", "1024",
		"--natpf1", "ssh,tcp,127.0.0.1,53507,,22", "--nic2", "hostonly", "--nictype2", "82540EM", "--hostonlyadapter2", "vboxnet0", "--cableconnected2", "on")
	b.manage("storagectl", "old", "--name", "SATA", "--add", "sata", "--hostiocache", "on")
	b.manage("storageattach", "old", "--storagectl", "SATA", "--port", "0", "--device", "0", "--type", "dvddrive", "--medium", filepath.Join(dir, "boot2docker.iso"))
	b.manage("storageattach", "old", "--storagectl", "SATA", "--port", "1", "--device", "0", "--type", "hdd", "--medium", disk)
	return m
}

// TestDockerMachine has a machine of docker-machine go on: seen without a change, then
// started, stopped and removed with all that docker-machine made for it alone.
func TestDockerMachine(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := dockerMachine(t, b)
	b.manage("createvm", "--name", "old", "--basefolder", b.strangers(), "--register")
	if s := m.Status(); s.State != drivers.Stopped || m.State != nil {
		t.Errorf("%+v, saved %s", s, m.State)
	}
	if err := m.Open().Start(t.Context()); err != nil {
		t.Fatalf("%v (%s)", err, vmtest.HintOf(err))
	}
	want := drivers.Status{State: drivers.Running, Host: "192.168.56.101", SSHPort: 22, User: "docker"}
	if s := m.Status(); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	m.State = nil
	if s := m.Status(); s != want {
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
	for _, file := range []string{"disk.vmdk", "boot2docker.iso", "old"} {
		if _, err := os.Stat(filepath.Join(m.Env.Dir, file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, err := os.Stat(filepath.Join(m.Env.Dir, "config.json")); err != nil {
		t.Errorf("what is the store's: %v", err)
	}
	for kind, n := range map[string]int{vboxsim.KindMachine: 1, vboxsim.KindMedium: 0, vboxsim.KindAdapter: 1, vboxsim.KindDHCP: 1} {
		if b.count(kind) != n {
			t.Errorf("%d of %s in %v", b.count(kind), kind, b.ledger())
		}
	}
}

// TestDockerMachineGone removes what is left of a machine of docker-machine whose virtual
// machine was deleted by hand.
func TestDockerMachineGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, vboxsim.Config{})
	m := dockerMachine(t, b)
	b.manage("unregistervm", "old", "--delete")
	if _, err := m.Open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	vmtest.Refused(t, m.Open().Start(t.Context()), drivers.ErrNotFound, "of docker-machine, with the settings", "")
	m.Remove()
	if _, err := os.Stat(filepath.Join(m.Env.Dir, "boot2docker.iso")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
