package vboxsim

import (
	"context"
	"path/filepath"
	"strings"
)

// call is one call of VBoxManage.
type call struct {
	box   *Box
	state *state
	dir   string
	ctx   context.Context
}

func (c *call) do(args []string) Answer {
	for len(args) > 0 && (args[0] == "-q" || args[0] == "--nologo" || args[0] == "-nologo") {
		args = args[1:]
	}
	if len(args) == 0 {
		return c.syntax(2, "No command specified")
	}
	rest := args[1:]
	switch args[0] {
	case "--version", "-v", "-V":
		return done(c.warning() + c.box.cfg.Version + "\n")
	case "list":
		return c.list(rest)
	case "showvminfo":
		return c.showVMInfo(rest)
	case "createvm":
		return c.createVM(rest)
	case "unregistervm":
		return c.unregisterVM(rest)
	case "modifyvm":
		return c.modifyVM(rest)
	case "storagectl":
		return c.storageCtl(rest)
	case "storageattach":
		return c.storageAttach(rest)
	case "modifymedium":
		return c.modifyMedium(rest)
	case "clonemedium":
		return c.cloneMedium(rest)
	case "closemedium":
		return c.closeMedium(rest)
	case "convertfromraw":
		return c.convertFromRaw(rest)
	case "startvm":
		return c.startVM(rest)
	case "controlvm":
		return c.controlVM(rest)
	case "discardstate":
		return c.discardState(rest)
	case "setextradata":
		return c.setExtraData(rest)
	case "getextradata":
		return c.getExtraData(rest)
	case "guestproperty":
		return c.guestProperty(rest)
	case "sharedfolder":
		return c.sharedFolder(rest)
	case "hostonlyif":
		return c.hostOnlyIf(rest)
	case "hostonlynet":
		return c.hostOnlyNet(rest)
	case "dhcpserver":
		return c.dhcpServer(rest)
	}
	return c.syntax(2, "Invalid command '%s'", args[0])
}

// warning is what Debian's wrapper prints before the answer.
func (c *call) warning() string {
	if !c.box.cfg.NoKernel {
		return ""
	}
	return "WARNING: The character device /dev/vboxdrv does not exist.\n\t Please install the virtualbox-dkms package and the appropriate\n" +
		"\t headers, most likely linux-headers-amd64.\n\n\t You will not be able to start VMs until this problem is fixed.\n"
}

// options splits a command line: options with a value as --name value or
// --name=value, those without one, and the rest. An option that is not in known is
// returned as unknown.
type options struct {
	values  map[string]string
	rest    []string
	unknown string
}

// parse reads args. known has options with 1 for those with a value, 0 without.
func parse(args []string, known map[string]int) options {
	o := options{values: map[string]string{}}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "--") {
			o.rest = append(o.rest, args[i])
			continue
		}
		name, value, has := strings.Cut(args[i], "=")
		arity, ok := known[name]
		switch {
		case !ok:
			o.unknown = name
			return o
		case arity == 0:
			value = "yes"
		case !has && i+1 == len(args):
			o.unknown = name
			return o
		case !has:
			i++
			value = args[i]
		}
		o.values[name] = value
	}
	return o
}

// first returns the value of the first of names that was given.
func (o options) first(names ...string) string {
	for _, n := range names {
		if v, ok := o.values[n]; ok {
			return v
		}
	}
	return ""
}

func (c *call) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.dir, path)
}
