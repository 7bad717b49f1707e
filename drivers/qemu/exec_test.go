package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeRole, in the environment, makes the test binary a program that it stands for.
const fakeRole = "QEMU_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(fakeRole) {
	case "qemu":
		os.Exit(fakeProgram(os.Args[1:]))
	case "qemu-img":
		os.Exit(fakeImageTool(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func fakeImageTool(args []string) int {
	if args[0] == "info" {
		_, _ = os.Stdout.WriteString(`{"virtual-size": 1048576, "format": "qcow2"}`)
		return 0
	}
	if err := os.WriteFile(args[len(args)-2], []byte("disk"), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// fakeProgram does what QEMU does with the arguments of a machine. A file "says" in
// its folder is what it ends with, a file "stubborn" keeps it from shutting down.
func fakeProgram(args []string) int {
	fail := func(text string) int {
		fmt.Fprintf(os.Stderr, "qemu-system-x86_64: %s\n", strings.TrimSuffix(text, "\n"))
		return 1
	}
	if args[0] == "--version" {
		fmt.Println("QEMU emulator version 7.2.22")
		return 0
	}
	if said, err := os.ReadFile("says"); err == nil {
		return fail(string(said))
	}
	for _, part := range strings.Split(after(args, "-netdev"), ",") {
		rule, ok := strings.CutPrefix(part, "hostfwd=tcp:")
		if !ok {
			continue
		}
		if _, err := net.Listen("tcp", strings.Split(rule, "-")[0]); err != nil {
			return fail("-netdev user: Could not set up host forwarding rule 'tcp:" + rule + "'")
		}
	}
	if !lockPID(after(args, "-pidfile")) {
		return fail("cannot create PID file: Cannot lock pid file: Resource temporarily unavailable")
	}
	if err := os.WriteFile(consoleFile, []byte("booted\n"), 0o600); err != nil {
		return fail(err.Error())
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(after(args, "-qmp"), "unix:"), ",")
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return fail(err.Error())
	}
	q := &fakeMonitor{status: "running", over: make(chan struct{})}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			q.serve(conn) // one at a time, as QEMU does
		}
	}()
	select {
	case <-q.over:
	case <-time.After(2 * time.Minute): // whose test has died
	}
	_ = os.Remove(after(args, "-pidfile"))
	return 0
}

type fakeMonitor struct {
	status string
	over   chan struct{}
	once   sync.Once
}

func (q *fakeMonitor) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "%s\r\n", greeting)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var request struct {
			Execute string
			ID      json.RawMessage
		}
		if json.Unmarshal(lines.Bytes(), &request) != nil {
			return
		}
		result, end := "{}", false
		switch request.Execute {
		case "query-status":
			result = fmt.Sprintf(`{"status": %q}`, q.status)
		case "stop":
			q.status = "paused"
		case "cont":
			q.status = "running"
		case "system_powerdown":
			_, err := os.Stat("stubborn")
			end = err != nil && q.status == "running"
		case "quit":
			end = true
		}
		_, _ = fmt.Fprintf(conn, "{\"return\": %s, \"id\": %s}\r\n", result, request.ID)
		if end {
			q.once.Do(func() { close(q.over) })
		}
	}
}

// fakeBinary is a QEMU, with a qemu-img beside it, that the test binary stands for.
func fakeBinary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, role := range map[string]string{"qemu-system-x86_64": "qemu", "qemu-img": "qemu-img"} {
		script := fmt.Sprintf("#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", fakeRole, role, self)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "qemu-system-x86_64")
}
