package lifecycle

import (
	"errors"
	"testing"

	"github.com/hostsmith/machine/store"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	e := store.Entry{Name: "web-1", Record: store.Record{
		DriverName: "docker",
		Swarm:      store.Swarm{Name: "prod"},
		HostOptions: store.HostOptions{EngineOptions: store.EngineOptions{
			Labels: []string{"tier=Front", "lonely"},
		}},
	}}
	tests := []struct {
		words []string
		want  bool
	}{
		{nil, true},
		{[]string{"driver=DOCKER"}, true},
		{[]string{"driver=generic"}, false},
		{[]string{"driver=generic", "driver=docker"}, true},
		{[]string{"name=^web"}, true},
		{[]string{"name=eb-"}, true},
		{[]string{"name=^db", "driver=docker"}, false},
		{[]string{"NAME=web", "swarm=Prod"}, true},
		{[]string{"swarm=other"}, false},
		{[]string{"label=tier=front"}, true},
		{[]string{"label=Tier=front"}, false},
		{[]string{"label=lonely="}, true},
		{[]string{"label=tier=back"}, false},
	}
	for _, tt := range tests {
		f, err := parseFilters(tt.words)
		if err != nil {
			t.Fatalf("%v: %v", tt.words, err)
		}
		if got := f.matchRecord(e); got != tt.want {
			t.Errorf("%v matches: %v, want %v", tt.words, got, tt.want)
		}
	}
	for _, bad := range []string{"x", "name=[", "colour=red", "label=x"} {
		if _, err := parseFilters([]string{bad}); !errors.Is(err, ErrUsage) {
			t.Errorf("filter %q: %v, want ErrUsage", bad, err)
		}
	}
}

func FuzzFilters(f *testing.F) {
	for _, s := range []string{"", "=", "name=^a", "label=a=b", "label==", "state=Running"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, word string) {
		flt, err := parseFilters([]string{word})
		if err == nil {
			flt.matchRecord(store.Entry{Name: "m1"})
		}
	})
}
