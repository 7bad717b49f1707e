package plugin_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestListsShareAProcess demands that machines of a list are asked by one process, which says nothing of one machine
// that is another's.
func TestListsShareAProcess(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "")
	var all []*kept
	for i := range 12 {
		values := drivers.Values{"pebble-tag": {"only-" + strconv.Itoa(i)}}
		if i == 5 {
			values["pebble-wet"] = []string{"true"} // a map, into which the next one's would be merged
		}
		k := q.configure(values).named("p" + strconv.Itoa(i))
		k.create()
		if i%3 == 0 {
			if err := k.open().Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, k)
	}
	q.with("")
	before := len(q.started())
	var wg sync.WaitGroup
	for i, k := range all {
		wg.Go(func() {
			want := drivers.Running
			if i%3 == 0 {
				want = drivers.Stopped
			}
			if s, err := k.open().(drivers.Glancer).Glance(t.Context()); err != nil || s.State != want {
				t.Errorf("%s: %+v, %v", k.env.Machine, s, err)
			}
		})
	}
	wg.Wait()
	if n := len(q.started()) - before; n > 2 { // a second one after the machine with a map
		t.Errorf("%d processes for a list of %d", n, len(all))
	}
	q.end()
	q.alone()
}

// TestListsOfThoseWhoRemember demands that a plugin which says of each machine what it found out of the first one is seen
// through, and one that says the same of all is not taken for such.
func TestListsOfThoseWhoRemember(t *testing.T) {
	t.Parallel()
	for fault, most := range map[string]int{"remembers": 4, "always": 1, "crash:nobody": 5} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			q := newQuarry(t, "")
			var all []*kept
			for i := range 4 {
				k := q.configure(nil).named("p" + strconv.Itoa(i))
				k.create()
				if i%2 == 0 && fault != "always" {
					if err := k.open().Stop(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				all = append(all, k)
			}
			q.with(fault)
			before := len(q.started())
			for i, k := range all {
				want := drivers.Running
				if i%2 == 0 && fault != "always" {
					want = drivers.Stopped
				}
				if s, err := k.open().(drivers.Glancer).Glance(t.Context()); err != nil || s.State != want {
					t.Errorf("%s: %+v, %v", k.env.Machine, s, err)
				}
			}
			if n := len(q.started()) - before; n > most {
				t.Errorf("%d processes for a list of %d", n, len(all))
			}
		})
	}
}

// TestStopOfThoseWhoRemember demands that a host is seen to be off by a plugin that remembers that it was on.
func TestStopOfThoseWhoRemember(t *testing.T) {
	t.Parallel()
	q := newQuarry(t, "remembers")
	k := q.configure(nil)
	k.create()
	if err := k.open().Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := q.told(); len(told) > 1 {
		t.Errorf("notes %q", told)
	}
	if err := k.open().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := k.open().Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("%+v: %v", s, err)
	}
}
