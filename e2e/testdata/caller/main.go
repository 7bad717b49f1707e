// Command caller is docker-machine, of its own packages: its command line, its store and its client of plugins. The
// drivers that docker-machine has itself are left out. For those it starts docker-machine from PATH, as
// programs do that use its library.
package main

import (
	"os"

	"github.com/codegangsta/cli"
	"github.com/docker/machine/commands"
	"github.com/docker/machine/commands/mcndirs"
	"github.com/docker/machine/libmachine/log"
)

func main() {
	for _, arg := range os.Args {
		if arg == "-D" {
			log.SetDebug(true)
		}
	}
	app := cli.NewApp()
	app.Name = "docker-machine"
	app.Commands = commands.Commands
	app.Flags = []cli.Flag{
		cli.BoolFlag{Name: "debug, D"},
		cli.StringFlag{EnvVar: "MACHINE_STORAGE_PATH", Name: "storage-path, s", Value: mcndirs.GetBaseDir()},
		cli.StringFlag{Name: "tls-ca-cert"},
		cli.StringFlag{Name: "tls-ca-key"},
		cli.StringFlag{Name: "tls-client-cert"},
		cli.StringFlag{Name: "tls-client-key"},
		cli.BoolFlag{Name: "native-ssh"},
		cli.StringFlag{Name: "bugsnag-api-token", Value: "no-report"},
	}
	if err := app.Run(os.Args); err != nil {
		log.Error(err)
	}
}
