package virtualbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

// rig passes calls on to a VBoxManage of this computer, in a home of its own. What
// needs kernel modules, which are host-only interfaces and running, is pretended.
type rig struct {
	name    string
	sim     *vboxsim.Box
	running map[string]bool
	calls   []string
}

// server has VirtualBox start a server of its own for the home: one that runs would
// answer from the home that it was started for.
func (r *rig) server() string { return fmt.Sprintf("VBOX_IPC_SOCKETID=%d-%s", os.Getpid(), r.name) }

func (r *rig) exec(ctx context.Context, path string, args, env []string) (answer, error) {
	r.calls = append(r.calls, strings.Join(args, " "))
	switch line := strings.Join(args, " "); {
	case args[0] == "hostonlyif", line == "list hostonlyifs":
		a := r.sim.Run(ctx, "", args)
		return answer{a.Stdout, a.Stderr, a.Exit}, nil
	case args[0] == "startvm":
		r.running[args[1]] = true
		return answer{}, nil
	case args[0] == "controlvm":
		r.running[args[1]] = false
		return answer{}, nil
	}
	a, err := execute(ctx, path, args, append(env, r.server()))
	if id := args[len(args)-1]; args[0] == "showvminfo" && r.running[args[1]] {
		a.stdout = strings.Replace(a.stdout, `VMState="poweroff"`, `VMState="running"`, 1)
	} else if id == "vms" && slices.Contains(slices.Collect(maps.Values(r.running)), true) {
		a.stdout = strings.ReplaceAll(a.stdout, "powered off", "running")
	}
	return a, err
}

// TestReal has a real VBoxManage make, change and remove virtual machines, and
// demands that it takes all that it is asked for and knows nothing of it after.
func TestReal(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("VBoxManage")
	if err != nil {
		t.Skip("no VBoxManage here")
	}
	for name, pairs := range map[string][]string{
		"defaults":  {"no-vtx-check", "true"},
		"forwarded": {"no-vtx-check", "true", "access", "forwarded", "firmware", "uefi", "cpu-count", "-1", "share-folder", os.TempDir() + ":tmp"},
		"arm":       {},
		"converted": {"no-vtx-check", "true"},
		"old types": {"no-vtx-check", "true", "nat-nictype", "82540EM", "hostonly-nictype", "82540EM", "hostonly-nicpromisc", "allow-all", "graphicscontroller", "vboxvga"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, vboxsim.Config{})
			r := &rig{name: strings.ReplaceAll(name, " ", "-"), sim: b.Box, running: map[string]bool{}}
			home := filepath.Join(b.vars["HOME"], "real")
			b.vars["VBOX_USER_HOME"], b.vars["PATH"] = home, filepath.Dir(path)
			b.world.exec, b.world.pace = r.exec, wait.Pace{First: 100 * time.Millisecond, Most: time.Second}
			if name == "converted" {
				b.values["virtualbox-image"] = []string{compressed(t, b.values["virtualbox-image"][0])}
			}
			if name == "arm" {
				b.world.arch = "arm64" // it can be made here, and not run
			}
			m := b.machine("m1", b.with(append(pairs, "disk-size", "100")...))
			if err := m.Open().Check(t.Context()); err != nil && name != "arm" {
				t.Fatal(err)
			}
			m.Create()
			if s := m.Status(); s.State != drivers.Running || s.Peer+s.Host == "" {
				t.Errorf("%+v", s)
			}
			if err := m.Open().Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := m.Open().Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			folder := saved(m).Folder
			m.Remove()
			for _, list := range []string{"vms", "hdds", "dvds"} {
				a, err := execute(t.Context(), path, []string{"list", list}, append(os.Environ(), "VBOX_USER_HOME="+home, r.server()))
				if text := strings.TrimSpace(a.stdout); err != nil || strings.Contains(text, "UUID") || strings.Contains(text, "m1") {
					t.Errorf("list %s: %s, %v", list, text, err)
				}
			}
			if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the machine's folder is there: %v", err)
			}
			t.Logf("%s", strings.Join(r.calls, "\n"))
		})
	}
}

// compressed makes a QCOW2 of a raw disk, as publishers do.
func compressed(t *testing.T, raw string) string {
	t.Helper()
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("no qemu-img here")
	}
	path := strings.TrimSuffix(raw, ".raw") + ".qcow2"
	if out, err := exec.CommandContext(t.Context(), qemu, "convert", "-c", "-O", "qcow2", raw, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
