package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// findPlugin looks for the driver that a command line names, if it is not built in: its options are among those of the
// command, and only it knows them. What is wrong with it is told instead of an option that would not be known.
func (a *app) findPlugin(args []string, globals []cli.Flag) error {
	if !wantsDriver(firstWord(args, globals)) || a.Plugins == nil {
		return nil
	}
	name := givenDriver(args)
	if name == "" {
		name = a.Getenv("MACHINE_DRIVER")
	}
	if name == "" {
		return nil
	}
	f, err := a.catalog().Lookup(name)
	if err != nil {
		return err
	}
	l, ok := f.(drivers.Loader)
	if !ok {
		return nil
	}
	a.plugin = f
	return l.Load()
}

// findPluginOf looks for the plugin whose machines a command line names that has options not known here, and tells
// whether there is one. Words are compared with the names of a folder's machines; a shared store is not asked by them:
// one of them may be a secret.
func (a *app) findPluginOf(args []string, inv *invocation) bool {
	if a.Plugins == nil || a.readGlobals(inv) != nil || a.globals.location != "" {
		return false
	}
	s := store.Open(a.globals.root)
	names, err := s.Names()
	if err != nil {
		return false // the command says why
	}
	for _, word := range args {
		if !slices.Contains(names, word) {
			continue
		}
		rec, err := s.Get(word)
		if err != nil {
			continue
		}
		f, err := a.catalog().Lookup(rec.DriverName)
		if err != nil {
			continue
		}
		if l, ok := f.(drivers.Loader); ok && l.Load() == nil {
			a.plugin = f
			return true
		}
	}
	return false
}

// wantsDriver tells whether a command has the options of the driver that it is given.
func wantsDriver(command string) bool {
	return command == "create" || command == "gc" || command == "image"
}

// givenDriver is the driver that a command line names, before it is understood.
func givenDriver(args []string) string {
	driver := ""
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, value, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		switch {
		case !isOption(arg) || name != "d" && name != "driver":
		case given:
			driver = value
		case i+1 < len(args):
			driver = args[i+1]
		}
	}
	return driver
}

// table has the drivers whose options a command takes: the plugin first that it names, as its options count then.
func (a *app) table() drivers.Table {
	if a.plugin == nil {
		return a.Drivers
	}
	return append(drivers.Table{a.plugin}, a.Drivers...)
}
