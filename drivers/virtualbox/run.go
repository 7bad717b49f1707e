package virtualbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// execFunc runs a program to its end. An error means that it did not run or did
// not end by itself; one that ended with a failure has an exit code.
type execFunc func(ctx context.Context, path string, args, env []string) (answer, error)

// answer is what a program printed and how it ended.
type answer struct {
	stdout, stderr string
	exit           int
}

// execute runs a program of this computer.
func execute(ctx context.Context, path string, args, env []string) (answer, error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, path, args...)
	c.Env, c.Stdout, c.Stderr = env, &stdout, &stderr
	c.WaitDelay = 3 * time.Second // VirtualBox's server may hold the pipes open
	if runtime.GOOS != "windows" {
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	}
	err := c.Run()
	a := answer{stdout: stdout.String(), stderr: stderr.String(), exit: c.ProcessState.ExitCode()}
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return a, context.Cause(ctx)
	case errors.As(err, &failed) && failed.Exited():
		return a, nil
	case errors.Is(err, exec.ErrWaitDelay):
		return a, nil
	}
	return a, err
}

// tool is VBoxManage for one VirtualBox home.
type tool struct {
	exec execFunc
	path string
	env  []string
	log  *slog.Logger
	pace wait.Pace
}

// run runs VBoxManage and returns what it printed. This is the only place that
// does.
func (t *tool) run(ctx context.Context, args ...string) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	begin := time.Now()
	a, err := t.exec(ctx, t.path, args, t.env)
	t.log.DebugContext(ctx, "VBoxManage", "args", args, "exit", a.exit, "took", time.Since(begin).Round(time.Millisecond),
		"stdout", a.stdout, "stderr", a.stderr, "error", err)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return "", cause
		}
		return "", fmt.Errorf("run %s: %w", t.path, err)
	}
	if a.exit != 0 {
		return a.stdout, newCallError(args, a)
	}
	return a.stdout, nil
}

// do runs VBoxManage for its effect.
func (t *tool) do(ctx context.Context, args ...string) error {
	_, err := t.run(ctx, args...)
	return err
}

// vms returns all virtual machines by UUID.
func (t *tool) vms(ctx context.Context) (map[string]vm, error) {
	out, err := t.run(ctx, "list", "--long", "vms")
	if err != nil {
		return nil, fmt.Errorf("list virtual machines: %w", err)
	}
	return parseVMs(out), nil
}

// info returns what VirtualBox knows of a virtual machine. One whose settings cannot
// be read is refused, and so is any for a moment while VirtualBox's server starts.
func (t *tool) info(ctx context.Context, uuid string) (map[string]string, error) {
	var out string
	tries := 0
	err := wait.Until(ctx, t.pace, "VirtualBox's server", func(ctx context.Context) (_ bool, err error) {
		out, err = t.run(ctx, "showvminfo", uuid, "--machinereadable")
		if tries++; callCode(err) != "E_ACCESSDENIED" || tries == 5 {
			return true, err
		}
		all, lerr := t.vms(ctx)
		if v, found := all[uuid]; lerr == nil && found && v.Lost {
			return true, lost(v)
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return parseInfo(out), nil
}

// list returns the records of a list.
func (t *tool) list(ctx context.Context, what, first string) ([]record, error) {
	out, err := t.run(ctx, "list", what)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	return parseRecords(out, first), nil
}

// tool returns VBoxManage for the home that the machine is in.
func (d *driver) tool() (*tool, error) {
	path, err := d.locate()
	if err != nil {
		return nil, err
	}
	t := &tool{exec: d.world.exec, path: path, log: d.env.Log, pace: d.world.pace}
	drop := []string{"LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "VBOX_USER_HOME"}
	for _, e := range os.Environ() {
		if key, _, _ := strings.Cut(e, "="); !slices.Contains(drop, strings.ToUpper(key)) {
			t.env = append(t.env, e)
		}
	}
	t.env = append(t.env, "LANG=C", "LC_ALL=C")
	if home := d.ownHome(); home != "" {
		t.env = append(t.env, "VBOX_USER_HOME="+home)
	}
	return t, nil
}

// ownHome returns the VBOX_USER_HOME of the machine; empty: there is none.
func (d *driver) ownHome() string {
	if d.state.Value.UUID != "" {
		return d.state.Value.Home
	}
	return d.env.Getenv("VBOX_USER_HOME")
}

// home returns the folder in which VirtualBox keeps what it knows.
func (d *driver) home() string {
	if own := d.ownHome(); own != "" {
		return own
	}
	user := d.env.Getenv("HOME")
	switch d.world.os {
	case "windows":
		return filepath.Join(d.env.Getenv("USERPROFILE"), ".VirtualBox")
	case "darwin":
		return filepath.Join(user, "Library", "VirtualBox")
	}
	if old := filepath.Join(user, ".VirtualBox"); isDir(old) {
		return old
	}
	if config := d.env.Getenv("XDG_CONFIG_HOME"); config != "" {
		return filepath.Join(config, "VirtualBox")
	}
	return filepath.Join(user, ".config", "VirtualBox")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// locate returns the path of VBoxManage: on PATH, else where the installer put it.
func (d *driver) locate() (string, error) {
	names := []string{"VBoxManage"}
	var dirs []string
	switch d.world.os {
	case "windows":
		names = []string{"VBoxManage.exe"}
		dirs = []string{
			d.env.Getenv("VBOX_INSTALL_PATH"), d.env.Getenv("VBOX_MSI_INSTALL_PATH"),
			filepath.Join(d.env.Getenv("ProgramFiles"), "Oracle", "VirtualBox"),
		}
	case "darwin":
		dirs = []string{"/Applications/VirtualBox.app/Contents/MacOS", "/usr/local/bin", "/opt/homebrew/bin"}
	default:
		names = append(names, "vboxmanage")
		dirs = []string{"/usr/lib/virtualbox", "/opt/VirtualBox"}
	}
	for _, dir := range slices.Concat(filepath.SplitList(d.env.Getenv("PATH")), dirs) {
		if !filepath.IsAbs(dir) {
			continue
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && runnable(info) {
				return path, nil
			}
		}
	}
	return "", &drivers.HintError{
		Err: fmt.Errorf("find VBoxManage on PATH: %w: VirtualBox is not installed", drivers.ErrUnreachable),
		Advice: "install VirtualBox 6.1 or later from https://www.virtualbox.org/wiki/Downloads or your distribution; " +
			"machines can also be had with -d docker or -d qemu",
	}
}

func runnable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode().Perm()&0o111 != 0)
}
