package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// Check implements drivers.Driver.
func (d *driver) Check(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	binary, err := d.binary()
	if err != nil {
		return err
	}
	if err := d.checkVersion(ctx, binary); err != nil {
		return err
	}
	_, missing := d.imageTool(binary)
	_, unread := localvm.UserData(d.env, Name+"-userdata", d.cfg.UserData, nil)
	return errors.Join(missing, unread, d.checkAccel(), d.checkSize(), d.checkImage(binary), d.checkNetwork())
}

// checkAccel looks at an accelerator that was asked for by name.
func (d *driver) checkAccel() error {
	accel, host := d.cfg.Accel, d.world.host
	if accel == auto || accel == "tcg" {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return &drivers.OptionError{
			Option: Name + "-accel", Err: fmt.Errorf(format, args...),
			Advice: "auto takes what there is; tcg works anywhere, and is slow",
		}
	}
	switch {
	case accel != native(host):
		return refuse("there is no %s on %s", accel, host)
	case d.guestArch() != d.world.arch:
		return refuse("%s runs guests for %s only", accel, d.world.arch)
	case accel == "kvm" && !d.world.exists("/dev/kvm"):
		return refuse("there is no /dev/kvm: switch virtualization on in this computer's firmware setup, or at the host if this is a virtual machine")
	}
	return nil
}

// checkSize looks at what the machine takes of this computer.
func (d *driver) checkSize() error {
	if have := d.world.memory(); have != 0 && d.cfg.Memory > have {
		return &drivers.OptionError{
			Option: Name + "-memory", Err: fmt.Errorf("%d MiB are more than the %d MiB of this computer", d.cfg.Memory, have),
		}
	}
	return nil
}

// checkImage looks at what the machine is to boot, without fetching it.
func (d *driver) checkImage(binary string) error {
	for option, path := range map[string]string{"kernel": d.cfg.Kernel, "initrd": d.cfg.Initrd} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return &drivers.OptionError{Option: Name + "-" + option, Err: fmt.Errorf("there is no file %s", path)}
		}
	}
	img, err := d.image()
	if err != nil {
		return &drivers.OptionError{Option: Name + "-image", Err: err, Advice: advice(err)}
	}
	_, missing := findFlash(d.world.host, d.guestArch(), binary, d.world.exists)
	if chooseFirmware(d.cfg, d.guestArch(), img.Firmware, missing == nil) == uefi {
		return missing
	}
	return nil
}

func advice(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// checkNetwork looks at what the machine is to be reached by.
func (d *driver) checkNetwork() error {
	c, host := d.cfg, d.world.host
	refuse := func(option, format string, args ...any) error {
		return &drivers.OptionError{Option: Name + "-" + option, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case (c.Network == netVmnetShared || c.Network == netVmnetBridged) && host != "darwin":
		return refuse("network", "%s is of macOS, and this is %s", c.Network, host)
	case c.Network == netBridge && host != "linux":
		return refuse("network", "%s is of Linux, and this is %s", c.Network, host)
	case c.Network == netTap && host == "darwin":
		return refuse("network", "there is no tap on %s", host)
	case c.Network == netBridge && !d.world.exists("/sys/class/net/"+c.Bridge+"/bridge"):
		return refuse("network-bridge", "there is no bridge %s", c.Bridge)
	case c.Network == netTap && host == "linux" && !d.world.exists("/sys/class/net/"+c.iface()):
		return refuse("network-interface", "there is no interface %s", c.iface())
	}
	if d.state.Value.UUID != "" {
		return nil // its ports may be its own
	}
	for _, s := range c.Publish {
		p, err := parsePublish(s)
		if err != nil {
			return refuse("publish", "%v", err)
		}
		if !d.world.free(p.at.String(), p.protocol == "udp") {
			return refuse("publish", "another program listens at %s", p.at)
		}
	}
	return nil
}
