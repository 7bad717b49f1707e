package cli

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
	"github.com/hostsmith/machine/store"
)

// lsRow is a row of ls for templates. It has the fields that docker-machine's rows had, and what its options of
// engine and swarm had, which nothing here sets.
type lsRow struct {
	lifecycle.Row
	EngineOptions lsEngine
	SwarmOptions  lsSwarm
}

type lsEngine struct {
	lifecycle.EngineOptions
	DNS            []string
	GraphDir       string
	Ipv6           bool
	LogLevel       string
	SelinuxEnabled bool
}

type lsSwarm struct {
	lifecycle.SwarmOptions
	Heartbeat  int
	Overcommit float64
	Env        []string
}

func lsRows(rows []lifecycle.Row) []lsRow {
	out := make([]lsRow, len(rows))
	for i, r := range rows {
		out[i] = lsRow{Row: r, EngineOptions: lsEngine{EngineOptions: r.EngineOptions}, SwarmOptions: lsSwarm{SwarmOptions: r.SwarmOptions}}
	}
	return out
}

// connecting says what env and config say of an engine that does not answer. docker-machine took each such error for
// one of certificates, and scripts match that.
func (a *app) connecting(words, machine string, err error) error {
	if errors.Is(err, store.ErrNotExist) || errors.Is(err, store.ErrName) {
		return err // it had not come that far
	}
	if a.legacy && errors.Is(err, lifecycle.ErrNoSwarm) {
		return &textError{fmt.Sprintf("%s: %q is not a swarm master. The --swarm flag is intended for use with swarm masters", words, machine), err}
	}
	err = fmt.Errorf("%s: %w", words, err)
	var engine *lifecycle.EngineError
	if !a.legacy || !errors.As(err, &engine) {
		return err
	}
	host := engine.URL
	if u, perr := url.Parse(host); perr == nil && u.Host != "" {
		host = u.Host
	}
	return &textError{fmt.Sprintf("%s: Error checking and/or regenerating the certs: There was an error validating certificates for host %q: %v\n"+
		"You can attempt to regenerate them using '%[4]s regenerate-certs [name]'.\n"+
		"Be advised that this will trigger a Docker daemon restart which might stop running containers.", words, host, engine.Err, a.name), err}
}
