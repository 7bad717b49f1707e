package vmwarevsphere

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vmdk"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/vspheresim"
)

// testMachine is what a store would hold of a machine.
type testMachine struct {
	t               testing.TB
	factory         drivers.Factory
	config, secrets json.RawMessage
	state           json.RawMessage
	env             drivers.Env
	notes           []string
	log             strings.Builder
}

func newMachine(t testing.TB, _ *cloud, values drivers.Values, name string) *testMachine {
	t.Helper()
	m := &testMachine{t: t, factory: testFactory()}
	var err error
	if m.config, m.secrets, err = m.factory.Configure(values); err != nil {
		t.Fatal(err)
	}
	m.env = drivers.Env{Machine: name, StoreID: testStore, Creator: "test/1", Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		Note: func(_ context.Context, text string) { m.notes = append(m.notes, text) }}
	return m
}

func (m *testMachine) open() *driver {
	m.t.Helper()
	d, err := m.factory.Open(m.config, m.secrets, m.state, func(state json.RawMessage) error {
		m.state = state
		return nil
	}, m.env)
	if err != nil {
		m.t.Fatal(err)
	}
	return d.(*driver)
}

// machines are the virtual machines that were made.
func (c *cloud) machines() []sim.Resource {
	var all []sim.Resource
	for _, r := range c.Ledger() {
		if r.Kind == vspheresim.KindVM {
			all = append(all, r)
		}
	}
	return all
}

// emptyDisk is the beginning of a stream-optimized disk, which is all that anybody reads of it.
func emptyDisk(t testing.TB) []byte {
	t.Helper()
	header := vmdk.SparseExtentHeaderOnDisk{
		MagicNumber: 0x564d444b, Version: 3, Flags: 3 | 1<<16 | 1<<17, Capacity: 10 << 30 / vmdk.SectorSize,
		GrainSize: 128, DescriptorOffset: 1, DescriptorSize: 1, NumGTEsPerGT: 512, CompressAlgorithm: 1,
	}
	var text bytes.Buffer
	if err := binary.Write(&text, binary.LittleEndian, &header); err != nil {
		t.Fatal(err)
	}
	if err := vmdk.NewDescriptor(vmdk.Extent{Size: int64(header.Capacity), Info: "appliance-disk1.vmdk"}).Write(&text); err != nil {
		t.Fatal(err)
	}
	return append(text.Bytes(), make([]byte, vmdk.SectorSize)...)
}

// appliance returns the path of an OVA.
func appliance(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/appliance.ovf")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "appliance.ova")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, e := range []struct {
		name string
		data []byte
	}{{"appliance.ovf", text}, {"appliance-disk1.vmdk", emptyDisk(t)}} {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Size: int64(len(e.data)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}
