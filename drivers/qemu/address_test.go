package qemu

import (
	"slices"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestNeighbour(t *testing.T) {
	t.Parallel()
	table := "IP address       HW type     Flags       HW address            Mask     Device\n192.168.1.9      0x1         0x2         52:54:00:AA:bb:cc     *        br0\n"
	if got := findNeighbour(table, "52:54:00:aa:bb:cc"); got != "192.168.1.9" {
		t.Errorf("got %q", got)
	}
	if got := findNeighbour(table, "52:54:00:aa:bb:cd"); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestNoNetworkIsTold says before what a swarm will lack.
func TestNoNetworkIsTold(t *testing.T) {
	t.Parallel()
	b := fakeBench(t, newFakeHost(), drivers.Values{"qemu-network": {"none"}})
	b.must("create", b.create())
	if s := b.is(drivers.Running); s.Peer != "192.168.85.15" {
		t.Errorf("got %+v", s)
	}
	if !slices.ContainsFunc(b.notes, func(n string) bool { return strings.Contains(n, "no network between the machines") }) {
		t.Errorf("notes are %q", b.notes)
	}
}
