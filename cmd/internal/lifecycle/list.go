package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

const (
	listTimeout  = 10 * time.Second
	glanceEngine = 3 * time.Second // for an engine to answer before a driver is asked
	listLimit    = 1000            // machines asked at once; each costs a connection and a few KiB
)

// filter selects machines: values of one key are alternatives, keys add up.
type filter struct {
	drivers, states, swarms []string
	names                   []*regexp.Regexp
	labels                  []string
}

// parseFilters reads key=value words.
func parseFilters(words []string) (filter, error) {
	var f filter
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return f, fmt.Errorf("%w: Unsupported filter syntax: %q", ErrUsage, w)
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "driver":
			f.drivers = append(f.drivers, value)
		case "state":
			f.states = append(f.states, value)
		case "swarm":
			f.swarms = append(f.swarms, value)
		case "name":
			re, err := regexp.Compile(value)
			if err != nil {
				return f, fmt.Errorf("%w: filter %q: %w", ErrUsage, w, err)
			}
			f.names = append(f.names, re)
		case "label":
			if !strings.Contains(value, "=") {
				return f, fmt.Errorf("%w: filter %q: a label is key=value", ErrUsage, w)
			}
			f.labels = append(f.labels, value)
		default:
			return f, fmt.Errorf("%w: Unsupported filter key '%s'", ErrUsage, key)
		}
	}
	return f, nil
}

// matchRecord tells whether a record matches, its state aside. classic are the names of its classic swarm.
func (f filter) matchRecord(e store.Entry, classic ...string) bool {
	return anyFold(f.drivers, e.Record.DriverName) && f.matchSwarm(append(classic, e.Record.Swarm.Name)) &&
		f.matchName(e.Name) && f.matchLabels(e.Record.HostOptions.EngineOptions.Labels)
}

// matchSwarm tells whether one of the names that a machine's swarm has matches. A machine in none has the name "".
func (f filter) matchSwarm(names []string) bool {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	if len(names) == 0 {
		names = []string{""}
	}
	return slices.ContainsFunc(names, func(name string) bool { return anyFold(f.swarms, name) })
}

func (f filter) matchState(s State) bool { return anyFold(f.states, string(s)) }

func (f filter) matchName(name string) bool {
	for _, re := range f.names {
		if re.MatchString(name) {
			return true
		}
	}
	return len(f.names) == 0
}

// matchLabels compares keys exactly and values without regard to case, as docker-machine did.
func (f filter) matchLabels(labels []string) bool {
	for _, want := range f.labels {
		wk, wv, _ := strings.Cut(want, "=")
		for _, l := range labels {
			if k, v, _ := strings.Cut(l, "="); k == wk && strings.EqualFold(v, wv) {
				return true
			}
		}
	}
	return len(f.labels) == 0
}

func anyFold(wanted []string, s string) bool {
	for _, w := range wanted {
		if strings.EqualFold(w, s) {
			return true
		}
	}
	return len(wanted) == 0
}

// List returns the machines that match, in natural order; a machine that does not answer is a row.
func (m *Manager) List(ctx context.Context, req ListRequest) ([]Row, error) {
	f, err := parseFilters(req.Filters)
	if err != nil {
		return nil, err
	}
	for i, name := range f.drivers {
		if factory, err := m.Drivers.Lookup(strings.ToLower(name)); err == nil {
			f.drivers[i] = factory.Name()
		}
	}
	if req.NamesOnly && len(req.Filters) == 0 {
		return m.nameRows()
	}
	entries, err := m.Store.List()
	if err != nil {
		return nil, err
	}
	var names []string
	index := map[string]int{}
	classic := map[string]classicSwarm{}
	for _, s := range classicSwarmsOf(entries) {
		classic[s.discovery] = s
	}
	kept := entries[:0]
	for _, e := range entries {
		if f.matchRecord(e, classic[e.Record.HostOptions.SwarmOptions.Discovery].calls()...) {
			index[e.Name] = len(kept)
			names = append(names, e.Name)
			kept = append(kept, e)
		}
	}
	rows := make([]Row, len(kept))
	ask := !req.NamesOnly || len(f.states) > 0
	// One deadline for all: the list ends at its timeout however many machines do not answer.
	bounded, cancel := within(ctx, req.Timeout, listTimeout, "timeout")
	defer cancel()
	_ = eachLimit(context.WithoutCancel(ctx), names, listLimit, func(_ context.Context, name string) error {
		rows[index[name]] = m.row(OnMachine(bounded, name), kept[index[name]], classic, ask, req.DockerHost)
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause // machines that were not waited for are not slow ones
	}
	out := rows[:0]
	for _, r := range rows {
		if f.matchState(r.State) {
			out = append(out, r)
		}
	}
	return out, nil
}

// nameRows lists names without reading a record.
func (m *Manager) nameRows() ([]Row, error) {
	names, err := m.Store.Names()
	rows := make([]Row, len(names))
	for i, name := range names {
		rows[i].Name = name
	}
	return rows, err
}

// Match returns the names of the machines that match filters (see ListRequest), asking for states only if a filter does.
func (m *Manager) Match(ctx context.Context, filters []string) ([]string, error) {
	rows, err := m.List(ctx, ListRequest{Filters: filters, NamesOnly: true})
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Name
	}
	return names, err
}

func (m *Manager) row(ctx context.Context, e store.Entry, classic map[string]classicSwarm, ask bool, dockerHost string) Row {
	start := m.Now()
	rec := e.Record
	row := Row{
		Name: e.Name, DriverName: rec.DriverName, Phase: string(rec.Phase), DockerVersion: "Unknown",
		SwarmOptions: classicShown(rec.HostOptions.SwarmOptions), EngineOptions: rec.HostOptions.EngineOptions, Swarm: rec.Swarm.Name,
	}
	if isClassic(rec.HostOptions.SwarmOptions) {
		row.Swarm = classic[rec.HostOptions.SwarmOptions.Discovery].name
	}
	if rec.Swarm.Role == string(swarmboot.Manager) || classicMaster(rec.HostOptions.SwarmOptions) {
		row.Swarm += " (master)"
	}
	x := &machine{m: m, rec: rec}
	err := e.Err
	if err == nil {
		err = x.open()
	}
	if err != nil {
		row.State, row.DriverName, row.Error = drivers.Error, "not found", oneLine(err.Error())
		if rec.DriverName != "" {
			row.DriverName = rec.DriverName
		}
		return row
	}
	if !ask {
		return row
	}
	done := make(chan struct{})
	asked := row
	go func() {
		defer close(done)
		x.askRow(ctx, &asked, dockerHost)
	}()
	select {
	case <-done:
		row = asked
	case <-ctx.Done():
		// The driver may not heed ctx at once; its row does not wait for it.
		row.State = drivers.Timeout
	}
	if row.State == drivers.Timeout {
		row.Active, row.DockerVersion, row.Error = "", "Unknown", ""
	}
	row.ResponseTime = m.Now().Sub(start)
	return row
}

// askRow asks provider and engine.
func (x *machine) askRow(ctx context.Context, row *Row, dockerHost string) {
	row.CertExpires = x.certExpires()
	row.Active = "-"
	st, err := x.glance(ctx)
	switch {
	case ctx.Err() != nil:
		row.State = drivers.Timeout
		return
	case errors.Is(err, drivers.ErrNotFound) && x.rec.Phase != store.Ready:
		row.State, row.Error = drivers.Error, unfinished(x.rec) // why there is no host says more than that there is none
		return
	case err != nil:
		row.State, row.Error = drivers.Error, oneLine(err.Error())
		return
	}
	row.State = st.State
	if x.rec.Phase != store.Ready {
		row.Error = unfinished(x.rec)
	}
	if st.State != drivers.Running {
		return
	}
	x.rec.Address = x.address(st)
	row.URL = x.engineURL()
	if row.URL == dockerHost && dockerHost != "" {
		row.Active, row.ActiveHost = "*", true
	}
	if dockerHost != "" && classicMaster(x.rec.HostOptions.SwarmOptions) && x.classicURL() == dockerHost {
		row.Active, row.ActiveSwarm = "* (swarm)", true
	}
	if x.rec.Phase == store.Pending || x.rec.Phase == store.Created || x.hasEngine("ask") != nil {
		return
	}
	v, err := x.askVersion(ctx)
	switch {
	case err == nil:
		row.DockerVersion = "v" + v
		if row.Error == "" && !row.CertExpires.IsZero() {
			row.Error = due(row.CertExpires.Sub(x.m.Now()))
		}
	case ctx.Err() != nil:
		row.State = drivers.Timeout
	case row.Error == "":
		row.Error = "Unable to query docker version: " + oneLine(err.Error())
	}
}

// glance asks the provider for a list. Drivers whose answers are dear are not asked about a machine whose engine answers
// where it is expected: it runs.
func (x *machine) glance(ctx context.Context) (drivers.Status, error) {
	g, ok := x.drv.(drivers.Glancer)
	if !ok {
		return x.drv.Status(ctx)
	}
	if a := x.rec.Address; x.rec.Phase == store.Ready && a.Host != "" {
		soon, cancel := within(ctx, 0, glanceEngine, "ask the engine")
		defer cancel()
		if _, err := x.askVersion(soon); err == nil {
			return drivers.Status{State: drivers.Running, Host: a.Host, Peer: a.Peer, User: a.User, SSHPort: a.SSHPort, EnginePort: a.EnginePort}, nil
		}
	}
	return g.Glance(ctx)
}

func (x *machine) askVersion(ctx context.Context) (string, error) {
	eng, err := x.engine(ctx, nil)
	if err != nil {
		return "", err
	}
	defer eng.close()
	eng.lightly()
	v, err := eng.version(ctx)
	return v.Version, err
}

// due tells that a certificate with so much life left wants renewal; empty: it does not.
func due(left time.Duration) string {
	switch {
	case left <= 0:
		return "certificate expired"
	case left < certs.RenewBefore:
		return fmt.Sprintf("certificate expires in %d days", int(left.Hours()/24))
	}
	return ""
}

// unfinished tells why a machine is not ready.
func unfinished(rec store.Record) string {
	text := "unfinished (" + string(rec.Phase) + ")"
	if rec.Phase == store.Removing {
		text = "removal unfinished"
	}
	if rec.Problem != nil {
		text += ": " + oneLine(rec.Problem.Message)
	}
	return text
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// certExpires returns when the machine's server certificate ends; zero if it has none.
func (x *machine) certExpires() time.Time {
	data, err := os.ReadFile(x.path(serverFile))
	if err != nil {
		return time.Time{}
	}
	info, err := certs.Inspect(data)
	if err != nil {
		return time.Time{}
	}
	return info.NotAfter
}

// Warnings returns what a person should know before anything else, such as certificates that end soon. It reads only
// the store's own certificates and those of its machines.
func (m *Manager) Warnings() []string {
	var out []string
	warn := func(what, file, fix string) {
		data, err := os.ReadFile(file)
		if err != nil {
			return
		}
		info, err := certs.Inspect(data)
		if err != nil {
			return
		}
		if text := due(info.NotAfter.Sub(m.Now())); text != "" {
			out = append(out, fmt.Sprintf("%s: %s on %s: run %s", what, text, info.NotAfter.Format(time.DateOnly), fix))
		}
	}
	dir := m.Store.CertsDir()
	warn("the authority", dir+"/"+caFile, "machine regenerate-certs --rotate-ca")
	warn("the client", dir+"/"+certFile, "machine regenerate-certs --client-certs")
	names, err := m.Store.Names()
	if err != nil {
		return out
	}
	for _, name := range names {
		warn(name, m.Store.MachineDir(name)+"/"+serverFile, "machine regenerate-certs "+name)
	}
	return out
}
