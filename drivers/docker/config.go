package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"runtime"

	"github.com/docker/go-units"

	"github.com/hostsmith/machine/drivers"
)

// Config is what a user can choose.
type Config struct {
	Engine   string   `option:"engine" env:"MACHINE_DOCKER_ENGINE" help:"address of the Docker Engine that runs the machine, such as unix:///var/run/docker.sock (default: the one the docker client uses)"`
	Image    string   `option:"image" env:"MACHINE_DOCKER_IMAGE" help:"image of the machine, with systemd and sshd in it (default: built when first needed)"`
	Suite    string   `option:"suite" env:"MACHINE_DOCKER_SUITE" help:"Debian release of the image that is built" oneof:"bookworm,trixie"`
	Base     string   `option:"base" env:"MACHINE_DOCKER_BASE" help:"image that the image is built from (default: debian:SUITE-slim)"`
	NoEngine bool     `option:"no-engine" env:"MACHINE_DOCKER_NO_ENGINE" help:"build the image without an Engine in it: it is installed on the running machine"`
	Memory   string   `option:"memory" env:"MACHINE_DOCKER_MEMORY" help:"memory limit, such as 512m or 2g"`
	CPUs     float64  `option:"cpus" env:"MACHINE_DOCKER_CPUS" help:"limit of processors, such as 1.5" min:"0.01"`
	Publish  []string `option:"publish" env:"MACHINE_DOCKER_PUBLISH" help:"publish a port of the machine: [[ADDRESS:]PORT:]PORT[/PROTOCOL]; ADDRESS is 127.0.0.1 unless given"`
	Volume   []string `option:"volume" env:"MACHINE_DOCKER_VOLUME" help:"mount a volume or a folder of the engine's computer: SOURCE:/TARGET[:ro]"`
	Network  string   `option:"network" env:"MACHINE_DOCKER_NETWORK" help:"network of the machine, made if it does not exist"`
	Subnet   string   `option:"subnet" env:"MACHINE_DOCKER_SUBNET" help:"IPv4 subnet of a network that is made, outside of 10.0.0.0/8, where Swarm has its own (default: a free one)"`
	Address  string   `option:"address" env:"MACHINE_DOCKER_ADDRESS" help:"IPv4 address of the machine on its network (default: a free one)"`
	Access   string   `option:"access" env:"MACHINE_DOCKER_ACCESS" help:"how SSH and the machine's engine are reached: direct at its address, published on ports of the engine's computer, or auto" oneof:"auto,direct,published"`
}

func defaults() Config {
	return Config{Suite: "bookworm", Network: "machine", Access: accessAuto}
}

// The values of --docker-access.
const (
	accessAuto      = "auto"
	accessDirect    = "direct"
	accessPublished = "published"
)

// minMemory is what systemd, sshd and an idle Engine need.
const minMemory = 128 << 20

var objectName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Validate returns the options that cannot be accepted.
func (c Config) Validate() error {
	var errs []error
	refuse := func(option string, err error, advice string) {
		if err != nil {
			errs = append(errs, &drivers.OptionError{Option: Name + "-" + option, Err: err, Advice: advice})
		}
	}
	if c.Engine != "" {
		_, err := parseEndpoint(c.Engine, runtime.GOOS)
		refuse("engine", err, "addresses look like unix:///var/run/docker.sock, tcp://HOST:2376 or ssh://USER@HOST")
	}
	if c.Image != "" && c.NoEngine {
		refuse("no-engine", errors.New("is about the image that is built, and --docker-image names another"), "")
	}
	_, err := parseMemory(c.Memory)
	refuse("memory", err, "give a number and a unit: 512m, 2g")
	for _, s := range c.Publish {
		_, err := parsePublish(s)
		refuse("publish", err, "such as 8080:80, 0.0.0.0:8080:80/tcp or 53/udp")
	}
	for _, s := range c.Volume {
		_, err := parseVolume(s)
		refuse("volume", err, "such as data:/data or /srv/www:/var/www:ro")
	}
	switch c.Network {
	case "bridge", "host", "none", "default", "ingress", "docker_gwbridge":
		refuse("network", fmt.Errorf("%q is a network of the engine's own, on which machines cannot keep an address", c.Network),
			"name a network that exists or is to be made")
	default:
		if !objectName.MatchString(c.Network) {
			refuse("network", fmt.Errorf("%q is no name of a network", c.Network), "")
		}
	}
	subnet, err := parseSubnet(c.Subnet)
	refuse("subnet", err, "such as 172.28.0.0/16")
	address, err := parseAddress(c.Address)
	refuse("address", err, "such as 172.28.0.10")
	if subnet.IsValid() && address.IsValid() && !subnet.Contains(address) {
		refuse("address", fmt.Errorf("%s is not in the subnet %s", address, subnet), "")
	}
	return errors.Join(errs...)
}

// parseMemory returns a limit in bytes; 0: none.
func parseMemory(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no amount of memory", s)
	}
	if n < minMemory {
		return 0, fmt.Errorf("%s is less than a host needs, %s", s, units.BytesSize(minMemory))
	}
	return n, nil
}

// parseSubnet returns an IPv4 subnet with room for hosts; the zero value: none given.
func parseSubnet(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no subnet", s)
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%s is not IPv4", s)
	case p.Bits() > 29:
		return netip.Prefix{}, fmt.Errorf("%s has no room for machines", s)
	}
	return p.Masked(), nil
}

// parseAddress returns an IPv4 address; the zero value: none given.
func parseAddress(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is no address", s)
	case !a.Is4():
		return netip.Addr{}, fmt.Errorf("%s is not IPv4", s)
	}
	return a, nil
}
