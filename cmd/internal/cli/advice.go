package cli

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/drivers"
)

var (
	isCommand   = regexp.MustCompile(`\bmachine (active|adopt|config|create|credentials|env|export|gc|image|import|inspect|ip|kill|ls|migrate|plugin|provision|regenerate-certs|restart|rm|scp|ssh|start|status|stop|store|swarm|upgrade|url|COMMAND)\b`)
	ofMachine   = regexp.MustCompile(`(\bmachine (?:credentials|provision|regenerate-certs|rm|ssh|start|status|swarm leave)(?: --[a-z-]+)*) NAME\b`)
	ofDriver    = regexp.MustCompile(`(\bmachine (?:create|gc)) -d DRIVER\b`)
	plainDriver = regexp.MustCompile(`^[a-z0-9]+$`)
)

// advice makes what an error advises a command that can be run as it stands: of the driver and, unless
// it is to stand for several errors, of the machine that the error is about, by the name that the
// program was called by.
func (a *app) advice(text string, err error, several bool) string {
	if name := a.machineIn(err); name != "" && !several {
		text = ofMachine.ReplaceAllString(text, "${1} "+strings.ReplaceAll(name, "$", "$$"))
	}
	if driver := a.driverIn(err); driver != "" {
		text = ofDriver.ReplaceAllString(text, "${1} -d "+driver)
	}
	if a.inv != nil && a.inv.command() != nil && a.inv.command().HelpName != "" {
		text = strings.ReplaceAll(text, "machine COMMAND --help", "machine "+strings.TrimPrefix(a.inv.command().HelpName, a.name+" ")+" --help")
	}
	return isCommand.ReplaceAllString(text, a.name+" $1")
}

// machineIn is the machine that an error is about; empty: not known, or there are several.
func (a *app) machineIn(err error) string {
	var named *lifecycle.MachineError
	if errors.As(err, &named) {
		return named.Machine
	}
	if a.inv == nil || a.inv.command() == nil || len(a.inv.args) == 0 {
		return ""
	}
	switch cmd := a.inv.command(); cmd.ArgsUsage {
	case "NAME...", "[NAME...]", "[NAME]":
		if len(a.inv.args) == 1 {
			return quoted(a.inv.args[0])
		}
	case "[NAME] [ARG...]": // ssh
		return quoted(a.inv.args[0])
	}
	return ""
}

// driverIn is the driver that an error is about; empty: not known.
func (a *app) driverIn(err error) string {
	var option *drivers.OptionError
	if errors.As(err, &option) {
		for _, d := range a.Drivers {
			if slices.ContainsFunc(d.Options(), func(o drivers.Option) bool { return o.Name == option.Option }) {
				return d.Name()
			}
		}
	}
	if a.inv == nil {
		return ""
	}
	if given := a.inv.values(a.inv.flags, "driver"); len(given) > 0 && plainDriver.MatchString(given[len(given)-1]) {
		return given[len(given)-1]
	}
	return ""
}
