// Package all is the table of built-in drivers.
package all

import (
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/amazonec2"
	"github.com/hostsmith/machine/drivers/azure"
	"github.com/hostsmith/machine/drivers/docker"
	"github.com/hostsmith/machine/drivers/generic"
	"github.com/hostsmith/machine/drivers/hyperv"
	"github.com/hostsmith/machine/drivers/none"
	"github.com/hostsmith/machine/drivers/qemu"
	"github.com/hostsmith/machine/drivers/virtualbox"
	"github.com/hostsmith/machine/drivers/vmwarevsphere"
)

// Table returns the built-in drivers in the order in which lists show them.
func Table() drivers.Table { return table(none.New()) }

// DockerMachine is Table for those who call docker-machine, which accepted more.
func DockerMachine() drivers.Table { return table(none.Lenient()) }

func table(none drivers.Factory) drivers.Table {
	return drivers.Table{
		docker.New(),
		generic.New(),
		none,
		virtualbox.Factory(),
		hyperv.Factory(),
		qemu.Factory(),
		amazonec2.Factory(),
		azure.Factory(),
		vmwarevsphere.Factory(),
	}
}
