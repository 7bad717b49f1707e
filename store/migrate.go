package store

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
)

// Migrated is the Creator of machines that docker-machine made.
const Migrated = "docker-machine"

// migrate brings a record of docker-machine, version 0 to 3, to ours. r holds what
// it has in common with ours, data is the whole. Versions 1 to 3 differ in nothing
// but absolute paths of certificates and of the store, and none of them is kept:
// a store may be moved.
func migrate(r *Record, data []byte, name string, inFolder func(file string) bool) error {
	if r.DriverName == "" {
		return errors.New("DriverName is missing")
	}
	var driver map[string]json.RawMessage
	if err := json.Unmarshal(r.Driver, &driver); err != nil || driver == nil {
		return errors.New("Driver is not an object")
	}
	if r.ConfigVersion == 0 {
		flat, err := flatSwarm(data)
		if err != nil {
			return err
		}
		if r.HostOptions.SwarmOptions.Discovery == "" {
			r.HostOptions.SwarmOptions.merge(flat)
		}
	}

	r.ConfigVersion = Version
	r.Phase = Ready
	r.Creator = Migrated
	// There was no way to switch it off, and the first versions did not record it.
	r.HostOptions.EngineOptions.TLSVerify = true
	r.Address = driverAddress(r.DriverName, driver)
	path := text(driver["SSHKeyPath"])
	r.SSH = SSH{Key: keyFile(path, name, inFolder)}
	if r.SSH.Key == "" {
		r.SSH.Elsewhere = path
	}
	return nil
}

// flatSwarm reads what version 0 had beside HostOptions.
func flatSwarm(data []byte) (SwarmOptions, error) {
	var v0 struct {
		SwarmHost      string
		SwarmMaster    bool
		SwarmDiscovery string
	}
	if err := json.Unmarshal(data, &v0); err != nil {
		return SwarmOptions{}, err
	}
	return SwarmOptions{
		IsSwarm:   v0.SwarmDiscovery != "",
		Master:    v0.SwarmMaster,
		Host:      v0.SwarmHost,
		Discovery: v0.SwarmDiscovery,
	}, nil
}

// merge takes over what flat says of a swarm.
func (o *SwarmOptions) merge(flat SwarmOptions) {
	o.IsSwarm = o.IsSwarm || flat.IsSwarm
	o.Master = o.Master || flat.Master
	o.Discovery = flat.Discovery
	if flat.Host != "" {
		o.Host = flat.Host
	}
}

// driverAddress reads the fields that all drivers of docker-machine began with. A
// driver may have used a name for something of another type; that is no address then.
func driverAddress(name string, driver map[string]json.RawMessage) Address {
	a := Address{
		Host:       text(driver["IPAddress"]),
		User:       text(driver["SSHUser"]),
		SSHPort:    number(driver["SSHPort"]),
		EnginePort: number(driver["EnginePort"]),
	}
	if a.Host == "" {
		a.Host = text(driver["IPv6Address"]) // rancher-machine's
	}
	if host, _, err := net.SplitHostPort(a.Host); err == nil { // its driver none recorded both
		a.Host = host
	}
	if a.Host == "" {
		return a
	}
	// docker-machine's defaults for what its drivers left open.
	if a.User == "" {
		a.User = defaultUser(name)
	}
	if a.SSHPort == 0 {
		a.SSHPort = 22
	}
	if a.EnginePort == 0 {
		a.EnginePort = number(driver["DockerPort"]) // what two drivers called it
	}
	if a.EnginePort == 0 {
		a.EnginePort = 2376
	}
	return a
}

// defaultUser is whom docker-machine's driver logged in as where nothing else was recorded.
func defaultUser(driver string) string {
	switch driver {
	case "virtualbox", "hyperv", "vmwarefusion", "vmwarevsphere":
		return "docker"
	case "google", "azure":
		return "docker-user"
	case "amazonec2":
		return "ubuntu"
	default:
		return "root"
	}
}

// keyFile returns the name of the private key in the machine's folder; empty if it
// is elsewhere or there is none. The path may come from another system, and from
// where the store was before it was moved.
func keyFile(path, name string, inFolder func(file string) bool) string {
	const unset = "id_rsa" // what docker-machine took when the path was empty
	if path == "" {
		if inFolder(unset) {
			return unset
		}
		return ""
	}
	parts := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	n := len(parts)
	if n < 3 || parts[n-3] != "machines" || parts[n-2] != name || fileName(parts[n-1]) != nil {
		return ""
	}
	return parts[n-1]
}

// text returns a JSON string, or empty if raw is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// number returns a JSON number that is a port, or 0 if raw is none.
func number(raw json.RawMessage) int {
	var n int
	if json.Unmarshal(raw, &n) != nil || n < 0 || n > 65535 {
		return 0
	}
	return n
}
