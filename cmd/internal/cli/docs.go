package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/drivers"
)

func (a *app) docsCommand() *cli.Command {
	return &cli.Command{
		Name: "docs", Hidden: true, Usage: "write the reference documentation into a folder", ArgsUsage: "DIR",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("name the folder")
			}
			dir := c.Args().First()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "cli.md"), []byte(a.reference()), 0o644)
		},
	}
}

// reference is the documentation of all commands and options, made of the command tree and of the
// drivers' options, so that it cannot say anything else than the program does.
func (a *app) reference() string {
	var b strings.Builder
	b.WriteString("# Command line reference\n\n" +
		"Made from the program by `make docs`; changes belong there.\n\n" +
		"Options may stand before and after names. `-option`, `--option`, `--option=value` and `--option value` are all\n" +
		"understood, `--` ends them. Results go to stdout, everything else to stderr.\n\n" +
		"Exit status: 0 ok, 1 failure, 2 usage, 3 pre-create check failed, 4 locked by another command, 130 interrupted;\n" +
		"`ssh` and `exec` return the remote command's.\n\n## Global options\n\n")
	flagTable(&b, globalFlags())
	for _, c := range a.commands("") {
		if !c.Hidden {
			a.commandReference(&b, []string{a.name}, c, 2)
		}
	}
	b.WriteString("\n## Drivers\n")
	for _, d := range a.Drivers {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n", d.Name(), capital(strings.TrimSuffix(d.Summary(), ".")))
		if aliases := driverNames(d)[1:]; len(aliases) > 0 {
			fmt.Fprintf(&b, "Other names: `%s`.\n", strings.Join(aliases, "`, `"))
		}
		if len(d.Options()) > 0 {
			b.WriteString("\n")
			optionTable(&b, d.Options())
		}
	}
	return b.String()
}

func (a *app) commandReference(b *strings.Builder, path []string, c *cli.Command, level int) {
	path = append(path[:len(path):len(path)], c.Name)
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n", strings.Repeat("#", level), strings.Join(path, " "), capital(c.Usage))
	if len(c.Subcommands) == 0 {
		usage := strings.Join(path, " ")
		if len(visible(c.Flags)) > 0 {
			usage += " [OPTIONS]"
		}
		if args := strings.TrimSpace(c.ArgsUsage); args != "" {
			usage += " " + args
		}
		fmt.Fprintf(b, "\n```\n%s\n```\n", usage)
	}
	if c.Description != "" {
		fmt.Fprintf(b, "\n%s\n", indentedAsCode(c.Description))
	}
	flags := visible(c.Flags)
	for _, category := range categories(flags) {
		if strings.HasPrefix(category, driverCategory("")) {
			continue // below, with the drivers
		}
		if category != "" {
			fmt.Fprintf(b, "\n%s:\n", category)
		}
		b.WriteString("\n")
		flagTable(b, inCategory(flags, category))
	}
	for _, s := range c.Subcommands {
		a.commandReference(b, path, s, level+1)
	}
}

// indentedAsCode turns examples, which descriptions indent by three blanks, into Markdown's four.
func indentedAsCode(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "   ") {
			lines[i] = " " + l
		}
	}
	return strings.Join(lines, "\n")
}

func flagTable(w io.Writer, flags []cli.Flag) {
	rows := [][2]string{}
	for _, f := range visible(flags) {
		head, usage := flagLine(f)
		rows = append(rows, [2]string{"`" + strings.TrimSpace(head) + "`", cell(usage)})
	}
	_, _ = fmt.Fprint(w, "| option | |\n|---|---|\n")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "| %s | %s |\n", r[0], r[1])
	}
}

func optionTable(w io.Writer, options []drivers.Option) {
	_, _ = fmt.Fprint(w, "| option | type | environment | default | |\n|---|---|---|---|---|\n")
	for _, o := range options {
		names := []string{"`--" + o.Name + "`"}
		for _, alias := range o.Aliases {
			names = append(names, "`--"+alias+"`")
		}
		var env []string
		for _, e := range o.Env {
			env = append(env, "`"+e+"`")
		}
		def := o.Default
		switch {
		case o.Required:
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		help := o.Help
		if len(o.OneOf) > 0 {
			help += ": " + strings.Join(o.OneOf, ", ")
		}
		if o.Min != "" || o.Max != "" {
			help += bounds(o.Min, o.Max)
		}
		if o.Secret {
			help += "; secret, stored apart"
		}
		_, _ = fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", strings.Join(names, ", "), o.Kind, strings.Join(env, ", "), def, cell(help))
	}
}

func bounds(low, high string) string {
	switch {
	case high == "":
		return "; at least " + low
	case low == "":
		return "; at most " + high
	}
	return "; " + low + " to " + high
}

// cell escapes what would end a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
