package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers/internal/wait"
)

// fakeHost is a computer whose QEMU is in memory. Disks are files.
type fakeHost struct {
	mu       sync.Mutex
	next     int // pid
	port     int
	procs    map[int]*fakeQEMU
	disks    map[string]bool // paths that qemu-img was told
	dirs     map[string]bool // of machines
	stubborn bool            // guests do not shut down
	silent   bool            // QEMU takes no orders, though it runs
	says     []string        // what the next QEMUs end with
	stolen   map[int]bool    // ports of others
	probe    answer          // what the guest that tries out an accelerator comes to

	n    int
	hook func(n int, done bool) error
}

// fakeQEMU is a process.
type fakeQEMU struct {
	host   *fakeHost
	pid    int
	uuid   string
	dir    string
	args   []string
	status string
	done   chan struct{}
	alive  bool
	orders []string
}

func newFakeHost() *fakeHost {
	return &fakeHost{
		next: 1000, port: 40000, procs: map[int]*fakeQEMU{}, disks: map[string]bool{}, dirs: map[string]bool{},
		stolen: map[int]bool{1: true}, probe: answer{exit: probeExit},
	}
}

func (h *fakeHost) world() world {
	return world{
		host: "linux", arch: "amd64", cpus: 4,
		memory: func() int { return 16384 },
		boot:   func() string { return "this boot" },
		look: func(name string) (string, error) {
			if slices.Contains([]string{"qemu-system-x86_64", "/usr/bin/qemu-img", "/usr/bin/other"}, name) {
				return filepath.Join("/usr/bin", filepath.Base(name)), nil
			}
			return "", fs.ErrNotExist
		},
		exists: func(path string) bool {
			return path == "/dev/kvm" || strings.HasPrefix(path, "/usr/share/OVMF/") || strings.HasPrefix(path, "/sys/class/net/br7") || isFile(path)
		},
		run: h.run, spawn: h.spawn, dial: h.dial, procs: h,
		free: func(at string, _ bool) bool {
			_, port, _ := net.SplitHostPort(at)
			n, _ := strconv.Atoi(port)
			h.mu.Lock()
			defer h.mu.Unlock()
			return !h.stolen[n]
		},
		pick: func() (int, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.port++
			return h.port, nil
		},
		pace: wait.Pace{First: time.Millisecond, Most: 10 * time.Millisecond},

		ask: 3 * time.Second, patience: 500 * time.Millisecond,
	}
}

func (h *fakeHost) observe(hook func(n int, done bool) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n, h.hook = 0, hook
}

// watched makes a call that a hook may spoil.
func (h *fakeHost) watched(ctx context.Context, call func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	h.n++
	n, hook := h.n, h.hook
	h.mu.Unlock()
	if hook == nil {
		return call()
	}
	if err := hook(n, false); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err := call()
	if lost := hook(n, true); lost != nil {
		return lost
	}
	return errors.Join(err, context.Cause(ctx))
}

func (h *fakeHost) run(ctx context.Context, path string, args ...string) (a answer, err error) {
	err = h.watched(ctx, func() error {
		a = h.tool(path, args)
		return nil
	})
	return a, err
}

func (h *fakeHost) tool(path string, args []string) answer {
	switch {
	case filepath.Base(path) == "other":
		return answer{stdout: "GNU coreutils\n"}
	case args[0] == "--version":
		return answer{stdout: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers\n"}
	case args[0] == "info":
		return answer{stdout: `{"virtual-size": 1677721600, "filename": "x", "format": "qcow2", "actual-size": 819724288}`}
	case args[0] == "create":
		disk := args[len(args)-2]
		h.mu.Lock()
		defer h.mu.Unlock()
		h.disks[disk] = true
		h.dirs[filepath.Dir(disk)] = true
		if err := os.WriteFile(disk, []byte(strings.Join(args, " ")), 0o600); err != nil {
			return answer{exit: 1, stderr: "qemu-img: " + disk + ": " + err.Error()}
		}
		return answer{}
	case args[0] == "convert":
		to := args[len(args)-1]
		if err := os.WriteFile(to, []byte(strings.Join(args, " ")), 0o600); err != nil {
			return answer{exit: 1, stderr: "qemu-img: " + to + ": " + err.Error()}
		}
		return answer{}
	case slices.Contains(args, "-no-reboot"):
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.probe
	}
	return answer{exit: 1, stderr: "qemu-img: unknown " + args[0]}
}

// after returns the argument that follows a flag.
func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

func (h *fakeHost) spawn(ctx context.Context, dir, _ string, args []string) (c child, err error) {
	err = h.watched(ctx, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		q := &fakeQEMU{host: h, pid: h.next, uuid: after(args, "-uuid"), dir: dir, args: args, status: "running", done: make(chan struct{}), alive: true}
		h.next++
		c = child{pid: q.pid, done: q.done}
		said := h.refusal(q)
		if err := os.WriteFile(filepath.Join(dir, logFile), []byte(said), 0o600); err != nil {
			return err
		}
		if said != "" {
			close(q.done)
			return nil
		}
		h.procs[q.pid], h.dirs[dir] = q, true
		return errors.Join(
			os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(q.pid)+"\n"), 0o600),
			os.WriteFile(filepath.Join(dir, socketFile), nil, 0o600),
			os.WriteFile(filepath.Join(dir, consoleFile), []byte("Linux version 6.1\n"), 0o600))
	})
	return c, err
}

// refusal is why a process ends at once, in QEMU's words; empty: it does not.
func (h *fakeHost) refusal(q *fakeQEMU) string {
	if len(h.says) > 0 {
		said := h.says[0]
		h.says = h.says[1:]
		return said
	}
	mine := q.ports()
	for _, other := range h.procs {
		if !other.alive {
			continue
		}
		if other.dir == q.dir {
			return "qemu-system-x86_64: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable\n"
		}
		for _, p := range other.ports() {
			if slices.Contains(mine, p) {
				return "qemu-system-x86_64: -netdev user,id=nat: Could not set up host forwarding rule '" + p + "'\n"
			}
		}
	}
	return ""
}

// ports are the rules by which a process listens.
func (q *fakeQEMU) ports() (rules []string) {
	for _, part := range strings.Split(after(q.args, "-netdev"), ",") {
		if rule, ok := strings.CutPrefix(part, "hostfwd="); ok {
			rules = append(rules, strings.Split(rule, "-")[0]+"-:"+strings.Split(rule, "-:")[1])
		}
	}
	return rules
}

func (h *fakeHost) dial(ctx context.Context, path string) (conn net.Conn, err error) {
	err = h.watched(ctx, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, q := range h.procs {
			if q.dir == filepath.Dir(path) && q.alive {
				var there net.Conn
				conn, there = net.Pipe()
				if !h.silent {
					go q.serve(there)
				}
				return nil
			}
		}
		return &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connect: connection refused")}
	})
	if err != nil && conn != nil {
		_ = conn.Close()
		conn = nil
	}
	return conn, err
}

// serve speaks QMP.
func (q *fakeQEMU) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	say := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(conn, format+"\r\n", args...)
		return err == nil
	}
	if !say(`{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}`) {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var request struct {
			Execute string
			ID      json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return
		}
		say(`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 0}}`)
		result := q.execute(request.Execute)
		if !say(`{"return": %s, "id": %s}`, result, request.ID) {
			return
		}
		if request.Execute == "quit" {
			q.die()
			return
		}
	}
}

func (q *fakeQEMU) execute(command string) string {
	q.host.mu.Lock()
	defer q.host.mu.Unlock()
	q.orders = append(q.orders, command)
	switch command {
	case "query-status":
		return fmt.Sprintf(`{"status": %q, "singlestep": false, "running": %v}`, q.status, q.status == "running")
	case "cont":
		q.status = "running"
	case "stop":
		q.status = "paused"
	case "system_powerdown":
		if q.status == "running" && !q.host.stubborn {
			go q.die()
		}
	}
	return "{}"
}

// die ends the process in good order: QEMU removes its record of the pid.
func (q *fakeQEMU) die() {
	q.host.mu.Lock()
	defer q.host.mu.Unlock()
	if q.alive {
		_ = os.Remove(filepath.Join(q.dir, pidFile))
		q.end()
	}
}

// end ends the process like kill -9. The caller holds the lock.
func (q *fakeQEMU) end() {
	q.alive = false
	close(q.done)
}

func (h *fakeHost) is(pid int, uuid string, _ time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.procs[pid]
	return q != nil && q.alive && q.uuid == uuid
}

func (h *fakeHost) gone(pid int, uuid string) bool { return !h.is(pid, uuid, time.Time{}) }

func (h *fakeHost) all(_ context.Context, uuid string) (pids []int, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, q := range h.procs {
		if q.alive && q.uuid == uuid {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (h *fakeHost) kill(pid int, uuid string, _ time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q := h.procs[pid]; q != nil && q.alive && q.uuid == uuid {
		q.end()
	}
	return nil
}

// only returns the only process that runs.
func (h *fakeHost) only(t testing.TB) *fakeQEMU {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*fakeQEMU
	for _, q := range h.procs {
		if q.alive {
			found = append(found, q)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d processes run, want 1", len(found))
	}
	return found[0]
}
