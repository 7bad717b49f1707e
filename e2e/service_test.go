package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const helloImage = "machine-e2e-hello:1"

// helloArchive is the image of the service as "docker save" writes it, made once.
var helloArchive = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "machine-e2e-hello-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "hello"), "./hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build service: %w\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "hello"))
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	load := exec.CommandContext(context.Background(), "docker", "import", "--change", `ENTRYPOINT ["/hello"]`, "-", helloImage)
	load.Stdin = &layer
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("import image of service: %w: %s", err, out)
	}
	return exec.CommandContext(context.Background(), "docker", "save", helloImage).Output()
})

// loadHello gives machines the image of the service through their TLS ports.
func (f *fleet) loadHello(machines ...string) {
	f.t.Helper()
	archive, err := helloArchive()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range machines {
		cmd := f.dockerCommand(f.t.Context(), f.dockerEnv(m), "load", "-q")
		cmd.Stdin = bytes.NewReader(archive)
		if out, err := cmd.CombinedOutput(); err != nil {
			f.t.Fatalf("docker load on %s: %v: %s", m, err, out)
		}
	}
}

// deployHello runs the service on each node of the swarm. The kernel of a test
// computer may lack IPVS, so neither virtual addresses nor the mesh are used.
func (f *fleet) deployHello(swarm []string) {
	f.t.Helper()
	f.dockerWith(swarm, "service", "create", "--detach", "--name", "hello", "--mode", "global", "--no-resolve-image",
		"--endpoint-mode", "dnsrr", "--publish", "mode=host,target=8080,published=8080",
		"--env", "NODE={{.Node.Hostname}}", helloImage)
}

// ask fetches the answer of the service at an address.
func ask(ctx context.Context, ip string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ip+":8080/", nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

// answersEverywhere waits until the service answers on each machine with its name.
func (f *fleet) answersEverywhere(machines ...string) {
	f.t.Helper()
	for _, m := range machines {
		ip := f.ok("ip", m)
		eventually(f.t, 60*time.Second, func() error {
			got, err := ask(f.t.Context(), ip)
			if err == nil && got != "hello from "+m {
				err = fmt.Errorf("%s answers %q", m, got)
			}
			return err
		})
	}
}

// watch calls try over and over until stop is called, which returns how often it
// was called and the errors.
func watch(try func(context.Context) error) (stop func() (calls int, errs []error)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var calls atomic.Int64
	var errs []error
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			begun := time.Now()
			if err := try(ctx); err != nil && ctx.Err() == nil {
				errs = append(errs, fmt.Errorf("%s: %w", begun.Format("15:04:05.000"), err))
			}
			calls.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() (int, []error) {
		cancel()
		<-done
		return int(calls.Load()), errs
	}
}

// served returns a function for watch that asks nodes in turn until one answers:
// the way a client with several addresses, or a load balancer, does.
func served(ips []string) func(context.Context) error {
	first := 0
	return func(ctx context.Context) error {
		var last error
		for i := range ips {
			at := (first + i) % len(ips)
			if _, last = ask(ctx, ips[at]); last == nil {
				first = at
				return nil
			}
		}
		return fmt.Errorf("no node answers: %w", last)
	}
}

// checkWatch fails the test if what was watched broke, or was not watched.
func checkWatch(t *testing.T, what string, stop func() (int, []error)) {
	t.Helper()
	calls, errs := stop()
	if calls < 10 {
		t.Errorf("%s: watched only %d times", what, calls)
	}
	for i, err := range errs {
		if i == 5 {
			t.Errorf("%s: and %d more", what, len(errs)-i)
			break
		}
		t.Errorf("%s: %v", what, err)
	}
	t.Logf("%s: watched %d times, failed %d times", what, calls, len(errs))
}
