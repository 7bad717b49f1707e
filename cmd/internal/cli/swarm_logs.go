package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) swarmLogsCommand() *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "print what the tasks of a service wrote", ArgsUsage: "SERVICE|TASK",
		Description: "SERVICE or TASK is a name, such as web or web.1, or an id. Each line begins with the task and its node. Tasks whose logs\n" +
			"cannot be had, such as those on a node that is down, are named on stderr.",
		Flags: []cli.Flag{
			swarmFlag(),
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with new lines"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "last `LINES` of each task"},
			&cli.StringFlag{Name: "since", Usage: "lines since a `TIME`, such as 2026-01-02T13:23:37Z, or so long ago, such as 42m"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "the time before each line"},
			outputFlag(),
		},
		Action: a.swarmLogs,
	}
}

func (a *app) swarmLogs(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usagef("expected one service or task").hint("%s SERVICE|TASK", c.Command.HelpName)
	}
	req := lifecycle.LogsRequest{Swarm: c.String("swarm"), Of: c.Args().First(), Follow: c.Bool("follow"), Tail: -1, Timestamps: c.Bool("timestamps")}
	if tail := c.String("tail"); tail != "all" {
		if req.Tail, err = strconv.Atoi(tail); err != nil || req.Tail < 0 {
			return usagef("--tail %s: want a number of lines, or all", tail)
		}
	}
	if since := c.String("since"); since != "" {
		if req.Since, err = moment(since, a.Now()); err != nil {
			return usagef("--since %s: want a time such as 2026-01-02T13:23:37Z, seconds since 1970, or so long ago such as 42m", since)
		}
	}
	t := a.manager(c)
	t.progress.Close() // lines are results, and what is said of them stands between them
	req.Note = func(text string) { _ = a.noteBetween(text) }
	return t.SwarmLogs(c.Context, req, func(l lifecycle.LogLine) error { return writeLogLine(a.Stdout, a.Stderr, l, asJSON) })
}

// noteBetween says something on stderr while results are printed.
func (a *app) noteBetween(text string) error {
	if a.globals.mode == ui.JSON {
		return json.NewEncoder(a.Stderr).Encode(map[string]any{"time": a.Now().UTC(), "event": "note", "text": text})
	}
	_, err := fmt.Fprintln(a.Stderr, text)
	return err
}

// writeLogLine prints a line where its task wrote it: to stdout or to stderr.
func writeLogLine(stdout, stderr io.Writer, l lifecycle.LogLine, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(stdout).Encode(l)
	}
	if l.Stream == "stderr" {
		stdout = stderr
	}
	_, err := fmt.Fprintf(stdout, "%s@%s | %s\n", l.Task, l.Node, l.Text)
	return err
}

// moment reads a time as docker logs does: a duration before now, RFC 3339, a date, or seconds since 1970.
func moment(word string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(word); err == nil {
		return now.Add(-d), nil
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("no time: %s", word)
}
