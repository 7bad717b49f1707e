package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// DefaultDriver chooses a driver: MACHINE_DRIVER, else, in docker-machine's way, virtualbox, else the
// first of docker, virtualbox, hyperv, qemu whose check passes. why says so in a sentence.
func (m *Manager) DefaultDriver(ctx context.Context, dockerMachine bool) (name, why string, err error) {
	if v := m.Getenv("MACHINE_DRIVER"); v != "" {
		return v, "MACHINE_DRIVER names it", nil
	}
	if dockerMachine {
		return "virtualbox", "it is docker-machine's default", nil
	}
	var not []string
	for _, name := range []string{"docker", "virtualbox", "hyperv", "qemu"} {
		f, err := m.Drivers.Lookup(name)
		if err != nil {
			continue // not in this build
		}
		err = m.try(ctx, f)
		if err == nil {
			why = "its check passes"
			if len(not) > 0 {
				why += " (" + strings.Join(not, "; ") + ")"
			}
			return name, why, nil
		}
		not = append(not, name+": "+err.Error())
	}
	return "", "", fmt.Errorf("%w: no driver given and none works by itself: %s", ErrUsage, strings.Join(not, "; "))
}

// try asks a driver with its default options whether it could create.
func (m *Manager) try(ctx context.Context, f drivers.Factory) error {
	ctx, cancel := within(ctx, 0, 10*time.Second, "check driver "+f.Name())
	defer cancel()
	config, secrets, err := f.Configure(nil)
	if err != nil {
		return err
	}
	x := &machine{m: m, rec: store.Record{Name: "default", DriverName: f.Name(), Driver: config}}
	if err := x.openWith(f, secrets); err != nil {
		return err
	}
	return x.drv.Check(ctx)
}
