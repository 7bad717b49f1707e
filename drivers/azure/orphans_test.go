package azure

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// TestListsThatDoNotFilter finds what is the store's own where a list has all there is.
func TestListsThatDoNotFilter(t *testing.T) {
	t.Parallel()
	for name, front := range map[string]*azuresim.FrontConfig{"azure": nil, "fakes": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFront(t, azuresim.Config{}, front)
			plantNetwork(t, c)
			if err := c.plant(t.Context(), "m1"); err != nil {
				t.Fatal(err)
			}
			inner := c.server.Client().Transport
			c.server.Client().Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				q := r.URL.Query()
				q.Del("$filter")
				r.URL.RawQuery = q.Encode()
				return inner.RoundTrip(r)
			})
			d := c.driver(t, drivers.Values{"azure-location": {"eastus"}}, drivers.Env{Machine: "m2"})
			if err := d.Create(t.Context(), request(t)); err != nil {
				t.Fatal(err)
			}
			found, err := d.Tagged(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range found {
				if !slices.ContainsFunc(c.list(true), func(own string) bool { return strings.HasSuffix(own, r.ID) }) {
					t.Errorf("%s is not the store's", r.ID)
				}
			}
			if len(found) != len(c.list(true)) {
				t.Errorf("got %d, want %d", len(found), len(c.list(true)))
			}
		})
	}
}

// TestReleaseOfOthers is asked to release what is not the store's.
func TestReleaseOfOthers(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	d := c.driver(t, nil, drivers.Env{})
	other := *c.driver(t, nil, drivers.Env{Machine: "theirs"})
	other.env.StoreID = "fedcba9876543210"
	if err := other.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	a := c.account(t)
	if _, err := a.disks.BeginUpdate(t.Context(), other.group(), other.name()+endDisk, armcompute.DiskUpdate{Tags: map[string]*string{}}, nil); err != nil {
		t.Fatal(err)
	}
	before := c.list(false)
	for _, r := range c.Ledger() {
		if err := d.Release(t.Context(), drivers.Resource{ID: r.ID, Kind: r.Kind}); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
	}
	if after := c.list(false); !slices.Equal(before, after) {
		t.Errorf("had %q, has %q", before, after)
	}
}

// TestReleaseOfLongNames releases what a machine left whose name is shortened.
func TestReleaseOfLongNames(t *testing.T) {
	t.Parallel()
	c := newCloud(t, azuresim.Config{})
	lost := c.driver(t, nil, drivers.Env{Machine: strings.Repeat("long-name-", 6) + "x"})
	if err := lost.Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	d := c.driver(t, nil, drivers.Env{})
	found, err := d.Tagged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found {
		r.Machine = "" // as where a list leaves the tags out
		if err := d.Release(t.Context(), r); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
	}
	if left := c.list(true); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
