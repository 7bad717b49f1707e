package all

import (
	"context"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

// Plugins returns what finds the drivers that are programs on PATH, for a command whose context is ctx.
func Plugins(ctx context.Context, getenv func(string) string, environ []string) func(name string) (drivers.Factory, error) {
	return plugin.NewFinder(ctx, getenv, environ, plugin.Limits{}).Find
}
