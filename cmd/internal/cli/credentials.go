package cli

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
)

func (a *app) credentialsCommand(withFlags bool) *cli.Command {
	c := &cli.Command{
		Name: "credentials", Usage: "replace the stored credentials of machines, or forget them", ArgsUsage: "NAME...",
		Description: "Puts new secrets in the place of those that create has stored for machines, once their provider takes\n" +
			"them. They are the secret options of the machines' driver, such as\n\n" +
			"   " + a.name + " credentials --azure-client-secret - web1\n\n" +
			"where - has it typed, or read from standard input, a line for each such option: the words of a command can be\n" +
			"read by others. With --forget nothing is stored any more: each command then needs them in its environment, or\n" +
			"where the provider's own programs look for them.",
		Action: a.credentials,
	}
	if withFlags {
		c.Flags = []cli.Flag{&cli.BoolFlag{Name: "forget", Usage: "remove what is stored, and store nothing again"}}
		for _, f := range driverFlags(a.table(), c.Flags) {
			if o, _ := optionOf(f); o.Secret {
				c.Flags = append(c.Flags, f)
			}
		}
	}
	return c
}

func (a *app) credentials(c *cli.Context) error {
	names := c.Args().Slice()
	if len(names) == 0 {
		return usagef("no machine name given").hint("%s NAME...", c.Command.HelpName)
	}
	t := a.worker(c)
	req := lifecycle.CredentialsRequest{Names: names, Forget: c.Bool("forget")}
	driver, err := t.DriverOf(names)
	if err != nil {
		return err
	}
	given := a.anyDriverOption()
	switch {
	case req.Forget && given != "":
		return usagef("--forget does not go with --%s", given)
	case !req.Forget:
		if req.Options, err = a.secretValues(c.Context, driver); err != nil {
			return err
		}
	}
	err = t.Credentials(c.Context, req)
	said := "Credentials of %s are stored."
	if req.Forget {
		said = "Credentials of %s are not stored any more."
	}
	a.say(err, names, said)
	return err
}

// secretValues are those of driverValues that are secret; there must be one.
func (a *app) secretValues(ctx context.Context, driver string) (drivers.Values, error) {
	values, err := a.driverValues(ctx, driver)
	if err != nil {
		return nil, err
	}
	factory, err := a.catalog().Lookup(driver)
	if err != nil {
		return nil, err
	}
	var options []string
	for _, o := range factory.Options() {
		if !o.Secret {
			delete(values, o.Name)
			continue
		}
		text := "--" + o.Name
		if len(o.Env) > 0 {
			text += " [$" + strings.Join(o.Env, ", $") + "]"
		}
		options = append(options, text)
	}
	switch {
	case len(options) == 0:
		return nil, usagef("driver %s has no secret options", driver)
	case len(values) == 0:
		return nil, usagef("no credentials given").hint("give %s, or --forget; the value %s asks for it", strings.Join(options, ", "), asked)
	}
	return values, nil
}
