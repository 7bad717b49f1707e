package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentAnswer is how long the agent may take to list its keys; a socket forwarded from a
// closed session never answers.
const agentAnswer = 5 * time.Second

// credentials are the keys to offer, in order.
type credentials struct {
	signers []gossh.Signer
	offered []string // for people, in the order of signers
	skipped []string
	agent   io.Closer // nil: not used
}

// Close lets go of the agent; a signature that is waited for fails then.
func (c *credentials) Close() error {
	if c.agent == nil {
		return nil
	}
	return c.agent.Close()
}

func (c *credentials) offer(s gossh.Signer, from string) {
	for _, have := range c.signers {
		if same(have.PublicKey(), s.PublicKey()) {
			return
		}
	}
	c.signers = append(c.signers, s)
	c.offered = append(c.offered, from+" "+gossh.FingerprintSHA256(s.PublicKey()))
}

// loadCredentials finds the keys of t: exactly t.Key, or else what the agent holds and the
// user's default files. Errors: ErrKeyFile, only for t.Key.
func loadCredentials(ctx context.Context, t Target) (*credentials, error) {
	c := &credentials{}
	held := &agentKeys{}
	defer func() {
		if held.conn != nil {
			c.agent = held.conn
		}
	}()
	if t.Key != "" {
		if err := c.addFile(ctx, t, t.Key, held); err != nil {
			_ = held.Close()
			return nil, err
		}
		return c, nil
	}
	if err := held.load(ctx, t); err != nil {
		c.skipped = append(c.skipped, "agent: "+err.Error())
	}
	for _, s := range held.signers {
		c.offer(s, agentName(s))
	}
	if home := t.home(); home != "" {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			file := filepath.Join(home, ".ssh", name)
			var unusable *KeyFileError
			if err := c.addFile(ctx, t, file, held); errors.As(err, &unusable) && !errors.Is(err, fs.ErrNotExist) {
				c.skipped = append(c.skipped, fmt.Sprintf("%s: %v", file, plain(unusable.Err)))
			}
		}
	}
	return c, nil
}

// addFile offers the key of a file, by the agent if the file alone does not do.
func (c *credentials) addFile(ctx context.Context, t Target, file string, held *agentKeys) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return &KeyFileError{File: file, Err: err, advice: "check the path of the private key"}
	}
	signer, err := gossh.ParsePrivateKey(data)
	if err != nil {
		if signer, err = held.stand(ctx, t, file, data, err); err != nil {
			return err
		}
		c.offer(signer, file+" (agent)")
		return nil
	}
	if cert := certificate(file+"-cert.pub", signer); cert != nil {
		c.offer(cert, file+"-cert.pub")
	}
	c.offer(signer, file)
	return nil
}

// certificate returns a signer with the user certificate beside a key, nil if there is none.
func certificate(file string, signer gossh.Signer) gossh.Signer {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	key, err := parsePublic(string(data))
	if err != nil {
		return nil
	}
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return nil
	}
	s, err := gossh.NewCertSigner(cert, signer)
	if err != nil {
		return nil
	}
	return s
}

// agentKeys are the keys of the user's agent, listed when first asked for.
type agentKeys struct {
	conn    io.ReadWriteCloser
	loaded  bool
	err     error
	signers []gossh.Signer
}

var errNoAgent = errors.New("no SSH agent runs (SSH_AUTH_SOCK is not set)")

// load asks the agent for its keys, once; that none runs is no error.
func (a *agentKeys) load(ctx context.Context, t Target) error {
	if a.loaded {
		return a.err
	}
	a.loaded = true
	a.err = a.list(ctx, t)
	if errors.Is(a.err, errNoAgent) {
		a.err = nil
	}
	return a.err
}

func (a *agentKeys) list(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeoutCause(ctx, agentAnswer, fmt.Errorf("no answer within %s", agentAnswer))
	defer cancel()
	conn, err := dialAgent(ctx, t)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if !stop() {
		return context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return err
	}
	a.conn, a.signers = conn, signers
	return nil
}

// Close ends the connection to the agent.
func (a *agentKeys) Close() error {
	if a.conn == nil {
		return nil
	}
	return a.conn.Close()
}

// stand returns the agent's signer for a key file that cannot be used by itself: one with
// a passphrase, one of a hardware key, or only the public half.
func (a *agentKeys) stand(ctx context.Context, t Target, file string, data []byte, why error) (gossh.Signer, error) {
	public := publicHalf(file, data, why)
	if public != nil {
		if err := a.load(ctx, t); err != nil {
			t.log().Warn("SSH agent does not answer", "err", err)
		}
		i := slices.IndexFunc(a.signers, func(s gossh.Signer) bool { return same(s.PublicKey(), public) })
		if i >= 0 {
			return a.signers[i], nil
		}
	}
	e := &KeyFileError{File: file, Err: why}
	var locked *gossh.PassphraseMissingError
	switch {
	case errors.As(why, &locked) && public == nil:
		e.Err = errors.New("it has a passphrase, and its public half is not known")
		e.advice = fmt.Sprintf("put the public key beside it (ssh-keygen -y -f %q > %q) and load the key into the agent: ssh-add %q", file, file+".pub", file)
	case errors.As(why, &locked):
		e.Err = errors.New("it has a passphrase, and the agent does not hold it")
		e.advice = fmt.Sprintf("load the key into the agent: ssh-add %q", file)
	case bytes.HasPrefix(data, []byte("PuTTY-User-Key-File")):
		e.Err = errors.New("it is in PuTTY's format")
		e.advice = fmt.Sprintf("convert it: puttygen %q -O private-openssh -o KEY", file)
	case public != nil:
		e.Err = errors.New("it holds no private key that can be read, and the agent does not hold it")
		e.advice = "name the private key, or load it into the agent with ssh-add"
	default:
		e.advice = "an OpenSSH or PEM private key is expected (ed25519, ECDSA or RSA)"
	}
	return nil, e
}

// publicHalf finds the public key of a file whose private key is out of reach, nil if it
// is nowhere.
func publicHalf(file string, data []byte, why error) gossh.PublicKey {
	var locked *gossh.PassphraseMissingError
	if errors.As(why, &locked) && locked.PublicKey != nil {
		return locked.PublicKey
	}
	if key, err := parsePublic(string(data)); err == nil {
		return key
	}
	beside, err := os.ReadFile(file + ".pub")
	if err != nil {
		return nil
	}
	key, err := parsePublic(string(beside))
	if err != nil {
		return nil
	}
	return key
}

func agentName(s gossh.Signer) string {
	if key, ok := s.PublicKey().(*agent.Key); ok && key.Comment != "" {
		return fmt.Sprintf("agent key %q", key.Comment)
	}
	return "agent key"
}
