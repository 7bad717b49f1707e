package host

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
)

// Memory has hosts that exist in name only: they run at once, and nothing
// answers at their addresses.
type Memory struct {
	mu    sync.Mutex
	hosts map[string]*remembered
}

type remembered struct {
	Spec
	running bool
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{hosts: map[string]*remembered{}} }

// Networks returns ranges that no Docker has: something would answer there.
func (*Memory) Networks() (private, public netip.Prefix) {
	return netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("198.18.0.0/16")
}

// Launch notes a host that runs.
func (m *Memory) Launch(_ context.Context, s Spec) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts[s.ID] == nil {
		m.hosts[s.ID] = &remembered{s, true}
	}
	return nil
}

// Spec returns what a host got at birth, and whether it exists.
func (m *Memory) Spec(id string) (Spec, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.hosts[id]; h != nil {
		return h.Spec, true
	}
	return Spec{}, false
}

func (m *Memory) with(id string, do func(*remembered)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.hosts[id]
	if h == nil {
		return fmt.Errorf("no host %q", id)
	}
	do(h)
	return nil
}

// Stop makes a host stand still.
func (m *Memory) Stop(_ context.Context, id string, _ bool) error {
	return m.with(id, func(h *remembered) { h.running = false })
}

// Start makes a host run.
func (m *Memory) Start(_ context.Context, id string) error {
	return m.with(id, func(h *remembered) { h.running = true })
}

// Restart makes a host run.
func (m *Memory) Restart(ctx context.Context, id string) error { return m.Start(ctx, id) }

// SetPublic notes a host's address.
func (m *Memory) SetPublic(_ context.Context, id string, addr netip.Addr) error {
	return m.with(id, func(h *remembered) { h.Public = addr })
}

// Running tells whether a host runs.
func (m *Memory) Running(_ context.Context, id string) (running bool, err error) {
	err = m.with(id, func(h *remembered) { running = h.running })
	return running, err
}

// Console returns a line.
func (m *Memory) Console(_ context.Context, id string) (text []byte, err error) {
	err = m.with(id, func(h *remembered) { text = []byte(h.Hostname + " login:\r\n") })
	return text, err
}

// Remove forgets a host.
func (m *Memory) Remove(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hosts, id)
	return nil
}

// Close forgets all.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.hosts)
	return nil
}

var _ Hosts = (*Memory)(nil)
