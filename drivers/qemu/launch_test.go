package qemu

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestPortsTaken chooses ports anew when somebody else was quicker, and does not
// when the port is one that the user named.
func TestPortsTaken(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.says = []string{
		"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:40001-:22'\n",
		"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:40002-:2376'\n",
	}
	b := fakeBench(t, h, drivers.Values{"qemu-publish": {"8080:80"}})
	b.must("create", b.create())
	if s := b.is(drivers.Running); s.SSHPort != 40003 || s.EnginePort != 40004 {
		t.Errorf("got %+v", s)
	}
	b.must("kill", b.open().Kill(t.Context()))
	h.says = []string{"qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'\n"}
	if err := b.open().Start(t.Context()); !errors.Is(err, drivers.ErrConflict) || advice(err) == "" {
		t.Errorf("got %v, want ErrConflict with advice", err)
	}
	b.is(drivers.Stopped)
}

// TestPortStolen moves to another port if a stopped machine's has gone to others.
func TestPortStolen(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	b := fakeBench(t, h, nil)
	b.must("create", b.create())
	b.must("stop", b.open().Stop(t.Context()))
	h.mu.Lock()
	h.stolen[40001] = true
	h.mu.Unlock()
	b.must("start", b.open().Start(t.Context()))
	if s := b.is(drivers.Running); s.SSHPort != 40003 || s.EnginePort != 40002 {
		t.Errorf("got %+v", s)
	}
}

// TestStartErrors shows QEMU's own words, and what they mean.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	for said, c := range map[string]struct {
		kind error
		want string
	}{
		"qemu-system-x86_64: warning: x\nqemu-system-x86_64: Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: failed to initialize kvm: Permission denied\n": {drivers.ErrPermission, "start QEMU: Could not access KVM kernel module: Permission denied; failed to initialize kvm: Permission denied"},
		"Could not access KVM kernel module: No such file or directory\nqemu-system-x86_64: failed to initialize kvm: No such file or directory\n":                                     {drivers.ErrUnsupported, "start QEMU: Could not access KVM kernel module: No such file or directory; failed to initialize kvm: No such file or directory"},
		"qemu-system-x86_64: -drive if=none,id=disk,file=disk.qcow2: Failed to get \"write\" lock\nIs another process using the image [disk.qcow2]?\n":                                 {drivers.ErrInUse, "start QEMU: -drive if=none,id=disk,file=disk.qcow2: Failed to get \"write\" lock; Is another process using the image [disk.qcow2]?"},
		"qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory\n":                                                                                            {drivers.ErrCapacity, "start QEMU: cannot set up guest memory 'pc.ram': Cannot allocate memory"},
		"qemu-system-x86_64: -drive x: Could not open backing file: Could not open '/c/disk.qcow2': No such file or directory\n":                                                       {drivers.ErrNotFound, "start QEMU: -drive x: Could not open backing file: Could not open '/c/disk.qcow2': No such file or directory"},
		"failed to parse default acl file `/etc/qemu/bridge.conf'\nqemu-system-x86_64: bridge helper failed\n":                                                                         {drivers.ErrPermission, "start QEMU: failed to parse default acl file `/etc/qemu/bridge.conf'; bridge helper failed"},
		"qemu-system-x86_64: unable to find CPU model 'x'\n":                                                                                                                           {drivers.ErrOption, "start QEMU: unable to find CPU model 'x'"},
		"qemu-kvm: -netdev user,id=nat: network backend 'user' is not compiled into this binary\n":                                                                                     {drivers.ErrUnsupported, "start QEMU: -netdev user,id=nat: network backend 'user' is not compiled into this binary"},
		"qemu-system-x86_64: something new\n": {nil, "start QEMU: something new"},
		"\n":                                  {nil, "start QEMU: it ended and said nothing"},
	} {
		h := newFakeHost()
		h.says = []string{said}
		err := fakeBench(t, h, nil).create()
		if err == nil || err.Error() != c.want || c.kind != nil && (!errors.Is(err, c.kind) || advice(err) == "") {
			t.Errorf("%q: got %v, want %v: %s", said, err, c.kind, c.want)
		}
	}
}
