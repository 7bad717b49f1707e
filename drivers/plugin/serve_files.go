package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// Files of a machine's folder. Their names, but for the first, are those that a store of ours has.
const (
	stateFile   = "driver-state.json"
	secretsFile = "secrets.json"
	keyFile     = "id_ed25519"
	hostKeyFile = "host_ed25519"
	takenKey    = "ssh_key"
	oldKeyFile  = "id_rsa"
)

// begin makes the folder and writes what a command must find that comes after a killed one.
func (h *host) begin() error {
	dir, err := h.dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the machine's folder: %w", err)
	}
	return h.keepSecrets(dir)
}

// persist writes the Record into the machine's folder.
func (h *host) persist() error {
	dir, err := h.dir()
	if err != nil {
		return err
	}
	data, err := json.Marshal(h.own)
	if err != nil {
		return fmt.Errorf("write the driver's state: %w", err)
	}
	return replaceFile(dir, stateFile, append(data, '\n'))
}

// save makes a new state of the driver durable.
func (h *host) save(state json.RawMessage) error {
	h.own.State = state
	return h.persist()
}

// keepSecrets writes the secrets of a new machine beside the caller's record, which any program of the caller's
// shows: inspect does.
func (h *host) keepSecrets(dir string) error {
	if len(h.secrets) == 0 {
		return nil
	}
	if err := replaceFile(dir, secretsFile, append(h.secrets, '\n')); err != nil {
		return err
	}
	h.secrets = nil
	return nil
}

// allSecrets are those of docker-machine's record, over them those in the folder, over them those that were just
// given. Where there are none, the environment is asked.
func (h *host) allSecrets() (json.RawMessage, error) {
	all := h.inherited
	if dir, err := h.dir(); err == nil {
		kept, err := os.ReadFile(filepath.Join(dir, secretsFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the secrets: %w", err)
		}
		if all, err = drivers.OverlaySecrets(all, kept); err != nil {
			return nil, fmt.Errorf("read the secrets: %w", err)
		}
	}
	all, err := drivers.OverlaySecrets(all, h.secrets)
	if err != nil || len(all) > 0 {
		return all, err
	}
	return drivers.SecretsOf(h.server.Factory.Options(), h.server.Getenv)
}

// keys makes or takes over, once, what the host is made with: the public key that may log in, empty if the
// provider knows it, and the private key by which the host shows who it is.
func (h *host) keys(d drivers.Driver) (authorized string, host []byte, err error) {
	dir, err := h.dir()
	if err != nil {
		return "", nil, err
	}
	var access drivers.Access
	a, ok := d.(drivers.SSHAccess)
	if ok {
		access = a.SSHAccess()
	}
	_, adopted := d.(drivers.Adopter)
	_, unmanaged := d.(drivers.Unmanaged)
	switch {
	case unmanaged:
		return "", nil, nil
	case access.KeyFile != "":
		err = h.takeKey(dir, access.KeyFile)
	case !adopted:
		_, authorized, err = h.keyPair(dir, keyFile, "machine "+h.base.MachineName)
		if err == nil {
			h.own.Key = keyFile
			err = replaceFile(dir, keyFile+".pub", []byte(authorized+"\n"))
		}
	}
	if err != nil || adopted {
		return "", nil, err
	}
	if s, ok := d.(drivers.HostKeySeeder); authorized == "" && (!ok || !s.SeedsHostKey()) {
		return "", nil, nil
	}
	host, _, err = h.keyPair(dir, hostKeyFile, h.base.MachineName)
	return authorized, host, err
}

// keyPair returns the key in a file of the folder, which is made if need be.
//
// It is an Ed25519 key in OpenSSH's format, which both clients of docker-machine can use: the ssh program, and the
// built-in one of --native-ssh, whose RSA keys the sshd of today refuse, as it signs with SHA-1 only.
func (h *host) keyPair(dir, name, comment string) (private []byte, authorized string, err error) {
	private, err = os.ReadFile(filepath.Join(dir, name))
	made := errors.Is(err, fs.ErrNotExist)
	if err != nil && !made {
		return nil, "", fmt.Errorf("read %s: %w", name, err)
	}
	if private, authorized, err = h.server.Key(private, comment); err != nil {
		return nil, "", fmt.Errorf("make %s: %w", name, err)
	}
	if made {
		err = replaceFile(dir, name, private)
	}
	return private, authorized, err
}

// takeKey copies the user's own login key into the machine's folder, as docker-machine's driver does.
func (h *host) takeKey(dir, file string) error {
	if rest, ok := strings.CutPrefix(file, "~"+string(filepath.Separator)); ok {
		home := h.server.Getenv("HOME")
		if home == "" {
			home = h.server.Getenv("USERPROFILE")
		}
		file = filepath.Join(home, rest)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read SSH key: %w", err)
	}
	h.own.Key = takenKey
	return replaceFile(dir, takenKey, data)
}

// keyPath is the file that logs in; empty: the user's own keys do.
func (h *host) keyPath() string {
	dir, err := h.dir()
	if err != nil {
		return h.base.SSHKeyPath
	}
	if h.own != nil && h.own.Key != "" {
		return filepath.Join(dir, h.own.Key)
	}
	if h.base.SSHKeyPath == "" {
		return ""
	}
	moved := filepath.Join(dir, filepath.Base(h.base.SSHKeyPath)) // the store may have been
	if _, err := os.Stat(moved); err == nil {
		return moved
	}
	return h.base.SSHKeyPath
}

// forgetHostKey removes the host's private key, which the host has now.
func (h *host) forgetHostKey() error {
	dir, err := h.dir()
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, hostKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the host's key: %w", err)
	}
	return nil
}

// replaceFile puts data into a file such that it is there as a whole or as it was, whatever happens.
func replaceFile(dir, name string, data []byte) (err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*") // which only its owner can read
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	return err
}
