// Command gitlab-runner-client calls docker-machine with GitLab Runner's own code, one call a run, and prints what came of it as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitlab-runner/helpers/docker"
)

// outcome is what a call returned.
type outcome struct {
	OK          bool               `json:"ok"`
	Error       string             `json:"error,omitempty"`
	Machines    []string           `json:"machines,omitempty"`
	Credentials docker.Credentials `json:"credentials"`
	Info        docker.MachineInfo `json:"info"`
	NoLabels    bool               `json:"noLabels,omitempty"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: gitlab-runner-client LIMIT CALL [ARG...]")
		os.Exit(2)
	}
	limit, err := time.ParseDuration(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := call(ctx, docker.NewMachineCommand(), os.Args[2], os.Args[3:])
	out.OK = out.OK || err == nil
	if err != nil {
		out.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		os.Exit(1)
	}
}

func call(ctx context.Context, m docker.Machine, what string, args []string) (out outcome, err error) {
	name, rest := "", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	switch what {
	case "create": // NAME DRIVER OPTION...
		return out, m.Create(ctx, rest[0], name, rest[1:]...)
	case "provision":
		return out, m.Provision(ctx, name)
	case "stop":
		return out, m.Stop(ctx, name)
	case "remove":
		return out, m.Remove(ctx, name)
	case "force-remove":
		return out, m.ForceRemove(ctx, name)
	case "list":
		out.Machines, err = m.List()
		return out, err
	case "exist":
		if !m.Exist(ctx, name) {
			err = errors.New("does not exist")
		}
		return out, err
	case "can-connect":
		if !m.CanConnect(ctx, name, true) {
			err = errors.New("cannot connect")
		}
		return out, err
	case "credentials":
		out.Credentials, err = m.Credentials(ctx, name)
		return out, err
	case "inspect":
		out.Info, err = m.Inspect(name)
		return out, err
	case "update-labels": // NAME KEY=VALUE...
		labels := map[string]string{}
		for _, word := range rest {
			key, value, _ := strings.Cut(word, "=")
			labels[key] = value
		}
		err = m.UpdateLabels(ctx, name, labels)
		out.NoLabels = errors.Is(err, docker.ErrLabelsNotSupported)
		return out, err
	}
	return out, fmt.Errorf("no such call: %s", what)
}
