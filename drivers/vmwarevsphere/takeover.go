package vmwarevsphere

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
)

// record is what docker-machine recorded of a virtual machine, by its names.
type record struct {
	MachineName, SSHUser string
	SSHPort              int

	IP                 string // of the vCenter
	Port               int
	Username, Password string

	CPU, Memory, DiskSize                           int
	Boot2DockerURL, CloudInit                       string
	Network                                         string
	Networks, CfgParams                             []string
	Datastore, Datacenter, Folder, Pool, HostSystem string
}

// takeOver makes a machine of docker-machine one of ours. It recorded no id: the
// virtual machine is found by its place once, and by its UUID from then on.
func takeOver(raw json.RawMessage) (Config, State, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Config{}, State{}, err
	}
	c := defaults()
	c.VCenter, c.Port, c.Username, c.Password = r.IP, cmp.Or(r.Port, c.Port), r.Username, drivers.Secret(r.Password)
	c.CPUs, c.Memory, c.DiskSize = cmp.Or(r.CPU, c.CPUs), cmp.Or(r.Memory, c.Memory), cmp.Or(r.DiskSize, c.DiskSize)
	c.ISO, c.CloudInit, c.CfgParams = r.Boot2DockerURL, r.CloudInit, r.CfgParams
	if c.Networks = r.Networks; len(c.Networks) == 0 && r.Network != "" {
		c.Networks = []string{r.Network}
	}
	c.Datastore, c.Datacenter, c.Folder, c.Pool, c.HostSystem = r.Datastore, r.Datacenter, r.Folder, r.Pool, r.HostSystem
	c.SSHUser, c.SSHPort = cmp.Or(r.SSHUser, c.SSHUser), cmp.Or(r.SSHPort, c.SSHPort)
	return c, State{Legacy: true, Name: r.MachineName}, nil
}

// trusted is what the vCenter's certificate is judged by. docker-machine accepted
// any and recorded nothing of it, so that its machines take it of the environment.
func (d *driver) trusted() trust {
	t := trust{thumbprint: d.cfg.Thumbprint, caFile: d.cfg.CAFile, insecure: d.cfg.Insecure}
	if d.state.Value.Legacy {
		t.thumbprint, t.caFile = d.env.Getenv("VSPHERE_THUMBPRINT"), d.env.Getenv("VSPHERE_CA_FILE")
		t.insecure, _ = strconv.ParseBool(d.env.Getenv("VSPHERE_INSECURE"))
	}
	return t
}

// learn finds the virtual machine that docker-machine made where its record says. The
// state has its UUID then, and is not saved. Without an error, it may be gone.
func (d *driver) learn(ctx context.Context, c *center) error {
	st := &d.state.Value
	if !st.Legacy || st.Token != "" {
		return nil
	}
	what := "look for virtual machine " + st.Name + " of docker-machine"
	folder, datacenter, err := d.oldFolder(ctx, c)
	if err != nil && !errors.Is(err, drivers.ErrNotFound) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err != nil {
		return &drivers.HintError{
			Err:    fmt.Errorf("%s: %s", what, err), // not that it is not found: who may not see its place cannot tell
			Advice: "use a user who may see the folder; if it was deleted with all that was in it, machine rm --force removes the record",
		}
	}
	vm, err := c.child(ctx, folder, st.Name)
	if err != nil || vm.Type != machineType {
		return c.explain(ctx, what, err)
	}
	p, err := c.properties(ctx, vm, "config.instanceUuid", "config.extraConfig", "config.files.vmPathName")
	if gone(err) {
		return nil
	}
	if err != nil {
		return c.explain(ctx, what, err)
	}
	list, _ := p["config.extraConfig"].(types.ArrayOfOptionValue)
	if parameters(list.OptionValue)[markStore] != "" || p.text("config.instanceUuid") == "" {
		return nil // one of a store has the name by now
	}
	st.Token, st.VM, st.Datacenter, st.Folder = p.text("config.instanceUuid"), vm.Value, datacenter.String(), folder.String()
	if store, rest, ok := strings.Cut(p.text("config.files.vmPathName"), "] "); ok && strings.HasPrefix(rest, st.Name+"/") {
		st.ISO = store + "] " + st.Name + "/boot2docker.iso"
	}
	return nil
}

// oldFolder returns the folder that docker-machine made a machine in.
func (d *driver) oldFolder(ctx context.Context, c *center) (folder, datacenter reference, err error) {
	tree, err := c.inventory(ctx)
	if err != nil {
		return folder, datacenter, err
	}
	dc, err := d.datacenter(tree)
	if err != nil {
		return folder, datacenter, err
	}
	place := tree[dc.props.ref("vmFolder")]
	if place == nil {
		return folder, datacenter, errors.New("the datacenter shows no folder of virtual machines")
	}
	if d.cfg.Folder != "" {
		if place, err = tree.find(folders(), "", place.path+"/"+strings.Trim(d.cfg.Folder, "/")); err != nil {
			return folder, datacenter, err
		}
	}
	return place.ref, dc.ref, nil
}

// held is found for commands that change the machine: what was learned of a machine of
// docker-machine is recorded.
func (d *driver) held(ctx context.Context) (*center, reference, error) {
	known := d.state.Value.Token
	c, vm, err := d.found(ctx)
	if err == nil && d.state.Value.Token != known {
		err = d.state.Save()
	}
	return c, vm, err
}

// removeISO deletes what docker-machine had uploaded beside the virtual machine.
func (d *driver) removeISO(ctx context.Context, c *center) {
	st := d.state.Value
	if st.ISO == "" {
		return
	}
	datacenter := parseRef(st.Datacenter)
	err := c.do(ctx, d.pace, "delete "+st.ISO, func(ctx context.Context) (reference, error) { return c.deleteFile(ctx, &datacenter, st.ISO) })
	if err != nil && !fault.Is(err, &types.FileNotFound{}) && !gone(err) && context.Cause(ctx) == nil {
		d.env.Note(ctx, st.ISO+" stays: "+c.explain(ctx, "delete it", err).Error())
	}
}
