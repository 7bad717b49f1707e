// Package vmtest has what tests of drivers of local hypervisors do alike: a machine
// as a store would hold it, what it gets at birth, and deeds of processes that may be
// killed.
package vmtest

import (
	"context"
	_ "embed" // for a host key
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// StoreID is the store of machines of tests.
const StoreID = "0123456789abcdef"

//go:embed testdata/host_key
var hostKey []byte

// Request is what a machine gets at birth.
func Request() drivers.CreateRequest {
	return drivers.CreateRequest{
		AuthorizedKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1b4Y9cQ8h0hJ5Jq1yQx1Hd0aX6mS5pJtYp3b9m0zZk test",
		HostKey:       hostKey[:len(hostKey):len(hostKey)],
		OpenPorts:     []drivers.Port{{Number: 2376, Protocol: "tcp"}},
	}
}

// Write writes a file, and makes its folder.
func Write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// RawImage returns an image in a folder, of 1 MiB and with a boot sector, which it
// makes unless it is there.
func RawImage(t testing.TB, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "disk.raw")
	if _, err := os.Stat(path); err != nil {
		Write(t, path, strings.Repeat("\x00", 510)+"\x55\xaa"+strings.Repeat("\x00", 1<<20-512), 0o644)
	}
	return path
}

// With returns options of a driver and more of them, in pairs of a name without the
// driver's and a value.
func With(driver string, values drivers.Values, pairs ...string) drivers.Values {
	all := maps.Clone(values)
	for i := 0; i+1 < len(pairs); i += 2 {
		all[driver+"-"+pairs[i]] = []string{pairs[i+1]}
	}
	return all
}

// HintOf returns the advice of an error.
func HintOf(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	return ""
}

// Refused demands an error of a kind, with words and advice.
func Refused(t testing.TB, err, kind error, words, advice string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), words) || !strings.Contains(HintOf(err), advice) {
		t.Errorf("got %v (advice: %s), want %v with %q and advice with %q", err, HintOf(err), kind, words, advice)
	}
}

// Machine is what a store would hold of a machine. D is the driver's own type.
type Machine[D drivers.Driver] struct {
	T       testing.TB
	Factory drivers.Factory
	Config  json.RawMessage
	State   json.RawMessage
	Env     drivers.Env
	Notes   []string
	Log     strings.Builder
}

// NewMachine configures a machine. Its folder is in one of the test.
func NewMachine[D drivers.Driver](t testing.TB, f drivers.Factory, name string, env drivers.Env, values drivers.Values) *Machine[D] {
	t.Helper()
	m := &Machine[D]{T: t, Factory: f, Env: env}
	var err error
	if m.Config, _, err = f.Configure(values); err != nil {
		t.Fatal(err)
	}
	m.Env.Machine, m.Env.StoreID, m.Env.Creator, m.Env.Dir = name, StoreID, "machine/1.0", filepath.Join(t.TempDir(), name)
	m.Env.Log = slog.New(slog.NewTextHandler(&m.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m.Env.Note = func(_ context.Context, text string) { m.Notes = append(m.Notes, text) }
	if err := os.MkdirAll(m.Env.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return m
}

// Open opens the machine as a command does.
func (m *Machine[D]) Open() D {
	m.T.Helper()
	d, err := m.Factory.Open(m.Config, nil, m.State, func(state json.RawMessage) error {
		m.State = state
		return nil
	}, m.Env)
	if err != nil {
		m.T.Fatal(err)
	}
	return d.(D)
}

// Create creates the machine.
func (m *Machine[D]) Create() {
	m.T.Helper()
	if err := m.Open().Create(m.T.Context(), Request()); err != nil {
		m.T.Fatalf("%v (%s)", err, HintOf(err))
	}
}

// Remove removes the machine.
func (m *Machine[D]) Remove() {
	m.T.Helper()
	if err := m.Open().Remove(m.T.Context()); err != nil {
		m.T.Fatalf("%v (%s)", err, HintOf(err))
	}
}

// Status returns the machine's.
func (m *Machine[D]) Status() drivers.Status {
	m.T.Helper()
	s, err := m.Open().Status(m.T.Context())
	if err != nil {
		m.T.Fatal(err)
	}
	return s
}

// Read reads the machine's state.
func (m *Machine[D]) Read(state any) {
	m.T.Helper()
	if err := json.Unmarshal(m.State, state); err != nil {
		m.T.Fatal(err)
	}
}

// Noted tells whether a note with some words was given.
func (m *Machine[D]) Noted(words string) bool {
	return strings.Contains(strings.Join(m.Notes, "\n"), words)
}
