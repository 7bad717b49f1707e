package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/drivers"
)

func (a *app) helpCommand() *cli.Command {
	return &cli.Command{
		Name: "help", Aliases: []string{"h"}, Usage: "print help on a command", ArgsUsage: "[COMMAND...]",
		Action: func(c *cli.Context) error {
			commands := c.App.Commands
			var found *cli.Command
			p := &parser{app: a.name}
			for _, word := range c.Args().Slice() {
				i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
				if i < 0 {
					return p.unknownCommand(word, commands)
				}
				found = commands[i]
				p.inv.path = append(p.inv.path, found)
				commands = found.Subcommands
			}
			a.inv.path = p.inv.path
			if found != nil {
				switch found.Name {
				case "create":
					found = a.createCommand(true)
				case "credentials":
					found = a.credentialsCommand(true)
				case "gc":
					found = a.gcCommand(true)
				}
			}
			return a.help(found)
		},
	}
}

// help prints help on a command; nil: on the program.
func (a *app) help(c *cli.Command) error {
	h := &helper{app: a}
	if c == nil {
		h.program()
	} else {
		h.command(c)
	}
	_, err := io.WriteString(a.Stdout, h.String())
	return err
}

// purpose is what the program says that it is for.
func (a *app) purpose() string {
	if a.legacy {
		return "Create and manage machines running Docker: hosts with Docker Engine, and swarms of them"
	}
	return "Create and manage hosts that run Docker Engine, and swarms of them"
}

type helper struct {
	strings.Builder
	app *app
}

func (h *helper) program() {
	fmt.Fprintf(h, "Usage: %s [OPTIONS] COMMAND [ARG...]\n\n%s.\n", h.app.name, h.app.purpose())
	h.options("Options", globalFlags())
	h.commands(h.app.commands("-"))
	fmt.Fprintf(h, "\nRun '%s COMMAND --help' for more on a command.\n", h.app.name)
	h.exitStatus()
}

func (h *helper) command(c *cli.Command) {
	path := h.app.name
	for _, p := range h.app.inv.path {
		path += " " + p.Name
	}
	usage := path
	if len(visible(c.Flags)) > 0 {
		usage += " [OPTIONS]"
	}
	switch {
	case len(c.Subcommands) > 0:
		usage += " COMMAND"
	case strings.TrimSpace(c.ArgsUsage) != "":
		usage += " " + c.ArgsUsage
	}
	fmt.Fprintf(h, "Usage: %s\n\n%s.\n", usage, capital(c.Usage))
	if c.Description != "" {
		fmt.Fprintf(h, "\n%s\n", reflow(c.Description))
	}
	h.commands(c.Subcommands)
	flags := visible(c.Flags)
	if takesDriver(c) {
		flags = h.app.chosenFlags(flags)
	}
	for _, category := range categories(flags) {
		title := "Options"
		if category != "" {
			title = category + " options"
		}
		h.options(title, inCategory(flags, category))
	}
	if c.Name == "create" || c.Name == "bake" {
		h.drivers()
	}
	if len(c.Subcommands) == 0 {
		h.exitStatus()
	}
}

// takesDriver tells whether a command has the options of the driver that it is given.
func takesDriver(c *cli.Command) bool {
	return slices.Contains([]string{"create", "gc", "bake"}, c.Name)
}

// chosenFlags leaves out the options of all drivers but the one given with --driver.
func (a *app) chosenFlags(flags []cli.Flag) []cli.Flag {
	chosen := a.inv.values(a.inv.flags, "driver")
	for i, name := range chosen {
		chosen[i] = realName(a.catalog(), name)
	}
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool {
		category := categoryOf(f)
		return strings.HasPrefix(category, driverCategory("")) &&
			(len(chosen) == 0 || category != driverCategory(chosen[len(chosen)-1]))
	})
}

func (h *helper) drivers() {
	var rows [][2]string
	for _, d := range h.app.Drivers {
		rows = append(rows, [2]string{strings.Join(driverNames(d), ", "), d.Summary()})
	}
	h.list("Drivers", rows)
}

func (h *helper) commands(commands []*cli.Command) {
	if len(commands) == 0 {
		return
	}
	var rows [][2]string
	for _, c := range commands {
		if !c.Hidden {
			rows = append(rows, [2]string{c.Name, c.Usage})
		}
	}
	h.list("Commands", rows)
}

func (h *helper) options(title string, flags []cli.Flag) {
	var rows [][2]string
	for _, f := range visible(flags) {
		head, usage := flagLine(f)
		rows = append(rows, [2]string{head, usage})
	}
	if len(rows) > 0 {
		h.list(title, rows)
	}
}

func (h *helper) exitStatus() {
	if h.app.legacy {
		h.WriteString("\nExit status: 0 ok, 1 failure, 3 pre-create check failed, 130 interrupted; ssh and exec return the\n" +
			"remote command's.\n")
		return
	}
	h.WriteString("\nExit status: 0 ok, 1 failure, 2 usage, 3 pre-create check failed, 4 locked by another command,\n" +
		"130 interrupted; ssh and exec return the remote command's.\n")
}

// The columns of help: where the second one begins, at most, and where lines end.
const (
	helpIndent = 34
	helpWidth  = 100
)

// list prints what things are called and what they are for.
func (h *helper) list(title string, rows [][2]string) {
	fmt.Fprintf(h, "\n%s:\n", title)
	column := 0
	for _, r := range rows {
		if n := len(r[0]) + 5; n <= helpIndent {
			column = max(column, n)
		}
	}
	if column == 0 {
		column = helpIndent
	}
	for _, r := range rows {
		head := "  " + r[0]
		if len(head)+3 > column {
			h.WriteString(head + "\n")
			head = ""
		}
		for _, line := range wrap(r[1], helpWidth-column) {
			fmt.Fprintf(h, "%-*s%s\n", column, head, line)
			head = ""
		}
	}
}

// reflow breaks the lines of a description anew. Examples, which are indented, stay as they are.
func reflow(description string) string {
	paragraphs := strings.Split(description, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") {
			paragraphs[i] = strings.Join(wrap(p, helpWidth), "\n")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// wrap breaks a text into lines of at most width characters, if its words let it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// flagLine returns an option as help shows it, and what it is for.
func flagLine(f cli.Flag) (head, usage string) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return f.Names()[0], ""
	}
	usage = d.GetUsage()
	value := "VALUE"
	switch o, _ := optionOf(f); o.Kind {
	case drivers.Int, drivers.Float:
		value = "NUMBER"
	case drivers.Duration:
		value = "TIME"
	}
	if before, rest, ok := strings.Cut(usage, "`"); ok {
		if name, after, ok := strings.Cut(rest, "`"); ok {
			value, usage = name, before+name+after
		}
	}
	names := slices.Clone(f.Names())
	slices.SortStableFunc(names, func(a, b string) int { return min(len(a), 2) - min(len(b), 2) })
	for i, n := range names {
		if len(n) == 1 {
			names[i] = "-" + n
		} else {
			names[i] = "--" + n
		}
	}
	head = strings.Join(names, ", ")
	if len(names[0]) > 2 {
		head = "    " + head
	}
	if takesValue(f) {
		head += " " + value
	}
	switch f := f.(type) {
	case *cli.IntFlag:
		if f.Value != 0 {
			usage += fmt.Sprintf(" (default: %d)", f.Value)
		}
	case *cli.StringFlag:
		if f.Value != "" {
			usage += fmt.Sprintf(" (default: %s)", f.Value)
		}
	}
	return head, usage
}

func visible(flags []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool {
		v, ok := f.(cli.VisibleFlag)
		return ok && !v.IsVisible()
	})
}

func categoryOf(f cli.Flag) string {
	if c, ok := f.(cli.CategorizableFlag); ok {
		return c.GetCategory()
	}
	return ""
}

// categories in the order of their first option.
func categories(flags []cli.Flag) []string {
	var out []string
	for _, f := range flags {
		if c := categoryOf(f); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func inCategory(flags []cli.Flag, category string) []cli.Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool { return categoryOf(f) != category })
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
