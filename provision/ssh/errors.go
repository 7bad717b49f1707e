package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers decide on.
var (
	ErrNotReady   = errors.New("host does not answer over SSH") // deadline passed; see *NotReadyError
	ErrAuth       = errors.New("login refused")                 // see *AuthError
	ErrHostKey    = errors.New("host key changed")              // see *HostKeyError
	ErrUnknownKey = errors.New("host key is not known")         // Pin is off; see *UnknownKeyError
	ErrKeyFile    = errors.New("private key cannot be used")    // missing, wrong format, passphrase without agent; see *KeyFileError
	ErrJump       = errors.New("jump host failed")              // see *JumpError
	ErrLost       = errors.New("connection lost")               // while a command ran
)

// NotReadyError tells how far the last attempt came. It wraps ErrNotReady, the last
// error and what ended the wait.
type NotReadyError struct {
	Host   string
	Port   int
	State  State
	Waited time.Duration
	Err    error

	ended error // the context's cause; nil if nothing was waited for
}

func (e *NotReadyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "connect to %s: %s", endpoint{host: e.Host, port: e.Port}.addr(), e.State)
	if e.tells() {
		fmt.Fprintf(&b, ": %v", plain(e.Err))
	}
	if e.ended != nil {
		fmt.Fprintf(&b, "; waited %s", rounded(e.Waited))
	}
	return b.String()
}

// tells tells whether the cause adds to the state: the system's words for a refusal or for
// silence do not, nor does the end of the wait.
func (e *NotReadyError) tells() bool {
	var jump *JumpError
	switch {
	case e.Err == nil, e.ended != nil && errors.Is(e.Err, e.ended) && !errors.As(e.Err, &jump):
		return false
	case errors.As(e.Err, &jump):
		return true
	}
	return e.State != Refused && e.State != TimedOut
}

// Unwrap gives ErrNotReady, the last attempt's error and the cause of the context's end.
func (e *NotReadyError) Unwrap() []error {
	errs := []error{ErrNotReady}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	if e.ended != nil {
		errs = append(errs, e.ended)
		if !errors.Is(e.ended, context.DeadlineExceeded) {
			errs = append(errs, context.DeadlineExceeded)
		}
	}
	return errs
}

// Hint advises what to look at.
func (e *NotReadyError) Hint() string {
	var jump *JumpError
	if errors.As(e.Err, &jump) {
		return jump.Hint()
	}
	switch e.State {
	case Unresolved:
		return "check the host name, or give the address"
	case NoRoute:
		return "check the address, your network and VPN"
	case TimedOut:
		return fmt.Sprintf("the host is off, or a firewall or security group drops port %d", e.Port)
	case Refused:
		return fmt.Sprintf("the host is up but nothing listens on port %d: is the SSH server installed, running, and on this port?", e.Port)
	case Banner:
		return fmt.Sprintf("something on port %d accepts connections but does not speak SSH: check the port, or the SSH server's log", e.Port)
	case Authentication, HostKey:
		return "the SSH server ended the conversation: see its log on the host (journalctl -u ssh)"
	}
	return ""
}

// AuthError tells what was tried. It wraps ErrAuth.
type AuthError struct {
	Host    string
	User    string
	Keys    []string // files and agent keys with fingerprints
	Skipped []string // keys that were found but could not be offered, with the reason
}

func (e *AuthError) Error() string {
	tried := "no key was there to offer"
	if len(e.Keys) > 0 {
		tried = "tried " + strings.Join(e.Keys, ", ")
	}
	if len(e.Skipped) > 0 {
		tried += "; skipped " + strings.Join(e.Skipped, ", ")
	}
	return fmt.Sprintf("log in on %s as %q: %v: %s", e.Host, e.User, ErrAuth, tried)
}

// Unwrap gives ErrAuth.
func (e *AuthError) Unwrap() error { return ErrAuth }

// Hint advises what to look at.
func (e *AuthError) Hint() string {
	if len(e.Keys) == 0 {
		return "name a private key, or load one into the agent with ssh-add"
	}
	return fmt.Sprintf("check the user name, and that ~%s/.ssh/authorized_keys on the host holds this key", e.User)
}

// HostKeyError tells both fingerprints. It wraps ErrHostKey.
type HostKeyError struct {
	Host    string // as known_hosts spells it: host or [host]:port
	Want    string // SHA256:... stored
	Got     string // SHA256:... presented
	File    string // known_hosts
	Revoked bool   // the file revokes the key that was presented
}

func (e *HostKeyError) Error() string {
	if e.Revoked {
		return fmt.Sprintf("verify host key of %s: %v: %s is revoked in %s", e.Host, ErrHostKey, e.Got, e.File)
	}
	return fmt.Sprintf("verify host key of %s: %v: %s has %s, the host presents %s", e.Host, ErrHostKey, e.File, e.Want, e.Got)
}

// Unwrap gives ErrHostKey.
func (e *HostKeyError) Unwrap() error { return ErrHostKey }

// Hint tells the way out.
func (e *HostKeyError) Hint() string {
	if strings.HasPrefix(e.File, "--") { // an option, where no line could be removed
		return "someone may be intercepting the connection, or the option is of another host: the host's console tells its key (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"
	}
	return fmt.Sprintf("someone may be intercepting the connection: compare with the host's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); only if the host was reinstalled, remove its line: ssh-keygen -f %q -R %q", e.File, e.Host)
}

// UnknownKeyError is a host key that no known_hosts file holds. It wraps ErrUnknownKey.
type UnknownKeyError struct {
	Host string // as known_hosts spells it: host or [host]:port
	Got  string // SHA256:... presented
	File string // known_hosts
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("verify host key of %s: %v: the host presents %s", e.Host, ErrUnknownKey, e.Got)
}

// Unwrap gives ErrUnknownKey.
func (e *UnknownKeyError) Unwrap() error { return ErrUnknownKey }

// Hint tells the way out.
func (e *UnknownKeyError) Hint() string {
	return fmt.Sprintf("compare the fingerprint with the host's console, then add the host's line to %s", e.File)
}

// KeyFileError is a private key file that cannot be used. It wraps ErrKeyFile and the cause.
type KeyFileError struct {
	File   string
	Err    error
	advice string
}

func (e *KeyFileError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrKeyFile, e.File, plain(e.Err))
}

// Unwrap gives ErrKeyFile and the cause.
func (e *KeyFileError) Unwrap() []error { return []error{ErrKeyFile, e.Err} }

// Hint tells the way out.
func (e *KeyFileError) Hint() string { return e.advice }

// JumpError is a failure of or at the jump host. It wraps ErrJump and the cause.
type JumpError struct {
	Host string // host:port
	Err  error
}

func (e *JumpError) Error() string { return fmt.Sprintf("jump host %s: %v", e.Host, plain(e.Err)) }

// Unwrap gives ErrJump and the cause.
func (e *JumpError) Unwrap() []error { return []error{ErrJump, e.Err} }

// Hint gives the cause's hint, or tells where to look.
func (e *JumpError) Hint() string {
	var h interface{ Hint() string }
	if errors.As(e.Err, &h) {
		return h.Hint()
	}
	return fmt.Sprintf("check the jump host: is %s its address, and does it let you log in and connect onwards?", e.Host)
}

// ExitError is a remote command that exited non-zero or by a signal.
type ExitError struct {
	Cmd  string
	Code int    // 128+n for a signal
	Tail string // tail of stderr
}

func (e *ExitError) Error() string {
	text := fmt.Sprintf("run %q: exit status %d", brief(e.Cmd), e.Code)
	if line := lastLine(e.Tail); line != "" {
		text += ": " + line
	}
	return text
}

// ExitCode returns the remote exit code.
func (e *ExitError) ExitCode() int { return e.Code }

// Stderr returns the tail of the remote command's standard error.
func (e *ExitError) Stderr() string { return e.Tail }

// brief is a command short enough for a message.
func brief(cmd string) string {
	const limit = 80
	line, _, more := strings.Cut(strings.TrimSpace(cmd), "\n")
	if len(line) > limit {
		line, more = strings.ToValidUTF8(line[:limit], ""), true
	}
	if more {
		line += "…"
	}
	return line
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimSpace(s)
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
