// Command machine creates and manages hosts that run Docker Engine, and swarms of them.
package main

//go:generate go run . docs ../../docs/reference

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/hostsmith/machine/cmd/internal/cli"
	"github.com/hostsmith/machine/cmd/internal/start"
	"github.com/hostsmith/machine/drivers/all"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func main() { os.Exit(run()) }

// brief is how long a command may go without garbage collections.
const brief = 50 * time.Millisecond

func run() int {
	time.AfterFunc(brief, func() { start.Over(os.Getenv("GOGC")) })
	// What the caller has ignored, such as nohup the hang-up, stays ignored.
	signals := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
	ctx, stop := context.WithCancel(context.Background())
	if len(signals) > 0 { // none would mean all
		ctx, stop = signal.NotifyContext(ctx, signals...)
	}
	defer stop()
	// The first signal asks for an orderly end, the second does not ask.
	context.AfterFunc(ctx, stop)
	table := all.Table
	if cli.IsDockerMachine(os.Args) {
		table = all.DockerMachine
	}
	return cli.Run(ctx, os.Args, cli.Env{
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ(),
		Drivers: table(),
		Plugins: all.Plugins(ctx, os.Getenv, os.Environ()),
		Version: version,
		Commit:  commit,
		Now:     time.Now,
		Caught:  func() bool { return ctx.Err() != nil },
	})
}
