package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

const swarmCategory = "Swarm"

// createSwarmFlags say which swarm new machines join.
func createSwarmFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.BoolFlag{Name: "swarm", Category: swarmCategory, Usage: "join the machines to a swarm as workers"},
		&cli.BoolFlag{Name: "swarm-master", Category: swarmCategory, Usage: "start a swarm, or join it as managers if it exists"},
	}
	flags = append(flags, swarmNodeFlags("swarm-")...)
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Name == "swarm-advertise-addr" {
			s.Aliases = append(s.Aliases, "swarm-addr")
		}
	}
	flags = append(flags, preflightFlag(), rotateTokensFlag("swarm-"))
	return append(flags, classicFlags("swarm-")...)
}

// swarmNodeFlags are the options of a swarm and its nodes, their names after prefix.
func swarmNodeFlags(prefix string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: prefix + "name", Category: swarmCategory, Usage: "`NAME` of the swarm (default: the first machine's name, or the only swarm there is)"},
		&cli.StringFlag{Name: prefix + "advertise-addr", Category: swarmCategory, Usage: "`ADDRESS` that other nodes reach the node at (default: the driver knows)"},
		&cli.StringFlag{Name: prefix + "listen-addr", Category: swarmCategory, Usage: "`ADDRESS[:PORT]` to listen on for other nodes (default: 0.0.0.0:2377)"},
		&cli.StringFlag{Name: prefix + "data-path-addr", Category: swarmCategory, Usage: "`ADDRESS` for traffic between containers (default: the advertised one)"},
		&cli.IntFlag{Name: prefix + "data-path-port", Category: swarmCategory, Usage: "UDP `PORT` of a new swarm for traffic between containers, 1024 to 49151 (default: 4789)"},
		&cli.StringFlag{Name: prefix + "availability", Category: swarmCategory, Usage: "active, or drain for a manager that runs no services (default: active)"},
		&cli.StringSliceFlag{Name: prefix + "node-label", Category: swarmCategory, Usage: "label `KEY=VALUE` of the node; may be repeated"},
		&cli.StringSliceFlag{Name: prefix + "default-addr-pool", Category: swarmCategory, Usage: "address pool `CIDR` of a new swarm; may be repeated"},
		&cli.IntFlag{Name: prefix + "subnet-size", Category: swarmCategory, Usage: "`BITS` of the subnets taken from the address pools"},
		certExpiryFlag(prefix+"cert-expiry", "`DURATION` that certificates of nodes of a new swarm are good for, 1h at least (default: 2160h); nodes that are off for longer do not come back by themselves"),
	}
}

// createSwarmOptions reads what create was told about swarms; classic tells of which kind.
func (a *app) createSwarmOptions(c *cli.Context) (o lifecycle.SwarmOptions, classic bool, err error) {
	o, given, err := swarmNodeOptions(c, "swarm-")
	if err != nil {
		return o, false, err
	}
	o.IsSwarm = c.Bool("swarm") || c.Bool("swarm-master")
	o.Master = c.Bool("swarm-master")
	classic = asksForClassic(c, "swarm-")
	if !o.IsSwarm {
		if given == "" && c.Bool("swarm-rotate-tokens") {
			given = "swarm-rotate-tokens"
		}
		for _, name := range []string{"swarm-discovery", "swarm-classic"} {
			if classic && c.IsSet(name) {
				given = name
			}
		}
		if given != "" && a.legacy { // docker-machine recorded them and did nothing
			a.tool.warn(c.Context, "--"+given+" does nothing without --swarm or --swarm-master")
			return o, false, nil
		}
		if given != "" {
			return o, false, usagef("--%s needs --swarm or --swarm-master", given)
		}
		return o, false, nil
	}
	if !classic {
		a.onlyClassic(c, "swarm-")
		return o, false, nil
	}
	o.Agent = c.Bool("swarm")
	o, err = a.classicOptions(c, "swarm-", o)
	return o, true, err
}

// swarmNodeOptions reads the options that swarmNodeFlags made; given is the first that was set.
func swarmNodeOptions(c *cli.Context, prefix string) (o lifecycle.SwarmOptions, given string, err error) {
	o = lifecycle.SwarmOptions{
		IsSwarm:      true,
		Name:         c.String(prefix + "name"),
		Advertise:    c.String(prefix + "advertise-addr"),
		Listen:       c.String(prefix + "listen-addr"),
		DataPath:     c.String(prefix + "data-path-addr"),
		Availability: c.String(prefix + "availability"),
		Labels:       c.StringSlice(prefix + "node-label"),
		AddrPool:     c.StringSlice(prefix + "default-addr-pool"),
		SubnetSize:   c.Int(prefix + "subnet-size"),
		DataPathPort: c.Int(prefix + "data-path-port"),
		CertExpiry:   c.Duration(prefix + "cert-expiry"),
	}
	for _, f := range swarmNodeFlags(prefix) {
		if name := f.Names()[0]; c.IsSet(name) {
			given = name
			break
		}
	}
	switch o.Availability {
	case "", "active", "drain":
	default:
		return o, given, usagef("--%savailability %s: want active or drain", prefix, o.Availability)
	}
	for _, l := range o.Labels {
		if key, _, ok := strings.Cut(l, "="); !ok || key == "" {
			return o, given, usagef("--%snode-label %s: want KEY=VALUE", prefix, l)
		}
	}
	if err := checkCertExpiry(c, prefix+"cert-expiry"); err != nil {
		return o, given, err
	}
	if o.SubnetSize < 0 || o.SubnetSize > 32 {
		return o, given, usagef("--%ssubnet-size %d: want 1 to 32", prefix, o.SubnetSize)
	}
	switch p := o.DataPathPort; {
	case p == 0:
	case p < 1024, p > 49151:
		return o, given, usagef("--%sdata-path-port %d: want 1024 to 49151", prefix, p)
	case p == 7946:
		return o, given, usagef("--%sdata-path-port %d: the nodes of a swarm speak to each other at that port", prefix, p)
	}
	return o, given, nil
}
