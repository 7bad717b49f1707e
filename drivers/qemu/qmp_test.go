package qemu

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}`

// script is a QMP server that says lines: those after "< " it says, of others it
// wants that a request has them in it.
func script(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qmp.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		requests := bufio.NewScanner(conn)
		for _, line := range lines {
			if said, ok := strings.CutPrefix(line, "< "); ok {
				if _, err := conn.Write([]byte(said + "\r\n")); err != nil {
					return
				}
				continue
			}
			if !requests.Scan() || !strings.Contains(requests.Text(), line) {
				t.Errorf("request is %q, want one with %q", requests.Text(), line)
				return
			}
		}
	}()
	return path
}

// ask asks the server at path for its status.
func ask(t *testing.T, path string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("the test took too long"))
	defer cancel()
	conn, err := dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := converse(ctx, conn)
	if err != nil {
		return "", err
	}
	defer m.close()
	var answer struct{ Status string }
	err = m.do(ctx, "query-status", nil, &answer)
	return answer.Status, err
}

func TestConversation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		want  string
		err   string
	}{
		"good": {lines: []string{
			"< " + greeting, `"execute":"qmp_capabilities"`, `< {"return": {}, "id": "1"}`,
			`"execute":"query-status"`, `< {"return": {"status": "running"}, "id": "2"}`,
		}, want: "running"},
		"events and answers of others in between": {lines: []string{
			"< " + greeting, "qmp_cap", `< {"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 2}}`, "< ", `< {"return": {}, "id": "1"}`,
			"query", `< {"return": {"status": "paused"}, "id": "77"}`, `< {"event": "STOP"}`, `< {"return": {"status": "running"}, "id": "2"}`,
		}, want: "running"},
		"refused": {lines: []string{
			"< " + greeting, "qmp_cap", `< {"return": {}, "id": "1"}`,
			"query", `< {"error": {"class": "CommandNotFound", "desc": "The command query-status has not been found"}, "id": "2"}`,
		}, err: "QMP query-status: The command query-status has not been found (CommandNotFound)"},
		"not understood": {lines: []string{
			"< " + greeting, "qmp_cap", `< {"error": {"class": "GenericError", "desc": "JSON parse error"}}`,
		}, err: "QMP qmp_capabilities: JSON parse error (GenericError)"},
		"no greeting":   {lines: []string{`< {"return": {}}`}, err: "no greeting"},
		"no QMP":        {lines: []string{"< HTTP/1.1 400 Bad Request"}, err: `not what QEMU says: "HTTP/1.1 400 Bad Request"`},
		"two in one":    {lines: []string{`< {"return": {}, "event": "STOP"}`}, err: "not what QEMU says"},
		"hangs up":      {lines: []string{"< " + greeting, "qmp_cap"}, err: "unexpected EOF"},
		"another shape": {lines: []string{"< " + greeting, "qmp_cap", `< {"return": {}, "id": "1"}`, "query", `< {"return": [1], "id": "2"}`}, err: "not what QEMU says"},
		"endless line":  {lines: []string{"< " + strings.Repeat("x", maxLine+1)}, err: "token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t, script(t, c.lines...))
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v, want %q, %s", got, err, c.want, c.err)
			}
		})
	}
}

// TestConversationEnds shows that a QEMU that says nothing does not hold us.
func TestConversationEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cause := errors.New("the test ended it")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, cause)
	defer cancel()
	conn, err := dial(ctx, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := converse(ctx, conn); !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		greeting, `{"return": {}, "id": "1"}`, `{"error": {"class": "GenericError", "desc": "x"}}`, `{"event": "STOP"}`,
		`{}`, `[]`, `null`, `{"return": null}`, `{"error": null}`, `{"QMP": 1}`, `{"return": {}, "return": []}`, "\xff", `{"id": {}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseMessage(line)
		if err != nil {
			if !errors.Is(err, errProtocol) || len(err.Error()) > 1000 {
				t.Errorf("error is %v", err)
			}
			return
		}
		if m.QMP == nil && m.Return == nil && m.Error == nil && m.Event == "" {
			t.Errorf("%q is no message", line)
		}
	})
}
