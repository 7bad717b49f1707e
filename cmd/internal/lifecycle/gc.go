package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/store"
)

// GCRequest asks for what providers hold for this store and no machine claims.
type GCRequest struct {
	Driver  string         // look where its options point too; empty: only where recorded machines are
	Options drivers.Values // of the driver
	Remove  bool           // release what is found; else it is only listed
}

// Orphan is something at a provider that has the store's tag and that no machine claims.
type Orphan struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Machine string `json:"machine,omitempty"` // that it was made for; empty: shared by the store's machines
	Costs   bool   `json:"costs"`
	Driver  string `json:"driver"`
	Place   string `json:"place"`
	Removed bool   `json:"removed"`
	Error   string `json:"error,omitempty"` // why it was not removed
}

// place is where resources are looked for, by one driver that points there.
type place struct {
	driver, name string
	drv          drivers.Orphans
}

// claimant is a recorded machine, as far as it can be asked.
type claimant struct {
	rec   store.Record
	drv   drivers.Orphans // nil: its driver cannot tell what it holds
	place string          // empty: not known
	err   error           // why it cannot be asked at all
	lost  error           // why its place is not known
	away  bool            // it lives on another computer, where this one cannot look
}

// survey is what there is: machines by name and the places to look at.
type survey struct {
	machines map[string]claimant
	places   []place
	errs     []error // of machines and places that could not be asked
	new      bool    // the store has made nothing yet
}

// names are those of the places.
func (s survey) names() []string {
	var names []string
	for _, p := range s.places {
		names = append(names, p.name)
	}
	return names
}

// CollectGarbage lists what providers hold for this store and no machine claims and, if asked to, releases it. What
// was found is returned also when the joined error is not nil: one place that cannot be asked does not hide another.
func (m *Manager) CollectGarbage(ctx context.Context, req GCRequest) ([]Orphan, error) {
	s, err := m.survey(ctx, req, nil)
	if err != nil {
		return nil, err
	}
	errs := s.errs
	found := make([][]Orphan, len(s.places))
	for i, p := range s.places {
		orphans, err := m.orphans(ctx, s, p)
		found[i] = orphans
		errs = append(errs, err)
	}
	if req.Remove && context.Cause(ctx) == nil {
		errs = append(errs, m.release(ctx, s, found))
	}
	all, err := slices.Concat(found...), errors.Join(errs...)
	switch {
	case err != nil || len(all) > 0:
	case len(s.places) > 0:
		m.Note(ctx, "nothing is left over at "+joinWords(s.names()))
	case !s.new:
		m.Note(ctx, "no machine tells where to look, so nothing was looked at: machine gc -d DRIVER looks where the driver's options point")
	}
	return all, err
}

// survey opens all recorded machines and asks where they are, unless that is known already.
func (m *Manager) survey(ctx context.Context, req GCRequest, known map[string]claimant) (survey, error) {
	s := survey{machines: map[string]claimant{}}
	if req.Driver != "" {
		p, err := m.placeOf(ctx, req)
		if err == nil {
			s.add(p)
		}
		s.errs = append(s.errs, err)
	}
	if id, err := m.Store.ID(); err != nil || id == "" {
		if err == nil {
			m.Note(ctx, "this store has made nothing yet: it has no identity that anything could be tagged with")
		}
		s.places, s.new = nil, true // nor is there a tag to look for
		return s, err
	}
	names, err := m.Store.Names()
	if err != nil {
		return s, err
	}
	var mu sync.Mutex
	err = m.each(ctx, names, func(ctx context.Context, name string) error {
		c := m.claimant(ctx, name, known[name])
		mu.Lock()
		defer mu.Unlock()
		s.machines[name] = c
		return c.err
	})
	s.errs = append(s.errs, err, lost(names, s.machines))
	var away []string
	for _, name := range names {
		c := s.machines[name]
		if c.place != "" {
			s.add(place{c.rec.DriverName, c.place, c.drv})
		}
		if c.away && !slices.Contains(away, c.rec.Computer) {
			away = append(away, c.rec.Computer)
		}
	}
	if len(away) > 0 && known == nil {
		m.Note(ctx, "what lives on other computers is not looked at; machine gc does that there: "+joinWords(away))
	}
	return s, context.Cause(ctx)
}

func (s *survey) add(p place) {
	if !slices.ContainsFunc(s.places, func(q place) bool { return q.driver == p.driver && q.name == p.name }) {
		s.places = append(s.places, p)
	}
}

// claimant opens a machine. One that is gone is no error, and claims nothing.
func (m *Manager) claimant(ctx context.Context, name string, known claimant) (c claimant) {
	x, err := m.view(name)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return c
	case errors.Is(err, ErrElsewhere):
		c.rec, c.away = x.rec, true
		return c
	case err != nil:
		c.err = err
		return c
	}
	c.rec = x.rec
	var ok bool
	if c.drv, ok = x.drv.(drivers.Orphans); !ok {
		return c
	}
	if known.place != "" && known.rec.DriverName == c.rec.DriverName && known.rec.Created.Equal(c.rec.Created) {
		c.place = known.place
		return c
	}
	if c.place, err = c.drv.Place(ctx); err != nil {
		c.lost = x.advise(err)
	}
	return c
}

// ofRequest is what differs in errors of one cause.
var ofRequest = regexp.MustCompile(`\(request [^()]*\)`)

// lost is why places of machines are not known. A cause that many of them have is told once.
func lost(names []string, machines map[string]claimant) error {
	var causes []string
	byCause := map[string][]string{}
	for _, name := range names {
		c := machines[name]
		if c.lost == nil {
			continue
		}
		cause := c.rec.DriverName + ofRequest.ReplaceAllString(c.lost.Error(), "")
		if byCause[cause] == nil {
			causes = append(causes, cause)
		}
		byCause[cause] = append(byCause[cause], name)
	}
	var errs []error
	for _, cause := range causes {
		who := byCause[cause]
		err := fmt.Errorf("find the place of %s: %w", joinWords(who), machines[who[0]].lost)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// placeOf is where the options of a request point. No machine is meant by them.
func (m *Manager) placeOf(ctx context.Context, req GCRequest) (place, error) {
	f, err := m.Drivers.Lookup(req.Driver)
	if err != nil {
		return place{}, err
	}
	config, secrets, err := f.Configure(req.Options)
	if err != nil {
		return place{}, err
	}
	x := &machine{m: m, rec: store.Record{DriverName: f.Name(), Driver: config}}
	if err := x.openWith(f, secrets); err != nil {
		return place{}, err
	}
	drv, ok := x.drv.(drivers.Orphans)
	if !ok {
		return place{}, fmt.Errorf("driver %s: %w: it does not tag what it makes", f.Name(), drivers.ErrUnsupported)
	}
	name, err := drv.Place(ctx)
	if err != nil {
		return place{}, fmt.Errorf("find the place that the options of driver %s name: %w", f.Name(), err)
	}
	return place{f.Name(), name, drv}, nil
}

// orphans lists what is at a place and nobody claims.
func (m *Manager) orphans(ctx context.Context, s survey, p place) ([]Orphan, error) {
	all, err := m.tagged(ctx, p)
	var out []Orphan
	for _, r := range all {
		if !s.claims(p, r) && !m.atWork(ctx, s, r.Machine) {
			out = append(out, Orphan{Kind: r.Kind, ID: r.ID, Name: r.Name, Machine: r.Machine, Costs: r.Costs, Driver: p.driver, Place: p.name})
		}
	}
	return out, err
}

func (m *Manager) tagged(ctx context.Context, p place) (all []drivers.Resource, err error) {
	err = m.Step(ctx, "look at "+p.driver+" "+p.name, func(ctx context.Context) error {
		all, err = p.drv.Tagged(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at %s %s: %w", p.driver, p.name, err)
	}
	return all, nil
}

// claims tells whether r, found at p, is a machine's, or may be. A machine may have got another name by hand.
func (s survey) claims(p place, r drivers.Resource) bool {
	for name, c := range s.machines {
		switch {
		case c.rec.DriverName == p.driver && c.drv != nil && c.drv.Claims(r):
			return true
		case r.Machine == "" && (c.place == "" || c.place == p.name) && c.holds(p, r):
			return true
		case r.Machine == name && c.holds(p, r):
			return true
		}
	}
	return false
}

// holds tells whether r is the machine's, or may be soon, or cannot be known not to be.
func (c claimant) holds(p place, r drivers.Resource) bool {
	switch {
	case c.rec.Name == "":
		return c.err != nil
	case c.rec.DriverName != p.driver:
		return false
	case c.away:
		return r.Machine == c.rec.Name
	}
	return c.drv == nil || c.drv.Claims(r) || c.rec.Phase == store.Pending || c.rec.Phase == store.Removing
}

// atWork tells whether another command is at work on a recorded machine.
func (m *Manager) atWork(ctx context.Context, s survey, name string) bool {
	if s.machines[name].rec.Name == "" {
		return false
	}
	txn, err := m.locks().machine(ctx, name)
	if err != nil {
		return true
	}
	return txn.Close() != nil
}

// release removes what was found, each under the lock of the machine that it was made for, and after another look:
// a create of that name may have come in between.
func (m *Manager) release(ctx context.Context, before survey, found [][]Orphan) error {
	held, err := m.holdNames(ctx, slices.Concat(found...))
	defer func() {
		for name, txn := range held {
			if err := txn.Close(); err != nil {
				m.Log.Debug("close machine", "machine", name, "err", err)
			}
		}
	}()
	errs := []error{err}
	now, err := m.survey(ctx, GCRequest{}, before.machines) // its errors were met before
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for i, p := range before.places {
		if len(found[i]) == 0 {
			continue
		}
		all, err := m.tagged(ctx, p)
		errs = append(errs, err)
		for j := range found[i] {
			o := &found[i][j]
			if held[o.Machine] == nil && o.Machine != "" {
				o.Error = store.ErrLocked.Error()
				continue
			}
			at := slices.IndexFunc(all, func(r drivers.Resource) bool { return r.Kind == o.Kind && r.ID == o.ID && r.Machine == o.Machine })
			if at < 0 || now.claims(p, all[at]) {
				continue
			}
			errs = append(errs, m.releaseOne(ctx, p, all[at], o))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) releaseOne(ctx context.Context, p place, r drivers.Resource, o *Orphan) error {
	err := context.Cause(ctx)
	if err == nil {
		err = m.Step(ctx, fmt.Sprintf("remove %s %s", r.Kind, r.ID), func(ctx context.Context) error { return p.drv.Release(ctx, r) })
	}
	if err != nil {
		err = fmt.Errorf("remove %s %s: %w", r.Kind, r.ID, err)
		o.Error = err.Error()
		return err
	}
	o.Removed = true
	return nil
}

// holdNames takes the locks of the machines that orphans were made for. Where another command has one, the
// orphans stay.
func (m *Manager) holdNames(ctx context.Context, orphans []Orphan) (map[string]machineTxn, error) {
	held := map[string]machineTxn{}
	tried := map[string]bool{"": true}
	var errs []error
	for _, o := range orphans {
		if tried[o.Machine] {
			continue
		}
		tried[o.Machine] = true
		txn, err := m.locks().machine(ctx, o.Machine)
		if err != nil {
			errs = append(errs, &MachineError{o.Machine, fmt.Errorf("what was made for it is left alone: %w", err)})
			continue
		}
		held[o.Machine] = txn
	}
	return held, errors.Join(errs...)
}
