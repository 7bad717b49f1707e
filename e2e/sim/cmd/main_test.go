package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/e2e/sim"
)

// start runs a provider until the test ends.
func start(t *testing.T, provider string, args ...string) ready {
	t.Helper()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, append([]string{"-provider", provider, "-dir", dir}, args...)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("It ended with %v", err)
		}
	})
	for range 6000 {
		text, err := os.ReadFile(filepath.Join(dir, "ready.json"))
		if err == nil {
			var r ready
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("It ended early: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("It is not ready")
	return ready{}
}

// ask makes a request of the control port and decodes its answer into v.
func (r ready) ask(t *testing.T, method, path, body string, want int, v any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.Control+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != want {
		t.Fatalf("%s %s: got %d %s, want %d", method, path, res.StatusCode, text, want)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
}

// client trusts the provider's authority and nobody else.
func (r ready) client(t *testing.T) *http.Client {
	t.Helper()
	text, err := os.ReadFile(r.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	knobs := map[string]string{
		"ec2":     `{"quota:vcpus": 2, "capacity:t3.small/us-east-1a": 0, "key:AKIAX:secret": ["ec2:*"]}`,
		"azure":   `{"quota:cores": 2, "scarce:Standard_B2s": "AllocationFailed", "registered:Microsoft.Compute": false, "restriction:Standard_B2s/westeurope": "QuotaId"}`,
		"vsphere": `{"tools": "never", "sessions": "expired"}`,
	}
	for provider, set := range knobs {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			r := start(t, provider)
			var ledger []sim.Resource
			r.ask(t, "GET", "/ledger", "", http.StatusOK, &ledger)
			if ledger == nil || len(ledger) != 0 {
				t.Errorf("Got %v", ledger)
			}
			r.ask(t, "POST", "/set", set, http.StatusNoContent, nil)
			r.ask(t, "POST", "/set", `{"nothing": 1}`, http.StatusBadRequest, nil)
			var held bool
			r.ask(t, "GET", "/held", "", http.StatusOK, &held)
			if held || len(r.Env) < 4 || r.Env["SSL_CERT_FILE"] != r.CA || len(r.Thumbprint) != 95 {
				t.Errorf("Got %+v, held %v", r, held)
			}
		})
	}
}

// TestFaults has a SOAP call refused, and counted.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := start(t, "vsphere")
	r.ask(t, "POST", "/faults", `{"action": "CloneVM_Task", "mode": "fail", "code": "NoPermission", "text": "no"}`, http.StatusNoContent, nil)
	r.ask(t, "POST", "/faults", `{"action": "CloneVM_Task"}`, http.StatusBadRequest, nil)
	r.ask(t, "POST", "/faults", `{"verb": "CloneVM_Task"}`, http.StatusBadRequest, nil)
	r.ask(t, "POST", "/vanish", `{"kind": "vm", "id": "vm-0"}`, http.StatusNotFound, nil)
	call := func() string {
		t.Helper()
		body := bytes.NewBufferString(`<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>` +
			`<CloneVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-1</_this></CloneVM_Task></Body></Envelope>`)
		res, err := r.client(t).Post(r.URL+"/sdk", "text/xml", body)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := call(); !strings.Contains(got, "NoPermissionFault") {
		t.Errorf("Got %s", got)
	}
	r.ask(t, "DELETE", "/faults", "", http.StatusNoContent, nil)
	if got := call(); !strings.Contains(got, "NotAuthenticated") {
		t.Errorf("Got %s", got)
	}
	var calls map[string]int
	r.ask(t, "GET", "/calls", "", http.StatusOK, &calls)
	if calls["CloneVM_Task"] != 2 || calls[""] != 2 {
		t.Errorf("Got %v", calls)
	}
}

// TestHypervisors has a hypervisor of this computer asked by its socket, until a fault
// kills the one who asks.
func TestHypervisors(t *testing.T) {
	t.Parallel()
	for provider, ask := range map[string]struct{ home, socket, question, want, knob, config string }{
		"virtualbox": {"VBOX_USER_HOME", "vboxsim", `{"dir":"/","args":["list","vms"]}`, `"exit":0`, `{"deaf:x": true}`, `{"Mac": true}`},
		"hyperv":     {"HYPERVSIM_HOME", "hypervsim", "1\n# machine-hyperv session 1\n" + `{"id":1,"op":"listSwitches","args":{}}`, "Default Switch", `{"deaf:x": true}`, `{"Memory": 1}`},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			r := start(t, provider, "-config", ask.config)
			home := r.Env[ask.home]
			say := func() string {
				t.Helper()
				conn, err := net.Dial("unix", filepath.Join(home, ask.socket+".sock"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, ask.question+"\n"); err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				return line
			}
			if got := say(); !strings.Contains(got, ask.want) {
				t.Errorf("Got %s", got)
			}
			r.ask(t, "POST", "/set", ask.knob, http.StatusNoContent, nil)
			r.ask(t, "POST", "/set", `{"nothing": true}`, http.StatusBadRequest, nil)
			r.ask(t, "GET", "/admits?from=10.0.0.1&port=22", "", http.StatusBadRequest, nil)
			r.ask(t, "POST", "/vanish", `{"kind": "machine", "id": "x"}`, http.StatusNotFound, nil)
			r.ask(t, "POST", "/faults", `{"mode": "slow"}`, http.StatusBadRequest, nil)
			r.ask(t, "POST", "/faults", `{"nth": 1, "mode": "after"}`, http.StatusNoContent, nil)
			held := func() (held bool) { r.ask(t, "GET", "/held", "", http.StatusOK, &held); return held }
			if held() {
				t.Error("Somebody is killed who did not call")
			}
			if got := say(); !strings.Contains(got, `"kill":true`) || !held() {
				t.Errorf("Got %s", got)
			}
			r.ask(t, "DELETE", "/faults", "", http.StatusNoContent, nil)
			var calls map[string]int
			r.ask(t, "GET", "/calls", "", http.StatusOK, &calls)
			if got := say(); !strings.Contains(got, ask.want) || held() || calls[""] != 2 {
				t.Errorf("Got %s, %v", got, calls)
			}
			var ledger []sim.Resource
			r.ask(t, "GET", "/ledger", "", http.StatusOK, &ledger)
			if ledger == nil || len(ledger) != 0 {
				t.Errorf("Got %v", ledger)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"no directory":     {"-provider", "ec2"},
		"unknown provider": {"-provider", "gce", "-dir", dir},
		"unknown hosts":    {"-provider", "ec2", "-hosts", "paper", "-dir", dir},
		"unknown setting":  {"-provider", "ec2", "-dir", dir, "-config", `{"Nothing": 1}`},
		"left over":        {"-provider", "ec2", "-dir", dir, "more"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("Got %v in the directory", entries)
	}
}

func TestEndsWithPipe(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx := endsWith(t.Context(), in)
	if ctx.Err() != nil {
		t.Fatal("It ended before the pipe")
	}
	out.Close()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Error("It did not end")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if endsWith(t.Context(), null) != t.Context() {
		t.Error("It would end with an input that is no pipe")
	}
}
