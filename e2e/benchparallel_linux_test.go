package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measureCreates starts 50 creates at once on an empty store, and says how many succeeded and what is signed by what.
func measureCreates(t *testing.T, program, what, goal string) measure {
	t.Helper()
	const n, runs = 50, 3
	m := measure{what: what, runs: runs, goal: goal}
	good, signed := 0, 0
	for range runs {
		f := newFleet(t)
		f.program = program
		begun := time.Now()
		works := make([]*running, n)
		for i := range works {
			works[i] = f.start(t.Context(), "create", "-d", "none", "--url", "tcp://127.0.0.1:1", f.name(fmt.Sprintf("n%d", i)))
		}
		for _, w := range works {
			r := w.wait()
			if r.code == 0 {
				good++
			}
			m.cpu += (w.cmd.ProcessState.UserTime() + w.cmd.ProcessState.SystemTime()) / runs
		}
		took := time.Since(begun)
		m.mean += took / runs
		m.worst = max(m.worst, took)
		err := consistent(filepath.Join(f.store, "certs"))
		if err == nil {
			signed++
		}
		if program == "" && err != nil {
			t.Errorf("certificates: %v", err)
		}
	}
	m.note = fmt.Sprintf("%d of %d succeed; in %d of %d runs there is one authority and the client's certificate verifies", good, n*runs, signed, runs)
	return m
}

// consistent returns why a folder is not that of one authority and a client of it.
func consistent(dir string) error {
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		return err
	}
	client, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	if len(ca.Certificate) != 1 {
		return fmt.Errorf("ca.pem holds %d certificates", len(ca.Certificate))
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	_, err = client.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// measureDockerMachine measures the same of docker-machine, if it could be built.
func measureDockerMachine(t *testing.T, add func(measure)) {
	program := os.Getenv("MACHINE_BENCH_DOCKER_MACHINE")
	if program == "" {
		t.Log("docker-machine was not built; it is not measured")
		return
	}
	f := newFleet(t)
	f.program = program
	stub := newStubEngine(t, f, 500)
	one := f.name("one")
	f.ok("create", "-d", "none", "--url", stub.url(0), one)
	if err := consistent(filepath.Join(f.store, "certs")); err != nil {
		t.Fatal(err)
	}
	stub.serve()
	add(f.measure("docker-machine 0.16.2: `version`", 20, "", "version"))
	add(f.measure("docker-machine 0.16.2: `config NAME`", 20, "", "config", one))
	add(f.measure("docker-machine 0.16.2: `ls -q`", 20, "", "ls", "-q"))
	f.ok("rm", "-y", one)
	add(measureCreates(t, program, "docker-machine 0.16.2: `create -d none`, 50 at once on an empty store", ""))
	stub.machines(500)
	m := f.measure("docker-machine 0.16.2: `ls`, 500 machines that answer", 2, "", "ls", "--timeout", "60")
	got := strings.Count(f.ok("ls", "--timeout", "60", "--format", "{{.State}} {{.DockerVersion}}"), "Running v28.5.2")
	m.note = fmt.Sprintf("%d rows with state and version; memory is of the largest process", got)
	add(m)
	f.ok("rm", "-f", f.name("s0")) // and the others with the store: it takes a process for each
	if err := os.RemoveAll(f.store); err != nil {
		t.Error(err)
	}
}
