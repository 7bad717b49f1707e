package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"
)

func (a *app) inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "print all that is known of a machine", ArgsUsage: "[NAME]",
		Description: "Prints JSON, or what a Go template makes of it. Templates have the functions json and prettyjson.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "Go `TEMPLATE` to print instead of JSON"},
		},
		Action: func(c *cli.Context) error {
			t := a.manager(c)
			name, err := machine(c, t)
			if err != nil {
				return err
			}
			var tmpl *template.Template
			if format := c.String("format"); format != "" {
				if tmpl, err = template.New("").Funcs(jsonFuncs()).Parse(format); err != nil {
					return usagef("template parsing error: %v", err)
				}
			}
			data, err := t.Inspect(c.Context, name)
			if err != nil {
				return err
			}
			out, err := inspection(data, tmpl)
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(out)
			return err
		},
	}
}

// inspection formats a machine's JSON: indented, or by a template over its decoded form.
func inspection(data json.RawMessage, tmpl *template.Template) ([]byte, error) {
	var out bytes.Buffer
	if tmpl == nil {
		if err := json.Indent(&out, data, "", "    "); err != nil {
			return nil, err
		}
	} else {
		var v map[string]any
		if err := json.Unmarshal(data, &v); err != nil {
			return nil, err
		}
		if err := tmpl.Execute(&out, v); err != nil {
			return nil, usagef("template: %v", err)
		}
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// jsonFuncs are the functions of templates.
func jsonFuncs() template.FuncMap {
	marshal := func(v any, indent string) (string, error) {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", indent)
		err := enc.Encode(v)
		return strings.TrimSuffix(b.String(), "\n"), err
	}
	return template.FuncMap{
		"json":       func(v any) (string, error) { return marshal(v, "") },
		"prettyjson": func(v any) (string, error) { return marshal(v, "    ") },
	}
}

// printJSON prints a result for a program to read.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// outputFlag is how results are printed.
func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "`FORM` of the result on stdout, and of errors on stderr: text or json"}
}

// jsonOutput tells whether the result is for a program to read.
func jsonOutput(c *cli.Context) (bool, error) {
	switch v := c.String("output"); v {
	case "json":
		return true, nil
	case "text", "":
		return false, nil
	default:
		return false, usagef("--output %s: want text or json", v)
	}
}
