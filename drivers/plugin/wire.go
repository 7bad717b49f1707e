// Package plugin speaks docker-machine's protocol with driver plugins: programs
// called docker-machine-driver-NAME, each with a driver in it. A Finder makes
// drivers of those on PATH; the other way round our own drivers can be served.
package plugin

import (
	"encoding/gob"

	"github.com/hostsmith/machine/drivers"
)

// What both ends of the protocol agree on.
const (
	// ProgramPrefix comes before a driver's name in the name of its program.
	ProgramPrefix = "docker-machine-driver-"

	// TokenVariable is set to Token in a plugin's environment. A plugin that is
	// started without it tells what it is and ends.
	TokenVariable = "MACHINE_PLUGIN_TOKEN"
	Token         = "42"

	// NameVariable tells a program that has several drivers which one is meant.
	NameVariable = "MACHINE_PLUGIN_DRIVER_NAME"

	// Version is what GetVersion answers.
	Version = 1

	// Service is the name that methods are called by, with a dot between.
	// Plugins before 0.5.1 know OldService only, so servers register both.
	Service    = "RPCServerDriver"
	OldService = "RpcServerDriver"
)

// The methods of the service.
const (
	methodClose              = "Close"
	methodCreate             = "Create"
	methodDriverName         = "DriverName"
	methodGetConfigRaw       = "GetConfigRaw"
	methodGetCreateFlags     = "GetCreateFlags"
	methodGetIP              = "GetIP"
	methodGetIPv6            = "GetIPv6" // of rancher-machine's plugins only
	methodGetMachineName     = "GetMachineName"
	methodGetSSHHostname     = "GetSSHHostname"
	methodGetSSHKeyPath      = "GetSSHKeyPath"
	methodGetSSHPort         = "GetSSHPort"
	methodGetSSHUsername     = "GetSSHUsername"
	methodGetState           = "GetState"
	methodGetURL             = "GetURL"
	methodGetVersion         = "GetVersion"
	methodHeartbeat          = "Heartbeat"
	methodKill               = "Kill"
	methodPreCreateCheck     = "PreCreateCheck"
	methodRemove             = "Remove"
	methodRestart            = "Restart"
	methodSetConfigFromFlags = "SetConfigFromFlags"
	methodSetConfigRaw       = "SetConfigRaw"
	methodStart              = "Start"
	methodStop               = "Stop"
)

// RPCFlags are options as SetConfigFromFlags takes them: by name, each a string,
// an int, a bool or a []string.
type RPCFlags struct {
	Values map[string]any
}

// The four kinds of options that GetCreateFlags answers with.
type (
	// StringFlag is an option with a text.
	StringFlag struct{ Name, Usage, EnvVar, Value string }

	// StringSliceFlag is an option that may be given several times.
	StringSliceFlag struct {
		Name, Usage, EnvVar string
		Value               []string
	}

	// IntFlag is an option with a number.
	IntFlag struct {
		Name, Usage, EnvVar string
		Value               int
	}

	// BoolFlag is an option that is given or not.
	BoolFlag struct{ Name, Usage, EnvVar string }
)

// registerTypes has package gob send the protocol's types under the names that
// docker-machine's libraries know them by. Doing it again changes nothing.
func registerTypes() {
	gob.RegisterName("*rpcdriver.RPCFlags", &RPCFlags{})
	gob.RegisterName("*mcnflag.StringFlag", &StringFlag{})
	gob.RegisterName("*mcnflag.StringSliceFlag", &StringSliceFlag{})
	gob.RegisterName("*mcnflag.IntFlag", &IntFlag{})
	gob.RegisterName("*mcnflag.BoolFlag", &BoolFlag{})
}

// notFound is the state that rancher-machine's plugins have besides.
const notFound = 9

// states returns what the numbers of GetState mean. notFound is not among them: it is an error here.
func states() []drivers.State {
	return []drivers.State{
		drivers.None, drivers.Running, drivers.Paused, drivers.Saved, drivers.Stopped,
		drivers.Stopping, drivers.Starting, drivers.Error, drivers.Timeout,
	}
}
