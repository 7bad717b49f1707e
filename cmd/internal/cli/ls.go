package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// lsTable is what ls prints when it is told nothing.
const lsTable = `table {{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t{{.Swarm}}\t{{.DockerVersion}}\t{{brief .Error}}`

func (a *app) lsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list machines", ArgsUsage: " ",
		Description: `Asks all machines at once; one that does not answer in time is a row with the state Timeout.

Filters: driver=NAME, state=STATE, swarm=NAME, name=REGEXP, label=KEY=VALUE. Filters of one key are
alternatives, different keys must all match.

A long error is cut short in the table: --output json has all of it, machine status NAME the advice too.

Templates: --format '{{.Name}}' prints a line per machine, 'table {{.Name}}\t{{.URL}}' a table with
headings. Fields: Name Active ActiveHost ActiveSwarm DriverName State URL SwarmOptions Swarm
EngineOptions Error DockerVersion ResponseTime CertExpires Phase. {{brief .Error}} is what the table has.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "names only, nothing is asked"},
			&cli.StringSliceFlag{Name: "filter", Usage: "`KEY=VALUE` that machines must match; may be repeated"},
			&cli.IntFlag{Name: "timeout", Aliases: []string{"t"}, Value: 10, Usage: "`SECONDS` to wait for each machine"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "Go `TEMPLATE`, or json"},
			outputFlag(),
		},
		Action: a.ls,
	}
}

func (a *app) ls(c *cli.Context) error {
	if c.Args().Present() && !a.legacy { // docker-machine did not look at them
		return usagef("ls takes no arguments: %s", c.Args().First()).hint("select machines with --filter name=REGEXP")
	}
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	format := c.String("format")
	if format == "json" {
		asJSON = true
	}
	if format == "" {
		format = lsTable
	}
	tmpl, table, err := parseRowFormat(format)
	if err != nil {
		return err
	}
	rows, err := a.manager(c).List(c.Context, lifecycle.ListRequest{
		Filters:    c.StringSlice("filter"),
		Timeout:    seconds(c.Int("timeout")),
		DockerHost: a.Getenv("DOCKER_HOST"),
		NamesOnly:  c.Bool("quiet"),
	})
	if err != nil {
		return err
	}
	switch {
	case asJSON && c.Bool("quiet"):
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r.Name
		}
		return a.printJSON(names)
	case c.Bool("quiet"):
		for _, r := range rows {
			if _, err := fmt.Fprintln(a.Stdout, r.Name); err != nil {
				return err
			}
		}
		return nil
	case asJSON:
		return a.printJSON(rowsJSON(rows))
	}
	return writeRows(a.Stdout, lsRows(rows), rowHeadings(), tmpl, table)
}

// rowHeadings are what a table's template prints above the rows.
func rowHeadings() map[string]string {
	return map[string]string{
		"Name": "NAME", "Active": "ACTIVE", "ActiveHost": "ACTIVE_HOST", "ActiveSwarm": "ACTIVE_SWARM",
		"DriverName": "DRIVER", "State": "STATE", "URL": "URL", "SwarmOptions": "SWARM_OPTIONS", "Swarm": "SWARM",
		"EngineOptions": "ENGINE_OPTIONS", "Error": "ERRORS", "DockerVersion": "DOCKER", "ResponseTime": "RESPONSE",
		"CertExpires": "CERT_EXPIRES", "Phase": "PHASE",
	}
}

// parseRowFormat returns the template of a row and whether it makes a table.
func parseRowFormat(format string) (tmpl *template.Template, table bool, err error) {
	rest, table := strings.CutPrefix(format, "table")
	if table {
		format = rest
	}
	format = strings.Trim(format, " ")
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	tmpl, err = template.New("").Funcs(jsonFuncs()).Funcs(template.FuncMap{"brief": brief}).Parse(format)
	if err != nil {
		return nil, false, usagef("%v", err)
	}
	return tmpl, table, nil
}

// briefMost is how many characters of an error a table has.
const briefMost = 120

// brief returns the beginning of a text that is too long for a table. What kind of
// error it is comes before the provider's words.
func brief(text string) string {
	runes := []rune(text)
	if len(runes) <= briefMost {
		return text
	}
	cut := string(runes[:briefMost-len("...")])
	if at := strings.LastIndexByte(cut, ' '); at > len(cut)/2 {
		cut = cut[:at]
	}
	return strings.TrimRight(cut, " ,:;(") + "..."
}

// writeRows prints a line for each row, and the headings above those of a table.
func writeRows[T any](w io.Writer, rows []T, headings map[string]string, tmpl *template.Template, table bool) error {
	var tw *tabwriter.Writer
	if table {
		tw = tabwriter.NewWriter(w, 5, 1, 3, ' ', 0)
		w = tw
		if err := tmpl.Execute(w, headings); err != nil {
			return usagef("%v", err)
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := tmpl.Execute(w, r); err != nil {
			return usagef("%v", err)
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	if tw != nil {
		return tw.Flush()
	}
	return nil
}

// rowJSON is a machine in ls --output json.
type rowJSON struct {
	Name           string     `json:"name"`
	Active         bool       `json:"active"`
	ActiveSwarm    bool       `json:"activeSwarm,omitempty"`
	Driver         string     `json:"driver"`
	State          string     `json:"state"`
	URL            string     `json:"url,omitempty"`
	Swarm          string     `json:"swarm,omitempty"`
	DockerVersion  string     `json:"dockerVersion,omitempty"`
	Error          string     `json:"error,omitempty"`
	ResponseTimeMs int64      `json:"responseTimeMs"`
	CertExpires    *time.Time `json:"certExpires,omitempty"`
	Phase          string     `json:"phase,omitempty"`
}

func rowsJSON(rows []lifecycle.Row) []rowJSON {
	out := make([]rowJSON, len(rows))
	for i, r := range rows {
		out[i] = rowJSON{
			Name: r.Name, Active: r.ActiveHost, ActiveSwarm: r.ActiveSwarm, Driver: r.DriverName, State: string(r.State), URL: r.URL,
			Swarm: r.Swarm, DockerVersion: strings.TrimPrefix(r.DockerVersion, "v"), Error: r.Error,
			ResponseTimeMs: r.ResponseTime.Milliseconds(), Phase: r.Phase,
		}
		if out[i].DockerVersion == "Unknown" {
			out[i].DockerVersion = ""
		}
		if !r.CertExpires.IsZero() {
			at := r.CertExpires.UTC()
			out[i].CertExpires = &at
		}
	}
	return out
}
