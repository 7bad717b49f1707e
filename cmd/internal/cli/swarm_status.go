package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) swarmStatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show how a swarm is, and what to do about what is not well", ArgsUsage: "[SWARM|NAME]",
		Description: "Works with any manager down. Without a manager that can tell, each engine is shown as it sees itself. " +
			"The exit code is 0 while the swarm can be changed, with or without warnings, and 1 when its quorum is lost, when it is locked, and when no manager answers: " +
			"the status is printed then too. With --watch it is shown again and again until Ctrl-C, which ends it with 0: drawn anew in place on a terminal, " +
			"and elsewhere printed once more after each change, with --output json as one object a line.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it again and again, until Ctrl-C"},
			intervalFlag(), outputFlag(),
		},
		Action: a.swarmStatus,
	}
}

func intervalFlag() cli.Flag {
	return &cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "`TIME` between two looks"}
}

// interval returns the time between two looks at a swarm.
func interval(c *cli.Context) (time.Duration, error) {
	d := c.Duration("interval")
	if d < 100*time.Millisecond {
		return d, usagef("--interval %s: want 100ms or more", d)
	}
	return d, nil
}

// aSwarm returns what a command names: a swarm, a machine, or nothing.
func aSwarm(c *cli.Context) (string, error) {
	if c.NArg() > 1 {
		return "", usagef("expected one swarm or machine name as an argument")
	}
	return c.Args().First(), nil
}

func (a *app) swarmStatus(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	every, err := interval(c)
	if err != nil {
		return err
	}
	name, err := aSwarm(c)
	if err != nil {
		return err
	}
	watch := a.manager(c).WatchSwarm(name)
	if c.Bool("watch") {
		terminal := ui.NewTerminal(a.Stdout, a.Getenv)
		a.tool.progress.Close() // what follows is the whole display
		w := watching{look: watch.Look, out: a.Stdout, now: a.Now, every: every, json: asJSON}
		w.redraw = terminal.Is() && a.Getenv("TERM") != "dumb" && !asJSON
		return w.run(c.Context)
	}
	view, err := watch.Look(c.Context)
	if view.Name == "" || c.Context.Err() != nil {
		return err
	}
	a.tool.progress.Close()
	if asJSON {
		if perr := a.printJSON(view.SwarmStatus); perr != nil {
			return perr
		}
		return err
	}
	if _, perr := io.WriteString(a.Stdout, statusText(view.SwarmStatus)); perr != nil {
		return perr
	}
	return err
}

// watching shows a swarm again and again.
type watching struct {
	look   func(context.Context) (lifecycle.SwarmView, error)
	out    io.Writer
	now    func() time.Time
	every  time.Duration
	json   bool
	redraw bool // in place, instead of once more after each change
}

// run goes on until the command is interrupted, which is how it is meant to end.
func (w watching) run(ctx context.Context) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	before := ""
	for {
		view, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case view.Name == "":
			return err
		}
		if now := changes(view.SwarmStatus); w.redraw || now != before {
			if err := w.show(view.SwarmStatus); err != nil {
				return err
			}
			before = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w watching) show(st lifecycle.SwarmStatus) error {
	if w.json {
		enc := json.NewEncoder(w.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(st)
	}
	text := statusText(st) + "\n"
	if w.redraw {
		text = fmt.Sprintf("\x1b[H\x1b[J%s, every %s; Ctrl-C ends\n\n%s", w.now().Format(time.TimeOnly), w.every, text)
	}
	_, err := io.WriteString(w.out, text)
	return err
}

// changes is what a change of is worth showing: when and whom we asked is not.
func changes(st lifecycle.SwarmStatus) string {
	st.AskedAt, st.AskedVia = time.Time{}, ""
	data, err := json.Marshal(st)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// statusText is a status on one screen.
func statusText(st lifecycle.SwarmStatus) string {
	var b strings.Builder
	b.WriteString(st.Headline() + "\n")
	rows := [][]string{{"MACHINE", "HOSTNAME", "ROLE", "STATE", "AVAILABILITY", "MANAGER", "ADDRESS", "ENGINE", "TASKS", "CERTIFICATE", "PROBLEM"}}
	for _, n := range st.Nodes {
		manager := n.Reachability
		if n.Leader {
			manager = "leader"
		}
		tasks := strconv.Itoa(n.Tasks)
		if n.Failing > 0 {
			tasks += ", " + strconv.Itoa(n.Failing) + " failed"
		}
		rows = append(rows, []string{dash(n.Machine), dash(n.Hostname), n.Role, dash(n.State), dash(n.Availability), dash(manager), dash(n.Addr),
			dash(n.Engine), tasks, n.CertLeft(st.AskedAt), n.Problem})
	}
	b.WriteString("\n" + table(rows))
	if len(st.Services) > 0 {
		rows = [][]string{{"SERVICE", "MODE", "TASKS", "IMAGE", "PROBLEM"}}
		for _, s := range st.Services {
			rows = append(rows, []string{s.Name, dash(s.Mode), fmt.Sprintf("%d/%d", s.Running, s.Wanted), dash(s.ShortImage()), s.Error})
		}
		b.WriteString("\n" + table(rows))
	}
	for i, f := range st.Findings {
		if i == 0 {
			b.WriteString("\n")
		}
		who := ""
		if f.Subject != "" {
			who = f.Subject + ": "
		}
		word := map[string]string{lifecycle.SeverityError: "Error", lifecycle.SeverityWarning: "Problem", lifecycle.SeverityNote: "Note"}[f.Severity]
		b.WriteString(word + ": " + who + f.Text + "\n")
		if f.Advice != "" {
			b.WriteString("    " + f.Advice + "\n")
		}
	}
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
