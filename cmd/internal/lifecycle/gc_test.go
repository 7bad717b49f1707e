package lifecycle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/store"
)

// make makes a machine with options, given as name, value, name, value.
func (w *world) make(name string, options ...string) {
	w.t.Helper()
	values := drivers.Values{}
	for i := 0; i < len(options); i += 2 {
		values[options[i]] = append(values[options[i]], options[i+1])
	}
	w.create(CreateRequest{Names: []string{name}, Options: values})
}

// lose removes the folder of a machine, as somebody does who does not know rm.
func (w *world) lose(name string) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, "machines", name)); err != nil {
		w.t.Fatal(err)
	}
}

// gc returns what was found, as "kind of machine at place", with " removed" if it was.
func (w *world) gc(req GCRequest) (found []string, err error) {
	w.t.Helper()
	orphans, err := w.manager().CollectGarbage(w.t.Context(), req)
	for _, o := range orphans {
		text := o.Kind + " of " + o.Machine + " at " + o.Place
		if o.Removed {
			text += " removed"
		}
		if o.Driver != fake.Name || o.ID == "" || o.Costs != (o.Kind != fake.KindNetwork) || o.Removed && o.Error != "" {
			w.t.Errorf("orphan %+v", o)
		}
		found = append(found, text)
	}
	return found, err
}

// has fails the test unless the provider has these, as "kind name".
func (w *world) has(want ...string) {
	w.t.Helper()
	all, err := w.provider.Resources(w.t.Context())
	var got []string
	for _, r := range all {
		got = append(got, r.Kind+" "+r.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		w.t.Errorf("the provider has %q, want %q", got, want)
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	if found, err := w.gc(GCRequest{Remove: true}); len(found) > 0 || err != nil {
		t.Errorf("of nothing: %q, %v", found, err)
	}
	w.make("m1", "fake-network", "net")
	w.make("m2", "fake-network", "net2")
	for _, r := range []fake.Resource{
		{Kind: fake.KindDisk, Name: "theirs", Token: "1", Place: "nowhere"},
		{Kind: fake.KindDisk, Name: "other store's", Token: "2", Place: "nowhere", Labels: map[string]string{"store": "other", "machine": "m9"}},
	} {
		if err := w.provider.Plant(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := w.gc(GCRequest{Remove: true}); len(found) > 0 || err != nil {
		t.Errorf("all is claimed: %q, %v", found, err)
	}
	w.lose("m2")
	want := []string{"host of m2 at nowhere", "disk of m2 at nowhere", "network of  at nowhere"}
	all := []string{"host m1", "disk m1", "network net", "disk theirs", "disk other store's"}
	for range 2 {
		if found, err := w.gc(GCRequest{}); !slices.Equal(found, want) || err != nil {
			t.Errorf("listed %q, %v", found, err)
		}
		w.has(append(all, "host m2", "disk m2", "network net2")...)
	}
	for i := range want {
		want[i] += " removed"
	}
	if found, err := w.gc(GCRequest{Remove: true}); !slices.Equal(found, want) || err != nil {
		t.Errorf("removed %q, %v", found, err)
	}
	w.has(all...)
	if entries, err := os.ReadDir(filepath.Join(w.dir, "machines")); err != nil || len(entries) != 1 {
		t.Errorf("folders %v, %v", entries, err)
	}
	if err := w.answers("m1"); err != nil {
		t.Error(err)
	}
}

// TestGarbageOfARenamedMachine: what its record holds is its own, under whatever name it was made.
func TestGarbageOfARenamedMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.make("m1", "fake-network", "net")
	dir := filepath.Join(w.dir, "machines")
	if err := os.Rename(filepath.Join(dir, "m1"), filepath.Join(dir, "m2")); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(dir, "m2", "config.json")
	text, err := os.ReadFile(record)
	if err == nil {
		err = os.WriteFile(record, []byte(strings.Replace(string(text), `"Name": "m1"`, `"Name": "m2"`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if found, err := w.gc(GCRequest{Remove: true}); len(found) > 0 || err != nil {
		t.Errorf("%q, %v", found, err)
	}
}

// TestGarbageBesideMachinesOfOtherComputers: they are no error, and have what bears their names, but do not keep what
// machines here shared.
func TestGarbageBesideMachinesOfOtherComputers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "far", "lost", "here")
	w.make("far")
	w.make("lost", "fake-network", "net")
	w.make("here")
	w.away("far")
	w.lose("lost")
	found, err := w.gc(GCRequest{})
	if want := []string{"host of lost at nowhere", "disk of lost at nowhere", "network of  at nowhere"}; !slices.Equal(found, want) || err != nil {
		t.Errorf("Got %q, %v, want %q", found, err, want)
	}
	if !w.noted("machine gc does that there: ann@laptop") {
		t.Errorf("Got the notes %q", w.notes.text)
	}
}

// TestGarbageOfPlacesThatAreNotKnown: what many machines share is told once.
func TestGarbageOfPlacesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	for _, name := range []string{"m1", "m2", "m3"} {
		w.make(name)
	}
	w.setenv(fake.EnvFail, "place:credentials")
	_, err := w.gc(GCRequest{})
	if !errors.Is(err, drivers.ErrCredentials) || err.Error() != "find the place of m1, m2, m3: place: credentials refused" {
		t.Errorf("got %v", err)
	}
}

func TestGarbageByTheOptionsOfADriver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	if found, err := w.gc(GCRequest{Driver: fake.Name}); len(found) > 0 || err != nil || !w.noted("no identity") {
		t.Errorf("of a store without identity: %q, %v", found, err)
	}
	w.make("m1", "fake-place", "here")
	w.make("m2")
	w.lose("m1")
	w.lose("m2")
	if found, err := w.gc(GCRequest{Remove: true}); len(found) > 0 || err != nil {
		t.Errorf("without records: %q, %v", found, err)
	}
	req := GCRequest{Driver: fake.Name, Options: drivers.Values{"fake-place": {"here"}}, Remove: true}
	if found, err := w.gc(req); err != nil || !slices.Equal(found, []string{"host of m1 at here removed", "disk of m1 at here removed"}) {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m2", "disk m2")
	for _, name := range []string{"url", "bogus"} {
		_, err := w.gc(GCRequest{Driver: name, Options: drivers.Values{"url": {"tcp://192.0.2.1:2376"}}})
		if !errors.Is(err, map[string]error{"url": drivers.ErrUnsupported, "bogus": drivers.ErrUnknown}[name]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGarbageAsksAPlaceOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	for _, name := range []string{"m1", "m2", "m3"} {
		w.make(name)
	}
	w.takeSteps("")
	if _, err := w.gc(GCRequest{Driver: fake.Name}); err != nil {
		t.Fatal(err)
	}
	if asked := w.takeSteps("look at"); len(asked) != 1 {
		t.Errorf("steps %q", asked)
	}
}

func TestGarbageIsNotWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	w.make("m1")
	// Disks that no state tells of yet, or any more.
	for _, name := range []string{"m1", "m2", "m3", "bad"} {
		labels := map[string]string{"machine": name, "store": storeID(t, w)}
		if err := w.provider.Plant(t.Context(), fake.Resource{Kind: fake.KindDisk, Name: "stray " + name, Token: name, Place: "nowhere", Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.provider.Plant(t.Context(), fake.Resource{Kind: fake.KindNetwork, Name: "shared", Token: "n", Place: "nowhere", Labels: map[string]string{"store": storeID(t, w)}}); err != nil {
		t.Fatal(err)
	}
	w.setenv(fake.EnvFail, "create-between")
	if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m2"}, Driver: fake.Name}); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	w.make("m3")
	w.setenv(fake.EnvFail, "remove")
	if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{"m3"}}); err == nil {
		t.Fatal("the fault did not come")
	}
	w.setenv(fake.EnvFail, "")
	if err := os.MkdirAll(filepath.Join(w.dir, "machines/bad"), 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := w.gc(GCRequest{Remove: true})
	if !slices.Equal(found, []string{"disk of m1 at nowhere removed"}) || !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%q, %v", found, err)
	}
	// Once they have ended, the rest is free.
	w.lose("bad")
	for _, name := range []string{"m2", "m3"} {
		if _, err := w.manager().Remove(t.Context(), RemoveRequest{Names: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := w.gc(GCRequest{Remove: true}); len(found) != 4 || err != nil {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m1", "disk m1")
}

func storeID(t *testing.T, w *world) string {
	t.Helper()
	id, err := store.Open(w.dir).ID()
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	return id
}

func TestGarbageOfALockedMachineStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3")
	for _, name := range []string{"m1", "m2", "m3"} {
		w.make(name)
	}
	w.lose("m2")
	w.lose("m3")
	lock, err := w.manager().Store.Lock(t.Context(), "m2", "create")
	if err != nil {
		t.Fatal(err)
	}
	found, err := w.gc(GCRequest{Remove: true})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "m2") || strings.Contains(err.Error(), "m3") {
		t.Errorf("%v", err)
	}
	if want := []string{"host of m2 at nowhere", "host of m3 at nowhere removed", "disk of m2 at nowhere", "disk of m3 at nowhere removed"}; !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
	// A machine that has a record is not even listed while a command is at work on it.
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.provider.Plant(t.Context(), fake.Resource{Kind: fake.KindDisk, Name: "stray", Place: "nowhere", Labels: map[string]string{"store": storeID(t, w), "machine": "m1"}}); err != nil {
		t.Fatal(err)
	}
	if lock, err = w.manager().Store.Lock(t.Context(), "m1", "start"); err != nil {
		t.Fatal(err)
	}
	if found, err := w.gc(GCRequest{}); !slices.Equal(found, []string{"host of m2 at nowhere", "disk of m2 at nowhere"}) || err != nil {
		t.Errorf("%q, %v", found, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := w.gc(GCRequest{Remove: true}); len(found) != 3 || err != nil {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m1", "disk m1")
}

// TestGarbageIsLookedAtAgain has a create of the name begin after the first look.
func TestGarbageIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.make("m1")
	w.make("m2")
	w.lose("m2")
	once := true
	w.hooks(nil, func(what string) error {
		if once && strings.HasSuffix(what, "done true") {
			once = false
			_, err := w.manager().Create(context.WithoutCancel(t.Context()), CreateRequest{Names: []string{"m2"}, Driver: fake.Name})
			if !errors.Is(err, drivers.ErrConflict) {
				t.Errorf("create: %v", err)
			}
		}
		return nil
	})
	found, err := w.gc(GCRequest{Remove: true})
	if once || !slices.Equal(found, []string{"host of m2 at nowhere", "disk of m2 at nowhere"}) || err != nil {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m1", "disk m1", "host m2", "disk m2")
}

func TestGarbageGoesOnDespiteErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2", "m3", "m4")
	w.make("m1", "fake-place", "a", "fake-fail", "tagged:permission")
	w.make("m2", "fake-place", "b", "fake-fail", "place:unreachable")
	w.make("m3", "fake-place", "c")
	w.make("m4", "fake-place", "c")
	w.lose("m4")
	found, err := w.gc(GCRequest{Remove: true})
	if !slices.Equal(found, []string{"host of m4 at c removed", "disk of m4 at c removed"}) || !errors.Is(err, drivers.ErrPermission) || !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("%q, %v", found, err)
	}
	w.make("m4", "fake-place", "c")
	w.lose("m4")
	w.setenv(fake.EnvFail, "release:in-use")
	if found, err := w.gc(GCRequest{Remove: true}); len(found) != 2 || !errors.Is(err, drivers.ErrInUse) {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m1", "disk m1", "host m2", "disk m2", "host m3", "disk m3", "host m4", "disk m4")
}

// TestGarbageOfANameThatAnotherDriverHas has a machine of a name whose earlier host is left over.
func TestGarbageOfANameThatAnotherDriverHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m1", "m2")
	w.make("m1")
	w.make("m2")
	w.lose("m2")
	if _, err := w.manager().Create(t.Context(), CreateRequest{Names: []string{"m2"}, Driver: "url", Options: drivers.Values{"url": {"tcp://192.0.2.1:2376"}}}); err != nil {
		t.Fatal(err)
	}
	if found, err := w.gc(GCRequest{Remove: true}); len(found) != 2 || err != nil {
		t.Errorf("%q, %v", found, err)
	}
	w.has("host m1", "disk m1")
	if rec := w.record("m2"); rec.DriverName != "url" {
		t.Errorf("record %+v", rec)
	}
}
