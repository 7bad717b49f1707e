package lifecycle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/cmd/internal/agefile"
	"github.com/hostsmith/machine/cmd/internal/swarmfile"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
	"github.com/hostsmith/machine/swarmboot"
)

// copySwarm stops the engine, writes what its folder would be, and starts it again.
func (h *host) copySwarm(stdout io.Writer) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop()
	defer h.start()
	if h.abrupt {
		h.abrupt = false
		_, _ = io.WriteString(stdout, "half of it")
		return sshtest.Silent
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range []string{"certificates/swarm-node.key", "certificates/swarm-node.crt", "raft/wal-v3-encrypted/0000000000000000-0000000000000000.wal"} {
		data := []byte(h.name + " " + name)
		_ = w.WriteHeader(&tar.Header{Name: "swarm/" + name, Mode: 0o600, Size: int64(len(data))})
		_, _ = w.Write(data)
	}
	_, _ = w.Close(), z.Close()
	_, _ = stdout.Write(b.Bytes())
	return 0
}

func TestSwarmBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "w1")
	w.swarm([]string{"m1", "m2", "m3"}, []string{"w1"})
	path := filepath.Join(t.TempDir(), "prod.age")
	req := BackupRequest{File: path, Passphrase: "correct horse"}
	m := w.manager()
	plain := req
	plain.DryRun = true
	if _, plan, err := m.SwarmBackup(t.Context(), plain); err != nil || len(plan) != 1 || plan[0].Machine != "m2" {
		t.Errorf("got %+v, %v", plan, err)
	}
	got, _, err := m.SwarmBackup(t.Context(), req)
	if err != nil || got.Machine != "m2" {
		t.Fatalf("got %+v, %v", got, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || int64(len(data)) != got.Bytes {
		t.Fatal(len(data), got.Bytes, err)
	}
	b, err := swarmfile.Verify(bytes.NewReader(data), swarmfile.Identities{Passphrase: req.Passphrase})
	if err != nil || b.Manifest.ID != w.status("m1").ID || b.Manifest.Members["w1"] != "worker" || b.Manifest.Machine != "m2" ||
		b.Manifest.Advertise != w.record("m2").Address.Peer+":2377" {
		t.Errorf("got %+v, %v", b, err)
	}
	if st := w.status("m1"); st.Reachable != 3 {
		t.Errorf("status %+v", st)
	}
	if _, _, err := m.SwarmBackup(t.Context(), req); !errors.Is(err, ErrFileExists) {
		t.Errorf("again: %v", err)
	}
	// The connection breaks: nothing is left in the place of the file, and the manager is back.
	w.hosts["m2"].set(func(h *host) { h.abrupt = true })
	req.File = filepath.Join(t.TempDir(), "other.age")
	if _, _, err := m.SwarmBackup(t.Context(), req); err == nil {
		t.Error("half a backup is one")
	}
	if left, _ := os.ReadDir(filepath.Dir(req.File)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if st := w.status("m1"); st.Reachable != 3 {
		t.Errorf("status %+v", st)
	}
	// With a manager down, another one cannot be spared.
	w.hosts["m3"].setEngine(false)
	if _, _, err := m.SwarmBackup(t.Context(), req); !errors.Is(err, swarmboot.ErrQuorum) || !strings.Contains(err.Error(), "1 of 3 managers") {
		t.Errorf("got %v", err)
	}
	req.Recipients = []string{"age1nonsense"}
	if _, _, err := m.SwarmBackup(t.Context(), req); !errors.Is(err, agefile.ErrKeys) {
		t.Errorf("got %v", err)
	}
}

func TestSwarmBackupOfTheOnlyManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.swarm([]string{"m1"}, nil)
	var out bytes.Buffer
	got, _, err := w.manager().SwarmBackup(t.Context(), BackupRequest{File: "-", Out: &out, Passphrase: "p"})
	if err != nil || got.Machine != "m1" || int64(out.Len()) != got.Bytes {
		t.Errorf("got %+v, %v", got, err)
	}
}
