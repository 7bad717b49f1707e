package hyperv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// startPowerShell starts a PowerShell of this computer.
func startPowerShell(path string) (*process, error) {
	return startCommand(func(*exec.Cmd) {}, path)
}

func startCommand(adjust func(*exec.Cmd), path string) (*process, error) {
	c := exec.Command(path, arguments()...)
	c.Dir = filepath.Dir(path) // which Windows can always open, and nobody wants to remove
	c.SysProcAttr = apart()
	adjust(c)
	said := &tail{}
	c.Stderr = said
	c.WaitDelay = 3 * time.Second
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return &process{
		in: in, out: out,
		kill: func() { _ = c.Process.Kill() },
		wait: func() error {
			err := c.Wait()
			if text := said.String(); text != "" {
				return errors.Join(errors.New(text), err)
			}
			return err
		},
	}, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if more := len(t.text) - most; more > 0 {
		t.text = t.text[more:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(t.text), "?")), " ")
}

// runProgram runs a program to its end and returns what it printed.
func runProgram(ctx context.Context, program string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Stdout, c.Stderr, c.WaitDelay = &stdout, &stderr, 3*time.Second
	if err := c.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return "", cause
		}
		return "", fmt.Errorf("%s: %s: %w", filepath.Base(program), strings.TrimSpace(stderr.String()), err)
	}
	return stdout.String(), nil
}

func lookProgram(program string) (string, error) { return exec.LookPath(program) }

// inLinux tells whether this is Windows's Subsystem for Linux.
func (d *driver) inLinux() bool {
	return d.world.os == "linux" && (d.env.Getenv("WSL_DISTRO_NAME") != "" || d.env.Getenv("WSL_INTEROP") != "")
}

// connect returns Hyper-V. It starts nothing yet.
func (d *driver) connect(ctx context.Context) (*tool, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	path, err := d.locate()
	if err != nil {
		return nil, err
	}
	return &tool{session: d.shells.at(path, d).session, log: d.env.Log}, nil
}

// locate returns the path of powershell.exe: on PATH, else where Windows has it.
func (d *driver) locate() (string, error) {
	var dirs []string
	switch {
	case d.world.os == "windows":
		dirs = []string{filepath.Join(d.env.Getenv("SystemRoot"), "System32", "WindowsPowerShell", "v1.0")}
	case d.inLinux():
		dirs = []string{"/mnt/c/Windows/System32/WindowsPowerShell/v1.0"}
	}
	for _, dir := range append(filepath.SplitList(d.env.Getenv("PATH")), dirs...) {
		path := filepath.Join(dir, "powershell.exe")
		if !filepath.IsAbs(path) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	if d.world.os == "windows" || d.inLinux() {
		return "", &drivers.HintError{
			Err:    fmt.Errorf("find powershell.exe on PATH: %w", drivers.ErrUnreachable),
			Advice: "Windows has it in %SystemRoot%\\System32\\WindowsPowerShell\\v1.0: add that to PATH",
		}
	}
	return "", &drivers.HintError{
		Err:    fmt.Errorf("find powershell.exe on PATH: %w: Hyper-V is a part of Windows", drivers.ErrUnreachable),
		Advice: "use this driver on Windows or in its Subsystem for Linux; here, -d qemu, -d virtualbox or -d docker",
	}
}

// windowsPath writes a path of ours, which need not exist, as Windows does. Hyper-V's
// service opens files by it, and reaches no file system of Linux.
func (d *driver) windowsPath(ctx context.Context, path string) (string, error) {
	if !d.inLinux() {
		return path, nil
	}
	if _, err := os.Stat(path); err != nil && path != "/" && filepath.IsAbs(path) {
		folder, err := d.windowsPath(ctx, filepath.Dir(path)) // wslpath wants it to exist
		return d.below(folder, filepath.Base(path)), err
	}
	out, err := d.world.run(ctx, "wslpath", "-w", path)
	if err != nil {
		return "", fmt.Errorf("name %s for Windows: %w", path, err)
	}
	translated := strings.TrimRight(out, "\r\n")
	if len(translated) < 3 || translated[1] != ':' {
		return "", &drivers.HintError{
			Err:    fmt.Errorf("%s lies in a file system of Linux, as %s, where Hyper-V cannot open files: %w", path, translated, drivers.ErrUnsupported),
			Advice: "keep the store on a drive of Windows, such as with --storage-path /mnt/c/Users/NAME/.docker/machine or MACHINE_STORAGE_PATH",
		}
	}
	return translated, nil
}

// ownPath writes a path of Windows as ours.
func (d *driver) ownPath(ctx context.Context, path string) (string, error) {
	if !d.inLinux() {
		return path, nil
	}
	out, err := d.world.run(ctx, "wslpath", "-u", path)
	if err != nil {
		return "", fmt.Errorf("name %s for Linux: %w", path, err)
	}
	return strings.TrimRight(out, "\r\n"), nil
}
