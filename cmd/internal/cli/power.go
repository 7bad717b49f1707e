package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

// powerAction works on the machines named, all at once, and says what became of each.
func (a *app) powerAction(verb func(*tool) func(context.Context, []string) error, said string, after string) cli.ActionFunc {
	return func(c *cli.Context) error {
		t := a.worker(c)
		names, err := machines(c, t)
		if err != nil {
			return err
		}
		err = verb(t)(c.Context, names)
		if after != "" && len(failed(err, names)) < len(names) {
			t.progress.Note(c.Context, after)
		}
		a.say(err, names, said)
		return err
	}
}

// movedHint is said where the host may have another address than before.
func (a *app) movedHint() string {
	return "Started machines may have new IP addresses. You may need to re-run the `" + a.name + " env` command."
}
