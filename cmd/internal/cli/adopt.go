package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/cmd/internal/ui"
)

func (a *app) adoptCommand() *cli.Command {
	return &cli.Command{
		Name: "adopt", Usage: "take over a host that somebody else set up", ArgsUsage: "ssh://USER@HOST[:PORT] NAME",
		Description: "Looks at the host without changing anything, tells what it found and what it will do, and does that. Unless more is\n" +
			"asked for, nothing on the host is changed: docker clients go through SSH. With --tls on, its engine listens with\n" +
			"TLS as that of other machines does; its containers go on running, and what its daemon.json says stays.\n\n" +
			"The host's key must be in your known_hosts, be given by --host-key, or be confirmed when asked.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "engine", Value: lifecycle.EngineKeep, Usage: "what becomes of the `ENGINE`: keep, install or upgrade"},
			&cli.StringFlag{Name: "engine-version", Usage: "`VERSION` to install or upgrade to, exact or a prefix such as 28.5"},
			&cli.StringFlag{Name: "engine-source", Usage: "`SOURCE` of an engine to install: repo (Docker's packages) or distro (default: repo where Docker has packages for the host)"},
			&cli.StringFlag{Name: "engine-repo-url", Usage: "`URL` of a mirror of Docker's package repository, to install from"},
			&cli.IntFlag{Name: "engine-port", Usage: "`PORT` that the engine listens on for TLS clients (default: 2376)"},
			&cli.StringFlag{Name: "tls", Value: "off", Usage: "`on` or off: whether the engine gets TLS; without, docker clients go through SSH"},
			&cli.StringSliceFlag{Name: "tls-san", Usage: "further name or `ADDRESS` that the engine's certificate is good for; may be repeated"},
			&cli.StringFlag{Name: "ssh-key", Usage: "private key `FILE` to log in with, which is copied (default: the SSH agent, then the default keys)"},
			&cli.StringFlag{Name: "jump-host", Usage: "`HOST` to go through, as [user@]host[:port]"},
			&cli.StringFlag{Name: "host-key", Usage: "`SHA256:...` that the host must present"},
			&cli.BoolFlag{Name: "docker-context", Usage: "make a docker context of the machine's name"},
			dryRunFlag(), outputFlag(),
		},
		Action: a.adopt,
	}
}

func (a *app) adopt(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	if c.NArg() != 2 {
		return usagef("expected an address and a machine name").hint("%s ssh://USER@HOST[:PORT] NAME", c.Command.HelpName)
	}
	if strings.Contains(c.Args().Get(1), "://") {
		return usagef("the address comes first, then the name").hint("%s %s %s", c.Command.HelpName, c.Args().Get(1), c.Args().Get(0))
	}
	req := lifecycle.AdoptRequest{
		URL: c.Args().Get(0), Name: c.Args().Get(1), Engine: c.String("engine"), Version: c.String("engine-version"), Port: c.Int("engine-port"),
		Source: c.String("engine-source"), RepoURL: c.String("engine-repo-url"), SANs: c.StringSlice("tls-san"),
		KeyFile: c.String("ssh-key"), Jump: c.String("jump-host"), HostKey: c.String("host-key"),
		DockerContext: c.Bool("docker-context"), DryRun: c.Bool("dry-run"), Confirm: a.confirmHostKey,
	}
	switch tls := c.String("tls"); tls {
	case "on", "off":
		req.TLS = tls == "on"
	default:
		return usagef("--tls %s: want on or off", tls)
	}
	if !slices.Contains([]string{"", "repo", "distro"}, req.Source) {
		return usagef("--engine-source %s: want repo or distro", req.Source)
	}
	if req.Port < 0 || req.Port > 65535 {
		return usagef("--engine-port %d: no such port", req.Port)
	}
	if req.HostKey != "" && !strings.HasPrefix(req.HostKey, "SHA256:") {
		return usagef("--host-key %s: want SHA256:..., as ssh-keygen -l prints it", req.HostKey)
	}
	t := a.worker(c)
	res, err := t.Adopt(c.Context, req)
	if err == nil && !req.TLS && !req.DryRun {
		t.Note(c.Context, fmt.Sprintf("docker clients start ssh themselves; if your own keys and known_hosts do not let them in: %s ssh-config %s >> ~/.ssh/config", a.name, res.Machine))
	}
	t.progress.Close()
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(res)
	case req.DryRun:
		return a.printAdoption(res)
	}
	_, err = fmt.Fprintf(a.Stdout, "Adopted %s: %s\nTo see how to connect your Docker Client to it, run: %s env %s\n", res.Machine, res.URL, a.name, res.Machine)
	return err
}

// confirmHostKey asks a person at a terminal; nobody else can know.
func (a *app) confirmHostKey(ctx context.Context, host, fingerprint string) (bool, error) {
	if in, ok := a.Stdin.(io.Writer); !ok || !ui.NewTerminal(in, a.Getenv).Is() {
		return false, io.EOF
	}
	return ui.Confirm(ctx, a.Stdin, a.Stderr, fmt.Sprintf("%s presents the host key %s\nIs it the right one? (y/n): ", host, fingerprint))
}

func (a *app) printAdoption(res lifecycle.Adoption) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, host key %s\n", res.Machine, res.URL, res.HostKey)
	for _, line := range res.Found.Lines() {
		fmt.Fprintf(&b, "  found: %s\n", line)
	}
	for i, s := range res.Steps {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, s)
	}
	for _, w := range res.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", w)
	}
	if res.Refused != "" {
		fmt.Fprintf(&b, "  refused: %s\n", res.Refused)
		if res.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", res.Hint)
		}
	}
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}
