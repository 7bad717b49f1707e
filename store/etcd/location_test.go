package etcd

import (
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Location{
		"etcd://localhost/m":                  {Hosts: []string{"localhost:2379"}, Prefix: "/m", Lease: defaultLease},
		"etcd://A:1,[::1],10.0.0.1:2379/a/b/": {Hosts: []string{"a:1", "[::1]:2379", "10.0.0.1:2379"}, Prefix: "/a/b", Lease: defaultLease},
		"etcds://etcd.example.com/x?lease=5s": {Hosts: []string{"etcd.example.com:2379"}, Prefix: "/x", TLS: true, Lease: 5 * time.Second},
	} {
		got, err := Parse(text)
		if err != nil || !slices.Equal(got.Hosts, want.Hosts) || got.Prefix != want.Prefix || got.TLS != want.TLS || got.Lease != want.Lease {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "etcd://", "http://a/b", "etcd://a", "etcd://a/", "etcd:///b", "etcd://a,/b", "etcd://a,a:2379/b", "etcd://u:p@a/b",
		"etcd://a:0/b", "etcd://a:x/b", "etcd://a:99999/b", "etcd://a//b//c", "etcd://a/b/../c", "etcd://a/b?lease=1s",
		"etcd://a/b?lease=5s&lease=6s", "etcd://a/b?other=1", "etcd://a/b#c", "etcd://a b/c", "etcd://a/b c", "etcd://a/b?lease=2500ms",
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestLocationID(t *testing.T) {
	t.Parallel()
	id := func(text string) string {
		l, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return l.ID()
	}
	if id("etcd://a,b/x") != id("etcds://B:2379,A/x/?lease=5s") {
		t.Error("Another order of hosts is another copy")
	}
	if id("etcd://a/x") == id("etcd://a/y") {
		t.Error("Another prefix is the same copy")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("etcd://localhost:2379/machine")
	f.Add("etcds://a,b:1,[::1]:2/x/y?lease=10s")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || again.String() != l.String() || again.ID() != l.ID() {
			t.Errorf("%q became %q, then %q: %v", text, l, again, err)
		}
	})
}
