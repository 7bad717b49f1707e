package cli

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/store"
)

// completeCommand is what the completion scripts call: the words of a command line, the last one
// being typed. It prints the candidates, one per line.
func (a *app) completeCommand() *cli.Command {
	return &cli.Command{
		Name: "__complete", Hidden: true, Usage: "print completions", ArgsUsage: "-- WORD...",
		Action: func(c *cli.Context) error {
			for _, candidate := range a.complete(c.Args().Slice()) {
				if _, err := fmt.Fprintln(a.Stdout, candidate); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// complete returns the candidates for the last of words.
func (a *app) complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	if last == `""` { // how PowerShell hands over nothing
		last = ""
	}
	before := words[:len(words)-1]
	globals := globalFlags()
	commands := a.commands(firstWord(before, globals))
	p := &parser{app: a.name, globals: globals, commands: commands, rawAfter: rawAfter}
	inv, perr := p.parse(before)
	cmd := inv.command()
	if cmd == nil && firstWord(before, globals) != "" {
		return nil // no command of ours
	}
	flags := globals
	if cmd != nil {
		flags = append(slices.Clone(cmd.Flags), globals...)
	}
	if f := a.awaitsValue(before, flags, perr); f != nil {
		values := a.valuesOf(f)
		switch name := f.Names()[0]; {
		case name == "filter" && len(inv.path) > 1: // of members of swarms
			values = append(values, "role=manager", "role=worker", "node.label=")
		case name == "engine-source" && cmd != nil && cmd.Name == "adopt":
			values = []string{"repo", "distro"}
		}
		return matching(values, last)
	}
	switch {
	case cmd == nil && !isOption(last):
		return matching(commandNames(commands), last)
	case cmd != nil && rawAfter(cmd, len(inv.args)):
		return nil // another program's words
	case strings.HasPrefix(last, "-"):
		if cmd != nil && takesDriver(cmd) {
			a := &app{Env: a.Env, inv: inv}
			flags = a.chosenFlags(flags)
		}
		return matching(flagNames(flags), last)
	case cmd != nil && len(cmd.Subcommands) > 0:
		return matching(commandNames(cmd.Subcommands), last)
	}
	return matching(a.argsOf(cmd, inv, last), last)
}

// awaitsValue returns the option at the end of words if its value is what is being typed.
func (a *app) awaitsValue(words []string, flags []cli.Flag, perr error) cli.Flag {
	if perr == nil || len(words) == 0 || !isOption(words[len(words)-1]) {
		return nil
	}
	f := lookup(flags, strings.TrimLeft(words[len(words)-1], "-"))
	if f == nil || !takesValue(f) {
		return nil
	}
	return f
}

// valuesOf are the values that an option may have, as far as they are known.
func (a *app) valuesOf(f cli.Flag) []string {
	if o, ok := optionOf(f); ok {
		switch o.Name {
		case "virtualbox-image", "hyperv-image", "qemu-image":
			return a.imageNames(false)
		}
		return o.OneOf
	}
	switch f.Names()[0] {
	case "image":
		return a.imageNames(false)
	case "driver":
		names := a.driverNames("")
		for _, p := range a.pluginsOnPath() {
			if !p.Own && !slices.Contains(names, p.Driver) {
				names = append(names, p.Driver)
			}
		}
		return names
	case "output":
		return []string{"text", "json"}
	case "progress":
		return []string{"auto", "tty", "plain", "json", "quiet"}
	case "shell":
		return []string{"bash", "zsh", "sh", "fish", "powershell", "cmd", "tcsh", "emacs"}
	case "filter":
		return append(a.driverNames("driver="), "driver=", "state=", "swarm=", "name=", "label=")
	case "engine-source":
		return []string{"repo", "distro", "script", "keep"}
	case "tls":
		return []string{"on", "off"}
	case "engine":
		return []string{"keep", "install", "upgrade"}
	case "role":
		return []string{"manager", "worker"}
	case "swarm-availability", "availability":
		return []string{"active", "drain"}
	case "swarm":
		return append(a.swarmNames(), a.machineNames()...)
	case "via", "promote":
		return a.machineNames()
	case "project":
		return a.projectNames()
	case "swarm-strategy", "strategy":
		return []string{"spread", "binpack", "random"}
	case "swarm-name", "name":
		return a.swarmNames()
	}
	return nil
}

// driverNames are all names of all drivers, each behind prefix.
func (a *app) driverNames(prefix string) []string {
	var names []string
	for _, d := range a.Drivers {
		for _, name := range driverNames(d) {
			names = append(names, prefix+name)
		}
	}
	return names
}

// argsOf are the words that may stand next.
func (a *app) argsOf(cmd *cli.Command, inv *invocation, last string) []string {
	if len(inv.path) > 1 && (inv.path[0].Name == "store" || inv.path[0].Name == "plugin") {
		return a.argsOfTool(cmd.Name, len(inv.args))
	}
	switch cmd.Name {
	case "import", "adopt": // a file, a host
		return nil
	case "create", "bake", "up", "down", "ls", "active", "gc", "docs", "__complete":
		return nil
	case "describe":
		return append(a.swarmNames(), a.machineNames()...)
	case "help":
		return commandNames(a.commands("-"))
	case "completion":
		return []string{"bash", "zsh", "fish", "powershell"}
	case "pull":
		return a.imageNames(false)
	case "rm":
		if len(inv.path) > 1 && inv.path[0].Name == "image" {
			return slices.DeleteFunc(a.imageNames(true), func(n string) bool { return n != last && slices.Contains(inv.args, n) })
		}
	case "status", "recover", "backup", "inspect", "graph", "ui", "rotate", "list", "upgrade", "rotate-tokens", "rotate-ca", "unlock-key", "unlock":
		if len(inv.path) > 1 {
			return append(a.swarmNames(), a.machineNames()...)
		}
	case "autolock":
		if len(inv.args) == 0 {
			return []string{"on", "off"}
		}
		return append(a.swarmNames(), a.machineNames()...)
	case "cert-expiry":
		if len(inv.args) == 0 {
			return nil
		}
		return append(a.swarmNames(), a.machineNames()...)
	case "logs":
		return nil // only the swarm knows them
	case "prune":
		return append(a.swarmNames(), a.machineNames()...)
	case "rm-node":
		return a.machineNames()
	case "exec":
		if len(inv.path) > 1 {
			return swarmRoles()
		}
	case "env", "config":
		if len(inv.values(inv.flags, "swarm")) > 0 {
			return append(a.swarmNames(), a.machineNames()...)
		}
	case "scp", "mount":
		var out []string
		for _, n := range a.machineNames() {
			out = append(out, n+":")
		}
		return out
	}
	names := a.machineNames()
	return slices.DeleteFunc(names, func(n string) bool { return n != last && slices.Contains(inv.args, n) })
}

// argsOfTool are the words that may stand next in a command of store or plugin; most are files and keys.
func (a *app) argsOfTool(command string, before int) []string {
	if command == "link" && before > 0 {
		var names []string
		for _, d := range a.Drivers {
			names = append(names, d.Name())
		}
		return names
	}
	return nil
}

// machineNames are those of the store; one that cannot be read has none to offer.
func (a *app) machineNames() []string {
	names, err := a.store().Names()
	if err != nil && a.shared != nil {
		names, err = store.Open(a.globals.root).Names() // as it was the last time
	}
	if err != nil {
		return nil
	}
	return names
}

// projectNames are those of cluster files that machines of the store belong to.
func (a *app) projectNames() []string {
	entries, err := a.store().List()
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if p := e.Record.Project.Name; p != "" && !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	return names
}

func (a *app) swarmNames() []string {
	swarms, err := (&lifecycle.Manager{Store: a.store(), Log: slog.New(slog.DiscardHandler)}).SwarmList()
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range swarms {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

func commandNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

func flagNames(flags []cli.Flag) []string {
	names := []string{"--help"}
	for _, f := range visible(flags) {
		names = append(names, "--"+f.Names()[0])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func matching(candidates []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !strings.HasPrefix(c, prefix) })
}
