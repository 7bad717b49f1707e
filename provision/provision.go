// Package provision turns a reachable host into a Docker host: Probe asks what
// is there, Plan decides what to do as a pure function of values, Apply does
// it. It knows nothing of drivers, stores, certificates' meaning or swarms.
package provision

import (
	"context"
	"errors"
	"io"
	"time"
)

// Runner runs commands on a host.
type Runner interface {
	// Run runs cmd through the login user's shell, with stdin (nil: empty) and
	// stdout, which is written to while the command runs (nil: discarded). A command
	// that exits non-zero returns an error with the methods ExitCode() int and
	// Stderr() string (the tail). It returns the context's cause when ctx ends.
	Run(ctx context.Context, cmd string, stdin io.Reader, stdout io.Writer) error
}

// StepFunc reports the start and the end of a named piece of work around fn
// and returns fn's error.
type StepFunc = func(ctx context.Context, name string, fn func(context.Context) error) error

// DefaultVersion is the newest engine that the project's tests passed, and what
// a host gets from Docker's repository when no version is asked for.
const DefaultVersion = "28.5.2"

// DefaultPort is where the engine listens for TLS clients.
const DefaultPort = 2376

// Source is where the engine comes from.
type Source string

// The sources of an engine.
const (
	SourceAuto   Source = ""       // what is there if it satisfies the request, else Docker's repository, else the distribution
	SourceRepo   Source = "repo"   // Docker's package repository
	SourceDistro Source = "distro" // the distribution's package
	SourceScript Source = "script" // an install script by URL
	SourceKeep   Source = "keep"   // what is there, whatever its version
)

// Engine is the engine asked for.
type Engine struct {
	Version            string // exact, or a prefix such as 28 or 28.5; empty: what is there, else DefaultVersion
	Source             Source
	InstallURL         string   // of the script for SourceScript
	RepoURL            string   // base of Docker's repository or a mirror; empty: https://download.docker.com/linux
	Port               int      // 0: DefaultPort
	Options            []string // dockerd flags, flag=value or flag
	Env                []string // K=V
	Labels             []string // k=v
	InsecureRegistries []string
	RegistryMirrors    []string
	StorageDriver      string
	HTTPProxy          string
	HTTPSProxy         string
	NoProxy            string
	Gentle             bool // the host is the user's own: change as little as possible
	AllowDowngrade     bool
	Upgrade            bool // bring the engine to Version, or to the newest of its source if Version is empty
}

// TLS is what the engine identifies itself with, PEM.
type TLS struct {
	CA   []byte
	Cert []byte
	Key  []byte
}

// Step is one thing to do on the host, as a POSIX shell script run by root.
type Step struct {
	Name   string        // for people, such as "install docker-ce 28.5.2"
	Unless string        // script: exit 0 = already done
	Run    string        // script, run with set -eu and stdin from /dev/null
	Stdin  []byte        // given to Run on its standard input instead; may be secret: never logged
	Limit  time.Duration // deadline of the step; 0: none of its own
	Hint   string        // advice if it fails
}

// Probe asks the host everything Plan needs to know, in one round trip. engine says
// which port and files to look at. It changes nothing.
func Probe(ctx context.Context, r Runner, engine Engine) (Facts, error) { panic("unwritten") }

// Plan decides what to do: the same arguments give the same steps, in order.
// No steps: nothing to do. Errors: ErrUnsupportedOS, ErrNoRoot, ErrDowngrade,
// ErrPortTaken, ErrDiskFull, ErrConfig (daemon.json of the host cannot be merged),
// ErrOption (an engine option is malformed).
func Plan(f Facts, e Engine, t TLS) ([]Step, error) { panic("unwritten") }

// PlanRemoval decides how to undo what provisioning did on a host that stays: our
// drop-in, our TLS files and our keys of daemon.json; the engine stays.
func PlanRemoval(f Facts) ([]Step, error) { panic("unwritten") }

// Apply does the steps as root, those that need no answer in between as one script
// that travels on stdin. Each step is reported through step. A failed step
// returns *StepError. Cancelling ctx ends the remote script too.
func Apply(ctx context.Context, r Runner, steps []Step, step StepFunc) error { panic("unwritten") }

// Evidence collects why an engine does not answer: unit state, last journal
// lines, listeners, conflicting configuration. It never fails.
func Evidence(ctx context.Context, r Runner, engine Engine) []string { panic("unwritten") }

// StepError is a step that failed.
type StepError struct {
	Step   string
	Code   int    // exit code of the script
	Output string // tail of stdout and stderr
	Advice string
	Err    error // a sentinel of this package when the output tells the cause
}

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
