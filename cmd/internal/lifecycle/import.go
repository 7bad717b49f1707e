package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/hostsmith/machine/certs"
	"github.com/hostsmith/machine/cmd/internal/bundle"
	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// ImportRequest asks to take in the machines of a bundle.
type ImportRequest struct {
	In     io.Reader
	Keys   bundle.KeysFunc   // what the bundle is read with
	As     string            // name of the only machine here; empty: those of the bundle
	Rename map[string]string // names here, by those in the bundle
	DryRun bool
}

// Imported is what became of one machine of a bundle.
type Imported struct {
	Name   string `json:"name"`
	From   string `json:"from"` // its name in the bundle
	Driver string `json:"driver"`
	URL    string `json:"url,omitempty"`
	Engine string `json:"engine,omitempty"`
	Swarm  string `json:"swarm,omitempty"`
	State  string `json:"state"` // imported, new (with DryRun) or there already
}

// States of an Imported.
const (
	importedNow  = "imported"
	importedNew  = "new"
	importedThen = "there already"
)

// Import takes in machines. All of the bundle is judged before anything is written; then each machine comes as a whole or
// not at all. A command that was killed is repeated: what is there already stays as it is.
func (m *Manager) Import(ctx context.Context, req ImportRequest) (all []Imported, err error) {
	b, err := bundle.Read(req.In, req.Keys)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	i := &importing{m: m, b: b}
	if err := i.judge(req); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if req.DryRun {
		return i.results(), nil
	}
	if err := i.write(ctx); err != nil {
		return i.results(), fmt.Errorf("import: %w", err)
	}
	return i.results(), nil
}

// importing is one import at work.
type importing struct {
	m      *Manager
	b      bundle.Bundle
	guests []*guest
	swarms map[string]store.Cluster // by name, members by their names here
	takeCA bool
}

// names returns what machines are called here.
func (i *importing) names(req ImportRequest) (map[string]string, error) {
	names, used := map[string]string{}, map[string]string{}
	if req.As != "" && len(i.b.Manifest.Machines) != 1 {
		return nil, fmt.Errorf("%w: the bundle has %d machines: rename one with --as OLD=NEW", ErrUsage, len(i.b.Manifest.Machines))
	}
	for old := range req.Rename {
		if i.b.Machines[old] == nil {
			return nil, fmt.Errorf("%w: the bundle has no machine %q", ErrUsage, old)
		}
	}
	for _, told := range i.b.Manifest.Machines {
		name := told.Name
		if req.As != "" {
			name = req.As
		} else if to, ok := req.Rename[name]; ok {
			name = to
		}
		if other, ok := used[strings.ToLower(name)]; ok {
			return nil, withAdvice(fmt.Errorf("%w: machines %q and %q of the bundle would have one name", store.ErrExist, other, told.Name), "rename one of them with --as OLD=NEW")
		}
		used[strings.ToLower(name)] = told.Name
		names[told.Name] = name
	}
	return names, nil
}

func withAdvice(err error, advice string) error { return &drivers.HintError{Err: err, Advice: advice} }

// judge reads all that the bundle has and refuses what this store cannot take. It writes nothing.
func (i *importing) judge(req ImportRequest) error {
	names, err := i.names(req)
	if err != nil {
		return err
	}
	var errs []error
	for _, told := range i.b.Manifest.Machines {
		g, err := i.guest(told.Name, names[told.Name])
		if err == nil {
			err = i.compare(g)
		}
		if err != nil {
			errs = append(errs, nameError(told.Name, len(i.b.Manifest.Machines), err))
			continue
		}
		i.guests = append(i.guests, g)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := i.judgeSwarms(names); err != nil {
		return err
	}
	return i.judgeCA()
}

// compare looks for a machine of the guest's name: the guest itself, if an import was repeated, or another.
func (i *importing) compare(g *guest) error {
	there, err := i.m.Store.Get(g.name)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mine := g.rec
	mine.Swarm = there.Swarm // as the record of the swarm has it
	if !sameJSON(there, mine) {
		return withAdvice(fmt.Errorf("%w: %q", store.ErrExist, g.name), "give it another name with --as")
	}
	g.state = importedThen
	return nil
}

// judgeSwarms reads the records of swarms. One that is there already gets the members that come.
func (i *importing) judgeSwarms(names map[string]string) error {
	i.swarms = map[string]store.Cluster{}
	for name, data := range i.b.Swarms {
		if err := store.ValidName(name); err != nil {
			return err
		}
		c, err := store.DecodeCluster(data)
		if err != nil {
			return fmt.Errorf("swarm %q: %w", name, err)
		}
		members := map[string]store.Member{}
		for member, is := range c.Members {
			if names[member] == "" {
				return fmt.Errorf("%w: swarm %q has a member that is not in it", bundle.ErrFormat, name)
			}
			members[names[member]] = is
		}
		c.Name, c.Members, c.Operation = name, members, nil
		there, err := i.m.Store.Cluster(name)
		switch {
		case errors.Is(err, store.ErrNoCluster):
		case err != nil:
			return err
		case there.ID != c.ID:
			return withAdvice(fmt.Errorf("%w: the store has another swarm %q", store.ErrExist, name), "export the machines again, those of a part of the swarm only and without --with-swarms")
		}
		i.swarms[name] = c
	}
	for _, g := range i.guests {
		swarm := g.rec.Swarm.Name
		if swarm == "" {
			continue
		}
		if c, ok := i.swarms[swarm]; ok && c.Members[g.name].NodeID == g.rec.Swarm.NodeID {
			continue
		}
		g.lone, g.rec.Swarm = swarm, store.Swarm{}
	}
	return nil
}

// judgeCA decides whether the bundle's authority becomes the store's.
func (i *importing) judgeCA() error {
	if i.b.CA == nil {
		return nil
	}
	if _, err := certs.ParseCA(i.b.CA[caFile], i.b.CA[caKeyFile]); err != nil {
		return fmt.Errorf("%w: the authority: %w", bundle.ErrFormat, err)
	}
	a, err := i.m.readAuthority()
	i.takeCA = a.cert == nil && errors.Is(err, fs.ErrNotExist)
	return nil
}

func (i *importing) write(ctx context.Context) error {
	if err := i.m.ensureID(ctx); err != nil {
		return err
	}
	if err := i.writeCA(ctx); err != nil {
		return err
	}
	for _, g := range i.guests {
		if err := i.writeGuest(OnMachine(ctx, g.name), g); err != nil {
			return nameError(g.name, len(i.guests), err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.swarms)) {
		if err := i.writeSwarm(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// writeCA makes the bundle's authority that of a store that has none.
func (i *importing) writeCA(ctx context.Context) error {
	if i.b.CA == nil {
		return nil
	}
	if !i.takeCA {
		if a, err := i.m.readAuthority(); a.cert != nil && len(certificates(i.b.CA[caFile])) > 0 && string(certificates(a.cert)[0]) != string(certificates(i.b.CA[caFile])[0]) {
			i.m.Note(ctx, "the bundle's authority is left out: this store has one of its own")
		} else if a.cert == nil {
			return err
		}
		return nil
	}
	return i.m.shared(ctx, func(txn sharedTxn) error {
		if _, err := txn.ReadCert(caFile); !errors.Is(err, fs.ErrNotExist) {
			return err // another command was first
		}
		return writePair(txn, caFile, caKeyFile, certs.Pair{Cert: i.b.CA[caFile], Key: i.b.CA[caKeyFile]})
	})
}

func (i *importing) writeGuest(ctx context.Context, g *guest) error {
	if g.state == importedThen {
		i.m.Note(ctx, "is there already")
		return nil
	}
	err := i.m.withTxn(ctx, g.name, func(txn machineTxn) error { return txn.Import(g.rec, g.secrets, g.files) })
	if err != nil {
		return err
	}
	g.state = importedNow
	if g.lone != "" {
		i.m.Note(ctx, fmt.Sprintf("it is a node of swarm %s, of which the bundle has no record: swarm commands do not know it here", g.lone))
	}
	if _, err := i.m.driver(g.rec.DriverName); err != nil {
		i.m.Note(ctx, err.Error()+": what needs the provider does not work until its plugin is installed")
	}
	return nil
}

func (i *importing) writeSwarm(ctx context.Context, name string) (err error) {
	ctx, cancel := within(ctx, 0, lockDeadline, "wait for the lock of swarm "+name)
	defer cancel()
	txn, err := i.m.locks().cluster(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, txn.Close()) }()
	c := i.swarms[name]
	switch there, err := txn.Get(); {
	case errors.Is(err, store.ErrNoCluster):
	case err != nil:
		return err
	default:
		if there.ID != c.ID {
			return fmt.Errorf("%w: the store has another swarm %q", store.ErrExist, name)
		}
		members := maps.Clone(there.Members)
		if members == nil {
			members = map[string]store.Member{}
		}
		maps.Copy(members, c.Members)
		if sameJSON(members, there.Members) {
			return nil
		}
		there.Members = members
		c = there
	}
	return txn.Put(c)
}

func (i *importing) results() []Imported {
	all := make([]Imported, 0, len(i.guests))
	for _, g := range i.guests {
		x := &machine{m: i.m, rec: g.rec}
		url := ""
		if x.openReading() == nil {
			url = x.engineURL()
		}
		all = append(all, Imported{
			Name: g.name, From: g.from, Driver: g.rec.DriverName, URL: url, Engine: g.rec.Installed.Engine,
			Swarm: g.rec.Swarm.Name, State: g.state,
		})
	}
	return all
}

// openReading makes the driver of a record that is in no store yet.
func (x *machine) openReading() error {
	f, err := x.m.driver(x.rec.DriverName)
	if err != nil {
		return err
	}
	return x.openWith(f, nil)
}
