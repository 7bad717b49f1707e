// Package cli is the command line: flags become a request, one call of
// package lifecycle does the work, and its result is printed. One file per
// command. It is driven by values alone, so that tests can call it.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/plugin"
)

// Env is the world that a command runs in.
type Env struct {
	Stdin   io.Reader
	Stdout  io.Writer // results
	Stderr  io.Writer // everything else
	Getenv  func(string) string
	Environ []string                                   // for programs that are started
	Drivers drivers.Table                              // the built-in ones
	Plugins func(name string) (drivers.Factory, error) // finds others; nil: there are none
	Version string
	Commit  string
	Now     func() time.Time
	Caught  func() bool // whether ctx was ended by a signal
}

// Run does what args (the program's name first) say and returns the exit code.
func Run(ctx context.Context, args []string, env Env) int {
	a := &app{Env: env, name: "machine", argv: args}
	if len(args) > 0 && args[0] != "" {
		a.name = calledAs(args[0])
		a.legacy = isDockerMachine(a.name)
		args = args[1:]
	}
	if driver := a.servedAs(); driver != "" {
		return a.end(ctx, a.servePlugin(ctx, driver, cmp.Or(a.Getenv(plugin.NameVariable), driver)))
	}
	err := a.run(ctx, args)
	a.closeStores()
	return a.end(ctx, err)
}

// catalog is where drivers are found by name.
func (a *app) catalog() drivers.Catalog {
	return drivers.Catalog{Table: a.Drivers, Find: a.findDriver}
}

// findDriver finds a driver of ours by the name that it has as a plugin, and else a plugin on PATH.
func (a *app) findDriver(name string) (drivers.Factory, error) {
	f, err := pluginDriver(a.Drivers, name)
	if err != nil && a.Plugins != nil {
		return a.Plugins(name)
	}
	return f, err
}

// calledAs is the name under which the program was started.
func calledAs(argv0 string) string {
	name := filepath.Base(argv0)
	if runtime.GOOS == "windows" {
		name = strings.TrimSuffix(strings.ToLower(name), ".exe")
	}
	return name
}

// app is one run of the program.
type app struct {
	Env
	name    string // for texts
	legacy  bool   // called as docker-machine
	argv    []string
	inv     *invocation
	globals globals
	tool    *tool                  // made when a command needs it
	shared  *lifecycle.SharedStore // nil: the store is a folder
	opened  []*lifecycle.SharedStore
	lost    context.CancelCauseFunc // ends a command that lost a lock of a shared store
	plugin  drivers.Factory         // that the command line names as its driver; nil: none
}

func (a *app) parser() *parser {
	return &parser{app: a.name, legacy: a.legacy, globals: globalFlags(), rawAfter: rawAfter}
}

func (a *app) run(ctx context.Context, args []string) error {
	p := a.parser()
	command := firstWord(args, p.globals)
	perr := a.findPlugin(args, p.globals)
	p.commands = a.commands(command)
	inv, err := p.parse(args)
	if err != nil && command == "credentials" && a.findPluginOf(args, inv) {
		p = a.parser()
		p.commands = a.commands(command)
		inv, err = p.parse(args)
	}
	a.inv = inv
	if perr != nil && (err != nil || inv.help || !errors.Is(perr, drivers.ErrUnknown)) {
		return perr
	}
	if gerr := a.readGlobals(inv); err == nil {
		err = gerr
	}
	switch {
	case inv.help, len(inv.path) == 0 && err == nil && !a.globals.version:
		return a.help(inv.command())
	case err != nil:
		return err
	case a.globals.version:
		return a.printVersion()
	case len(inv.command().Subcommands) > 0:
		if err := a.help(inv.command()); err != nil {
			return err
		}
		return usagef("%s: no subcommand given", inv.command().Name)
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	a.lost = lost
	if a.globals.location != "" {
		a.globals.rootErr = a.openShared(ctx, inv)
	}
	if a.globals.rootErr != nil && needsStore(inv) {
		return a.globals.rootErr
	}
	u := &cli.App{
		Name: a.name, HideHelp: true, HideVersion: true,
		Flags: p.globals, Commands: p.commands,
		Reader: a.Stdin, Writer: a.Stderr, ErrWriter: a.Stderr,
		DisableSliceFlagSeparator: true,
		Compiled:                  time.Unix(0, 0),
		ExitErrHandler:            func(*cli.Context, error) {}, // codes are decided in one place
		OnUsageError:              a.wrongValue,
	}
	return endedByLoss(ctx, u.RunContext(ctx, inv.line(a.name)))
}

// needsStore tells whether a command does anything without one.
func needsStore(inv *invocation) bool {
	switch inv.command().Name {
	case "help", "completion", "docs", "__complete", "plugin":
		return false
	case "version":
		return len(inv.args) > 0
	}
	return true
}

// wrongValue is the error of an option whose value is of the wrong kind.
func (a *app) wrongValue(_ *cli.Context, err error, _ bool) error {
	if a.legacy {
		return usagef("%s", err.Error())
	}
	return usagef("%s", strings.Replace(err.Error(), " for flag -", " for flag --", 1))
}

// firstWord returns the command's name without understanding the rest.
func firstWord(args []string, globals []cli.Flag) string {
	for i := 0; i < len(args); i++ {
		if !isOption(args[i]) {
			return args[i]
		}
		name, _, given := strings.Cut(strings.TrimPrefix(args[i][1:], "-"), "=")
		if f := lookup(globals, name); f != nil && takesValue(f) && !given {
			i++
		}
	}
	return ""
}

// rawAfter tells where the words of another program begin.
func rawAfter(c *cli.Command, n int) bool { return c.Name == "ssh" && n > 0 }

// commands returns the command tree. Only the command called chosen gets the
// flags that are costly to make; "" gives all of them all.
func (a *app) commands(chosen string) []*cli.Command {
	all := []*cli.Command{
		a.activeCommand(),
		a.adoptCommand(),
		a.configCommand(),
		a.createCommand(chosen == "create" || chosen == ""),
		a.credentialsCommand(chosen == "credentials" || chosen == ""),
		a.describeCommand(),
		a.downCommand(),
		a.envCommand(),
		a.execCommand(),
		a.exportCommand(),
		a.gcCommand(chosen == "gc" || chosen == ""),
		a.imageCommand(chosen == "image" || chosen == ""),
		a.importCommand(),
		a.inspectCommand(),
		a.ipCommand(),
		a.killCommand(),
		a.lsCommand(),
		a.migrateCommand(),
		a.mountCommand(),
		a.pluginCommand(),
		a.provisionCommand(),
		a.regenerateCertsCommand(),
		a.restartCommand(),
		a.rmCommand(),
		a.scpCommand(),
		a.sshCommand(),
		a.sshConfigCommand(),
		a.startCommand(),
		a.statusCommand(),
		a.stopCommand(),
		a.storeCommand(),
		a.swarmCommand(),
		a.upCommand(),
		a.updateLabelsCommand(),
		a.upgradeCommand(),
		a.urlCommand(),
		a.versionCommand(),
		a.completionCommand(),
		a.helpCommand(),
		a.docsCommand(),
		a.completeCommand(),
	}
	for _, c := range all {
		a.quietUsage(c)
	}
	return all
}

// quietUsage leaves help and errors to this package.
func (a *app) quietUsage(c *cli.Command) {
	c.HideHelp, c.OnUsageError = true, a.wrongValue
	for _, s := range c.Subcommands {
		a.quietUsage(s)
	}
}
