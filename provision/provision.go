// Package provision turns a reachable host into a Docker host: Probe asks what
// is there, Plan decides what to do as a pure function of values, Apply does
// it. It knows nothing of drivers, stores, certificates' meaning or swarms.
package provision

import (
	"context"
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
	InstallURL         string   // of the script for SourceScript, or with SourceAuto instead of a package unless it is https://get.docker.com
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
	Slowness           int  // how many times as long as usual each step may take; 0: 1
	Upgrade            bool // bring the engine to Version, or to the newest of its source if Version is empty
}

// TLS is what the engine identifies itself with, PEM.
type TLS struct {
	CA   []byte
	Cert []byte
	Key  []byte
}

// Step is one thing to do on the host, as a POSIX shell script run by root.
// Scripts may use the functions of the package's sh folder.
type Step struct {
	Name   string        // for people, such as "install docker-ce 28.5.2"
	Unless string        // script: exit 0 = already done
	Run    string        // script, run with set -eu and stdin from /dev/null
	Stdin  []byte        // given to Run on its standard input instead; may be secret: never logged
	Limit  time.Duration // deadline of the step; 0: none of its own
	Hint   string        // advice if it fails
}
