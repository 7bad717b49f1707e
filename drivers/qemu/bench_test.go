package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// bench is a machine of a test.
type bench struct {
	t       testing.TB
	factory drivers.Factory
	config  json.RawMessage
	env     drivers.Env
	req     drivers.CreateRequest

	mu    sync.Mutex
	state json.RawMessage
	notes []string
}

func newBench(t testing.TB, f drivers.Factory, name, cache string, values drivers.Values) *bench {
	t.Helper()
	config, _, err := f.Configure(values)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, factory: f, config: config, req: request(t)}
	b.env = drivers.Env{
		Machine: name, Dir: filepath.Join(t.TempDir(), name), Cache: cache, StoreID: "0123456789abcdef",
		Note: func(_ context.Context, text string) { b.notes = append(b.notes, text) },
	}
	return b
}

func (b *bench) open() *driver {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	d, err := b.factory.Open(b.config, nil, b.state, func(s json.RawMessage) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.state = bytes.Clone(s)
		return nil
	}, b.env)
	if err != nil {
		b.t.Fatal(err)
	}
	return d.(*driver)
}

func (b *bench) create() error { return b.open().Create(b.t.Context(), b.req) }

func (b *bench) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// is demands a state.
func (b *bench) is(want drivers.State) drivers.Status {
	b.t.Helper()
	s, err := b.open().Status(b.t.Context())
	if err != nil || s.State != want {
		b.t.Fatalf("status is %+v, %v, want %s", s, err, want)
	}
	return s
}

func fakeBench(t testing.TB, h *fakeHost, more drivers.Values) *bench {
	t.Helper()
	values := drivers.Values{"qemu-image": {testImage(t)}}
	for k, v := range more {
		values[k] = v
	}
	return newBench(t, factory(h.world()), "m1", t.TempDir(), values)
}
