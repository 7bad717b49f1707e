package vmwarevsphere

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// dockerMachine makes a virtual machine as docker-machine did, and records it.
func (c *cloud) dockerMachine(t *testing.T, name string, change map[string]any) *testMachine {
	t.Helper()
	m := newMachine(t, c, c.values, name)
	center, err := m.open().connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := center.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dc := tree.all(datacenters(), "")[0]
	pool := tree.all(pools(), "")[0]
	spec := types.VirtualMachineConfigSpec{
		Name: name, GuestId: "otherLinux64Guest", Files: &types.VirtualMachineFileInfo{VmPathName: "[" + vspheresim.Datastore + "]"}, NumCPUs: 1, MemoryMB: 1024,
	}
	task, err := object.NewFolder(center.client, dc.props.ref("vmFolder")).CreateVM(t.Context(), spec, object.NewResourcePool(center.client, pool.ref), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.WaitForResult(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{
		"IPAddress": "192.0.2.1", "MachineName": name, "SSHUser": "docker", "SSHPort": 22, "SSHKeyPath": "/s/machines/" + name + "/id_rsa", "StorePath": "/s",
		"Memory": 1024, "DiskSize": 20480, "CPU": 1, "ISO": "/s/machines/" + name + "/boot2docker.iso", "Boot2DockerURL": "", "CPUS": 0,
		"IP": u.Host, "Port": 443, "Username": vspheresim.Username, "Password": vspheresim.Password, "Network": "", "Networks": []string{vspheresim.Network},
		"Datastore": vspheresim.Datastore, "Datacenter": dc.name, "Folder": "", "Pool": "", "HostSystem": "", "CfgParams": []string{}, "CloudInit": "", "SSHPassword": "",
	}
	for k, v := range change {
		record[k] = v
	}
	if m.config, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	m.secrets = nil
	m.env.Getenv = func(name string) string { return map[string]string{"VSPHERE_THUMBPRINT": c.thumb}[name] }
	return m
}

func (m *testMachine) stateIs(want drivers.State) {
	m.t.Helper()
	s, err := m.open().Status(m.t.Context())
	if err != nil || s.State != want {
		m.t.Fatalf("it is %q (%v), want %s", s.State, err, want)
	}
}

// TestDockerMachine has a virtual machine of docker-machine go on: found where it was
// made, then by its UUID, started, stopped and removed.
func TestDockerMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := len(c.machines())
	m := c.dockerMachine(t, "old", nil)
	m.stateIs(drivers.Stopped)
	if m.state != nil || m.open().SeedsHostKey() {
		t.Errorf("saved %s", m.state)
	}
	if err := m.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.stateIs(drivers.Running)
	if m.open().state.Value.Token == "" || strings.Contains(string(m.state), vspheresim.Password) {
		t.Errorf("saved %s", m.state)
	}
	if err := m.open().Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.stateIs(drivers.Stopped)
	for range 2 {
		if err := m.open().Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := c.machines(); len(left) != before {
		t.Errorf("left %v", left)
	}
	fresh := c.dockerMachine(t, "new", nil)
	if err := fresh.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh.state = nil
	if err := fresh.open().Remove(t.Context()); err != nil || len(c.machines()) != before {
		t.Errorf("removed with the record alone: %v, %v", err, c.machines())
	}
}

// TestDockerMachineOfOthers does not touch a store's machine of the name, and does not
// forget one whose place it is not shown.
func TestDockerMachineOfOthers(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	m := c.dockerMachine(t, "old", map[string]any{"MachineName": "m1"})
	ours := newMachine(t, c, c.values, "m1")
	if err := ours.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	before := len(c.machines())
	if _, err := m.open().Status(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := m.open().Stop(t.Context()); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := m.open().Remove(t.Context()); err != nil || len(m.notes) != 1 || len(c.machines()) != before {
		t.Errorf("got %v, told %q, left %v", err, m.notes, c.machines())
	}
	for what, change := range map[string]map[string]any{"folder": {"Folder": "elsewhere"}, "datacenter": {"Datacenter": "elsewhere"}} {
		lost := c.dockerMachine(t, "lost-"+what, change)
		if err := lost.open().Remove(t.Context()); err == nil || errors.Is(err, drivers.ErrNotFound) || !strings.Contains(err.Error(), "elsewhere") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	m.env.Getenv = func(string) string { return "" }
	m.state = nil
	var hint *drivers.HintError
	if _, err := m.open().Status(t.Context()); err == nil || errors.Is(err, drivers.ErrNotFound) || !errors.As(err, &hint) || !strings.Contains(hint.Advice, "VSPHERE_THUMBPRINT in the environment") {
		t.Errorf("a certificate that nobody vouches for: got %v", err)
	}
}
