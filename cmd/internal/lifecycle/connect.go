package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/store"
)

const (
	knownHostsFile = "known_hosts"
	newKeyFile     = "id_ed25519" // the login key of hosts that we make
	ownKeyFile     = "ssh_key"    // a copy of the user's key, for hosts that are the user's own
	hostKeyFile    = "host_ed25519"

	pinned = "pinned" // how a host key is known that was not seeded

	hostDeadline        = 30 * time.Minute
	sshDeadline         = 5 * time.Minute
	ownSSHDeadline      = 30 * time.Second // a host that exists already answers soon or is not there
	engineDeadline      = time.Minute      // since the host was last seen to be starting it
	startingDeadline    = 10 * time.Minute // for all of that
	versionDeadline     = 20 * time.Second // of a single question to an engine
	leaveDeadline       = 3 * time.Minute  // for the managers to let a node go, its tasks aside
	lockDeadline        = 30 * time.Minute // for another command on the same swarm, which may upgrade it
	removalLockDeadline = time.Minute      // for another command on a machine that is to go, by force on its swarm too
	removalDeadline     = 30 * time.Minute // for a provider to release a host
	forcedDeadline      = 5 * time.Minute  // the same by force; then the record goes all the same
	heedDeadline        = 5 * time.Second  // for a call to see that its time is over
	bootPollDeadline    = 5 * time.Minute
	drainDeadline       = 2 * time.Minute // for a node's tasks to end
	engineGone          = 2 * time.Minute // for a restarted engine to be back in its swarm
)

// target tells how to log in on the machine.
func (x *machine) target() ssh.Target {
	dir := x.m.Store.MachineDir(x.rec.Name)
	t := ssh.Target{
		Host:       x.rec.Address.Host,
		Port:       x.rec.Address.SSHPort,
		User:       x.rec.Address.User,
		Jump:       x.rec.SSH.Jump,
		KnownHosts: filepath.Join(dir, knownHostsFile),
		Getenv:     x.m.Getenv,
		Log:        x.m.Log.With("machine", x.rec.Name),
	}
	if x.rec.SSH.Key != "" {
		t.Key = filepath.Join(dir, x.rec.SSH.Key)
	} else {
		t.Key = x.keyElsewhere()
	}
	return t
}

// dial connects to the machine as soon as it answers. A machine whose host key is not
// known yet is pinned on this first contact, which is said.
func (x *machine) dial(ctx context.Context) (*ssh.Client, error) {
	otherwise := sshDeadline
	if x.own() {
		otherwise = ownSSHDeadline
	}
	ctx, cancel := x.within(ctx, x.m.Wait.SSH, otherwise, "wait for SSH")
	defer cancel()
	if x.txn != nil {
		if err := x.seedKnownHost(); err != nil {
			return nil, err
		}
	}
	t := x.target()
	if x.txn != nil && x.rec.SSH.HostKey == "" {
		t.Pin = true
		t.OnPin = func(line, fingerprint string) error { return x.pin(ctx, line, fingerprint) }
	}
	var conn *ssh.Client
	err := x.m.Step(ctx, "wait for SSH", func(ctx context.Context) error {
		t.Waiting = func(state ssh.State, detail string) {
			if state == ssh.Ready || state == ssh.HostKey || state == ssh.Authentication {
				return // no wait any more
			}
			text := "waiting for SSH: " + string(state)
			if detail != "" {
				text += " (" + detail + ")"
			}
			x.m.Note(ctx, text)
		}
		var err error
		conn, err = ssh.DialReady(ctx, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.User+"@"+t.Host, err)
	}
	if t.Pin && x.rec.SSH.HostKey == "" { // pinned by a command that ended before it could record that
		x.rec.SSH.HostKey = pinned
		if err := x.put(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// seedKnownHost stores the host key that the driver put on the host, so that the first
// contact is verified, whichever command makes it.
func (x *machine) seedKnownHost() error {
	s, ok := x.drv.(drivers.HostKeySeeder)
	if !ok || !s.SeedsHostKey() || x.rec.SSH.HostKey != "" {
		return nil
	}
	private, err := x.txn.ReadFile(hostKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the host was made by another program
	}
	if err != nil {
		return fmt.Errorf("read host key: %w", err)
	}
	pair, err := ssh.ParseKeyPair(private, x.rec.Name)
	if err != nil {
		return fmt.Errorf("read host key: %w", err)
	}
	line, err := ssh.KnownHostsLine(x.rec.Address.Host, x.rec.Address.SSHPort, pair.Authorized)
	if err != nil {
		return err
	}
	if err := x.txn.WriteFile(knownHostsFile, []byte(line+"\n")); err != nil {
		return err
	}
	x.rec.SSH.HostKey = "seeded"
	return x.put()
}

// pin stores a host key seen for the first time.
func (x *machine) pin(ctx context.Context, line, fingerprint string) error {
	old, err := x.txn.ReadFile(knownHostsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := x.txn.WriteFile(knownHostsFile, append(old, strings.TrimSpace(line)+"\n"...)); err != nil {
		return err
	}
	x.rec.SSH.HostKey = pinned
	if err := x.put(); err != nil {
		return err
	}
	x.m.Note(ctx, "pinned the host key on first contact: "+fingerprint)
	return nil
}

// moveKnownHost keeps the known host key when the machine's address changed: the key
// belongs to the machine, not to its address.
func (x *machine) moveKnownHost(old, now store.Address) error {
	if old.Host == now.Host && old.SSHPort == now.SSHPort || old.Host == "" {
		return nil
	}
	data, err := x.txn.ReadFile(knownHostsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	out, err := moveLines(string(data), old, now)
	if err != nil {
		return fmt.Errorf("move known host: %w", err)
	}
	return x.txn.WriteFile(knownHostsFile, []byte(out))
}

// moveLines gives the known_hosts lines of one address to another. Others, such as a jump
// host's, stay as they are.
func moveLines(data string, old, now store.Address) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(data) {
		line = strings.TrimSpace(line)
		if fields := strings.Fields(line); len(fields) >= 3 {
			public := fields[1] + " " + fields[2]
			if was, err := ssh.KnownHostsLine(old.Host, old.SSHPort, public); err == nil && strings.Fields(was)[0] == fields[0] {
				if line, err = ssh.KnownHostsLine(now.Host, now.SSHPort, public); err != nil {
					return "", err
				}
			}
		}
		out.WriteString(line + "\n")
	}
	return out.String(), nil
}

// keys makes or takes over, once, what the host is made with: the public key that may log in, empty if
// the provider knows it, and the private key by which the host shows who it is.
func (x *machine) keys() (authorized string, host []byte, err error) {
	var access drivers.Access
	if a, ok := x.drv.(drivers.SSHAccess); ok {
		access = a.SSHAccess()
	}
	if x.own() {
		return "", nil, x.takeKey(access)
	}
	if _, ok := x.drv.(drivers.KeyMaker); ok {
		return "", nil, nil // see takeMadeKey
	}
	if access.KeyFile != "" {
		err = x.takeKey(access)
	} else {
		x.rec.SSH.Jump = access.Jump
		authorized, err = x.loginKey()
	}
	if err != nil {
		return "", nil, err
	}
	if s, ok := x.drv.(drivers.HostKeySeeder); authorized == "" && (!ok || !s.SeedsHostKey()) {
		return "", nil, nil
	}
	pair, err := x.keyPair(hostKeyFile, x.rec.Name)
	if err != nil {
		return "", nil, fmt.Errorf("make host key: %w", err)
	}
	return authorized, pair.Private, nil
}

// loginKey makes the key that logs in and returns its public half.
func (x *machine) loginKey() (string, error) {
	pair, err := x.keyPair(newKeyFile, "machine "+x.rec.Name)
	if err != nil {
		return "", fmt.Errorf("make login key: %w", err)
	}
	x.rec.SSH.Key = newKeyFile
	return pair.Authorized, x.txn.WriteFile(newKeyFile+".pub", []byte(pair.Authorized+"\n"))
}

// keyPair returns the key in a file of the machine's folder, which is made if need be.
func (x *machine) keyPair(file, comment string) (ssh.KeyPair, error) {
	private, err := x.txn.ReadFile(file)
	if err == nil {
		return ssh.ParseKeyPair(private, comment)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return ssh.KeyPair{}, err
	}
	pair, err := ssh.NewKeyPair(comment)
	if err != nil {
		return pair, err
	}
	return pair, x.txn.WriteFile(file, pair.Private)
}

// takeKey copies the user's own login key into the machine's folder, so that the
// store can be moved.
func (x *machine) takeKey(a drivers.Access) error {
	x.rec.SSH.Jump = a.Jump
	if a.KeyFile == "" {
		x.rec.SSH.Key = ""
		return nil
	}
	data, err := os.ReadFile(expandHome(a.KeyFile, x.m.Getenv))
	if err != nil {
		return fmt.Errorf("read SSH key: %w", err)
	}
	if err := x.txn.WriteFile(ownKeyFile, data); err != nil {
		return err
	}
	x.rec.SSH.Key = ownKeyFile
	return nil
}

// takeMadeKey has SSH log in with the key that the driver has made.
func (x *machine) takeMadeKey(ctx context.Context) error {
	maker, ok := x.drv.(drivers.KeyMaker)
	if !ok {
		return nil
	}
	path, err := maker.KeyFile(ctx)
	if err != nil {
		return err
	}
	if dir, file := filepath.Split(path); filepath.Clean(dir) == filepath.Clean(x.m.Store.MachineDir(x.rec.Name)) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = x.txn.WriteFile(file, data) // the store may be elsewhere
		}
		if err != nil {
			return fmt.Errorf("read the login key that the driver made: %w", err)
		}
		x.rec.SSH.Key = file
	} else if err := x.takeKey(drivers.Access{KeyFile: path, Jump: x.rec.SSH.Jump}); err != nil {
		return err
	}
	return x.put()
}

// expandHome resolves a leading ~/ which a shell leaves alone inside --flag=~/file.
func expandHome(path string, getenv func(string) string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	for _, k := range []string{"HOME", "USERPROFILE"} {
		if home := getenv(k); home != "" {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// Login returns how to reach a running machine over SSH; ErrNotRunning if it is not running.
func (m *Manager) Login(ctx context.Context, name string) (Login, error) {
	x, err := m.view(name)
	if err != nil {
		return Login{}, err
	}
	if err := x.managed(fmt.Sprintf("log in on %q", name)); err != nil {
		return Login{}, err
	}
	if x.rec.Address.Host == "" {
		return Login{}, fmt.Errorf("log in on %q: %w", name, ErrNotRunning)
	}
	if !x.own() {
		// A provider's answer decides; if the provider cannot be asked, the recorded address may do.
		st, err := x.drv.Status(ctx)
		switch {
		case errors.Is(err, drivers.ErrNotFound):
			return Login{}, fmt.Errorf("log in on %q: %w", name, err)
		case err != nil:
			m.Log.Warn("provider did not tell the state; using the recorded address", "machine", name, "err", err)
		case st.State != drivers.Running:
			return Login{}, fmt.Errorf("log in on %q: %w", name, ErrNotRunning)
		default:
			x.rec.Address = x.address(st)
		}
	}
	m.firstContact(ctx, x)
	return Login{Machine: name, Target: x.target()}, nil
}

// Dial connects to a running machine.
func (m *Manager) Dial(ctx context.Context, name string) (*ssh.Client, error) {
	login, err := m.Login(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, m.Wait.SSH, ownSSHDeadline, "connect over SSH")
	defer cancel()
	conn, err := ssh.Dial(ctx, login.Target)
	if err != nil {
		return nil, fmt.Errorf("connect to %q: %w", name, err)
	}
	return conn, nil
}
