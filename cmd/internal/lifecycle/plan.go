package lifecycle

import (
	"context"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/provision"
	"github.com/hostsmith/machine/store"
)

// PlanCreate returns what Create would do. It asks the driver whether it could and writes nothing.
func (m *Manager) PlanCreate(ctx context.Context, req CreateRequest) ([]Planned, error) {
	s, err := m.check(req)
	if err != nil {
		return nil, err
	}
	var out []Planned
	for i, name := range s.names {
		p := Planned{Machine: name}
		if rec, err := m.Store.Get(name); err == nil {
			if err := s.resumes(rec); err != nil {
				return nil, nameError(name, len(s.names), err)
			}
			if s.done(rec) {
				out = append(out, Planned{Machine: name, Steps: []string{"nothing: it is ready"}})
				continue
			}
			p.Steps = append(p.Steps, fmt.Sprintf("continue an unfinished create (%s)", rec.Phase))
		}
		rec := store.Record{Name: name, DriverName: s.factory.Name(), Driver: s.config, HostOptions: s.options, DockerContext: req.DockerContext}
		x := &making{machine: &machine{m: m, rec: rec}, out: &Created{}}
		secrets, err := s.secretsFor(m, name)
		if err != nil {
			return nil, err
		}
		if err := x.openWith(s.factory, secrets); err != nil {
			return nil, err
		}
		if x.classic() && !x.classicByOthers() {
			if err := x.takesClassic(); err != nil {
				return nil, nameError(name, len(s.names), err)
			}
		}
		err = x.drv.Check(ctx)
		if err == nil && req.DockerContext {
			err = m.checkContext(ctx, name)
		}
		if err != nil {
			return nil, nameError(name, len(s.names), checkError(ctx, err))
		}
		p.Steps = append(p.Steps, x.steps(i)...)
		out = append(out, p)
	}
	return out, nil
}

// steps tells in words what create does with the i-th machine of a request.
func (x *making) steps(i int) []string {
	steps := []string{"record the machine in " + x.m.Store.MachineDir(x.rec.Name)}
	if u, ok := x.drv.(drivers.Unmanaged); ok {
		return append(steps, "use the engine at "+u.EngineURL())
	}
	keyFile := ""
	if a, ok := x.drv.(drivers.SSHAccess); ok {
		keyFile = a.SSHAccess().KeyFile
	}
	switch {
	case keyFile != "":
		steps = append(steps, "copy the SSH key "+keyFile)
	case x.own():
		steps = append(steps, "log in with the agent or the default keys")
	default:
		steps = append(steps, "make an ed25519 login key and host key")
	}
	if !x.own() {
		steps = append(steps, strings.TrimSpace("create the host with driver "+x.rec.DriverName+" "+x.chosen()))
	}
	e := x.wanted()
	version := e.Version
	switch {
	case version == "" && e.Source == provision.SourceKeep:
		version = "that is there"
	case version == "":
		version = "that is there, else " + provision.DefaultVersion
	}
	source := string(e.Source)
	if source == "" {
		source = "auto"
	}
	steps = append(steps,
		"wait for SSH, verify or pin the host key, probe the host",
		fmt.Sprintf("issue a server certificate for the host's addresses, %s and localhost", joinWords(append([]string{x.rec.Name}, x.rec.HostOptions.AuthOptions.ServerCertSANs...))),
		fmt.Sprintf("have Docker Engine %s (source %s) listen with TLS on port %d", version, source, e.Port),
		"verify the engine over TLS with the client certificate",
	)
	if o := x.rec.HostOptions.SwarmOptions; isClassic(o) {
		steps = append(steps, x.classicWords()...)
	} else if o.IsSwarm {
		port := ""
		if o.DataPathPort != 0 {
			port = fmt.Sprintf(" with data path port %d/udp", o.DataPathPort)
		}
		switch {
		case o.Master && i == 0:
			if o.CertExpiry > 0 {
				port += fmt.Sprintf(" with certificates of nodes good for %s", o.CertExpiry)
			}
			steps = append(steps, fmt.Sprintf("initialise swarm %s%s, or join it as a manager if it exists", o.Name, port))
		case o.Master:
			steps = append(steps, fmt.Sprintf("join swarm %s as a manager", o.Name))
		default:
			steps = append(steps, fmt.Sprintf("join swarm %s as a worker", o.Name))
		}
	}
	if x.rec.DockerContext {
		steps = append(steps, "make the docker context "+x.rec.Name)
	}
	return steps
}

// chosen are the options that the driver is used with, also those that it has chosen itself, as they would be given.
func (x *making) chosen() string {
	f, err := x.m.driver(x.rec.DriverName)
	if err != nil {
		return ""
	}
	describer, ok := f.(drivers.Describer)
	if !ok {
		return ""
	}
	values, err := describer.Describe(x.rec.Driver)
	if err != nil {
		return ""
	}
	var words []string
	for _, o := range f.Options() {
		for _, v := range values[o.Name] {
			switch {
			case v == "", o.Kind == drivers.Bool && v == "false", (o.Kind == drivers.Int || o.Kind == drivers.Float) && v == "0", o.Kind == drivers.Duration && v == "0s":
				// as if it were not there
			case o.Kind == drivers.Bool:
				words = append(words, "--"+o.Name)
			default:
				words = append(words, "--"+o.Name+" "+v)
			}
		}
	}
	return strings.Join(words, " ")
}

// PlanProvision returns what Provision would do; the hosts are asked and not changed.
func (m *Manager) PlanProvision(ctx context.Context, names []string) ([]Planned, error) {
	if err := m.exist(names); err != nil {
		return nil, err
	}
	out := make([]Planned, len(names))
	index := map[string]int{}
	for i, name := range names {
		index[name] = i
	}
	err := m.each(ctx, names, func(ctx context.Context, name string) error {
		return m.withLock(ctx, name, func(ctx context.Context, x *machine) error {
			p, err := x.planProvision(ctx)
			out[index[name]] = p
			return err
		})
	})
	return out, err
}

func (x *machine) planProvision(ctx context.Context) (Planned, error) {
	p := Planned{Machine: x.rec.Name}
	if err := x.managed("provision"); err != nil {
		return p, err
	}
	if err := x.secured("provision"); err != nil {
		return p, err
	}
	a, err := x.m.ensureAuthority(ctx)
	if err != nil {
		return p, err
	}
	conn, err := x.dial(ctx)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	_, _, steps, err := x.survey(ctx, conn, x.authorityFor(ctx, a, refit{}), x.wanted(), refit{})
	if err != nil {
		return p, err
	}
	for _, s := range steps {
		p.Steps = append(p.Steps, s.Name)
		script := strings.TrimSpace(s.Run)
		if len(s.Stdin) > 0 {
			script += fmt.Sprintf("\n# with %d bytes on its standard input", len(s.Stdin))
		}
		p.Scripts = append(p.Scripts, script)
	}
	if x.classic() {
		f, err := x.fit(ctx, conn, x.classicWish())
		if err != nil {
			return p, err
		}
		defer f.eng.close()
		p.Steps = append(p.Steps, f.lines()...)
	}
	return p, nil
}

// joinWords joins for people.
func joinWords(words []string) string { return strings.Join(words, ", ") }
