package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// realRunner is GitLab Runner's own code that calls docker-machine, in a small program around it.
type realRunner struct {
	f       *fleet
	program string
}

// outcome is what a call of it returned.
type outcome struct {
	OK          bool
	Error       string
	Machines    []string
	Credentials struct {
		Host      string
		CertPath  string `json:"tls_cert_path"`
		TLSVerify bool   `json:"tls_verify"`
	}
	Info     struct{ DriverName string }
	NoLabels bool

	log string
}

// call makes a call, whose time is limited.
func (r realRunner) call(limit time.Duration, what string, args ...string) (out outcome) {
	r.f.t.Helper()
	cmd := exec.CommandContext(r.f.t.Context(), r.program, append([]string{limit.String(), what}, args...)...)
	cmd.Env = r.f.env() // its PATH has docker-machine first
	var log strings.Builder
	cmd.Stderr = &log
	text, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		r.f.t.Errorf("%s %q: %v: %s%s", what, args, err, text, log.String())
	}
	out.log = log.String()
	return out
}

// want fails the test if the call did not end so.
func (r realRunner) want(ok bool, what string, args ...string) outcome {
	r.f.t.Helper()
	out := r.call(5*time.Minute, what, args...)
	if out.OK != ok {
		r.f.t.Errorf("%s %q: got %+v", what, args, out)
	}
	return out
}

// TestRunnerClient has GitLab Runner's own code do with machines all that it can.
func TestRunnerClient(t *testing.T) {
	t.Parallel()
	needEngines(t)
	program := os.Getenv("MACHINE_E2E_RUNNER")
	if program == "" {
		t.Skip("needs GitLab Runner's code, built: make e2e, or go build in testdata/gitlab-runner and MACHINE_E2E_RUNNER=program")
	}
	f := newFleet(t)
	r := realRunner{f, program}
	options := []string{"engine-registry-mirror=http://mirror.example.test:5000", "engine-storage-driver=overlay2", "engine-opt=log-driver=local", "engine-label=ci=yes"}

	if out := r.want(true, "list"); len(out.Machines) > 0 {
		t.Errorf("an empty store lists %q", out.Machines)
	}
	m := f.name("m")
	r.want(false, "exist", m)
	r.want(false, "inspect", m)
	r.want(true, "create", append([]string{m, "docker"}, options...)...)
	r.want(true, "exist", m)
	if out := r.want(true, "inspect", m); out.Info.DriverName != "docker" {
		t.Errorf("it reads the driver %q", out.Info.DriverName)
	}
	if out := r.want(true, "list"); !slices.Equal(out.Machines, []string{m}) {
		t.Errorf("it lists %q", out.Machines)
	}
	r.want(true, "provision", m)
	r.want(true, "can-connect", m)
	c := r.want(true, "credentials", m).Credentials
	if !c.TLSVerify || c.CertPath != f.path(m, "") {
		t.Errorf("credentials %+v", c)
	}
	cmd := f.dockerCommand(t.Context(), []string{"DOCKER_HOST=" + c.Host, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=" + c.CertPath},
		"info", "-f", "{{.Name}} {{.Driver}} {{.LoggingDriver}} {{.Labels}} {{.RegistryConfig.Mirrors}}")
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || !strings.HasPrefix(got, m+" overlay2 local [") || !strings.Contains(got, "ci=yes") || !strings.HasSuffix(got, "[http://mirror.example.test:5000/]") {
		t.Errorf("the engine says %q, %v", got, err)
	}
	if out := r.want(false, "update-labels", m, "runner_manager_heartbeat=1"); !out.NoLabels {
		t.Errorf("update-labels: %+v", out)
	}
	r.want(true, "stop", m)
	r.want(false, "can-connect", m)
	r.want(false, "credentials", m)
	r.want(true, "remove", m)
	r.want(false, "exist", m)
	r.want(true, "force-remove", m)

	// A create at its limit is killed; what it left is removed.
	for i, limit := range []time.Duration{200 * time.Millisecond, time.Second, 2 * time.Second} {
		k := f.name("k" + string(rune('0'+i)))
		r.call(limit, "create", k, "docker")
		r.want(true, "force-remove", k)
		r.want(false, "exist", k)
	}
	for _, kind := range []string{"container", "volume", "network"} {
		if left := f.leftovers(kind); len(left) > 0 {
			t.Errorf("left: %s %v", kind, left)
		}
	}

	// Twenty at once on one store.
	var working sync.WaitGroup
	for i := range 20 {
		working.Go(func() {
			name := f.name("n" + string(rune('a'+i)))
			r.want(true, "create", name, "none", "url=tcp://127.0.0.1:1")
			r.want(false, "can-connect", name)
			r.want(false, "stop", name)
			r.want(true, "remove", name)
		})
	}
	working.Wait()
	if out := r.want(true, "list"); len(out.Machines) > 0 {
		t.Errorf("left: %q", out.Machines)
	}
}
