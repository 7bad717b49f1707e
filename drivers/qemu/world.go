package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// world is what lies outside of a driver, so that a test can have another one.
type world struct {
	host, arch string // GOOS and GOARCH of this computer
	cpus       int    // processors of it
	memory     func() int
	boot       func() string // identifies the time since this computer was started; empty: unknown

	look   func(name string) (string, error) // path of a program
	exists func(path string) bool
	run    func(ctx context.Context, path string, args ...string) (answer, error)
	spawn  func(ctx context.Context, dir, path string, args []string) (child, error)
	dial   func(ctx context.Context, path string) (net.Conn, error) // a Unix socket
	procs  processes

	free func(at string, udp bool) bool // the address can be listened at
	pick func() (int, error)            // a port of 127.0.0.1 that can be listened at
	pace wait.Pace

	ask      time.Duration // for QEMU to answer; another command may be talking to it
	patience time.Duration // for a QEMU that was started to take orders
}

// processes are those of this computer.
type processes interface {
	// is tells whether a process is the machine's. written is when the pid was.
	is(pid int, uuid string, written time.Time) bool

	// all returns the machine's processes, as far as this computer can tell by the UUID.
	all(ctx context.Context, uuid string) ([]int, error)

	// gone tells whether a process that was the machine's has ended, and has let go
	// of all that it had. Until then is may tell that it is not the machine's.
	gone(pid int, uuid string) bool

	// kill ends a process if it is the machine's, without waiting for the end.
	kill(pid int, uuid string, written time.Time) error
}

// child is a process that was started.
type child struct {
	pid  int
	done <-chan struct{} // closed when it has ended
}

// answer is what a program printed and how it ended.
type answer struct {
	stdout, stderr string
	exit           int
}

func local() world {
	return world{
		host: runtime.GOOS, arch: runtime.GOARCH, cpus: runtime.NumCPU(), memory: hostMemory, boot: bootID,
		look: lookPath, exists: isFile, run: execute, spawn: spawn, dial: dial, procs: system{},
		free: portFree, pick: pickPort,
		pace: wait.Pace{First: 20 * time.Millisecond, Most: 500 * time.Millisecond},

		ask: 3 * time.Second, patience: time.Minute,
	}
}

// lookPath finds a program by name in PATH and where installers put QEMU.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || filepath.Base(name) != name {
		return path, err
	}
	var dirs []string
	switch runtime.GOOS {
	case "darwin":
		dirs = []string{"/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"}
	case "windows":
		dirs = []string{filepath.Join(os.Getenv("ProgramFiles"), "qemu")}
	}
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// execute runs a program to its end.
func execute(ctx context.Context, path string, args ...string) (answer, error) {
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, path, args...)
	c.Stdout, c.Stderr, c.WaitDelay = &stdout, &stderr, time.Second
	err := c.Run()
	a := answer{stdout: stdout.String(), stderr: stderr.String(), exit: c.ProcessState.ExitCode()}
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return a, context.Cause(ctx)
	case errors.As(err, &failed):
		return a, nil
	}
	return a, err
}

// spawn starts a program that survives this process and its terminal. What it
// prints goes to the log in dir, which is its working directory.
func spawn(ctx context.Context, dir, path string, args []string) (child, error) {
	if err := context.Cause(ctx); err != nil {
		return child{}, err
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return child{}, err
	}
	defer func() { _ = log.Close() }()
	c := exec.Command(path, args...) //nolint:noctx // it outlives every context
	c.Dir, c.Stdout, c.Stderr, c.SysProcAttr = dir, log, log, detached()
	if err := c.Start(); err != nil {
		return child{}, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Wait() // why it ended is in the log
	}()
	return child{pid: c.Process.Pid, done: done}, nil
}

// maxSocket is how long the path of a Unix socket may be on every system.
const maxSocket = 100

// dial connects to a Unix socket. A path that is too long for one is shortened by
// a link that lasts as long as it takes.
func dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	if len(path) <= maxSocket {
		return d.DialContext(ctx, "unix", path)
	}
	dir, err := os.MkdirTemp("", "qmp")
	if err != nil {
		return nil, fmt.Errorf("shorten %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	link := filepath.Join(dir, "d")
	if err := os.Symlink(filepath.Dir(path), link); err != nil {
		return nil, fmt.Errorf("shorten %s: %w", path, err)
	}
	return d.DialContext(ctx, "unix", filepath.Join(link, filepath.Base(path)))
}

func portFree(at string, udp bool) bool {
	if udp {
		c, err := net.ListenPacket("udp4", at) //nolint:noctx // returns at once
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	l, err := net.Listen("tcp4", at) //nolint:noctx // returns at once
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

func pickPort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// readPID returns the process that QEMU recorded, and when it did; 0: none.
func readPID(path string) (pid int, written time.Time) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, time.Time{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, time.Time{}
	}
	if pid, err = strconv.Atoi(string(bytes.TrimSpace(data))); err != nil || pid <= 1 {
		return 0, time.Time{}
	}
	return pid, info.ModTime()
}
