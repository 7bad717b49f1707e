package cli

import (
	"strings"

	"github.com/urfave/cli/v2"
)

func (a *app) updateLabelsCommand() *cli.Command {
	return &cli.Command{
		Name: "update-labels", Usage: "set labels of a machine's host at its provider", ArgsUsage: "NAME",
		Description: "Sets labels, or tags, of a host that exists; others stay as they are. It is what GitLab Runner calls when\n" +
			"heartbeat labels are asked for, and fails where the driver does not support labels.",
		Flags: []cli.Flag{&cli.StringSliceFlag{Name: "label", Usage: "`KEY=VALUE` to set; may be given several times"}},
		Action: func(c *cli.Context) error {
			names := c.Args().Slice()
			if len(names) != 1 {
				return usagef("Expected exactly one machine name, got %d", len(names)).hint("%s --label KEY=VALUE NAME", c.Command.HelpName)
			}
			labels := map[string]string{}
			for _, word := range c.StringSlice("label") {
				key, value, ok := strings.Cut(word, "=")
				if !ok || key == "" {
					return usagef("invalid label %q: it is not KEY=VALUE", word)
				}
				labels[key] = value
			}
			if len(labels) == 0 {
				return usagef("no label is given").hint("%s --label KEY=VALUE NAME", c.Command.HelpName)
			}
			return a.manager(c).Label(c.Context, names[0], labels)
		},
	}
}
