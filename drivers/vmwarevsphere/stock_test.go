package vmwarevsphere

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vim25/soap"

	"github.com/hostsmith/machine/drivers"
)

// stock is govmomi's simulator as it is, in a process of its own: more lenient than a
// vCenter in some ways, and mute where a vCenter speaks.
type stock struct {
	user   *govmomi.Client // somebody else's
	at     *url.URL
	values drivers.Values
	known  map[string]bool
}

func newStock(t testing.TB, how stockMode) *stock {
	t.Helper()
	answer := runStock(t, how)
	s := &stock{known: map[string]bool{}}
	var err error
	if s.at, err = url.Parse(answer.URL); err != nil {
		t.Fatal(err)
	}
	u := *s.at
	u.User = url.UserPassword(stockUser, stockPassword)
	if s.user, err = govmomi.NewClient(t.Context(), &u, true); err != nil {
		t.Fatal(err)
	}
	for _, name := range s.machines(t) {
		s.known[name] = true
	}
	s.values = drivers.Values{
		"vmwarevsphere-vcenter":    {answer.URL},
		"vmwarevsphere-username":   {stockUser},
		"vmwarevsphere-password":   {stockPassword},
		"vmwarevsphere-thumbprint": {answer.Thumbprint},
		"vmwarevsphere-clone-from": {stockTemplate},
	}
	return s
}

func (s *stock) machines(t testing.TB) []string {
	t.Helper()
	all, err := find.NewFinder(s.user.Client).VirtualMachineList(t.Context(), "/DC0/vm/...")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, vm := range all {
		if !s.known[vm.Name()] {
			names = append(names, vm.Name())
		}
	}
	return names
}

// with returns the options and others.
func (s *stock) with(more drivers.Values) drivers.Values {
	all := maps.Clone(s.values)
	maps.Copy(all, more)
	return all
}

// TestStock plays the lives of several machines at once.
func TestStock(t *testing.T) {
	t.Parallel()
	iso := filepath.Join(t.TempDir(), "boot.iso")
	if err := os.WriteFile(iso, []byte("an ISO"), 0o600); err != nil {
		t.Fatal(err)
	}
	onCluster := drivers.Values{"vmwarevsphere-cluster": {"DC0_C0"}, "vmwarevsphere-clone-from": nil}
	from := func(more drivers.Values) drivers.Values {
		all := maps.Clone(onCluster)
		maps.Copy(all, more)
		return all
	}
	for name, tt := range map[string]struct {
		more drivers.Values
		how  stockMode
	}{
		"template":        {how: stockMode{Plain: true}},
		"virtual machine": {more: drivers.Values{"vmwarevsphere-clone-from": {"DC0_H0_VM0"}}, how: stockMode{MainOnly: true}},
		"networks":        {more: drivers.Values{"vmwarevsphere-network": {"VM Network", "DC0_DVPG0"}}, how: stockMode{MainOnly: true}},
		"standalone host": {more: drivers.Values{"vmwarevsphere-hostsystem": {"DC0_H0"}, "vmwarevsphere-network": {"DC0_DVPG0"}}},
		"pool":            {more: drivers.Values{"vmwarevsphere-pool": {"DC0_C0/Resources"}, "vmwarevsphere-datastore": {"LocalDS_0"}, "vmwarevsphere-folder": {"/DC0/vm"}, "vmwarevsphere-datacenter": {"DC0"}}},
		"content library": {more: from(drivers.Values{"vmwarevsphere-content-library": {stockLibrary}, "vmwarevsphere-clone-from": {stockItem}}), how: stockMode{Library: appliance(t)}},
		"OVA":             {more: from(drivers.Values{"vmwarevsphere-ova": {appliance(t)}})},
		"ISO":             {more: from(drivers.Values{"vmwarevsphere-boot2docker-url": {iso}})},
		"all that is asked for": {more: drivers.Values{
			"vmwarevsphere-cfgparam": {"guestinfo.a=b"}, "vmwarevsphere-tag": {"team=a"}, "vmwarevsphere-storage-policy": {"vSAN Default Storage Policy"},
			"vmwarevsphere-vapp-property": {"x=y"}, "vmwarevsphere-vapp-transport": {"com.vmware.guestInfo"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.how.Addresses = true
			newStock(t, tt.how).lives(t, tt.more)
		})
	}
}

// lives plays what users do with machines.
func (s *stock) lives(t *testing.T, more drivers.Values) {
	const several = 3
	f := testFactory()
	all := make([]*testMachine, several)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = newMachine(t, nil, s.with(more), fmt.Sprintf("m%d", i))
		all[i].factory = f
		wg.Go(func() { s.life(t, all[i]) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	found, err := all[0].open().Tagged(t.Context())
	if err != nil || len(found) != several {
		t.Errorf("tagged: %v, %v", found, err)
	}
	for _, r := range found {
		if d := all[0].open(); !d.Claims(r) && r.Machine == all[1].env.Machine {
			if err := d.Release(t.Context(), r); err != nil {
				t.Errorf("release: %v", err)
			}
		}
	}
	for _, m := range all {
		wg.Go(func() {
			for range 2 {
				if err := m.open().Remove(t.Context()); err != nil {
					t.Errorf("remove %s: %v", m.env.Machine, err)
				}
			}
		})
	}
	wg.Wait()
	if left := s.machines(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func (s *stock) life(t *testing.T, m *testMachine) {
	ctx := t.Context()
	is := func(step string, want drivers.State) {
		st, err := m.open().Status(ctx)
		if err != nil || st.State != want || (st.Host != "") != (want == drivers.Running) {
			t.Errorf("after %s: got %+v, %v, want %s", step, st, err, want)
		}
	}
	req := request(t)
	for _, step := range []struct {
		name string
		do   func(*driver) error
		want drivers.State
	}{
		{"check", func(d *driver) error { return d.Check(ctx) }, ""},
		{"create", func(d *driver) error { return d.Create(ctx, req) }, drivers.Running},
		{"create again", func(d *driver) error { return d.Create(ctx, req) }, drivers.Running},
		{"stop", func(d *driver) error { return d.Stop(ctx) }, drivers.Stopped},
		{"stop again", func(d *driver) error { return d.Stop(ctx) }, drivers.Stopped},
		{"start", func(d *driver) error { return d.Start(ctx) }, drivers.Running},
		{"kill", func(d *driver) error { return d.Kill(ctx) }, drivers.Stopped},
		{"start again", func(d *driver) error { return d.Start(ctx) }, drivers.Running},
	} {
		if err := step.do(m.open()); err != nil {
			t.Errorf("%s %s: %v", step.name, m.env.Machine, err)
			return
		}
		if step.want != "" {
			is(step.name, step.want)
		}
	}
}

// TestStockAddressed has the machine itself carry the address that the simulator shall tell.
func TestStockAddressed(t *testing.T) {
	t.Parallel()
	s := newStock(t, stockMode{})
	m := newMachine(t, nil, s.with(drivers.Values{"vmwarevsphere-cfgparam": {"SET.guest.ipAddress=10.9.9.9"}}), "m1")
	if err := m.open().Create(t.Context(), request(t)); err != nil {
		t.Fatal(err)
	}
	if st, err := m.open().Status(t.Context()); err != nil || st.Host != "10.9.9.9" {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestStockResume loses each answer of creates and removes in turn.
func TestStockResume(t *testing.T) {
	t.Parallel()
	s := newStock(t, stockMode{})
	var seen, lose atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: s.at.Scheme, Host: s.at.Host})
	proxy.Transport = s.user.DefaultTransport()
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1) != lose.Load() {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(front.Close)
	values := s.with(drivers.Values{
		"vmwarevsphere-vcenter": {front.URL}, "vmwarevsphere-thumbprint": {soap.ThumbprintSHA256(front.Certificate())},
		"vmwarevsphere-cfgparam": {"SET.guest.ipAddress=10.9.9.9"},
	})
	for n := int32(1); ; n++ {
		m := newMachine(t, nil, values, "m1")
		disturbed := func(do func(*driver) error) (lost bool, err error) {
			seen.Store(0)
			lose.Store(n)
			defer lose.Store(0)
			err = do(m.open())
			return seen.Load() >= n, err
		}
		create := func(d *driver) error { return d.Create(t.Context(), request(t)) }
		lost, _ := disturbed(create)
		if err := create(m.open()); err != nil {
			t.Fatalf("answer %d lost: create again: %v", n, err)
		}
		if got := s.machines(t); len(got) != 1 || got[0] != "m1" {
			t.Fatalf("answer %d lost: got %v", n, got)
		}
		_, _ = disturbed(func(d *driver) error { return d.Remove(t.Context()) })
		if err := m.open().Remove(t.Context()); err != nil {
			t.Fatalf("answer %d lost: remove again: %v", n, err)
		}
		if left := s.machines(t); len(left) != 0 {
			t.Fatalf("answer %d lost: left %s", n, strings.Join(left, ", "))
		}
		if !lost {
			return
		}
	}
}
