// Package cluster is the cluster file: what groups of machines there shall be, which swarm they form and what
// runs on it. Parse reads it, Schema describes it, Plan decides as a pure function what makes it true, and Write
// writes the file of what exists. It knows nothing of stores, hosts and engines.
package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// Names are the files that are looked for where none is named, in this order.
func Names() []string { return []string{"machine.yaml", "machine.yml", "cluster.yaml", "cluster.yml"} }

// The roles of a group.
const (
	Manager = "manager"
	Worker  = "worker"
	None    = "none"
)

// Spec is what a cluster file asks for.
type Spec struct {
	File     string // where it was read from, for messages
	Dir      string // paths in it are relative to this folder
	Name     string // of the project
	Swarm    Swarm  // Name is empty: no group is in a swarm
	Groups   []Group
	Stacks   []Stack
	Warnings []string
}

// Swarm is the swarm of the groups that are in one.
type Swarm struct {
	Name         string
	AddrPool     []string // the rest is for a new swarm
	SubnetSize   int
	DataPathPort int
}

// Group is machines that are alike.
type Group struct {
	Name          string
	Pos           Pos
	Names         []string // of the machines
	Role          string   // Manager, Worker or None
	Driver        string
	Options       []Option // of the driver
	Labels        []Pair   // of the node
	Availability  string   // active, pause or drain; empty: as it is
	Advertise     string
	Listen        string
	DataPath      string
	Engine        Engine
	SANs          []string
	UserData      string // path
	DockerContext bool
}

// Option is an option of a driver.
type Option struct {
	Name    string
	Values  []string
	File    string // the value is in this file
	Literal bool   // the value stands in the cluster file itself
	Pos     Pos
}

// Pair is a key and its value.
type Pair struct{ Key, Value string }

func (p Pair) String() string { return p.Key + "=" + p.Value }

// Texts are pairs as KEY=VALUE.
func Texts(pairs []Pair) []string {
	var out []string
	for _, p := range pairs {
		out = append(out, p.String())
	}
	return out
}

// Engine is the engine of a group.
type Engine struct {
	Version            string
	Source             string
	InstallURL         string
	RepoURL            string
	Port               int
	Opts               []Pair
	Labels             []Pair
	Env                []Pair
	InsecureRegistries []string
	RegistryMirrors    []string
	StorageDriver      string
	HTTPProxy          string
	HTTPSProxy         string
	NoProxy            string
}

// Stack is what "docker stack deploy" deploys.
type Stack struct {
	Name         string
	Pos          Pos
	Files        []string // compose files, relative to Spec.Dir
	Env          []Pair   // for the compose files, besides the environment
	RegistryAuth bool
	Prune        bool
	ResolveImage string // always, changed or never; empty: the client's default
}

// Pos is a place in the file; the first line is 1.
type Pos struct{ Line, Column int }

// Error is something wrong at a place of a cluster file.
type Error struct {
	File   string
	Pos    Pos
	Text   string
	Advice string // what to do; may be empty
	Err    error  // the cause; may be nil
}

func (e *Error) Error() string {
	text := e.Text
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	if e.Pos.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Pos.Line, e.Pos.Column, text)
}

// Unwrap returns ErrFile and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrFile}
	}
	return []error{e.Err, ErrFile}
}

// Hint returns the advice, or the cause's.
func (e *Error) Hint() string {
	var h interface{ Hint() string }
	if e.Advice == "" && errors.As(e.Err, &h) {
		return h.Hint()
	}
	return e.Advice
}

// At is an error at a place of the file.
func (s *Spec) At(pos Pos, err error) error { return &Error{File: s.File, Pos: pos, Err: err} }

// machineNames are those of a group of n machines.
func machineNames(project, group string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%s-%d", project, group, i+1)
	}
	return names
}

// ProjectName makes a project's name of a folder's: what a name may not have becomes a dash.
func ProjectName(folder string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(folder) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if len(name) > 40 {
		name = strings.Trim(name[:40], "-")
	}
	return name
}
