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
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/lockfile"
)

// entry is what is known of a store's machine besides its own record.
type entry struct {
	Address netip.Addr `json:"address,omitzero"` // on the network between the machines
	Machine string     `json:"machine"`
	Dir     string     `json:"dir"` // of the machine
}

// register has the machines of a store by UUID: their addresses, and where their
// files are if their own record is lost.
type register map[string]entry

// firstHost is the first address of a subnet that machines get.
const firstHost = 11

// take returns the address of a machine: the wanted one, the one that it has, or
// the first free one.
func (all register) take(subnet netip.Prefix, uuid string, me entry, wanted netip.Addr) (netip.Addr, error) {
	mine := all[uuid].Address
	taken := map[netip.Addr]string{}
	for other, e := range all {
		if other != uuid {
			taken[e.Address] = e.Machine
		}
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
	for last := localvm.LastOf(subnet); a != last && subnet.Contains(a); a = a.Next() {
		if _, ok := taken[a]; !ok {
			return choose(a)
		}
	}
	return netip.Addr{}, &drivers.HintError{
		Err:    fmt.Errorf("%w: all addresses of %s are taken", drivers.ErrQuota, subnet),
		Advice: "give a larger subnet with --qemu-lan-subnet",
	}
}

// prune drops machines that have neither a folder nor a process any more.
func (all register) prune(runs func(uuid string) bool) {
	for uuid, e := range all {
		if _, err := os.Stat(e.Dir); errors.Is(err, fs.ErrNotExist) && !runs(uuid) {
			delete(all, uuid)
		}
	}
}

// withRegister has change look at the register and change it, one process at a time.
func (d *driver) withRegister(ctx context.Context, change func(register) error) error {
	lock, err := lockfile.Acquire(ctx, d.shared("machines.lock"), "look at the register of machines for "+d.env.Machine, nil)
	if err != nil {
		return fmt.Errorf("look at the register of machines: %w", err)
	}
	defer lock.Release()
	path := d.shared(registerFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the register of machines: %w", err)
	}
	all := register{}
	if err == nil && json.Unmarshal(data, &all) != nil {
		d.env.Log.WarnContext(ctx, "the register of machines cannot be read, and is begun anew", "file", path)
		all = register{}
	}
	all.prune(func(uuid string) bool {
		pids, err := d.world.procs.all(ctx, uuid)
		return err != nil || len(pids) > 0
	})
	if err := change(all); err != nil {
		return err
	}
	now, err := json.Marshal(all)
	if err != nil || string(now) == string(data) {
		return err
	}
	return replace(path, now)
}

// registerFile is the register's name in the shared folder.
const registerFile = "machines.json"

// shared is the path of a file that the store's machines share.
func (d *driver) shared(file string) string { return filepath.Join(d.env.Cache, Name, file) }

// enter puts the machine into the register, and gives it its address on the network
// between the machines.
func (d *driver) enter(ctx context.Context) error {
	wanted, err := d.cfg.address()
	if err != nil {
		return err
	}
	st := &d.state.Value
	me := entry{Machine: d.env.Machine, Dir: d.env.Dir}
	return d.withRegister(ctx, func(all register) error {
		switch {
		case d.cfg.Network != netUser:
			if all[st.UUID] = me; wanted.IsValid() {
				st.Address = wanted.String()
			}
		case d.world.host == "windows": // nobody can listen at a group's address there, as QEMU does
			all[st.UUID] = me
		default:
			subnet, err := parseSubnet(d.cfg.LANSubnet)
			if err != nil {
				return err
			}
			a, err := all.take(subnet, st.UUID, me, wanted.Addr())
			if err != nil {
				return fmt.Errorf("choose an address: %w", err)
			}
			st.LAN, st.Address = group(d.env.StoreID), netip.PrefixFrom(a, subnet.Bits()).String()
		}
		return d.state.Save()
	})
}

// leave takes a machine out of the register.
func (d *driver) leave(ctx context.Context, uuid string) error {
	if !isFile(d.shared(registerFile)) {
		return nil
	}
	return d.withRegister(ctx, func(all register) error {
		delete(all, uuid)
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
