package plugin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// flagsOf are options as flags of docker-machine's kinds. A kind that it does not have is a string, and so is a
// switch that is on by default: docker-machine's cannot be turned off.
func flagsOf(options []drivers.Option) []any {
	flags := make([]any, 0, len(options))
	for _, o := range options {
		flags = append(flags, flagOf(o, o.Name))
		for _, alias := range o.Aliases {
			other := o
			other.Env, other.Default, other.Help = nil, "", "the same as --"+o.Name
			other.OneOf, other.Required = nil, false
			flags = append(flags, flagOf(other, alias))
		}
	}
	return flags
}

func flagOf(o drivers.Option, name string) any {
	usage, env := usageOf(o), strings.Join(o.Env, ",")
	switch {
	case o.Kind == drivers.Bool && !isOn(o):
		return &BoolFlag{Name: name, Usage: usage, EnvVar: env}
	case o.Kind == drivers.Int:
		n, _ := strconv.Atoi(o.Default) // 0 for none
		return &IntFlag{Name: name, Usage: usage, EnvVar: env, Value: n}
	case o.Kind == drivers.Strings:
		return &StringSliceFlag{Name: name, Usage: usage, EnvVar: env, Value: defaults(o)}
	}
	return &StringFlag{Name: name, Usage: usage, EnvVar: env, Value: o.Default}
}

func isOn(o drivers.Option) bool {
	on, err := strconv.ParseBool(o.Default)
	return err == nil && on
}

func defaults(o drivers.Option) []string {
	if o.Default == "" {
		return []string{}
	}
	return strings.Split(o.Default, ",")
}

// usageOf is the help of an option. What it is by default and where else it is read from, the caller adds.
func usageOf(o drivers.Option) string {
	usage := o.Help
	if len(o.OneOf) > 0 && !slices.ContainsFunc(o.OneOf, func(v string) bool { return strings.Contains(usage, v) }) {
		usage += ": " + strings.Join(o.OneOf, ", ")
	}
	if o.Required {
		usage += " (required)"
	}
	return usage
}

// valuesOf are the options among what the caller sends: its own flags and the driver's, with their defaults. An
// option with its default's value counts as not given, or none could have a default that it would refuse.
func valuesOf(sent map[string]any, options []drivers.Option, getenv func(string) string) (drivers.Values, error) {
	values := drivers.Values{}
	var errs []error
	for _, o := range options {
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			given, err := given(sent[name], o, name)
			if err != nil {
				errs = append(errs, &drivers.OptionError{Option: name, Err: err})
			} else if given != nil {
				values[name] = given
			}
		}
		if v := fromEnv(o, getenv); v != nil && !slices.ContainsFunc(append(o.Aliases, o.Name), func(n string) bool { return values[n] != nil }) {
			values[o.Name] = v
		}
	}
	return values, errors.Join(errs...)
}

// given is the value of one flag; nil: it was not given.
func given(v any, o drivers.Option, name string) ([]string, error) {
	unset := o.Default
	if name != o.Name {
		unset = "" // flagsOf gives aliases no default
	}
	var text string
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		text = v
	case int:
		text = strconv.Itoa(v)
		unset = cmp.Or(unset, "0")
	case bool:
		text = strconv.FormatBool(v)
		unset = cmp.Or(unset, "false")
	case []string:
		if len(v) == 0 || slices.Equal(v, defaults(o)) {
			return nil, nil
		}
		if o.Kind != drivers.Strings {
			return nil, fmt.Errorf("is one value, and %d were sent", len(v))
		}
		return v, nil
	default:
		return nil, fmt.Errorf("was sent as a %T", v)
	}
	if text == unset {
		return nil, nil
	}
	return []string{text}, nil
}

// fromEnv is what the environment says of a list: docker-machine does not send one that no flag gave.
func fromEnv(o drivers.Option, getenv func(string) string) []string {
	if o.Kind != drivers.Strings {
		return nil
	}
	for _, name := range o.Env {
		if v := getenv(name); v != "" {
			return strings.Split(v, ",")
		}
	}
	return nil
}

// configure makes a new machine's configuration of the flags.
func (h *host) configure(flags any) error {
	f, ok := flags.(*RPCFlags)
	if !ok || f == nil {
		return fmt.Errorf("read the flags: they were sent as a %T", flags)
	}
	values, err := valuesOf(f.Values, h.server.Factory.Options(), h.server.Getenv)
	if err != nil {
		return err
	}
	config, secrets, err := h.server.Factory.Configure(values)
	if err != nil {
		return err
	}
	if h.own != nil && len(h.own.State) > 0 && !bytes.Equal(h.own.Config, config) {
		return fmt.Errorf("machine %q exists, with other options: remove it first", h.base.MachineName)
	}
	h.base.SwarmMaster, _ = f.Values["swarm-master"].(bool)
	h.base.SwarmHost, _ = f.Values["swarm-host"].(string)
	h.base.SwarmDiscovery, _ = f.Values["swarm-discovery"].(string)
	if h.own == nil {
		h.own = &Record{Driver: h.server.Factory.Name()}
	}
	h.own.Config, h.secrets, h.drv = config, secrets, nil
	return nil
}

// swarmPort is where the manager of a classic swarm is to be reached, if the machine is to be one.
func (h *host) swarmPort() []drivers.Port {
	if !h.base.SwarmMaster {
		return nil
	}
	u, err := url.Parse(h.base.SwarmHost)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil
	}
	return []drivers.Port{{Number: int(port), Protocol: "tcp"}}
}

const enginePort = 2376

func engineURL(st drivers.Status) string {
	return "tcp://" + net.JoinHostPort(st.Host, strconv.Itoa(cmp.Or(st.EnginePort, enginePort)))
}

// unmanagedAddress is what docker-machine calls the address of a machine that is only a URL: the port is a part of it.
func unmanagedAddress(st drivers.Status) string {
	if st.EnginePort == 0 {
		return st.Host
	}
	return net.JoinHostPort(st.Host, strconv.Itoa(st.EnginePort))
}
