package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// ErrDriverless is the error of what only a machine's driver can do, if that is not here.
var ErrDriverless = errors.New("the machine's driver is not here")

// driverless stands in for the driver of a machine that docker-machine made and nobody here can drive. What SSH
// and the engine tell is all that it knows; it wants nothing of the machine's provider.
type driverless struct {
	rec   store.Record
	cause error // why there is no driver
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// driverless tells whether the machine's own driver is not here.
func (x *machine) driverless() bool {
	_, ok := x.drv.(*driverless)
	return ok
}

// needsDriver returns why something cannot be done that only the machine's own driver can do.
func (x *machine) needsDriver(what string) error {
	if d, ok := x.drv.(*driverless); ok {
		return fmt.Errorf("%s: %w", what, d.missing())
	}
	return nil
}

// missing is the error of all that only the driver could do.
func (d *driverless) missing() error {
	err := fmt.Errorf("%w: %w", ErrDriverless, d.cause)
	if byPath(d.rec.DriverName) {
		return &drivers.HintError{Err: err, Advice: HintOf(d.cause)}
	}
	advice := fmt.Sprintf("put docker-machine-driver-%s, as its makers offer it for docker-machine, on PATH. What needs no provider works without it: ls, ip, url, env, config, ssh, scp, provision, upgrade, regenerate-certs, swarm; machine rm --force %s removes the record only, and tells what stays at the provider", d.rec.DriverName, d.rec.Name)
	return &drivers.HintError{Err: err, Advice: advice}
}

// knockDeadline bounds how long a host may take to accept a connection before it counts as not running.
const knockDeadline = 5 * time.Second

// Status says that the host runs if its SSH or engine port accepts a connection. Otherwise nobody here knows.
func (d *driverless) Status(ctx context.Context) (drivers.Status, error) {
	a := d.rec.Address
	st := drivers.Status{Host: a.Host, Peer: a.Peer, User: a.User, SSHPort: a.SSHPort, EnginePort: a.EnginePort}
	if a.Host == "" {
		return st, fmt.Errorf("no address is recorded: %w", d.missing())
	}
	bounded, cancel := within(ctx, 0, knockDeadline, "connect")
	defer cancel()
	ports := []int{a.SSHPort, a.EnginePort}
	answers := make(chan error, len(ports))
	for _, port := range ports {
		go func() {
			conn, err := d.dial(bounded, "tcp", net.JoinHostPort(a.Host, strconv.Itoa(port)))
			if err == nil {
				_ = conn.Close()
			}
			answers <- err
		}()
	}
	for range ports {
		if err := <-answers; err == nil {
			st.State = drivers.Running
			return st, nil
		}
	}
	if ctx.Err() != nil {
		return st, context.Cause(ctx)
	}
	return st, fmt.Errorf("neither SSH nor the engine answers at %s: %w", a.Host, d.missing())
}

// Check implements drivers.Driver.
func (d *driverless) Check(context.Context) error { return d.missing() }

// Create implements drivers.Driver.
func (d *driverless) Create(context.Context, drivers.CreateRequest) error { return d.missing() }

// Start implements drivers.Driver.
func (d *driverless) Start(context.Context) error { return d.missing() }

// Stop implements drivers.Driver.
func (d *driverless) Stop(context.Context) error { return d.missing() }

// Remove says what stays at the provider.
func (d *driverless) Remove(context.Context) error {
	return fmt.Errorf("%s stays at the provider, and so does what it costs (%s): %w", d.rec.Name, d.whereabouts(), d.missing())
}

// whereabouts says what the record knows of the machine's place at its provider. It shows no secret: only fields
// that are known to be none.
func (d *driverless) whereabouts() string {
	var driver map[string]any
	if json.Unmarshal(d.rec.Driver, &driver) != nil {
		driver = nil
	}
	words := []string{"driver " + d.rec.DriverName}
	for _, key := range placeFields() {
		switch v := driver[key].(type) {
		case string:
			if v != "" {
				words = append(words, key+" "+v)
			}
		case float64:
			if v != 0 {
				words = append(words, key+" "+strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
	}
	if d.rec.Address.Host != "" {
		words = append(words, "address "+d.rec.Address.Host)
	}
	return strings.Join(words, ", ")
}

// placeFields are the fields of drivers of docker-machine and rancher-machine, and of others', by which somebody
// finds a machine at its provider.
func placeFields() []string {
	return []string{
		"MachineName", "MachineId", "MachineID", "Id", "ID", "InstanceId", "InstanceID", "ServerID", "DropletID", "DropletName", "VMID", "VAppID",
		"Project", "Region", "Zone", "AvailabilityZone", "Location", "Datacenter", "VDCID", "TenantName", "ResourceGroup",
		"KeyPairName", "KeyPair", "KeyName", "KeyID", "SSHKeyID", "SSHKeyId", "FloatingIpPool", "PublicIP",
	}
}

// keyElsewhere is the login key that docker-machine recorded outside of the machine's folder, or under the name
// that the folder had before; empty if there is none here.
func (x *machine) keyElsewhere() string {
	path := x.rec.SSH.Elsewhere
	if path == "" {
		return ""
	}
	base := path[strings.LastIndexAny(path, `/\`)+1:]
	candidates := []string{path}
	if base != "" && base != "." && base != ".." {
		candidates = append(candidates, x.path(base))
	}
	i := slices.IndexFunc(candidates, readable)
	if i < 0 {
		return ""
	}
	return candidates[i]
}

func readable(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}
