// Command sim runs a simulated provider as a process of its own:
//
//	sim -provider PROVIDER -hosts memory|docker -dir DIR [-config JSON]
//
// PROVIDER is ec2, azure or vsphere, whose interface it serves with TLS on a port
// of 127.0.0.1, or virtualbox or hyperv, which VBoxManage and powershell.exe of the
// folders beside this one ask by a socket. On another port it serves plain what
// tests need: see control.go. When it is up it writes
// DIR/ready.json: see ready. It ends, and removes all hosts and networks, on
// SIGTERM and SIGINT, and at the end of its input if that is a pipe.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hostsmith/machine/e2e/sim/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(endsWith(ctx, os.Stdin), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// endsWith returns a context that ends with a pipe too.
func endsWith(ctx context.Context, in *os.File) context.Context {
	info, err := in.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // the pipe's end is all that counts
	}()
	return ctx
}

// ready is written to ready.json.
type ready struct {
	Provider   string            `json:"provider"`
	URL        string            `json:"url"`        // of the provider's interface; empty: it is asked by a socket
	Control    string            `json:"control"`    // URL
	CA         string            `json:"ca"`         // PEM file
	Thumbprint string            `json:"thumbprint"` // SHA-256 of the server's certificate
	Private    netip.Prefix      `json:"private"`    // range of the hosts' private addresses; the first 16 and the last are not given away
	Public     netip.Prefix      `json:"public"`     // of the addresses that the world sees, likewise
	Env        map[string]string `json:"env"`        // what a user would have set
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	name := flags.String("provider", "", "ec2, azure, vsphere, virtualbox or hyperv")
	kind := flags.String("hosts", "memory", "behind instances: memory or docker")
	dir := flags.String("dir", "", "directory for ready.json and the certificates")
	config := flags.String("config", "{}", "fields of the provider's Config, as JSON; durations are nanoseconds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return errors.New("usage: sim -provider PROVIDER -hosts memory|docker -dir DIR [-config JSON]")
	}
	if *dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	hosts, err := newHosts(ctx, *kind, *name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hosts.Close()) }()
	p, err := newProvider(ctx, *name, hosts, *config)
	if err != nil {
		return err
	}
	defer p.close()
	return serve(ctx, *name, *dir, p, hosts)
}

func newHosts(ctx context.Context, kind, provider string) (host.Hosts, error) {
	switch {
	case kind == "memory":
		return host.NewMemory(), nil
	case kind == "docker" && provider == "virtualbox":
		return host.NewDockerHostOnly(ctx)
	case kind == "docker":
		return host.NewDocker(ctx)
	}
	return nil, fmt.Errorf("hosts %q: not memory or docker", kind)
}

// serve serves until the context ends.
func serve(ctx context.Context, name, dir string, p *provider, hosts host.Hosts) error {
	plain, err := listen(&http.Server{Handler: control(p, hosts)})
	if err != nil {
		return err
	}
	defer plain.close()
	r := ready{Provider: name, Control: "http://" + plain.addr}
	secure := &server{}
	if p.front != nil {
		id, err := newIdentity(dir)
		if err != nil {
			return fmt.Errorf("make certificates: %w", err)
		}
		if secure, err = listen(&http.Server{Handler: p.front, TLSConfig: id.config()}); err != nil {
			return err
		}
		defer secure.close()
		r.URL, r.CA, r.Thumbprint = "https://"+secure.addr, id.ca, id.thumbprint
	}
	r.Private, r.Public = hosts.Networks()
	r.Env = p.env(r)
	if err := write(filepath.Join(dir, "ready.json"), r); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-secure.failed:
		return err
	case err := <-plain.failed:
		return err
	}
}

// server listens on a free port of 127.0.0.1.
type server struct {
	*http.Server
	addr   string
	failed chan error
}

func listen(s *http.Server) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	up := &server{s, l.Addr().String(), make(chan error, 1)}
	go func() {
		if s.TLSConfig != nil {
			up.failed <- s.ServeTLS(l, "", "")
		} else {
			up.failed <- s.Serve(l)
		}
	}()
	return up, nil
}

func (s *server) close() { _ = s.Close() } // the process ends

// write writes a file that is whole whenever it exists.
func write(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
