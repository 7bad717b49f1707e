package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// CredentialsRequest puts other secrets in the place of those that are stored for machines.
type CredentialsRequest struct {
	Names   []string
	Options drivers.Values // secret options of the machines' drivers; one that is empty is taken away
	Forget  bool           // take all away, also from the backup of docker-machine's record; none are stored from then on
}

// DriverOf returns the driver that all of names have.
func (m *Manager) DriverOf(names []string) (driver string, err error) {
	if err := m.exist(names); err != nil {
		return "", err
	}
	for _, name := range names {
		rec, err := m.Store.Get(name)
		if err != nil {
			return "", err
		}
		if driver != "" && rec.DriverName != driver {
			return "", fmt.Errorf("%w: %s has driver %s, %s has driver %s", ErrUsage, names[0], driver, name, rec.DriverName)
		}
		driver = rec.DriverName
	}
	return driver, nil
}

// Credentials replaces what is stored of machines' secrets, or takes it away. New ones that the provider
// refuses are not stored.
func (m *Manager) Credentials(ctx context.Context, req CredentialsRequest) error {
	if err := m.exist(req.Names); err != nil {
		return err
	}
	return m.each(ctx, req.Names, func(ctx context.Context, name string) error {
		return m.withRecord(ctx, name, func(x *machine) error {
			if err := x.inheritRecord(); err != nil {
				return err
			}
			if req.Forget {
				x.rec.NoStoredSecrets = true                                            // first: what is left of them is not used then
				return errors.Join(x.put(), x.txn.PutSecrets(nil), x.txn.DropBackups()) // docker-machine's record holds secrets too
			}
			return x.replaceSecrets(ctx, req.Options)
		})
	})
}

func (x *machine) replaceSecrets(ctx context.Context, options drivers.Values) error {
	factory, err := x.m.driver(x.rec.DriverName)
	if err != nil {
		return err
	}
	given := map[string]string{}
	for name, values := range options {
		if !slices.ContainsFunc(factory.Options(), func(o drivers.Option) bool { return o.Secret && o.Name == name }) {
			return fmt.Errorf("%w: --%s is no secret option of driver %s", ErrUsage, name, factory.Name())
		}
		given[name] = values[len(values)-1]
	}
	stored, err := x.m.Store.Secrets(x.rec.Name)
	if err != nil {
		x.m.Note(ctx, err.Error()+": all of it is replaced")
		stored = nil
	}
	secrets, err := x.rekey(ctx, factory, stored, given)
	if err != nil {
		return err
	}
	if err := x.tryWith(ctx, factory, secrets); err != nil {
		return fmt.Errorf("check the new credentials: %w", err)
	}
	if err := x.txn.PutSecrets(secrets); err != nil {
		return err
	}
	x.rec.NoStoredSecrets = false
	return x.put()
}

// rekey returns the stored secrets with given ones in the place of those of their options. The record, which is not
// stored yet, then tells the driver where they are.
func (x *machine) rekey(ctx context.Context, f drivers.Factory, stored json.RawMessage, given map[string]string) (json.RawMessage, error) {
	over, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	merged, err := overlaySecrets(stored, over)
	if err != nil {
		return nil, err
	}
	if err := x.openWith(f, stored); err != nil {
		return nil, err
	}
	r, ok := x.drv.(drivers.Rekeyer)
	if !ok {
		return merged, nil
	}
	secrets, state, err := r.Rekey(ctx, given)
	if err != nil {
		return nil, err
	}
	if err := x.setState(state); err != nil {
		return nil, err
	}
	return writeSecrets(secrets)
}

// tryWith returns why the provider does not take secrets. That it cannot be asked is only said.
func (x *machine) tryWith(ctx context.Context, f drivers.Factory, secrets json.RawMessage) error {
	if err := x.openWith(f, secrets); err != nil {
		return err
	}
	_, err := x.drv.Status(ctx)
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case errors.Is(err, drivers.ErrCredentials):
		return err
	case err != nil && !errors.Is(err, drivers.ErrNotFound):
		x.m.Note(ctx, "the new credentials could not be checked: "+err.Error())
	}
	return nil
}

// overlaySecrets is drivers.OverlaySecrets of what the store has.
func overlaySecrets(stored, over json.RawMessage) (json.RawMessage, error) {
	all, err := drivers.OverlaySecrets(stored, over)
	if err != nil {
		return nil, fmt.Errorf("%w: the secrets are %w", store.ErrCorrupt, err)
	}
	return all, nil
}

// writeSecrets returns secrets as they are stored.
func writeSecrets(secrets map[string]string) (json.RawMessage, error) {
	data, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	return overlaySecrets(nil, data)
}

// secrets returns what the machine's driver is opened with, if the command says nothing of it: what is stored, or,
// where nothing may be stored, what the environment says.
func (x *machine) secrets(f drivers.Factory) (json.RawMessage, error) {
	if !x.rec.NoStoredSecrets {
		return x.m.Store.Secrets(x.rec.Name)
	}
	return drivers.SecretsOf(f.Options(), x.m.Getenv)
}

// secretsFor returns the secrets of a request, those that are stored of an unfinished machine filling in what it
// does not say.
func (s *spec) secretsFor(m *Manager, name string) (json.RawMessage, error) {
	stored, err := m.Store.Secrets(name)
	if err != nil {
		return nil, err
	}
	return overlaySecrets(stored, s.secrets)
}

func secretOptions(f drivers.Factory) []drivers.Option {
	return slices.DeleteFunc(f.Options(), func(o drivers.Option) bool { return !o.Secret })
}

// advise adds to refused credentials how a machine gets others.
func (x *machine) advise(err error) error {
	if !errors.Is(err, drivers.ErrCredentials) || x.rec.Name == "" {
		return err
	}
	f, ferr := x.m.driver(x.rec.DriverName)
	if ferr != nil {
		return err
	}
	var options []string
	for _, o := range secretOptions(f) {
		text := "--" + o.Name
		if len(o.Env) > 0 {
			text += " [$" + o.Env[0] + "]"
		}
		options = append(options, text)
	}
	advice := ""
	stored, serr := x.m.Store.Secrets(x.rec.Name)
	switch {
	case len(options) == 0:
	case x.rec.NoStoredSecrets && x.rec.Phase != store.Ready && x.rec.Phase != store.Removing:
		advice = "No secrets are stored: repeat the create command with them (" + joinWords(options) + "), or give them in the environment."
	case x.rec.NoStoredSecrets:
		advice = "No secrets are stored: give them in the environment, or store them with machine credentials " + x.rec.Name + " (" + joinWords(options) + ")."
	case serr == nil && len(stored) > 0:
		advice = "machine credentials " + x.rec.Name + " puts others in the place of those that are stored (" + joinWords(options) + ")."
	}
	if advice == "" {
		return err
	}
	var own interface{ Hint() string }
	if errors.As(err, &own) && own.Hint() != "" && !strings.Contains(own.Hint(), advice) {
		advice = strings.TrimSuffix(own.Hint(), ".") + ". " + advice
	}
	return &drivers.HintError{Err: err, Advice: advice}
}
