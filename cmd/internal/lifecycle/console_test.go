package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
)

func TestConsoleLines(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"nothing":            {"", nil},
		"lines":              {"a\r\nb\n\n  c", []string{"a", "b", "c"}},
		"colours":            {"[\x1b[0;32m  OK  \x1b[0m] Started\x1b]0;title\x07 ssh\x1b(B\x1b7.", []string{"[  OK  ] Started ssh."}},
		"overwritten":        {"10%\r50%\r100%\r\n", []string{"100%"}},
		"control characters": {"a\x00\x07b\tc\u202ed\n", []string{"ab cd"}},
		"no UTF-8":           {"a\xff\xfeb", []string{"a\ufffdb"}},
		"key":                {"before\n" + key + "after\n", []string{"before", "[private key left out]", "after"}},
		"prefixed key":       {"ci: " + strings.ReplaceAll(strings.TrimSpace(key), "\n", "\nci: ") + "\nafter", []string{"[private key left out]", "after"}},
		"key without end":    {"before\n-----BEGIN RSA PRIVATE KEY-----\nMIIE", []string{"before", "[private key left out]"}},
		"key without head":   {"MIIE\nAAAA\n-----END EC PRIVATE KEY-----\nafter", []string{"[private key left out]", "after"}},
		"passwords":          {"Password: hunter2\nroot_password='hunter 2' x\nMYSQL_PASSWORD=hunter2 y\n\"token\": \"hunter2\"", []string{"Password: [left out]", "root_password=[left out] x", "MYSQL_PASSWORD=[left out] y", "\"token\": [left out]"}},
		"join token":         {"docker swarm join --token SWMTKN-1-abc-def 10.0.0.1:2377", []string{"docker swarm join --token [left out] 10.0.0.1:2377"}},
		"a word only":        {"systemd-ask-password.service started", []string{"systemd-ask-password.service started"}},
	} {
		if got := consoleLines([]byte(tt.text)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	long := consoleLines([]byte(strings.Repeat("half a secret\n", 10000)))
	if n := len(long) * len("half a secret\n"); n > consoleMost || long[0] != "half a secret" {
		t.Errorf("%d bytes, beginning %q", n, long[0])
	}
	if got := cutLine(strings.Repeat("ä", 300)); got != strings.Repeat("ä", 200)+" ..." {
		t.Errorf("cut to %q", got)
	}
}

// boot is a console with so many lines and a key.
func boot(t *testing.T, lines int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("-----BEGIN OPENSSH PRIVATE KEY-----\nhush\n-----END OPENSSH PRIVATE KEY-----\n")
	for i := range lines {
		fmt.Fprintf(&b, "\x1b[1mline %d\x1b[0m\r\n", i+1)
	}
	file := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAHostThatDoesNotComeUpShowsItsConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1")
	w.hosts["m1"].sshd.Stop()
	m := w.manager()
	m.Wait.SSH = 300 * time.Millisecond
	req := CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-console": {boot(t, 30)}}}
	_, err := m.Create(t.Context(), req)
	details := DetailsOf(err)
	if err == nil || len(details) != 21 || details[1] != "line 11" || details[20] != "line 30" {
		t.Fatalf("details %q of %v", details, err)
	}
	if log := w.log.String(); !strings.Contains(log, `line="line 1"`) || strings.Contains(log, "hush") {
		t.Errorf("log %s", log)
	}
	if p := w.record("m1").Problem; p == nil || strings.Contains(p.Message, "line 30") {
		t.Errorf("problem %+v", p)
	}
	// So does one whose driver gives up on it, and one that does not come back.
	for _, fail := range []string{"create-after", "start"} {
		w := newWorld(t, "m1")
		w.setenv(fake.EnvFail, fail)
		_, err := w.manager().Create(t.Context(), req)
		if fail == "start" {
			err = errors.Join(w.manager().Stop(t.Context(), []string{"m1"}), w.manager().Start(t.Context(), []string{"m1"}))
		}
		if details := DetailsOf(err); len(details) != 21 {
			t.Errorf("%s: details %q of %v", fail, details, err)
		}
	}
}

func TestAConsoleNeverHidesTheFailure(t *testing.T) {
	t.Parallel()
	for fail, want := range map[string]error{
		"create-after:unreachable,console":             drivers.ErrUnreachable,
		"create-after:unreachable,console:credentials": drivers.ErrUnreachable,
		"create-between:quota":                         drivers.ErrQuota,
		"create-before:permission":                     drivers.ErrPermission,
	} {
		w := newWorld(t, "m1")
		w.setenv(fake.EnvFail, fail)
		_, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m1"}, Driver: fake.Name, Options: drivers.Values{"fake-console": {boot(t, 3)}}})
		if !errors.Is(err, want) || errors.Is(err, drivers.ErrCredentials) || len(DetailsOf(err)) > 0 {
			t.Errorf("%s: %v, details %q", fail, err, DetailsOf(err))
		}
	}
	x := &machine{m: newWorld(t).manager(), drv: consoleOnly{}}
	cause := errors.New("cause")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.silent(ctx, cause); !errors.Is(err, cause) || len(DetailsOf(err)) > 0 {
		t.Errorf("an interrupted command asked for the console: %v", err)
	}
	if err := x.silent(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// consoleOnly is a driver that can do nothing but read the console.
type consoleOnly struct{ drivers.Driver }

func (consoleOnly) Console(context.Context) ([]byte, error) { return []byte("line\n"), nil }
