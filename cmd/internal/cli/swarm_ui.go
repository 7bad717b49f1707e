package cli

import (
	"fmt"
	"net"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/swarmview"
)

func (a *app) swarmUICommand() *cli.Command {
	return &cli.Command{
		Name: "ui", Usage: "serve a page on this computer that follows a swarm", ArgsUsage: "[SWARM|NAME]",
		Description: "Prints the address of a page for a browser on this computer, and serves it until Ctrl-C. The page can only be read. " +
			"It is on the loopback alone, and its address serves once, in one browser: run the command again for a new one.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "port", Usage: "`PORT` on 127.0.0.1 (default: a free one)"},
			intervalFlag(), outputFlag(),
		},
		Action: a.swarmUI,
	}
}

func (a *app) swarmUI(c *cli.Context) error {
	asJSON, err := jsonOutput(c)
	if err != nil {
		return err
	}
	name, err := aSwarm(c)
	if err != nil {
		return err
	}
	every, err := interval(c)
	if err != nil {
		return err
	}
	port := c.Int("port")
	if port < 0 || port > 65535 {
		return usagef("--port %d: want 1 to 65535", port)
	}
	t := a.manager(c)
	if err := t.HasSwarm(name); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(c.Context, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("serve the page: %w", err)
	}
	web := swarmview.NewWeb(t.WatchSwarm(name).Look, every)
	url := "http://" + l.Addr().String() + web.Path()
	t.progress.Close()
	if asJSON {
		err = a.printJSON(map[string]string{"url": url})
	} else {
		_, err = fmt.Fprintln(a.Stdout, url)
	}
	if err != nil {
		return err
	}
	if err := web.Serve(c.Context, l); err != nil {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}
