// Package ssh is a verified SSH connection to one host: dial until ready, run,
// shell, forward. It is the only package that imports x/crypto/ssh. It knows
// nothing of drivers, stores or Docker.
package ssh

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

// Target is where and how to log in.
type Target struct {
	Host string // address or name
	Port int    // 0: 22
	User string
	Key  string // path of the private key; empty: the agent, then the user's default keys
	Jump string // [user@]host[:port] of a jump host; empty: none

	KnownHosts string                               // path of the known_hosts file of this machine
	Pin        bool                                 // an unknown host key is accepted and reported through OnPin; else it is refused
	OnPin      func(line, fingerprint string) error // stores the known_hosts line

	KeepAlive time.Duration       // 0: 15 s
	Getenv    func(string) string // SSH_AUTH_SOCK, HOME; nil: nothing
	Log       *slog.Logger
	Waiting   func(state State, detail string) // told each change of state while DialReady waits; may be nil
}

// State is how far a connection attempt comes.
type State string

// The states of a connection attempt, in order.
const (
	NoRoute        State = "no route to the host"
	TimedOut       State = "no answer"
	Refused        State = "connection refused"
	Banner         State = "no SSH banner"
	HostKey        State = "verifying the host key"
	Authentication State = "authenticating"
	Ready          State = "ready"
)

// Errors that callers decide on.
var (
	ErrNotReady   = errors.New("host does not answer over SSH") // deadline passed; see *NotReadyError
	ErrAuth       = errors.New("login refused")                 // see *AuthError
	ErrHostKey    = errors.New("host key changed")              // see *HostKeyError
	ErrUnknownKey = errors.New("host key is not known")         // Pin is off
	ErrKeyFile    = errors.New("private key cannot be used")    // missing, wrong format, passphrase without agent
	ErrJump       = errors.New("jump host failed")
)

// NotReadyError tells how far the last attempt came. It wraps ErrNotReady.
type NotReadyError struct {
	Host   string
	Port   int
	State  State
	Waited time.Duration
	Err    error
}

// AuthError tells what was tried. It wraps ErrAuth.
type AuthError struct {
	Host string
	User string
	Keys []string // files and agent keys with fingerprints
}

// HostKeyError tells both fingerprints. It wraps ErrHostKey.
type HostKeyError struct {
	Host string
	Want string // SHA256:... stored
	Got  string // SHA256:... presented
	File string // known_hosts
}

// ExitError is a remote command that exited non-zero or by a signal.
type ExitError struct {
	Cmd  string
	Code int    // 128+n for a signal
	Tail string // tail of stderr
}

// Client is one connection. Its methods may be called concurrently.
type Client struct {
	// fields
}

// DialReady connects as soon as the host answers, until ctx ends. Refused logins, changed host
// keys and unusable key files end it at once.
func DialReady(ctx context.Context, t Target) (*Client, error) { panic("unwritten") }

// Dial connects now or fails.
func Dial(ctx context.Context, t Target) (*Client, error) { panic("unwritten") }

// Run implements the runner of other packages: it runs cmd by the login shell; see
// provision.Runner for the contract. Errors: *ExitError.
func (c *Client) Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error {
	panic("unwritten")
}

// Session is an interactive or piped remote command.
type Session struct {
	Command string // empty: the login shell
	TTY     bool   // ask for a terminal
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Term    *os.File         // local terminal, for size, raw mode and resize; nil: none
	Signals <-chan os.Signal // forwarded to the remote side; nil: none
}

// Session runs s and returns the remote exit code.
func (c *Client) Session(ctx context.Context, s Session) (int, error) { panic("unwritten") }

// Trips returns how many round trips of commands this connection has made.
func (c *Client) Trips() int { panic("unwritten") }

// Close ends the connection.
func (c *Client) Close() error { panic("unwritten") }

// KeyPair is a new SSH key.
type KeyPair struct {
	Private    []byte // OpenSSH private key, PEM
	Authorized string // authorized_keys line without newline
}

// NewKeyPair makes an ed25519 key.
func NewKeyPair(comment string) (KeyPair, error) { panic("unwritten") }

// ParseKeyPair returns the pair of a stored private key (OpenSSH or PEM; ed25519, ECDSA, RSA).
func ParseKeyPair(private []byte, comment string) (KeyPair, error) { panic("unwritten") }

// KnownHostsLine returns the known_hosts line of a host's public key, which is given as an
// authorized_keys line.
func KnownHostsLine(host string, port int, public string) (string, error) { panic("unwritten") }

// Fingerprint returns the SHA256:... fingerprint of a public key given as an authorized_keys or known_hosts line.
func Fingerprint(public string) (string, error) { panic("unwritten") }

// Args returns the arguments that make OpenSSH's ssh (scp, rsync -e, sshfs) behave as
// Dial does: identity, known hosts, strict checking, port flag left out. Port is given as -p for ssh and -o Port= for others,
// so it always returns -o Port=N.
func Args(t Target) []string { panic("unwritten") }
