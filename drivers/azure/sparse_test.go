package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim/azuresim"
)

// thinned leaves parts out of answers, at random.
type thinned struct {
	inner http.RoundTripper
	dice  func() bool
}

func (th thinned) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := th.inner.RoundTrip(r)
	if err != nil || !bytes.Contains([]byte(r.URL.Path), []byte("/subscriptions/")) {
		return resp, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var tree any
	if json.Unmarshal(text, &tree) == nil {
		if text, err = json.Marshal(th.thin(tree)); err != nil {
			return nil, err
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	resp.Header.Del("Content-Length")
	return resp, nil
}

func (th thinned) thin(tree any) any {
	switch tree := tree.(type) {
	case map[string]any:
		for k, v := range tree {
			switch {
			case k == "nextLink" || k == "status": // without them the SDK would not go on
			case th.dice() && th.dice():
				tree[k] = nil
			case th.dice():
				delete(tree, k)
			default:
				tree[k] = th.thin(v)
			}
		}
	case []any:
		for i := range tree {
			if tree[i] = th.thin(tree[i]); th.dice() {
				tree[i] = nil
			}
		}
	}
	return tree
}

var errTired = errors.New("it took long enough")

// TestThinAnswers lives with answers of which parts are missing: it may fail, and
// does not panic.
func TestThinAnswers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, azuresim.Config{})
			numbers := rand.New(rand.NewPCG(seed, seed))
			most := 1 + seed%6*4 // in a hundred
			dice := make(chan bool)
			done := make(chan struct{})
			t.Cleanup(func() { close(done) })
			go func() { // requests come from several goroutines
				for {
					select {
					case dice <- numbers.Uint64N(100) < most:
					case <-done:
						return
					}
				}
			}()
			client := c.server.Client()
			client.Transport = thinned{client.Transport, func() bool { return <-dice }}
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errTired)
			defer cancel()
			d := c.driver(t, drivers.Values{"azure-availability-set": {"set"}, "azure-ipv6": {fmt.Sprint(seed%2 == 1)}}, drivers.Env{})
			for what, err := range map[string]error{"check": d.Check(ctx), "create": d.Create(ctx, request(t)), "create again": d.Create(ctx, request(t))} {
				t.Logf("%s: %v", what, err)
			}
			_, _ = d.Status(ctx)
			_, _ = d.Console(ctx)
			_ = d.Stop(ctx)
			_ = d.Start(ctx)
			_ = d.Restart(ctx)
			_ = d.Kill(ctx)
			found, _ := d.Tagged(ctx)
			for _, r := range found {
				_ = d.Claims(r)
			}
			t.Logf("remove: %v", d.Remove(ctx))
			for _, r := range found {
				_ = d.Release(ctx, r)
			}
		})
	}
}
