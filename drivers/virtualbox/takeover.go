package virtualbox

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
)

// legacy is the state of a machine that docker-machine made: all that its record says.
// The rest is learned of VirtualBox when the machine is first changed.
func legacy(p localvm.Predecessor) State {
	return State{
		Legacy: true, Name: p.MachineName, User: p.SSHUser, SSHPort: p.SSHPort, Address: p.IPAddress,
		CIDR: p.HostOnlyCIDR, DHCP: true, Arch: "amd64",
	}
}

// settings are the names that the settings of docker-machine's virtual machine may go by.
// It kept them in the machine's folder.
func (d *driver) settings() []string {
	var all []string
	for _, dir := range []string{d.env.Dir, resolved(d.env.Dir)} {
		all = append(all, filepath.Join(dir, d.state.Value.Name, d.state.Value.Name+".vbox"))
	}
	return slices.Compact(all)
}

func resolved(dir string) string {
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		return path
	}
	return dir
}

// ours returns a machine's virtual machine, of those by UUID: by the UUID that is
// recorded, else by where its settings are.
func (d *driver) ours(all map[string]vm) (vm, bool) {
	st := &d.state.Value
	if v, found := all[st.UUID]; found || !st.Legacy || st.UUID != "" {
		return v, found
	}
	settings := d.settings()
	for _, v := range all {
		if slices.Contains(settings, filepath.Clean(v.Config)) {
			return v, true
		}
	}
	return vm{}, false
}

// takeOver learns what docker-machine's virtual machine has, and records it.
func (d *driver) takeOver(ctx context.Context, t *tool) error {
	st := &d.state.Value
	if !st.Legacy || st.UUID != "" {
		return nil
	}
	all, err := t.vms(ctx)
	if err != nil {
		return err
	}
	v, found := d.ours(all)
	switch {
	case !found:
		return fmt.Errorf("virtual machine %s of docker-machine, with the settings %s: %w", st.Name, d.settings()[0], drivers.ErrNotFound)
	case v.Lost:
		return lost(v)
	}
	info, err := t.info(ctx, v.UUID)
	if err != nil {
		return fmt.Errorf("virtual machine %s: %w", st.Name, err)
	}
	if st.Folder, err = filepath.Abs(d.env.Dir); err != nil {
		return fmt.Errorf("find the machine's folder: %w", err)
	}
	st.UUID, st.Home, st.Configured = v.UUID, d.env.Getenv("VBOX_USER_HOME"), true
	st.NATMAC, st.MAC = info["macaddress1"], info["macaddress2"]
	st.Network = &network{Name: info["hostonlyadapter2"]}
	for key, rule := range info {
		if words := strings.Split(rule, ","); strings.HasPrefix(key, "Forwarding(") && words[0] == "ssh" && len(words) > 3 {
			if port, err := strconv.Atoi(words[3]); err == nil {
				st.SSHPort = port
			}
		}
	}
	return d.state.Save()
}

// removeLegacy removes what docker-machine put into the machine's folder besides what is
// the store's.
func (d *driver) removeLegacy() error {
	st := &d.state.Value
	var paths []string
	for _, name := range []string{"disk.vmdk", "boot2docker.iso", st.Name} {
		paths = append(paths, filepath.Join(d.env.Dir, name))
	}
	return localvm.RemoveFiles(d.env.Dir, st.Name, paths...)
}
