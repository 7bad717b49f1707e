package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

// TestFaultsOfPlugins has a row for each way in which a plugin itself fails.
func TestFaultsOfPlugins(t *testing.T) {
	t.Parallel()
	for fault, c := range map[string]struct {
		limits plugin.Limits // only those that are to be seen end something: the others hold on any computer
		kind   error
		text   string
	}{
		"silent":           {plugin.Limits{Address: 2 * time.Second}, plugin.ErrSilent, "said nothing in 2s"},
		"say=hello":        {plugin.Limits{}, plugin.ErrGarbage, `said "hello" where its address was expected`},
		"say=192.0.2.1:80": {plugin.Limits{}, plugin.ErrGarbage, "192.0.2.1:80"},
		"say=":             {plugin.Limits{}, plugin.ErrGarbage, `said ""`},
		"say=127.0.0.1:1":  {plugin.Limits{}, plugin.ErrGarbage, "refused"},
		"version":          {plugin.Limits{}, plugin.ErrVersion, "Driver binary uses an incompatible API version (2)"},
		"crash:start":      {plugin.Limits{}, plugin.ErrCrashed, "exit status 2: panic: out of pebbles"},
		"crash:GetVersion": {plugin.Limits{}, plugin.ErrCrashed, "panic: out of pebbles"},
		"crash:GetState":   {plugin.Limits{}, plugin.ErrCrashed, "panic: out of pebbles"},
		"hang:GetVersion":  {plugin.Limits{Address: 2 * time.Second}, plugin.ErrSilent, ""},
		"hang:GetState":    {plugin.Limits{Question: 3 * time.Second}, plugin.ErrHung, "GetState, for 3s"},

		"hang:Heartbeat,hang:GetState": {plugin.Limits{Answer: 300 * time.Millisecond}, plugin.ErrHeartbeat, "for 300ms"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, "")
			k := q.configure(nil)
			k.create()
			q.limits = c.limits
			q.limits.Heartbeat = 50 * time.Millisecond
			q.with(fault)
			_, err := k.open().Status(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v", err)
			}
			for _, other := range []error{plugin.ErrStart, plugin.ErrCrashed, plugin.ErrSilent, plugin.ErrGarbage, plugin.ErrVersion, plugin.ErrHeartbeat, plugin.ErrHung} {
				if !errors.Is(other, c.kind) && errors.Is(err, other) {
					t.Errorf("is %v too", other)
				}
			}
			var h interface{ Hint() string }
			if !errors.As(err, &h) || h.Hint() == "" {
				t.Error("no advice")
			}
			q.end()
			q.alone()
			q.limits = plugin.Limits{}
			if s, err := (&kept{q: q.with(""), config: k.config, secrets: k.secrets, env: k.env}).open().Status(t.Context()); err != nil || s.State != drivers.Running {
				t.Errorf("afterwards: %+v, %v", s, err)
			}
		})
	}
}

// TestInterruptedCommand demands that whoever does not wait any more is not kept, and that the plugin ends.
func TestInterruptedCommand(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.with("hang:GetState")
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, cause)
	defer cancel()
	if _, err := k.open().Status(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	q.end()
	q.alone()
}

// TestPluginDiesWithUs demands that no plugin outlives a command that was killed.
func TestPluginDiesWithUs(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	k := q.configure(nil)
	k.create()
	q.end()
	data, err := json.Marshal([]string{string(k.config), k.env.Dir, q.dir, q.bin})
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	child, err := os.StartProcess(self(t), []string{self(t)}, &os.ProcAttr{
		Env: append(os.Environ(), "PLUGIN_TEST_CALLER="+string(data)), Files: []*os.File{nil, write, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	var pid int
	if _, err := fmt.Fscan(read, &pid); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the plugin does not run")
	}
	if err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = child.Wait()
	q.alone()
}

// callPlugin asks a plugin that hangs, and tells its process id.
func callPlugin(arg string) {
	var a []string
	if err := json.Unmarshal([]byte(arg), &a); err != nil {
		panic(err)
	}
	ctx := context.Background()
	environ := append(os.Environ(), "PLUGIN_TEST_CALLER=", "PLUGIN_TEST_PEBBLE=1", "PEBBLE_DIR="+a[2], "PEBBLE_FAULT=hang:GetState")
	f, err := plugin.NewFinder(ctx, func(string) string { return a[3] }, environ, plugin.Limits{}).Find("pebble")
	if err != nil {
		panic(err)
	}
	d, err := f.Open(json.RawMessage(a[0]), nil, nil, nil, drivers.Env{Machine: "p1", Dir: a[1]})
	if err != nil {
		panic(err)
	}
	go func() { _, _ = d.Status(ctx) }()
	for tick := time.Tick(20 * time.Millisecond); ; <-tick {
		data, _ := os.ReadFile(filepath.Join(a[2], ".started"))
		words := strings.Fields(string(data))
		if pid, _ := strconv.Atoi(words[len(words)-1]); len(words) > 2 && pid != os.Getpid() {
			fmt.Println(pid)
			select {}
		}
	}
}
