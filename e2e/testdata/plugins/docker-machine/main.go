// A plugin as its authors write one: docker-machine's library and a driver, here docker-machine's own for hosts that
// exist, with a token that it has no use for.
package main

import (
	"errors"

	"github.com/docker/machine/drivers/generic"
	"github.com/docker/machine/libmachine/drivers"
	"github.com/docker/machine/libmachine/drivers/plugin"
	"github.com/docker/machine/libmachine/mcnflag"
	"github.com/docker/machine/libmachine/state"
)

type driver struct {
	*generic.Driver
	AccessToken string
	Off         bool
	Removed     []string
}

func (d *driver) DriverName() string { return "old" }

func (d *driver) GetCreateFlags() []mcnflag.Flag {
	return append(d.Driver.GetCreateFlags(), mcnflag.StringFlag{Name: "old-access-token", Usage: "a secret", EnvVar: "OLD_TOKEN"})
}

func (d *driver) SetConfigFromFlags(flags drivers.DriverOptions) error {
	if d.AccessToken = flags.String("old-access-token"); d.AccessToken == "" {
		return errors.New("old driver requires the --old-access-token option")
	}
	return d.Driver.SetConfigFromFlags(flags)
}

func (d *driver) Stop() error  { d.Off = true; return nil }
func (d *driver) Kill() error  { return d.Stop() }
func (d *driver) Start() error { d.Off = false; return nil }

func (d *driver) GetState() (state.State, error) {
	if d.AccessToken != "tell-nobody" {
		return state.Error, errors.New("wrong token")
	}
	if d.Off {
		return state.Stopped, nil
	}
	return d.Driver.GetState()
}

func main() {
	plugin.RegisterDriver(&driver{Driver: generic.NewDriver("", "").(*generic.Driver)})
}
