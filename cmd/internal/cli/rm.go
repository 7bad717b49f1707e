package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
	"github.com/hostsmith/machine/store"
)

// yesFlag is -y, as docker-machine has it.
func yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "y", Aliases: []string{"yes"}, Usage: "do not ask"}
}

func (a *app) rmCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove machines", ArgsUsage: "NAME...",
		Description: "Releases at the provider exactly what create made there, then removes the record. A member of a\n" +
			"swarm is drained and taken out of it first; what would cost the swarm its quorum is refused.\n" +
			"All members that are named are judged together before the first is touched.\n\n" +
			"Another command at work on a machine gets a minute to end, and with --force one at work on its swarm too; then\n" +
			"the machine stays and the exit code is 4. --force takes no notice any more of a provider that does not answer\n" +
			"within five minutes, and says so.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask, go on despite errors of the provider and despite the quorum"},
			yesFlag(),
			parallelFlag(),
		},
		Action: a.rm,
	}
}

func (a *app) rm(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		return usagef("Expected to get one or more machine names as arguments").hint("%s NAME...", c.Command.HelpName)
	}
	force := c.Bool("force")
	if !force && !c.Bool("y") {
		yes, err := a.confirmRemoval(c.Context, names)
		if err != nil || !yes {
			return err
		}
	}
	removed, err := a.worker(c).Remove(c.Context, lifecycle.RemoveRequest{Names: names, Force: force})
	if a.legacy {
		err = legacyRemoving(err, names)
	}
	switch {
	case force && a.legacy:
		err = a.legacyForced(c.Context, err, removed)
	case force:
		err = a.overlook(c.Context, err, removed)
	}
	a.say(nil, removed, "Successfully removed %s")
	return err
}

func (a *app) confirmRemoval(ctx context.Context, names []string) (bool, error) {
	_, err := fmt.Fprintf(a.Stderr, "About to remove %s\nWARNING: This action will delete both local reference and remote instance.\n", strings.Join(names, ", "))
	if err != nil {
		return false, err
	}
	yes, err := ui.Confirm(ctx, a.Stdin, a.Stderr, "Are you sure? (y/n): ")
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return yes, err
}

// overlook keeps of the errors of a removal by force those that left a machine behind.
func (a *app) overlook(ctx context.Context, err error, removed []string) error {
	var left []error
	for _, e := range flatten(err) {
		var named *lifecycle.MachineError
		gone := errors.Is(e, store.ErrNotExist) || errors.As(e, &named) && slices.Contains(removed, named.Machine)
		if !gone {
			left = append(left, e)
			continue
		}
		a.tool.warn(ctx, a.text(e))
	}
	return errors.Join(left...)
}
