package cli

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

const classicCategory = "Classic standalone Swarm"

// classicFlags are the options of a classic swarm and its members, their names after prefix.
func classicFlags(prefix string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: prefix + "classic", Category: classicCategory, Usage: "classic Swarm instead of Swarm mode; without a discovery URL machine keeps the list of members on the masters"},
		&cli.StringFlag{Name: prefix + "discovery", Category: classicCategory, Usage: "discovery `URL` of classic Swarm: token://, nodes://, file://, etcd://, consul:// or zk://"},
		&cli.StringFlag{Name: prefix + "image", Category: classicCategory, Usage: "`IMAGE` of classic Swarm (default: its master's, else swarm:latest) [$MACHINE_SWARM_IMAGE]"},
		&cli.StringFlag{Name: prefix + "strategy", Category: classicCategory, Usage: "scheduling `STRATEGY`: spread, binpack or random (default: spread)"},
		&cli.StringFlag{Name: prefix + "host", Category: classicCategory, Usage: "`URL` that the manager listens at (default: tcp://0.0.0.0:3376)"},
		&cli.StringSliceFlag{Name: prefix + "opt", Category: classicCategory, Usage: "`FLAG[=VALUE]` of the manager, such as replication or heartbeat=10s; may be repeated"},
		&cli.StringSliceFlag{Name: prefix + "join-opt", Category: classicCategory, Usage: "`FLAG[=VALUE]` of the agent; may be repeated"},
		&cli.BoolFlag{Name: prefix + "experimental", Category: classicCategory, Usage: "experimental features of classic Swarm"},
	}
}

// asksForClassic tells whether the options are of a classic swarm.
func asksForClassic(c *cli.Context, prefix string) bool {
	return c.Bool(prefix+"classic") || c.String(prefix+"discovery") != ""
}

// classicOptions reads what the command line says of a classic swarm, after o was read by swarmNodeOptions.
func (a *app) classicOptions(c *cli.Context, prefix string, o lifecycle.SwarmOptions) (lifecycle.SwarmOptions, error) {
	for _, name := range []string{"listen-addr", "data-path-addr", "data-path-port", "availability", "node-label", "default-addr-pool", "subnet-size", "cert-expiry", "rotate-tokens"} {
		if !c.IsSet(prefix + name) {
			continue
		}
		err := usagef("--%s is an option of Swarm mode, and classic Swarm has nothing like it", prefix+name)
		if name == "node-label" {
			return o, err.hint("labels of an engine are what classic Swarm goes by: --engine-label KEY=VALUE")
		}
		return o, err
	}
	o.Address, o.Advertise = o.Advertise, ""
	o.Discovery = c.String(prefix + "discovery")
	if o.Discovery != "" && !strings.Contains(o.Discovery, "://") {
		return o, usagef("Error parsing swarm discovery: Swarm Discovery URL was in the wrong format: %s", o.Discovery)
	}
	if token, ok := strings.CutPrefix(o.Discovery, "token://"); ok && !strings.Contains(token, "/") {
		a.tool.warn(c.Context, "the hosted service behind "+o.Discovery+" is gone: --"+prefix+"classic without a discovery URL needs none, and token://HOST/PATH/TOKEN is a service of one's own")
	}
	o.Image = c.String(prefix + "image")
	if o.Image == "" {
		o.Image = a.Getenv("MACHINE_SWARM_IMAGE")
	}
	o.Strategy, o.Host = c.String(prefix+"strategy"), c.String(prefix+"host")
	o.ArbitraryFlags, o.ArbitraryJoinFlags = c.StringSlice(prefix+"opt"), c.StringSlice(prefix+"join-opt")
	o.IsExperimental = c.Bool(prefix + "experimental")
	if !o.Master {
		a.noEffect(c, prefix, "has no effect on machines that are no masters", "strategy", "host", "opt")
	}
	if !o.Agent {
		a.noEffect(c, prefix, "has no effect on machines that are masters only", "join-opt")
	}
	return o, nil
}

// noEffect warns of options that are given and do nothing.
func (a *app) noEffect(c *cli.Context, prefix, why string, names ...string) {
	for _, name := range names {
		if c.IsSet(prefix + name) {
			a.tool.warn(c.Context, "--"+prefix+name+" "+why)
		}
	}
}

// onlyClassic warns of options of classic Swarm where Swarm mode is asked for.
func (a *app) onlyClassic(c *cli.Context, prefix string) {
	a.noEffect(c, prefix, "is an option of classic Swarm and has no effect in Swarm mode", "image", "strategy", "host", "opt", "join-opt", "experimental")
}

// swarmExisting runs swarm init or join, of the kind that the options ask for.
func (a *app) swarmExisting(c *cli.Context, master bool, call func(*tool) swarmCall) error {
	o, _, err := swarmNodeOptions(c, "")
	if err != nil {
		return err
	}
	o.Master = master
	a.worker(c)
	classic := asksForClassic(c, "")
	if classic {
		o.Agent = true
		if o, err = a.classicOptions(c, "", o); err != nil {
			return err
		}
	} else {
		a.onlyClassic(c, "")
	}
	return a.swarmChange(c, o, func(t *tool) swarmCall {
		return func(ctx context.Context, req lifecycle.SwarmRequest) ([]lifecycle.Planned, error) {
			req.Classic = classic
			return call(t)(ctx, req)
		}
	})
}
