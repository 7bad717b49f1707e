package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

// exitDrift is the exit code of up --check where something differs from the file.
const exitDrift = 2

// fileFlags name a cluster file and its project.
func fileFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "cluster `FILE`, or - for standard input (default: the first of " + strings.Join(cluster.Names(), ", ") + " in this folder)"},
		&cli.StringFlag{Name: "project", Aliases: []string{"p"}, Usage: "`NAME` of the project (default: what the file says, else its folder's name)"},
	}
}

func (a *app) upCommand() *cli.Command {
	flags := append(fileFlags(),
		yesFlag(),
		dryRunFlag(),
		&cli.BoolFlag{Name: "check", Usage: "do nothing: exit with 0 if all is as the file says, with 2 if something differs, with 1 if that cannot be told"},
		&cli.BoolFlag{Name: "allow-replace", Usage: "replace machines where nothing else makes them what the file says"},
		&cli.BoolFlag{Name: "prune", Usage: "remove machines and stacks of the project that the file no longer has"},
		&cli.BoolFlag{Name: "schema", Usage: "print the JSON Schema of cluster files"},
		&cli.BoolFlag{Name: "no-store-secrets", Usage: "do not store the drivers' secret options: later commands need them in their environment [$MACHINE_NO_STORE_SECRETS]"},
		preflightFlag(),
		parallelFlag(),
		outputFlag(),
	)
	return &cli.Command{
		Name: "up", Usage: "make what a cluster file says true", ArgsUsage: " ",
		Description: "Compares the file with the machines that there are, shows what it would do, asks, and does it: creates machines,\n" +
			"all at once, forms the swarm, changes labels, roles and engines, deploys stacks. Where nothing differs nothing is\n" +
			"done. Without --allow-replace no machine is replaced, without --prune none is removed. An up that did not finish\n" +
			"is continued by the same command. What may stand in the file: docs/cluster-file.md.",
		Flags:  flags,
		Action: a.up,
	}
}

func (a *app) up(c *cli.Context) error {
	if c.Bool("schema") {
		text, err := cluster.Schema()
		if err == nil {
			_, err = a.Stdout.Write(text)
		}
		return err
	}
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.Args().Present() {
		return usagef("up takes no names: the file has them").hint("%s -f FILE", c.Command.HelpName)
	}
	looks := c.Bool("check") || c.Bool("dry-run")
	if c.String("file") == "-" && !c.Bool("y") && !looks {
		return usagef("with the file on standard input nobody can be asked").hint("give -y, or --dry-run first")
	}
	spec, err := a.clusterFile(c)
	if err != nil {
		return err
	}
	t := a.worker(c)
	for _, w := range spec.Warnings {
		t.warn(c.Context, w)
	}
	req := lifecycle.UpRequest{
		Spec: spec, NoPreflight: c.Bool("no-preflight"),
		Wish: cluster.Wish{AllowReplace: c.Bool("allow-replace"), Prune: c.Bool("prune")},
	}
	if req.NoStoreSecrets, err = a.noStoreSecrets(c); err != nil {
		return err
	}
	if looks {
		steps, err := t.Up(c.Context, req)
		if err != nil {
			return err
		}
		if err := a.printSteps(steps, asJSON); err != nil {
			return err
		}
		if c.Bool("check") && steps.Drift() {
			return &remoteExit{exitDrift}
		}
		return nil
	}
	req.Agree = func(steps cluster.Steps) (bool, error) { return a.agree(c, steps, "Do this? (y/n): ", asJSON) }
	_, err = t.Up(c.Context, req)
	return err
}

// agree shows a plan and asks, if there is anything to do. The progress goes on after it.
func (a *app) agree(c *cli.Context, steps cluster.Steps, question string, asJSON bool) (bool, error) {
	if err := a.writeSteps(steps, asJSON); err != nil {
		return false, err
	}
	if steps.Idle() || c.Bool("y") {
		return true, nil
	}
	err := a.confirmed(c.Context, question)
	return err == nil, err
}

// confirmed asks; the error is lifecycle.ErrDeclined where the answer is not yes, or nobody is there to give one.
func (a *app) confirmed(ctx context.Context, question string) error {
	yes, err := ui.Confirm(ctx, a.Stdin, a.Stderr, question)
	if errors.Is(err, io.EOF) { // the question has no end of line
		_, err = fmt.Fprintln(a.Stderr)
	}
	if err == nil && !yes {
		err = lifecycle.ErrDeclined
	}
	return err
}

// printSteps prints a plan that is not carried out.
func (a *app) printSteps(steps cluster.Steps, asJSON bool) error {
	a.tool.progress.Close()
	return a.writeSteps(steps, asJSON)
}

func (a *app) writeSteps(steps cluster.Steps, asJSON bool) error {
	if asJSON {
		return a.printJSON(steps)
	}
	_, err := fmt.Fprint(a.Stdout, steps)
	return err
}

// clusterFile reads the file that a command is about.
func (a *app) clusterFile(c *cli.Context) (*cluster.Spec, error) {
	src := cluster.Source{File: c.String("file"), Dir: ".", Project: c.String("project"), Lookup: a.lookupEnv}
	var err error
	switch src.File {
	case "-":
		src.File = "standard input"
		src.Data, err = io.ReadAll(io.LimitReader(a.Stdin, 2<<20))
	case "":
		if src.File, err = findFile(); err != nil {
			return nil, err
		}
		fallthrough
	default:
		src.Dir = filepath.Dir(src.File)
		src.Data, err = os.ReadFile(src.File)
	}
	if err != nil {
		return nil, usagef("cluster file: %v", err).hint("name the file: %s -f FILE", c.Command.HelpName)
	}
	if src.Dir, err = filepath.Abs(src.Dir); err != nil {
		return nil, err
	}
	src.Default = cluster.ProjectName(filepath.Base(src.Dir))
	return cluster.Parse(src)
}

// findFile is the first cluster file of this folder.
func findFile() (string, error) {
	for _, name := range cluster.Names() {
		if _, err := os.Stat(name); err == nil {
			return name, nil
		}
	}
	return "", usagef("no cluster file here: there is none of %s", strings.Join(cluster.Names(), ", ")).hint("name it with -f FILE")
}

// lookupEnv is a variable of the environment and whether it is set.
func (a *app) lookupEnv(name string) (string, bool) {
	for _, v := range a.Environ {
		if n, value, ok := strings.Cut(v, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// checking tells whether up --check runs, where 2 means something else than a usage error.
func (a *app) checking() bool {
	return a.inv != nil && a.inv.command() != nil && a.inv.command().Name == "up" && len(a.inv.values(a.inv.flags, "check")) > 0
}
