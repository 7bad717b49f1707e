package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// Server makes a driver of ours one that docker-machine and its kin use: the program that they start as
// docker-machine-driver-NAME. It serves one machine, whose record the caller keeps.
//
// What the record does not have is in the machine's folder, StorePath/machines/NAME, in the files that a store of
// ours has there: the SSH key, the secrets, and the driver's state after each of its saves, so that a machine is
// removed or its Create continued also when the caller was killed before it asked for the record.
type Server struct {
	Factory drivers.Factory
	Name    string // that the caller knows the driver by; empty: the factory's
	Stdout  io.Writer
	Log     *slog.Logger
	Getenv  func(string) string
	Creator string // version of the program, for labels and tags

	// StoreID returns the identity of the caller's store and makes it if there is none.
	StoreID func(ctx context.Context, storePath string) (string, error)

	// Key returns an SSH key pair: an OpenSSH private key, made if it is nil, and its line of authorized_keys.
	Key func(private []byte, comment string) (pair []byte, authorized string, err error)

	// OpenPorts are those that a host's firewall must let through besides SSH.
	OpenPorts []drivers.Port

	Patience time.Duration // with a caller that sends no heartbeat; 0: 10 s
	Grace    time.Duration // for a call that was under way when the caller went; 0: 5 s
}

// Errors of Serve.
var (
	// ErrToken says that the program was not started by one that uses plugins.
	ErrToken = errors.New("not started as a plugin")
	// ErrForsaken says that the caller sent no heartbeat any more.
	ErrForsaken = errors.New("no heartbeat of the caller")
)

const (
	defaultPatience = 10 * time.Second
	defaultGrace    = 5 * time.Second
)

// Notice is what a plugin tells a person who starts it: it is of no use alone.
func Notice() string {
	return fmt.Sprintf(`This is a Docker Machine plugin binary.
Plugin binaries are not intended to be invoked directly.
Please use this plugin through the main 'docker-machine' binary.
(API version: %d)
`, Version)
}

// Serve listens on the loopback, tells the address as the first line of Stdout, and answers calls until the
// caller closes it, which is no error, or ctx ends, or the caller's heartbeats stay away.
func (s *Server) Serve(ctx context.Context) error {
	if s.Getenv(TokenVariable) != Token {
		return ErrToken
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the caller: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := s.host(ctx)
	calls := newCalls(h)
	handler, err := calls.handler()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: defaultPatience, ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(listener) }) // it ends with Close, below
	if _, err := fmt.Fprintln(s.Stdout, listener.Addr()); err != nil {
		err = fmt.Errorf("tell the address: %w", err)
		return errors.Join(err, web.Close())
	}
	err = s.watch(ctx, calls)
	cancel(err)
	h.end(context.WithoutCancel(ctx), cmpDuration(s.Grace, defaultGrace))
	cerr := web.Close()
	serving.Wait()
	return errors.Join(err, cerr)
}

// watch returns when the server is to end, and why; nil: the caller said so.
func (s *Server) watch(ctx context.Context, c *calls) error {
	patience := cmpDuration(s.Patience, defaultPatience)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.closed:
			return nil
		case <-c.beats:
			timer.Reset(patience)
		case <-timer.C:
			return fmt.Errorf("%w for %s", ErrForsaken, patience)
		}
	}
}

func cmpDuration(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// handler speaks net/rpc, under the service's name and the one that it had before docker-machine 0.5.1.
func (c *calls) handler() (http.Handler, error) {
	registerTypes()
	server := rpc.NewServer()
	for _, name := range []string{Service, OldService} {
		if err := server.RegisterName(name, c); err != nil {
			return nil, fmt.Errorf("offer the plugin's calls: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle(rpc.DefaultRPCPath, server)
	return mux, nil
}
