package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers/plugin"
)

// servedAs is the name of the driver that the program was started as a plugin of; empty: it was not. For the
// drivers that docker-machine has itself the plugin is the program docker-machine, which may be this one.
func (a *app) servedAs() string {
	if name, ok := strings.CutPrefix(a.name, plugin.ProgramPrefix); ok {
		return name
	}
	if a.Getenv != nil && (a.name == "docker-machine" || a.name == "rancher-machine") && a.Getenv(plugin.TokenVariable) == plugin.Token {
		return a.Getenv(plugin.NameVariable)
	}
	return ""
}

// servePlugin serves a driver to the program that started this one, which knows it by another name perhaps.
func (a *app) servePlugin(ctx context.Context, driver, name string) error {
	factory, err := pluginDriver(a.Drivers, driver)
	if err != nil {
		return err
	}
	err = lifecycle.ServePlugin(ctx, lifecycle.ServeRequest{
		Factory: factory, Name: name, Stdout: a.Stdout,
		Log:    slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Getenv: a.Getenv, Now: a.Now, Version: a.Version,
	})
	if errors.Is(err, plugin.ErrToken) {
		if _, werr := fmt.Fprint(a.Stderr, plugin.Notice()); werr != nil {
			return werr
		}
		return &remoteExit{lifecycle.ExitFailure}
	}
	return err
}
