package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/cmd/internal/cluster"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// wanted is what a group asks for, as records have it.
type wanted struct {
	factory  drivers.Factory
	values   drivers.Values
	config   json.RawMessage
	engine   EngineOptions
	userData []byte
	sum      string // of the user data
}

// want makes of a group what records are compared with. Of machines that are all ready the secrets are not asked for: they
// are stored with them, or are the user's to give.
func (m *Manager) want(s *cluster.Spec, g cluster.Group, ready bool) (w wanted, err error) {
	if w.factory, err = m.driver(g.Driver); err != nil {
		return w, s.At(g.Pos, err)
	}
	if w.values, err = m.optionValues(s, g, w.factory); err != nil {
		return w, err
	}
	asked := w.values
	if ready {
		asked = drivers.Values{}
		for _, o := range w.factory.Options() {
			asked[o.Name] = w.values[o.Name]
			if o.Secret && o.Required && len(asked[o.Name]) == 0 {
				asked[o.Name] = []string{"stored"}
			}
		}
		for name, v := range w.values {
			asked[name] = v
		}
	}
	if w.config, _, err = w.factory.Configure(asked); err != nil {
		return w, optionErrors(s, g, err)
	}
	w.engine = engineOptions(g.Engine)
	for _, san := range g.SANs {
		if err := certs.CheckHost(san); err != nil {
			return w, s.At(g.Pos, fmt.Errorf("tls-san %w", err))
		}
	}
	if g.UserData != "" {
		if w.userData, err = os.ReadFile(inDir(s.Dir, g.UserData)); err != nil {
			return w, s.At(g.Pos, fmt.Errorf("userdata: %w", err))
		}
		spec := &spec{req: CreateRequest{UserData: w.userData}, factory: w.factory, config: w.config, names: []string{"userdata"}}
		if err := m.checkUserData(spec); err != nil {
			return w, s.At(g.Pos, err)
		}
		w.sum = spec.userData
	}
	return w, nil
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// optionValues are the options of a driver: those of the file, and the environment's where the file has none.
func (m *Manager) optionValues(s *cluster.Spec, g cluster.Group, f drivers.Factory) (drivers.Values, error) {
	values := drivers.Values{}
	given := map[string]cluster.Option{}
	var errs []error
	for _, o := range g.Options {
		given[o.Name] = o
		values[o.Name] = o.Values
		if o.File == "" {
			continue
		}
		data, err := os.ReadFile(inDir(s.Dir, o.File))
		if err != nil {
			errs = append(errs, s.At(o.Pos, err))
		}
		values[o.Name] = []string{strings.TrimRight(string(data), "\r\n")}
	}
	for _, o := range f.Options() {
		named := false
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			in, ok := given[name]
			named = named || ok
			if ok && o.Secret && in.Literal {
				errs = append(errs, s.At(in.Pos, &drivers.OptionError{
					Option: o.Name, Err: errors.New("is a secret, which does not stand in a cluster file"),
					Advice: "give it as ${VARIABLE} or as {file: PATH}",
				}))
			}
		}
		if v := m.optionFromEnv(o); !named && v != nil {
			values[o.Name] = v
		}
	}
	return values, errors.Join(errs...)
}

// optionFromEnv is the value of the first environment variable of an option that is set.
func (m *Manager) optionFromEnv(o drivers.Option) []string {
	for _, name := range o.Env {
		switch v := m.Getenv(name); {
		case v == "":
		case o.Kind == drivers.Strings:
			var list []string
			for _, e := range strings.Split(v, ",") {
				if e = strings.TrimSpace(e); e != "" {
					list = append(list, e)
				}
			}
			return list
		default:
			return []string{v}
		}
	}
	return nil
}

// optionErrors puts the places of options before what a driver says of them.
func optionErrors(s *cluster.Spec, g cluster.Group, err error) error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // a join itself
		if _, own := err.(*drivers.OptionError); !own { //nolint:errorlint // likewise
			all = joined.Unwrap()
		}
	}
	for i, e := range all {
		pos := g.Pos
		var oe *drivers.OptionError
		if errors.As(e, &oe) {
			for _, o := range g.Options {
				if o.Name == oe.Option {
					pos = o.Pos
				}
			}
		}
		all[i] = s.At(pos, e)
	}
	cluster.InOrder(all)
	return errors.Join(all...)
}

func engineOptions(e cluster.Engine) EngineOptions {
	o := EngineOptions{
		ArbitraryFlags: cluster.Texts(e.Opts), Env: cluster.Texts(e.Env), InsecureRegistry: e.InsecureRegistries, Labels: cluster.Texts(e.Labels),
		RegistryMirror: e.RegistryMirrors, StorageDriver: e.StorageDriver, InstallURL: e.InstallURL, TLSVerify: true, Version: e.Version,
		Source: e.Source, RepoURL: e.RepoURL, Port: e.Port, HTTPProxy: e.HTTPProxy, HTTPSProxy: e.HTTPSProxy, NoProxy: e.NoProxy,
	}
	if o.InstallURL == "none" {
		o.InstallURL, o.Source = "", "keep"
	}
	return o
}

// replaces tells how a machine differs where nothing on the host can be changed.
func (w wanted) replaces(rec store.Record) []string {
	var diff []string
	if rec.DriverName != w.factory.Name() {
		return []string{fmt.Sprintf("driver: %s → %s", rec.DriverName, w.factory.Name())}
	}
	for _, d := range drivers.Diff(w.factory, rec.Driver, w.config) {
		diff = append(diff, strings.TrimPrefix(d, "--"))
	}
	if rec.UserData != w.sum {
		diff = append(diff, "userdata")
	}
	was := rec.HostOptions.EngineOptions
	if was.Port != w.engine.Port {
		diff = append(diff, fmt.Sprintf("engine port: %s → %s", show(was.Port), show(w.engine.Port)))
	}
	if was.StorageDriver != w.engine.StorageDriver {
		diff = append(diff, fmt.Sprintf("storage driver: %s → %s", show(was.StorageDriver), show(w.engine.StorageDriver)))
	}
	return diff
}

// engineFor are the options of a machine's engine after a change. Its version is the upgrade's to change.
func (w wanted) engineFor(rec store.Record) EngineOptions {
	o := w.engine
	o.Version = rec.HostOptions.EngineOptions.Version
	return o
}

// changes tells how a machine differs where provisioning helps.
func (w wanted) changes(rec store.Record, g cluster.Group) []string {
	was, now := rec.HostOptions.EngineOptions, w.engineFor(rec)
	was.TLSVerify, now.Port, now.StorageDriver = true, was.Port, was.StorageDriver
	var diff []string
	for _, d := range differ(was, now, engineFlags()) {
		diff = append(diff, strings.TrimPrefix(d, "--"))
	}
	if !slices.Equal(rec.HostOptions.AuthOptions.ServerCertSANs, g.SANs) {
		diff = append(diff, fmt.Sprintf("tls-san: %s → %s", show(rec.HostOptions.AuthOptions.ServerCertSANs), show(g.SANs)))
	}
	if rec.DockerContext != g.DockerContext {
		diff = append(diff, fmt.Sprintf("docker-context: %v → %v", rec.DockerContext, g.DockerContext))
	}
	return diff
}
