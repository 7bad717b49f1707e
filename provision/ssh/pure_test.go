package ssh

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func TestParseJump(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]endpoint{
		"bastion":                  {"", "bastion", 22},
		"bastion:2222":             {"", "bastion", 2222},
		"ubuntu@bastion.example":   {"ubuntu", "bastion.example", 22},
		"u@10.0.0.1:2200":          {"u", "10.0.0.1", 2200},
		"2001:db8::1":              {"", "2001:db8::1", 22},
		"[2001:db8::1]":            {"", "2001:db8::1", 22},
		"u@[2001:db8::1]:2200":     {"u", "2001:db8::1", 2200},
		"me@corp.example@bastion":  {"me@corp.example", "bastion", 22},
		"fe80::1%eth0":             {"", "fe80::1%eth0", 22},
		"u@[fe80::1%eth0]:22":      {"u", "fe80::1%eth0", 22},
		"with_underscore-dash.x:1": {"", "with_underscore-dash.x", 1},
	} {
		got, err := parseJump(in)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "@host", "u@", "host:", "host:0", "host:65536", "host:x", "[::1", "[::1]2", "[::1]:", "[]:22",
		"-oProxyCommand=x", "-l@host", "a b", "host\n", "u$(x)@host", "h'", `h"`, "h;x", "a,b", "ssh://host", "h:-1", "h:+1",
	} {
		if got, err := parseJump(in); !errors.Is(err, ErrJump) {
			t.Errorf("%q: got %+v, %v, want ErrJump", in, got, err)
		}
	}
}

func FuzzParseJump(f *testing.F) {
	for _, s := range []string{"host", "u@host:22", "[::1]:22", "u@[::1]", "a@b@c", "::1", "@", ":", "[", "]", "u@:22", "-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseJump(s)
		if err != nil {
			return
		}
		if e.host == "" || e.port < 1 || e.port > 65535 {
			t.Fatalf("%q: accepted %+v", s, e)
		}
		if strings.HasPrefix(e.host, "-") || strings.HasPrefix(e.user, "-") || strings.ContainsAny(e.host+e.user, " \n'\"`$;&|") {
			t.Fatalf("%q: unsafe %+v", s, e)
		}
		again := e.addr()
		if e.user != "" {
			again = e.user + "@" + again
		}
		if back, err := parseJump(again); err != nil || back != e {
			t.Fatalf("%q: %q reads back as %+v, %v, want %+v", s, again, back, err, e)
		}
	})
}

func TestNetworkState(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	open := func(message string) error {
		return fmt.Errorf("x: %w", &gossh.OpenChannelError{Reason: gossh.ConnectionFailed, Message: message})
	}
	for _, test := range []struct {
		err  error
		want State
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), Refused},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), NoRoute},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), NoRoute},
		{dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), TimedOut},
		{dial(os.NewSyscallError("connect", syscall.EPERM)), NoRoute},
		{dial(os.ErrDeadlineExceeded), TimedOut},
		{context.DeadlineExceeded, TimedOut},
		{dial(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}), Unresolved},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "x", IsTimeout: true}), Unresolved},
		{open("Connection refused"), Refused},
		{open("Connection timed out"), TimedOut},
		{open("No route to host"), NoRoute},
		{open("Name or service not known"), Unresolved},
		{open("Temporary failure in name resolution"), Unresolved},
		{open("dial tcp: lookup nosuch.invalid: no such host"), Unresolved},
	} {
		if got := networkState(test.err); got != test.want {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, "network is unreachable"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "x"}}, "no such host"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "read tcp: read: connection reset by peer"},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, "no such file or directory"},
		{errors.New("as it is"), "as it is"},
	} {
		if got := plain(test.err).Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lasted time.Duration
		jitter float64
		want   time.Duration
	}{
		{0, 0, 100 * time.Millisecond},
		{0, 1, 75 * time.Millisecond},
		{2 * time.Second, 0, 100 * time.Millisecond},
		{20 * time.Second, 0, time.Second},
		{20 * time.Second, 1, 750 * time.Millisecond},
		{time.Hour, 0, 2 * time.Second},
	} {
		if got := pause(test.lasted, test.jitter); got != test.want {
			t.Errorf("after %s: got %s, want %s", test.lasted, got, test.want)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var short tail
	io.WriteString(&short, "one\ntwo\n")
	if got := short.String(); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
	for name, chunk := range map[string]int{"small writes": 7, "large writes": 3 * tailSize} {
		var all strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&all, "line %d\n", i)
		}
		var cut tail
		for piece := range slices.Chunk([]byte(all.String()), chunk) {
			if n, err := cut.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("%s: wrote %d, %v", name, n, err)
			}
		}
		got := cut.String()
		if len(got) > tailSize || len(got) < tailSize-20 || !strings.HasSuffix(got, "line 3998\nline 3999\n") || !strings.HasPrefix(got, "line ") {
			t.Errorf("%s: got %d bytes, from %q", name, len(got), got[:20])
		}
	}
}

func TestBrief(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"true":                              "true",
		"one\ntwo":                          "one…",
		strings.Repeat("x", 81):             strings.Repeat("x", 80) + "…",
		"  padded \n":                       "padded",
		strings.Repeat("x", 79) + "é" + "y": strings.Repeat("x", 79) + "…",
	} {
		if got := brief(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func testKey(t testing.TB) gossh.PublicKey {
	t.Helper()
	pair, err := NewKeyPair("")
	if err != nil {
		t.Fatal(err)
	}
	key, err := parsePublic(pair.Authorized)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func hashed(name string) string {
	salt := []byte("0123456789abcdefghij")
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return "|1|" + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestKnownHostCovers(t *testing.T) {
	t.Parallel()
	key := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(testKey(t))))
	for _, test := range []struct {
		patterns string
		host     string
		port     int
		want     bool
	}{
		{"h.example", "h.example", 22, true},
		{"h.example", "H.Example", 22, true},
		{"H.Example", "h.example", 22, true},
		{"h.example", "h.example", 2222, false},
		{"[h.example]:2222", "h.example", 2222, true},
		{"[h.example]:2222", "h.example", 22, false},
		{"[h.example]:22", "h.example", 22, true},
		{"a,b,c", "b", 22, true},
		{"a,b,c", "d", 22, false},
		{"*.example", "h.example", 22, true},
		{"*.example", "example", 22, false},
		{"*.example,!bad.example", "bad.example", 22, false},
		{"!bad.example,*.example", "bad.example", 22, false},
		{"!bad.example", "good.example", 22, false},
		{"10.0.0.?", "10.0.0.7", 22, true},
		{"10.0.0.?", "10.0.0.77", 22, false},
		{"2001:db8::1", "2001:db8::1", 22, true},
		{"[2001:db8::1]:2222", "2001:db8::1", 2222, true},
		{"*", "h", 22, true},
		{hashed("h.example"), "h.example", 22, true},
		{hashed("h.example"), "x.example", 22, false},
		{hashed("[h.example]:2222"), "h.example", 2222, true},
		{"|1|broken", "h", 22, false},
		{"|2|" + strings.TrimPrefix(hashed("h"), "|1|"), "h", 22, false},
	} {
		known, err := parseKnownHosts([]byte(test.patterns+" "+key+" a comment of five words\n"), "f", true)
		if err != nil || len(known) != 1 {
			t.Fatalf("%q: %v, %v", test.patterns, known, err)
		}
		if got := known[0].covers(knownName(test.host, test.port)); got != test.want {
			t.Errorf("%q covers %s port %d: got %t, want %t", test.patterns, test.host, test.port, got, test.want)
		}
	}
}

func TestParseKnownHosts(t *testing.T) {
	t.Parallel()
	key := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(testKey(t))))
	file := "# comment\n\n  a " + key + "\r\n@cert-authority *.b " + key + "\n@revoked * " + key
	known, err := parseKnownHosts([]byte(file), "f", true)
	if err != nil || len(known) != 3 || known[0].line != 3 || !known[1].authority || !known[2].revoked || known[2].line != 5 {
		t.Fatalf("got %+v, %v", known, err)
	}
	for _, bad := range []string{"a", "a ssh-ed25519", "a ssh-ed25519 AAAA", "a ssh-ed25519 !!!", "@other a " + key} {
		if known, err := parseKnownHosts([]byte("x "+key+"\n"+bad+"\n"), "the-file", true); err == nil ||
			!strings.Contains(err.Error(), "the-file, line 2") {
			t.Errorf("%q: got %v, %v, want an error that tells file and line", bad, known, err)
		}
		if known, err := parseKnownHosts([]byte("x "+key+"\n"+bad+"\ny "+key), "f", false); err != nil || len(known) != 2 {
			t.Errorf("%q, not strict: got %v, %v", bad, known, err)
		}
	}
	if known, err := readKnownHosts("no/such/file", true); known != nil || err != nil {
		t.Errorf("missing file: got %v, %v", known, err)
	}
}

func FuzzParseKnownHosts(f *testing.F) {
	key := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(testKey(f))))
	for _, s := range []string{
		"h " + key, "[h]:22 " + key, "a,!b,*.c " + key + " comment", "@revoked * " + key, "@cert-authority *.x " + key,
		hashed("h") + " " + key, "# no", "", "h", "h ssh-ed25519", "\x00", "@ " + key, "[ " + key, "! " + key,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lenient, err := parseKnownHosts([]byte(s), "f", false)
		if err != nil {
			t.Fatalf("not strict, but: %v", err)
		}
		strict, err := parseKnownHosts([]byte(s), "f", true)
		if err == nil && len(strict) != len(lenient) {
			t.Fatalf("strict reads %d lines, lenient %d", len(strict), len(lenient))
		}
		for _, k := range lenient {
			k.covers("h")
			k.covers("[h]:2222")
			if k.line < 1 || k.key == nil {
				t.Fatalf("got %+v", k)
			}
		}
	})
}

func FuzzWildcard(f *testing.F) {
	f.Add("*.a", "b.a")
	f.Add("a*b?c*", "axxbyc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			return
		}
		if got, want := wildcard(pattern, s), slowWildcard(pattern, s); got != want {
			t.Fatalf("wildcard(%q, %q) = %t", pattern, s, got)
		}
	})
}

func slowWildcard(p, s string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return slowWildcard(p[1:], s) || s != "" && slowWildcard(p, s[1:])
	case s == "":
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && slowWildcard(p[1:], s[1:])
}
