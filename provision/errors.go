package provision

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Errors that callers decide on.
var (
	ErrUnsupportedOS = errors.New("unsupported distribution")
	ErrNoRoot        = errors.New("no root rights on the host")
	ErrDowngrade     = errors.New("refusing to downgrade the engine")
	ErrPortTaken     = errors.New("port of the engine is taken on the host")
	ErrDiskFull      = errors.New("no space left on the host")
	ErrConfig        = errors.New("configuration of the host's engine cannot be merged")
	ErrOption        = errors.New("invalid engine option")
	ErrMirror        = errors.New("package source not reachable from the host")
	ErrLock          = errors.New("package manager is busy on the host")
	ErrNoPackage     = errors.New("no such engine version in the package source")
	ErrScript        = errors.New("install script failed")
	ErrCloudInit     = errors.New("cloud-init failed on the host")
	ErrEngineStart   = errors.New("engine does not start")
)

// HintError is an error that carries advice: the next thing to do, as a
// sentence or a command. The advice is no part of the message.
type HintError struct {
	Err    error
	Advice string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *HintError) Hint() string { return e.Advice }

// refuse is a HintError about one of the sentinels.
func refuse(sentinel error, advice, format string, args ...any) error {
	return &HintError{Err: fmt.Errorf("%w: %s", sentinel, fmt.Sprintf(format, args...)), Advice: advice}
}

// StepError is a step that failed.
type StepError struct {
	Step   string
	Code   int    // exit code of the script
	Output string // tail of stdout and stderr
	Advice string
	Err    error // a sentinel of this package when the output tells the cause
}

func (e *StepError) Error() string {
	cause := fmt.Sprintf("exit code %d", e.Code)
	if e.Err != nil {
		cause = e.Err.Error()
	}
	if line := tellingLine(e.Code, e.Output); line != "" {
		cause += ": " + line
	}
	return e.Step + ": " + cause
}

func (e *StepError) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *StepError) Hint() string { return e.Advice }

// detailLines is how much of a step's output is shown as evidence; the log has all of it.
const detailLines = 20

// Details are the last lines that the step printed.
func (e *StepError) Details() []string {
	lines := strings.Split(strings.TrimSpace(e.Output), "\n")
	if lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-detailLines):]
}

// The exit codes by which scripts name a cause; those of sh/*.sh.
const (
	exitLock        = 75
	exitMirror      = 76
	exitNoPackage   = 77
	exitCloudInit   = 78
	exitEngineStart = 79
	exitDowngrade   = 80
	exitScript      = 81
	exitDiskFull    = 82
	exitOption      = 83
	exitConfig      = 84
)

// sentinelOf tells the cause of a failed script from its exit code and its output.
func sentinelOf(code int, output string) error {
	// A full disk breaks every tool in its own way.
	if diskFull.MatchString(output) {
		return ErrDiskFull
	}
	switch code {
	case exitLock:
		return ErrLock
	case exitMirror:
		return ErrMirror
	case exitNoPackage:
		return ErrNoPackage
	case exitCloudInit:
		return ErrCloudInit
	case exitEngineStart:
		return ErrEngineStart
	case exitDowngrade:
		return ErrDowngrade
	case exitScript:
		return ErrScript
	case exitDiskFull:
		return ErrDiskFull
	case exitOption:
		return ErrOption
	case exitConfig:
		return ErrConfig
	}
	switch {
	case lockedOutput.MatchString(output):
		return ErrLock
	case unreachableOutput.MatchString(output):
		return ErrMirror
	}
	return nil
}

var diskFull = regexp.MustCompile(`(?i)no space left on device|(not|n't have) enough (free )?(disk )?space|disk quota exceeded|needs \d+ ?[KMG]i?B (more space )?on the .* filesystem`)

var (
	lockedOutput      = regexp.MustCompile(`Could not get lock|Waiting for cache lock|database is locked|unable to lock database|System management is locked`)
	unreachableOutput = regexp.MustCompile(`Failed to fetch|Temporary failure (in name resolution|resolving)|Could not resolve|Unable to fetch|Cannot download|Failed to download|failed retrieving file|temporary error \(try again later\)|Curl error`)
)

// tellingLine returns the line of a script's output that a person reads first.
func tellingLine(code int, output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if code >= exitLock && code <= exitConfig && code != exitEngineStart {
		return last // the script's own word
	}
	for _, line := range lines {
		for _, want := range []string{"failed to start daemon: ", "unable to configure the Docker daemon "} {
			if i := strings.LastIndex(line, want); i >= 0 {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	for _, want := range []string{"E: ", "Error: ", "error: ", "ERROR: "} {
		for _, line := range lines {
			if strings.HasPrefix(line, want) {
				return strings.TrimSpace(strings.TrimPrefix(line, want))
			}
		}
	}
	return last
}

// adviceOn returns what to do about a sentinel when a step has no advice of its own.
func adviceOn(err error) string {
	for _, a := range []struct {
		err  error
		text string
	}{
		{ErrDiskFull, "free space on the host (df -h; apt-get clean; docker system prune) and run the command again"},
		{ErrMirror, "check that the host resolves names and reaches the address; behind a proxy give --engine-http-proxy, or name a mirror with --engine-repo-url"},
		{ErrLock, "another process installs packages on the host; run the command again when it has finished"},
		{ErrNoPackage, "ask for one of the listed versions, or for another source of the engine"},
		{ErrScript, "read the script's output; another script can be given with --engine-install-url"},
		{ErrCloudInit, "read /var/log/cloud-init-output.log on the host, mend the user data, and create the machine again"},
		{ErrOption, "correct the option that the engine does not accept; nothing was restarted"},
		{ErrConfig, "mend /etc/docker/daemon.json on the host; the engine was not restarted"},
		{ErrEngineStart, "read the journal lines above; on the host: journalctl -u docker"},
		{ErrDowngrade, "insist with --force; data written by the newer engine may not be readable by the older one"},
		{ErrNoRoot, rootAdvice},
	} {
		if errors.Is(err, a.err) {
			return a.text
		}
	}
	return ""
}

const rootAdvice = "log in as root, or allow the user sudo without a password: echo 'USER ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/machine"
