package localvm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

func TestNames(t *testing.T) {
	t.Parallel()
	if id := localvm.NewUUID(); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) || id == localvm.NewUUID() {
		t.Errorf("UUID %q", id)
	}
	if mac := localvm.NewMAC("080027"); !regexp.MustCompile(`^080027[0-9A-F]{6}$`).MatchString(mac) || mac == localvm.NewMAC("080027") {
		t.Errorf("MAC address %q", mac)
	}
	if got := localvm.Colons("080027AABBCC"); got != "08:00:27:aa:bb:cc" {
		t.Error(got)
	}
	for network, want := range map[string]string{
		"192.168.56.1/24": "192.168.56.255", "10.9.0.1/16": "10.9.255.255", "10.0.0.9/29": "10.0.0.15", "10.1.2.3/32": "10.1.2.3", "0.0.0.0/0": "255.255.255.255",
	} {
		if got := localvm.LastOf(netip.MustParsePrefix(network)); got.String() != want {
			t.Errorf("%s: %s", network, got)
		}
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	text := localvm.Marks(localvm.MarkStore, "01ab", localvm.MarkName, "m 1=ü&x", localvm.MarkIP, "")
	if strings.Contains(text, localvm.MarkIP) || strings.Count(text, " ") != 1 {
		t.Errorf("marks are %q", text)
	}
	got := localvm.ParseMarks("my notes, k=v\n" + text + "\nmachine-bad=%zz machine-alone")
	if len(got) != 2 || got[localvm.MarkStore] != "01ab" || got[localvm.MarkName] != "m 1=ü&x" {
		t.Errorf("got %v", got)
	}
}

func TestCopyDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("content"), 0o444); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := localvm.CopyDisk(ended, from, to); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if left, err := filepath.Glob(to + "*"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := localvm.CopyDisk(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(to)
	if data, rerr := os.ReadFile(to); err != nil || rerr != nil || string(data) != "content" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v", data, err, rerr)
	}
}

func TestBoot2Docker(t *testing.T) {
	t.Parallel()
	var disk bytes.Buffer
	if err := localvm.WriteBoot2Docker(&disk, "ssh-ed25519 AAAA"); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(disk.Bytes(), []byte("boot2docker, please format-me\x00")) || bytes.Count(disk.Bytes(), []byte("ssh-ed25519 AAAA\n")) != 2 {
		t.Errorf("the disk begins with %q", disk.Bytes()[:100])
	}
}

func TestUserData(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "own"), []byte("#cloud-config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := drivers.Env{Getenv: func(string) string { return home }}
	for _, c := range []struct {
		path, requested, want string
		refused               bool
	}{
		{"", "", "", false},
		{"", "asked", "asked", false},
		{"~/own", "", "#cloud-config\n", false},
		{filepath.Join(home, "own"), "asked", "", true},
		{filepath.Join(home, "none"), "", "", true},
	} {
		var requested []byte
		if c.requested != "" {
			requested = []byte(c.requested)
		}
		got, err := localvm.UserData(env, "x-userdata", c.path, requested)
		if string(got) != c.want || errors.Is(err, drivers.ErrOption) != c.refused {
			t.Errorf("%q and %q: %q, %v", c.path, c.requested, got, err)
		}
	}
}

func TestRemoveFiles(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "machine")
	mine, theirs := filepath.Join(folder, "mine"), filepath.Join(folder, "theirs")
	for _, dir := range []string{mine, theirs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := localvm.RemoveFiles(folder, "m1", mine, filepath.Join(folder, "never was")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.Remove(theirs), localvm.RemoveFiles(folder, "m1", mine)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}

type state struct{ Name, Address string }

// TestTakingOver gives machines of docker-machine a state, and leaves others theirs.
func TestTakingOver(t *testing.T) {
	t.Parallel()
	type config struct {
		Memory int `option:"memory" help:"memory"`
	}
	f := localvm.TakingOver[config](drivers.Define("toy", "a toy", func() config { return config{Memory: 7} },
		func(_ config, s *drivers.Durable[state], _ drivers.Env) (drivers.Driver, error) {
			return nil, errors.New(s.Value.Name + " at " + s.Value.Address)
		}), func(p localvm.Predecessor) state { return state{p.MachineName, p.IPAddress} })
	const theirs = `{"MachineName": "m1", "StorePath": "/store", "IPAddress": "192.0.2.7", "Memory": 1024}`
	for _, c := range []struct{ config, state, want string }{
		{theirs, "", "m1 at 192.0.2.7"},
		{theirs, "null", "m1 at 192.0.2.7"},
		{theirs, `{"Name": "known", "Address": "here"}`, "known at here"},
		{`{"Memory": 1024}`, "", " at "},
		{`{"MachineName": "m1", "IPAddress": 7}`, "", "m1 at "},
	} {
		_, err := f.Open(json.RawMessage(c.config), nil, json.RawMessage(c.state), nil, drivers.Env{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s, %s: %v, want %q", c.config, c.state, err, c.want)
		}
	}
	h, ok := f.(drivers.Heir)
	if !ok {
		t.Fatal("it is no heir")
	}
	if got, ok, err := h.Inherit(json.RawMessage(theirs)); err != nil || !ok || string(got.Config) != `{"Memory":1024}` || string(got.State) != `{"Name":"m1","Address":"192.0.2.7"}` {
		t.Errorf("%s, %s, %v, %v", got.Config, got.State, ok, err)
	}
	d, ok := f.(drivers.Describer)
	if !ok {
		t.Fatal("it does not describe configurations")
	}
	if values, err := d.Describe(json.RawMessage(theirs)); err != nil || values["toy-memory"][0] != "1024" {
		t.Errorf("%v, %v", values, err)
	}
}
