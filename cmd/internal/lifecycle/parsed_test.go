package lifecycle

import (
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
)

func TestParsedCerts(t *testing.T) {
	t.Parallel()
	ca, err := certs.NewCA("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	one, err := ca.Client("one", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	two, err := ca.Client("two", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var p parsedCerts
	for range 2 {
		for who, files := range map[string]certs.Pair{"one": one, "two": two} {
			pair, err := p.pair(files)
			if err != nil || pair.Leaf.Subject.Organization[0] != who {
				t.Errorf("%s: got %v, %v", who, pair.Leaf, err)
			}
		}
		// A pair whose halves do not fit is none, whatever was seen of each before.
		if _, err := p.pair(certs.Pair{Cert: one.Cert, Key: two.Key}); err == nil {
			t.Error("a certificate was accepted with the key of another")
		}
		if pool, err := p.roots(ca.Pair().Cert); err != nil || pool == nil {
			t.Errorf("roots: %v", err)
		}
		if _, err := p.roots([]byte("none")); err == nil {
			t.Error("roots were made of nothing")
		}
	}
}
