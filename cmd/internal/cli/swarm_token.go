package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// swarmTokenCommand has swarm rotate-tokens under its first name.
func (a *app) swarmTokenCommand() *cli.Command {
	rotate := a.swarmRotateTokensCommand()
	rotate.Name = "rotate"
	return &cli.Command{Name: "token", Usage: "look after join tokens", Subcommands: []*cli.Command{rotate}}
}

func (a *app) swarmRotateTokensCommand() *cli.Command {
	return &cli.Command{
		Name: "rotate-tokens", Usage: "replace the join tokens of a swarm", ArgsUsage: "[SWARM|NAME]",
		Description: "Nodes that are in the swarm stay in it. Tokens are fetched when they are needed and never printed or kept, so\n" +
			"that nothing here has to learn the new ones. Who has written an old one down can join no more.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "role", Usage: "`ROLE` whose token to replace: manager or worker (default: both)"},
			dryRunFlag(), outputFlag(),
		},
		Action: a.swarmRotateTokens,
	}
}

func (a *app) swarmRotateTokens(c *cli.Context) error {
	role := c.String("role")
	switch role {
	case "", "manager", "worker":
	default:
		return usagef("--role %s: want manager or worker", role)
	}
	asJSON, swarm, err := swarmArgument(c)
	if err != nil {
		return err
	}
	name, plans, err := a.worker(c).SwarmRotateTokens(c.Context, lifecycle.RotateTokensRequest{Swarm: swarm, Role: role, DryRun: c.Bool("dry-run")})
	return a.changed(c, err, plans, asJSON, struct {
		Swarm string   `json:"swarm"`
		Roles []string `json:"rotated"`
	}{name, rolesOf(role)})
}

func rolesOf(role string) []string {
	if role == "" {
		return []string{"manager", "worker"}
	}
	return []string{role}
}

// swarmArgument reads what commands on one swarm take: --output, and the name of a swarm or a machine, which may be empty.
func swarmArgument(c *cli.Context) (asJSON bool, name string, err error) {
	if asJSON, err = jsonOutput(c); err != nil {
		return false, "", err
	}
	if c.NArg() > 1 {
		return false, "", usagef("expected one swarm or machine name as an argument")
	}
	return asJSON, c.Args().First(), nil
}

// changed prints what a command on a swarm did as JSON if it was asked to, or the plan of a dry run.
func (a *app) changed(c *cli.Context, err error, plans []lifecycle.Planned, asJSON bool, result any) error {
	switch {
	case err != nil:
		return err
	case c.Bool("dry-run"):
		return a.printPlans(plans, asJSON)
	case asJSON:
		a.tool.progress.Close()
		return a.printJSON(result)
	}
	return nil
}
