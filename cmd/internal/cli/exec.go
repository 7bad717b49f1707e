package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"al.essio.dev/pkg/shellescape"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/provision/ssh"
)

func (a *app) execCommand() *cli.Command {
	return &cli.Command{
		Name: "exec", Usage: "run a command on many machines", ArgsUsage: "[NAME...] -- CMD [ARG...]",
		Description: "Runs CMD on the machines at once; each line of output begins with the machine's name. CMD gets its\n" +
			"arguments as they are given here; a CMD without arguments is a line for the remote shell:\n\n" +
			"   " + a.name + " exec --all -- 'df -h / | tail -1'\n\n" +
			"The exit status is the highest of all machines; 255 stands for no connection.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "on all machines"},
			&cli.StringSliceFlag{Name: "filter", Usage: "`KEY=VALUE` that machines must match, as in ls; may be repeated"},
			parallelFlag(),
			outputFlag(),
		},
		Action: a.exec,
	}
}

// parallelFlag bounds what is done at once.
func parallelFlag() cli.Flag {
	return &cli.IntFlag{Name: "parallel", Value: 16, Usage: "`NUMBER` of machines at once"}
}

// execResult is what became of the command on one machine.
type execResult struct {
	Name     string `json:"name"`
	ExitCode int    `json:"exitCode"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	Error    string `json:"error,omitempty"`
}

// noConnection is the exit code of a machine that was not reached, as ssh has it.
const noConnection = 255

func (a *app) exec(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	names, words, err := a.execWords(c)
	if err != nil {
		return err
	}
	t := a.manager(c)
	if len(names) == 0 {
		if names, err = t.Match(c.Context, c.StringSlice("filter")); err != nil {
			return err
		}
	}
	return a.execAll(c, t, names, words, asJSON)
}

// execAll runs a command on machines at once. The exit status is the highest of all.
func (a *app) execAll(c *cli.Context, t *tool, names, words []string, asJSON bool) error {
	t.progress.Close()
	command := words[0]
	if len(words) > 1 {
		command = shellescape.QuoteCommand(words)
	}
	results, errs := make([]execResult, len(names)), make([]error, len(names))
	var out sync.Mutex
	var g errgroup.Group
	g.SetLimit(max(c.Int("parallel"), 1))
	for i, name := range names {
		g.Go(func() error {
			var stdout, stderr io.Writer
			var so, se bytes.Buffer
			if stdout, stderr = &so, &se; !asJSON {
				po, pe := newPrefixer(&out, a.Stdout, name), newPrefixer(&out, a.Stderr, name)
				defer po.flush()
				defer pe.flush()
				stdout, stderr = po, pe
			}
			ctx := lifecycle.OnMachine(c.Context, name)
			code, err := execOn(ctx, t, name, command, stdout, stderr)
			results[i] = execResult{Name: name, ExitCode: code, Stdout: so.String(), Stderr: se.String()}
			if err != nil {
				errs[i] = &lifecycle.MachineError{Machine: name, Err: err}
				results[i].Error = err.Error()
			}
			return nil
		})
	}
	_ = g.Wait() // the functions above return nil
	highest := 0
	for _, r := range results {
		highest = max(highest, r.ExitCode)
	}
	if asJSON {
		if err := a.printJSON(results); err != nil {
			return err
		}
	}
	return errors.Join(append(errs, exited(highest))...)
}

// execWords takes apart which machines and which command.
func (a *app) execWords(c *cli.Context) (names, words []string, err error) {
	args, rest := c.Args().Slice(), a.inv.rest
	if rest < 0 || rest == len(args) {
		return nil, nil, usagef("no command given").hint("put it after --: %s NAME... -- CMD", c.Command.HelpName)
	}
	names, words = args[:rest], args[rest:]
	chosen := 0
	for _, given := range []bool{len(names) > 0, c.Bool("all"), c.IsSet("filter")} {
		if given {
			chosen++
		}
	}
	switch {
	case chosen == 0:
		return nil, nil, usagef("no machines given").hint("name machines, or give --all or --filter KEY=VALUE")
	case chosen > 1 && len(names) > 0:
		return nil, nil, usagef("machine names do not go with --all or --filter")
	}
	return names, words, nil
}

func execOn(ctx context.Context, t *tool, name, command string, stdout, stderr io.Writer) (int, error) {
	client, err := t.Dial(ctx, name)
	if err != nil {
		return noConnection, err
	}
	defer client.Close() //nolint:errcheck // the session has ended
	code, err := client.Session(ctx, ssh.Session{Command: command, Stdout: stdout, Stderr: stderr})
	if err != nil {
		return noConnection, err
	}
	return code, nil
}

// prefixer writes whole lines, each after a machine's name. Several share a lock, so that lines
// of different machines do not mix.
type prefixer struct {
	mu     *sync.Mutex
	out    io.Writer
	prefix string
	rest   []byte // of a line that has not ended yet
}

func newPrefixer(mu *sync.Mutex, out io.Writer, name string) *prefixer {
	return &prefixer{mu: mu, out: out, prefix: name + " | "}
}

func (p *prefixer) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	end := bytes.LastIndexByte(p.rest, '\n') + 1
	if end == 0 {
		return len(b), nil
	}
	var lines bytes.Buffer
	for line := range bytes.Lines(p.rest[:end]) {
		lines.WriteString(p.prefix)
		lines.Write(line)
	}
	p.rest = append(p.rest[:0], p.rest[end:]...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.out.Write(lines.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// flush writes a last line that did not end.
func (p *prefixer) flush() {
	if len(p.rest) > 0 {
		_, _ = p.Write([]byte{'\n'}) // nobody is left to tell
	}
}
