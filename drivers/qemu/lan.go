package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
)

// lease says whose an address of the network between the machines is.
type lease struct {
	Address netip.Addr `json:"address"`
	Machine string     `json:"machine"`
	Dir     string     `json:"dir"` // of the machine: the lease ends with it
}

// leases are those of a store's machines, by UUID.
type leases map[string]lease

// firstHost is the first address of a subnet that machines get.
const firstHost = 11

// take returns the address of a machine: the wanted one, the one that it has, or
// the first free one.
func (all leases) take(subnet netip.Prefix, uuid string, me lease, wanted netip.Addr) (netip.Addr, error) {
	mine := all[uuid].Address
	delete(all, uuid)
	taken := map[netip.Addr]string{}
	for _, l := range all {
		taken[l.Address] = l.Machine
	}
	choose := func(a netip.Addr) (netip.Addr, error) {
		me.Address = a
		all[uuid] = me
		return a, nil
	}
	if wanted.IsValid() {
		if who, ok := taken[wanted]; ok {
			return netip.Addr{}, fmt.Errorf("%w: %s is the address of machine %s", drivers.ErrConflict, wanted, who)
		}
		return choose(wanted)
	}
	if _, ok := taken[mine]; !ok && mine.IsValid() && subnet.Contains(mine) {
		return choose(mine)
	}
	a := subnet.Masked().Addr()
	for range firstHost {
		a = a.Next()
	}
	for last := lastOf(subnet); a != last && subnet.Contains(a); a = a.Next() {
		if _, ok := taken[a]; !ok {
			return choose(a)
		}
	}
	return netip.Addr{}, &drivers.HintError{
		Err:    fmt.Errorf("%w: all addresses of %s are taken", drivers.ErrQuota, subnet),
		Advice: "give a larger subnet with --qemu-lan-subnet",
	}
}

// prune drops the leases of machines that are no more.
func (all leases) prune() {
	for uuid, l := range all {
		if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
			delete(all, uuid)
		}
	}
}

// withLeases has change look at the leases and change them, one process at a time.
func (d *driver) withLeases(ctx context.Context, change func(leases) error) error {
	path := d.shared("lan.json")
	lock, err := lockfile.Acquire(ctx, d.shared("lan.lock"), "choose an address for "+d.env.Machine, nil)
	if err != nil {
		return fmt.Errorf("choose an address: %w", err)
	}
	defer lock.Release()
	all := leases{}
	data, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(data, &all); err != nil {
			d.env.Log.WarnContext(ctx, "who has which address is not readable", "file", path, "error", err)
			all = leases{}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("choose an address: %w", err)
	}
	all.prune()
	if err := change(all); err != nil {
		return err
	}
	now, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if string(now) == string(data) {
		return nil
	}
	return replace(path, now)
}

// shared is the path of a file that the store's machines share.
func (d *driver) shared(file string) string { return filepath.Join(d.env.Cache, Name, file) }

// claim gives the machine its address on the network between the machines.
func (d *driver) claim(ctx context.Context) error {
	st := &d.state.Value
	wanted, err := d.cfg.address()
	if err != nil {
		return err
	}
	if d.cfg.Network != netUser {
		if wanted.IsValid() {
			st.Address = wanted.String()
		}
		return d.state.Save()
	}
	if d.world.host == "windows" {
		return nil // nobody can listen at a group's address there, as QEMU does
	}
	subnet, err := parseSubnet(d.cfg.LANSubnet)
	if err != nil {
		return err
	}
	st.LAN = group(d.env.StoreID)
	me := lease{Machine: d.env.Machine, Dir: d.env.Dir}
	return d.withLeases(ctx, func(all leases) error {
		a, err := all.take(subnet, st.UUID, me, wanted.Addr())
		if err != nil {
			return fmt.Errorf("choose an address: %w", err)
		}
		st.Address = netip.PrefixFrom(a, subnet.Bits()).String()
		return d.state.Save()
	})
}

// release gives the machine's address back.
func (d *driver) release(ctx context.Context) error {
	if !isFile(d.shared("lan.json")) {
		return nil
	}
	return d.withLeases(ctx, func(all leases) error {
		delete(all, d.state.Value.UUID)
		return nil
	})
}

// group is the multicast group and port that a store's machines exchange frames by,
// of those that are for use within a site.
func group(store string) string {
	h := sha256.Sum256([]byte("lan " + store))
	port := 20000 + (int(h[2])<<8|int(h[3]))%10000
	return fmt.Sprintf("239.192.%d.%d:%d", h[0], 1+int(h[1])%254, port)
}

// mac is the hardware address of one of a machine's adapters.
func mac(store, machine, adapter string) string {
	h := sha256.Sum256([]byte(store + "\x00" + machine + "\x00" + adapter))
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", h[0], h[1], h[2])
}

// replace writes a file in one step.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+newSuffix, data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+newSuffix, path)
}
