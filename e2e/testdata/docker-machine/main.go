// Command docker-machine is docker-machine 0.16.2 with those of its drivers that call no provider: what it takes is
// compared with what we take.
package main

import (
	"fmt"
	"os"

	"github.com/codegangsta/cli"
	"github.com/docker/machine/commands"
	"github.com/docker/machine/commands/mcndirs"
	"github.com/docker/machine/drivers/generic"
	"github.com/docker/machine/drivers/none"
	"github.com/docker/machine/libmachine/drivers/plugin"
	"github.com/docker/machine/libmachine/drivers/plugin/localbinary"
	"github.com/docker/machine/libmachine/log"
	"github.com/docker/machine/version"
)

func main() {
	if os.Getenv(localbinary.PluginEnvKey) == localbinary.PluginEnvVal {
		runDriver(os.Getenv(localbinary.PluginEnvDriverName))
		return
	}
	localbinary.CurrentBinaryIsDockerMachine = true
	app := cli.NewApp()
	app.Name = "docker-machine"
	app.Commands = commands.Commands
	app.Version = version.FullVersion()
	app.Flags = []cli.Flag{
		cli.BoolFlag{Name: "debug, D"},
		cli.StringFlag{EnvVar: "MACHINE_STORAGE_PATH", Name: "storage-path, s", Value: mcndirs.GetBaseDir()},
		cli.StringFlag{Name: "tls-ca-cert"},
		cli.StringFlag{Name: "tls-ca-key"},
		cli.StringFlag{Name: "tls-client-cert"},
		cli.StringFlag{Name: "tls-client-key"},
		cli.StringFlag{Name: "github-api-token"},
		cli.BoolFlag{Name: "native-ssh"},
		cli.StringFlag{Name: "bugsnag-api-token"},
	}
	if err := app.Run(os.Args); err != nil {
		log.Error(err)
	}
}

func runDriver(name string) {
	switch name {
	case "generic":
		plugin.RegisterDriver(generic.NewDriver("", ""))
	case "none":
		plugin.RegisterDriver(none.NewDriver("", ""))
	default:
		fmt.Fprintf(os.Stderr, "Unsupported driver: %s\n", name)
		os.Exit(1)
	}
}
