package hypervsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/computer"
)

// converse has a Box answer requests after the script.
func converse(t *testing.T, b *Box, script string, requests ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := b.Serve(t.Context(), strings.NewReader(script+strings.Join(requests, "\n")), &out)
	return out.String(), err
}

const good = "2\n" + marker + "\nparam()\n"

func newBox(t *testing.T, cfg Config) *Box {
	t.Helper()
	cfg.Home = t.TempDir()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestServe(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	out, err := converse(t, b, good, `{"id":1,"op":"probe","args":{}}`, "", `{"id":2,"op":"format","args":{}}`, `{"id":3,"op":"listMachines","args":{"nonsense":1}}`)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"id":1,"ok":true`) || !strings.Contains(lines[1], "There is no such operation") || !strings.Contains(lines[2], "nonsense") {
		t.Errorf("%q", lines)
	}
	for _, bad := range []string{"", "x\n", "1\n# another script\n", "5\n" + marker + "\n"} {
		if out, err := converse(t, b, bad, `{"id":1,"op":"probe","args":{}}`); err == nil || out != "" {
			t.Errorf("%q: answered %q", bad, out)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	make1 := `{"id":1,"op":"newMachine","args":{"name":"m1","path":"` + t.TempDir() + `","generation":2,"memory":1073741824,"notes":""}}`
	for i, c := range []struct {
		mode sim.Mode
		err  error
		made int
	}{
		{computer.DieBefore, computer.ErrDied, 0}, {computer.DieAfter, computer.ErrDied, 1},
		{computer.KillBefore, computer.ErrKilled, 1}, {computer.KillAfter, computer.ErrKilled, 1}, {sim.Lose, nil, 1}, {sim.Fail, nil, 1},
	} {
		if err := b.Inject(sim.Fault{Action: "newMachine", Nth: 1, Mode: c.mode, Text: "no"}); err != nil {
			t.Fatal(err)
		}
		out, err := converse(t, b, good, make1)
		if !errors.Is(err, c.err) || c.err == nil && !strings.Contains(out, `"ok":false`) {
			t.Errorf("%d, %s: %q, %v", i, c.mode, out, err)
		}
		ledger, err := b.Ledger(t.Context())
		if err != nil || len(ledger) != c.made {
			t.Errorf("%s: there are %v, %v", c.mode, ledger, err)
		}
	}
}

// TestRefusals demands Microsoft's words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for words, c := range map[string]struct {
		cfg Config
		ask string
	}{
		"is not recognized as the name of a cmdlet":                 {Config{NoModule: true}, `{"id":1,"op":"listMachines","args":{"ids":[]}}`},
		"Verify that the Virtual Machine Management service":        {Config{Stopped: true}, `{"id":1,"op":"listSwitches","args":{}}`},
		"You do not have the required permission":                   {Config{NoRights: true}, `{"id":1,"op":"listMachines","args":{"ids":[]}}`},
		"unable to find a virtual machine":                          {Config{}, `{"id":1,"op":"startMachine","args":{"id":"x"}}`},
		"The system cannot find the file specified. (0x80070002)":   {Config{}, `{"id":1,"op":"convertDisk","args":{"from":"/nonexistent.vhd","to":"/nonexistent.vhdx"}}`},
		"The file name extension is not one of a virtual hard disk": {Config{}, `{"id":1,"op":"newFixedDisk","args":{"path":"/nonexistent.img","bytes":4194304}}`},
		"they are [\\\"id\\\"], not [\\\"id\\\" \\\"name\\\"]":      {Config{}, `{"id":1,"op":"startMachine","args":{"id":"x","name":"x"}}`},
		"they are [\\\"from\\\" \\\"to\\\"], not [\\\"from\\\"]":    {Config{}, `{"id":1,"op":"convertDisk","args":{"from":"/x"}}`},
		"There is no such operation":                                {Config{}, `{"id":1,"op":"Get-VM","args":{}}`},
		"less than the minimum of 32 MB":                            {Config{}, `{"id":1,"op":"newMachine","args":{"name":"m","path":"/","generation":2,"memory":1,"notes":""}}`},
	} {
		out, err := converse(t, newBox(t, c.cfg), good, c.ask)
		if err != nil || !strings.Contains(out, words) {
			t.Errorf("want %q, got %q, %v", words, out, err)
		}
	}
}

// TestListen has conversations come through a socket, also one that ends by a kill.
func TestListen(t *testing.T) {
	t.Parallel()
	b := newBox(t, Config{})
	dir, err := os.MkdirTemp("", "hv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Listen(context.Background(), l) }()
	ask := func() string {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(good + `{"id":1,"op":"probe","args":{}}` + "\n")); err != nil {
			t.Fatal(err)
		}
		var a struct{ Kill, OK bool }
		if err := json.NewDecoder(conn).Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.Kill {
			return "kill"
		}
		return "answer"
	}
	if got := ask(); got != "answer" {
		t.Error(got)
	}
	if err := b.Inject(sim.Fault{Nth: 1, Mode: computer.KillBefore}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "kill" {
		t.Error(got)
	}
	l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
