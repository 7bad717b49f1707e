package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Docker has system containers for hosts: each boots systemd, cloud-init, SSH
// and an Engine of its own. It needs a docker client and an Engine that has the
// image debian:bookworm-slim.
type Docker struct {
	background context.Context // for Close
	image      string
	prefix     string   // of the names of all that is made
	label      string   // key=value that all that is made bears
	rights     []string // flags that let a container be a host
	private    network
	public     network

	mu    sync.Mutex
	locks map[string]*sync.Mutex // by name of the container
}

type network struct {
	name   string
	prefix netip.Prefix
}

const (
	shutdown = 20 * time.Second // what a host may take to stop
	patience = 3 * time.Minute  // what a command to the Engine may take
)

var unfit = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// NewDocker makes two networks for hosts, and their image if it is not there. It
// removes what processes left behind that ended without Close.
func NewDocker(ctx context.Context) (*Docker, error) { return makeDocker(ctx, "10.78.%d.0/24", 0, 255) }

// NewDockerHostOnly is NewDocker with the private network in the range in which
// VirtualBox lets host-only networks be.
func NewDockerHostOnly(ctx context.Context) (*Docker, error) {
	return makeDocker(ctx, "192.168.%d.0/24", 56, 62) // 63 is for hosts in name only
}

func makeDocker(ctx context.Context, private string, first, last int) (*Docker, error) {
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("choose a name: %w", err)
	}
	run := hex.EncodeToString(id[:])
	d := &Docker{
		background: context.WithoutCancel(ctx),
		prefix:     "machine-sim-" + run,
		label:      ownerLabel + "=" + self() + "/" + run,
		locks:      map[string]*sync.Mutex{},
	}
	if err := sweep(ctx); err != nil {
		return nil, err
	}
	var err error
	if d.image, err = Image(ctx); err != nil {
		return nil, err
	}
	if d.rights, err = rights(ctx, d.image); err != nil {
		return nil, err
	}
	if d.private, err = d.makeNetwork(ctx, "private", private, first, last); err == nil {
		d.public, err = d.makeNetwork(ctx, "public", "198.19.%d.0/24", 0, 255) // for benchmarks: RFC 2544; Memory has the other half
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// rights asks for all; an Engine that lacks a capability itself refuses that.
func rights(ctx context.Context, image string) ([]string, error) {
	most := []string{
		"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined",
		"--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--device-cgroup-rule", "a *:* rwm",
	}
	var refused error
	for _, flags := range [][]string{{"--privileged"}, most} {
		args := append([]string{"run", "--rm", "--network", "none", "--entrypoint", "/bin/true"}, flags...)
		_, err := docker(ctx, nil, append(args, image)...)
		if err == nil {
			return flags, nil
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

// makeNetwork takes the first range that nothing uses. The Engine refuses one
// that is taken, so that two processes cannot have the same.
func (d *Docker) makeNetwork(ctx context.Context, suffix, pattern string, first, last int) (network, error) {
	name := d.prefix + "-" + suffix
	var refused error
	for third := first; third <= last; third++ {
		prefix := netip.MustParsePrefix(fmt.Sprintf(pattern, third))
		_, err := docker(ctx, nil, "network", "create", "--label", d.label, "--subnet", prefix.String(), name)
		if err == nil {
			return network{name, prefix}, nil
		}
		if text := err.Error(); !strings.Contains(text, "overlap") && !strings.Contains(text, "conflict") {
			return network{}, err
		}
		refused = err
	}
	return network{}, refused
}

// Networks returns the ranges of the two networks.
func (d *Docker) Networks() (private, public netip.Prefix) { return d.private.prefix, d.public.prefix }

// name is that of a host's container.
func (d *Docker) name(id string) string {
	fit := unfit.ReplaceAllString(id, "-")
	if fit != id {
		sum := sha256.Sum256([]byte(id))
		fit = fmt.Sprintf("%s-%x", fit[max(0, len(fit)-24):], sum[:4])
	}
	return d.prefix + "-" + strings.Trim(fit, "-.")
}

// lock keeps others from making or changing a host until what it returns is called.
func (d *Docker) lock(name string) (unlock func()) {
	d.mu.Lock()
	l := d.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		d.locks[name] = l
	}
	d.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Launch boots a host. A launch that fails leaves nothing.
func (d *Docker) Launch(ctx context.Context, s Spec) error {
	name := d.name(s.ID)
	defer d.lock(name)()
	if _, err := d.running(ctx, name); err == nil {
		return nil
	}
	err := d.launch(ctx, name, s)
	if err != nil {
		_, rerr := docker(context.WithoutCancel(ctx), nil, "rm", "-fv", name)
		return errors.Join(err, rerr)
	}
	return nil
}

func (d *Docker) launch(ctx context.Context, name string, s Spec) error {
	seed, err := seedArchive(s)
	if err != nil {
		return err
	}
	args := []string{
		"create", "-t", "--name", name, "--label", d.label, "--cgroupns=private",
		"--network", d.private.name, "--ip", s.Private.String(),
		"--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "-v", "/var/lib/docker",
		"-e", "container=docker", "--stop-timeout", fmt.Sprint(int(shutdown.Seconds())),
	}
	if s.Hostname != "" {
		args = append(args, "--hostname", s.Hostname)
	}
	args = append(append(args, d.rights...), d.image)
	if _, err := docker(ctx, nil, args...); err != nil {
		return err
	}
	if err := d.connect(ctx, name, s.Public); err != nil {
		return err
	}
	if _, err := docker(ctx, seed, "cp", "-", name+":/"); err != nil {
		return err
	}
	_, err = docker(ctx, nil, "start", name)
	return err
}

func (d *Docker) connect(ctx context.Context, name string, public netip.Addr) error {
	if !public.IsValid() {
		return nil
	}
	_, err := docker(ctx, nil, "network", "connect", "--ip", public.String(), d.public.name, name)
	return err
}

// Stop shuts a host down. One that takes too long is halted.
func (d *Docker) Stop(ctx context.Context, id string, hard bool) error {
	running, err := d.running(ctx, d.name(id))
	if err != nil || !running {
		return err
	}
	if !hard {
		_, err = docker(ctx, nil, "stop", d.name(id))
		return err
	}
	_, err = docker(ctx, nil, "kill", d.name(id))
	if running, rerr := d.running(ctx, d.name(id)); rerr == nil && !running { // it was about to end
		return nil
	}
	return err
}

// Start boots a host again.
func (d *Docker) Start(ctx context.Context, id string) error {
	_, err := docker(ctx, nil, "start", d.name(id))
	return err
}

// Restart shuts a host down and boots it.
func (d *Docker) Restart(ctx context.Context, id string) error {
	_, err := docker(ctx, nil, "restart", d.name(id))
	return err
}

// SetPublic gives a host another address on the public network.
func (d *Docker) SetPublic(ctx context.Context, id string, addr netip.Addr) error {
	name := d.name(id)
	defer d.lock(name)()
	old, err := docker(ctx, nil, "inspect", "--type", "container", "-f",
		`{{with index .NetworkSettings.Networks "`+d.public.name+`"}}{{.IPAMConfig.IPv4Address}}{{end}}`, name)
	if err != nil {
		return err
	}
	had := strings.TrimSpace(string(old))
	if addr.IsValid() && had == addr.String() {
		return nil
	}
	if had != "" {
		if _, err := docker(ctx, nil, "network", "disconnect", "-f", d.public.name, name); err != nil {
			return err
		}
	}
	return d.connect(ctx, name, addr)
}

// Running tells whether a host runs.
func (d *Docker) Running(ctx context.Context, id string) (bool, error) {
	return d.running(ctx, d.name(id))
}

func (d *Docker) running(ctx context.Context, name string) (bool, error) {
	out, err := docker(ctx, nil, "inspect", "--type", "container", "-f", "{{.State.Running}}", name)
	return strings.TrimSpace(string(out)) == "true", err
}

// Console returns the end of what a host printed.
func (d *Docker) Console(ctx context.Context, id string) ([]byte, error) {
	return docker(ctx, nil, "logs", "--tail", "1000", d.name(id))
}

// Remove removes a host with its disk.
func (d *Docker) Remove(ctx context.Context, id string) error {
	name := d.name(id)
	defer d.lock(name)()
	_, err := docker(ctx, nil, "rm", "-fv", name)
	if err != nil && (strings.Contains(err.Error(), "No such container") || strings.Contains(err.Error(), "already in progress")) {
		return nil
	}
	return err
}

// Close removes all that bears our label.
func (d *Docker) Close() error { return remove(d.background, d.label) }

// docker runs the client and returns what it printed.
func docker(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("docker %s: no end after %s", args[0], patience))
	defer cancel()
	var out, problem bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &problem
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return out.Bytes(), fmt.Errorf("docker %s: %w: %s", args[0], err, bytes.TrimSpace(problem.Bytes()))
	}
	return out.Bytes(), nil
}

var _ Hosts = (*Docker)(nil)
