package lifecycle

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

// ServeRequest asks to serve a driver to another program that has a store of its own.
type ServeRequest struct {
	Factory drivers.Factory
	Name    string    // that the other program knows the driver by; empty: its own
	Stdout  io.Writer // for the other program
	Log     *slog.Logger
	Getenv  func(string) string
	Now     func() time.Time
	Version string // of the program
}

// ServePlugin serves a driver to docker-machine, or one of its kin, until that closes it or is gone.
func ServePlugin(ctx context.Context, req ServeRequest) error {
	ports := append([]drivers.Port{{Number: provision.DefaultPort, Protocol: "tcp"}}, swarmPorts(0)...)
	server := &plugin.Server{
		Factory: req.Factory, Name: req.Name,
		Stdout: req.Stdout, Log: req.Log, Getenv: req.Getenv,
		Creator:   "machine/" + req.Version,
		OpenPorts: ports,
		Key:       serveKey,
		StoreID: func(ctx context.Context, path string) (string, error) {
			m := &Manager{Store: store.Open(path), Log: req.Log, Now: req.Now, Version: req.Version, Command: "plugin serve"}
			if err := m.ensureID(ctx); err != nil {
				return "", err
			}
			return m.Store.ID()
		},
	}
	return server.Serve(ctx)
}

// serveKey returns the pair of a private key, or a new one.
func serveKey(private []byte, comment string) ([]byte, string, error) {
	pair, err := ssh.NewKeyPair(comment)
	if private != nil {
		pair, err = ssh.ParseKeyPair(private, comment)
	}
	return pair.Private, pair.Authorized, err
}
