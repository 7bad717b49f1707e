package qemu

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest"
)

// foreignUUID is a virtual machine's that is not ours.
const foreignUUID = "00000000-0000-4000-8000-000000000000"

// testImage is what passes for an image.
func testImage(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	image := make([]byte, 512)
	copy(image, "QFI\xfb\x00\x00\x00\x03")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyPair returns a public key as a line, and the private one in PEM.
func keyPair(t testing.TB) (line string, private []byte) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p))), pem.EncodeToMemory(block)
}

func request(t testing.TB) drivers.CreateRequest {
	t.Helper()
	line, _ := keyPair(t)
	_, host := keyPair(t)
	return drivers.CreateRequest{
		AuthorizedKey: line, HostKey: host,
		OpenPorts: []drivers.Port{{Number: 2376, Protocol: "tcp"}, {Number: 2377, Protocol: "tcp", Peers: true}},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host   func(*fakeHost)
		values drivers.Values
	}{
		"usual":                      {},
		"meagre host":                {host: func(h *fakeHost) { h.probe = answer{exit: 1} }, values: drivers.Values{"qemu-network": {"none"}, "qemu-firmware": {"bios"}}},
		"stubborn guest on a bridge": {host: func(h *fakeHost) { h.stubborn = true }, values: drivers.Values{"qemu-network": {"bridge"}, "qemu-network-bridge": {"br7"}, "qemu-stop-timeout": {"0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drivertest.Run(t, drivertest.Harness{New: func(t testing.TB) drivertest.World {
				h := newFakeHost()
				if c.host != nil {
					c.host(h)
				}
				return fakeWorld(t, h, c.values)
			}})
		})
	}
}

func fakeWorld(t testing.TB, h *fakeHost, more drivers.Values) drivertest.World {
	cache := t.TempDir()
	values := drivers.Values{"qemu-image": {testImage(t)}, "qemu-stop-timeout": {"5"}}
	for k, v := range more {
		values[k] = v
	}
	return drivertest.World{
		Factory: factory(h.world()),
		Values:  values,
		Env:     drivers.Env{Cache: cache},
		Request: request(t),
		Bad: map[string][]string{
			"qemu-cpu-count":       {"0"},
			"qemu-memory":          {"64"},
			"qemu-image":           {""},
			"qemu-ssh-user":        {"root"},
			"qemu-initrd":          {"/boot/initrd"},
			"qemu-append":          {"quiet"},
			"qemu-lan-subnet":      {"10.0.0.0/30"},
			"qemu-nat-subnet":      {"192.168.86.128/25"},
			"qemu-network-address": {"fe80::1"},
			"qemu-publish":         {"80"},
			"qemu-binary":          {"./qemu-system-x86_64"},
		},
		Refused: map[string]drivers.Values{
			"no such QEMU":    {"qemu-binary": {"qemu-system-mips"}},
			"no QEMU":         {"qemu-binary": {"/usr/bin/other"}},
			"no such image":   {"qemu-image": {"debain-12"}},
			"too much memory": {"qemu-memory": {"99999"}},
			"hvf":             {"qemu-accel": {"hvf"}},
			"vmnet":           {"qemu-network": {"vmnet-shared"}, "qemu-network-address": nil},
			"no bridge":       {"qemu-network": {"bridge"}, "qemu-network-bridge": {"br9"}},
			"no kernel":       {"qemu-kernel": {"/nonexistent/vmlinuz"}},
			"port":            {"qemu-publish": {"1:1"}},
		},
		Spoil:     map[string]any{"Image": "gone", "Memory": -1, "Binary": "gone", "LANSubnet": "x", "NATSubnet": "y", "Publish": []string{"?"}, "Network": "x", "Arch": "mips"},
		Resources: func(context.Context) ([]string, error) { return h.resources(cache) },
		Foreign:   func(context.Context) ([]string, error) { return h.foreign(cache) },
		Vanish:    func(_ context.Context, resource string) error { return h.vanish(cache, resource) },
		Plant:     func(_ context.Context, machine string) error { return h.plant(cache, machine) },
		Observe:   h.observe,
	}
}

func readRegister(cache string) (register, error) {
	all := register{}
	data, err := os.ReadFile(filepath.Join(cache, Name, "machines.json"))
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(data, &all)
}

func writeRegister(cache string, all register) error {
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Join(cache, Name), 0o700), os.WriteFile(filepath.Join(cache, Name, "machines.json"), data, 0o600))
}

func (h *fakeHost) resources(cache string) (all []string, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, q := range h.procs {
		if q.alive && q.uuid != foreignUUID {
			all = append(all, "process/"+q.uuid)
		}
	}
	for dir := range h.dirs {
		for _, name := range files() {
			switch name {
			case pidFile, socketFile, logFile, consoleFile, lockFile: // they come and go with the process
				continue
			}
			if isFile(filepath.Join(dir, name)) {
				all = append(all, name+"/"+dir)
			}
		}
	}
	given, err := readRegister(cache)
	for uuid := range given {
		if uuid != foreignUUID {
			all = append(all, "entry/"+uuid)
		}
	}
	return all, err
}

func (h *fakeHost) foreign(cache string) (all []string, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, q := range h.procs {
		if q.uuid == foreignUUID {
			all = append(all, fmt.Sprintf("process %d %v %q", pid, q.alive, q.orders))
		}
	}
	theirs, err := os.ReadDir(filepath.Join(cache, "theirs"))
	for _, e := range theirs {
		all = append(all, e.Name())
	}
	return all, err
}

func (h *fakeHost) vanish(cache, resource string) error {
	kind, id, _ := strings.Cut(resource, "/")
	switch kind {
	case "process":
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, q := range h.procs {
			if q.alive && q.uuid == id {
				q.end()
			}
		}
		return nil
	case "entry":
		given, err := readRegister(cache)
		delete(given, id)
		return errors.Join(err, writeRegister(cache, given))
	}
	return os.Remove(filepath.Join("/", id, kind))
}

// plant has a virtual machine there that somebody else runs under the machine's name.
func (h *fakeHost) plant(cache, machine string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := filepath.Join(cache, "theirs")
	h.procs[7] = &fakeQEMU{host: h, pid: 7, uuid: foreignUUID, dir: dir, alive: true, done: make(chan struct{}), args: []string{"-name", "guest=" + machine}}
	return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, diskFile), nil, 0o600))
}
