package vboxsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

// vdi is what a simulated disk's file holds. It begins like a real one's.
type vdi struct {
	UUID string `json:"uuid"`
	MiB  int64  `json:"mib"`
	Of   string `json:"of"` // what it was made from
}

const vdiMagic = "<<< Oracle VM VirtualBox Disk Image >>>\n"

func readVDI(path string) (vdi, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return vdi{}, err
	}
	body, ok := bytes.CutPrefix(text, []byte(vdiMagic))
	if !ok {
		return vdi{}, fmt.Errorf("%s is no simulated disk", path)
	}
	var d vdi
	return d, json.Unmarshal(body, &d)
}

func writeVDI(path string, d vdi) error {
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(vdiMagic), body...), 0o600)
}

func (c *call) storageCtl(args []string) Answer {
	o := parse(args, map[string]int{"--name": 1, "--add": 1, "--controller": 1, "--portcount": 1, "--hostiocache": 1, "--bootable": 1})
	if o.unknown != "" || len(o.rest) != 1 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	m, name := c.state.machine(o.rest[0]), o.values["--name"]
	switch {
	case m == nil:
		return noMachine(o.rest[0])
	case m.running():
		return lockedFor(m)
	case m.controller(name) != nil:
		return fail("VBOX_E_OBJECT_IN_USE", "Session", "Storage controller named '"+name+"' already exists")
	}
	if bus := o.values["--add"]; bus != "sata" && bus != "ide" && bus != "virtio" {
		return c.syntax(2, "Invalid --add argument '%s'", bus)
	}
	kinds := map[string]string{"": "sata ide virtio", "IntelAhci": "sata", "PIIX3": "ide", "PIIX4": "ide", "ICH6": "ide", "VirtIO": "virtio"}
	if !slices.Contains(strings.Fields(kinds[o.values["--controller"]]), o.values["--add"]) {
		return c.syntax(2, "Invalid --type argument '%s'", o.values["--controller"])
	}
	for _, name := range []string{"--hostiocache", "--bootable"} {
		if v, ok := o.values[name]; ok && v != "on" && v != "off" {
			return c.syntax(2, "Invalid %s argument '%s'", name, v)
		}
	}
	ports := 30
	if v, ok := o.values["--portcount"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 30 {
			return fail("NS_ERROR_INVALID_ARG", "StorageController", "Invalid port count: "+v+" (must be in range [1, 30])")
		}
		ports = n
	}
	m.Controllers = append(m.Controllers, &controller{name, o.values["--add"], o.values["--controller"], ports})
	return Answer{}
}

func (m *machine) controller(name string) *controller {
	for _, c := range m.Controllers {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (c *call) storageAttach(args []string) Answer {
	o := parse(args, map[string]int{"--storagectl": 1, "--port": 1, "--device": 1, "--type": 1, "--medium": 1, "--setuuid": 1, "--nonrotational": 1, "--discard": 1})
	if o.unknown != "" || len(o.rest) != 1 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	m := c.state.machine(o.rest[0])
	if m == nil {
		return noMachine(o.rest[0])
	}
	name := o.values["--storagectl"]
	if m.controller(name) == nil {
		return plain(1, "Could not find a controller named '%s'", name)
	}
	port, perr := strconv.Atoi(o.values["--port"])
	device, derr := strconv.Atoi(o.values["--device"])
	if perr != nil || derr != nil {
		return c.syntax(2, "Invalid port or device")
	}
	key := fmt.Sprintf("%s-%d-%d", name, port, device)
	want, kind := o.values["--medium"], o.values["--type"]
	if m.running() && (kind == "hdd" || want == "none") {
		return fail("VBOX_E_NOT_SUPPORTED", "Session", fmt.Sprintf("The device slot %d on port %d of controller '%s' does not support hot-plugging", device, port, name))
	}
	switch want {
	case "none":
		delete(m.Slots, key)
		return Answer{}
	case "emptydrive":
		m.Slots[key] = &slot{Controller: name, Port: port, Device: device, Kind: "dvddrive"}
		return Answer{}
	}
	med, no := c.open(want, map[string]string{"hdd": "disk", "dvddrive": "dvd"}[kind], o.values["--setuuid"])
	if no != nil {
		no.Stderr += "VBoxManage: error: Invalid UUID or filename \"" + want + "\"\n"
		return *no
	}
	m.Slots[key] = &slot{name, port, device, kind, med.UUID}
	return Answer{}
}

// open makes a medium known, as all calls that name one do.
func (c *call) open(path, kind, setUUID string) (*medium, *Answer) {
	if m := c.state.medium(path); m != nil && m.Kind == kind {
		if setUUID != "" {
			m.UUID = setUUID
		}
		return m, nil
	}
	refuse := func(a Answer) (*medium, *Answer) { return nil, &a }
	if uuidText.MatchString(path) {
		return refuse(fail("VBOX_E_FILE_ERROR", "Medium", "The given path '"+path+"' is not fully qualified"))
	}
	path = c.abs(path)
	if m := c.state.medium(path); m != nil {
		return m, nil
	}
	if _, err := os.Stat(path); err != nil {
		return refuse(noFile(path))
	}
	m := &medium{UUID: setUUID, Kind: kind, Path: path, Format: "RAW"}
	if kind == "dvd" {
		if !isISO(path) {
			return refuse(fail("VBOX_E_IPRT_ERROR", "Medium", "Could not get the storage format of the medium '"+path+"' (VERR_NOT_SUPPORTED)"))
		}
		m.UUID = computer.UUID(&c.state.Serial)
	} else if d, err := readVDI(path); err == nil {
		m.Format = "VDI"
		if setUUID != "" {
			d.UUID = setUUID
			if err := writeVDI(path, d); err != nil {
				return refuse(fail("VBOX_E_FILE_ERROR", "Medium", err.Error()))
			}
		}
		m.UUID = d.UUID
	} else if format := formatOf(path); format != "" {
		m.Format, m.UUID = format, computer.UUID(&c.state.Serial)
	} else {
		return refuse(fail("VBOX_E_IPRT_ERROR", "Medium", "Could not get the storage format of the medium '"+path+"' (VERR_NOT_SUPPORTED)"))
	}
	for _, other := range c.state.Media {
		if other.UUID == m.UUID {
			return refuse(fail("NS_ERROR_INVALID_ARG", "VirtualBox", fmt.Sprintf("Cannot register the hard disk '%s' {%s} because a hard disk '%s' with UUID {%s} already exists",
				path, m.UUID, other.Path, m.UUID)))
		}
	}
	c.state.Media = append(c.state.Media, m)
	return m, nil
}

func isISO(path string) bool {
	head := make([]byte, 7)
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.ReadAt(head, 16*2048)
	return err == nil && string(head[1:6]) == "CD001"
}

// formatOf tells which of the formats that VirtualBox can read a file has; empty:
// none.
func formatOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 8)
	if _, err := io.ReadFull(f, head); err != nil {
		return ""
	}
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return "QCOW"
	case bytes.HasPrefix(head, []byte("KDMV")):
		return "VMDK"
	}
	return ""
}

func (c *call) modifyMedium(args []string) Answer {
	o := parse(args, map[string]int{"--resize": 1})
	if o.unknown != "" || len(o.rest) != 2 || o.rest[0] != "disk" {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	m, no := c.open(o.rest[1], "disk", "")
	if no != nil {
		return *no
	}
	size, err := strconv.ParseInt(o.values["--resize"], 10, 64)
	if err != nil {
		return c.syntax(2, "Invalid --resize")
	}
	d, err := readVDI(m.Path)
	if err != nil {
		return noFile(m.Path)
	}
	for _, u := range c.state.users(m.UUID) {
		if u.running() {
			return fail("VBOX_E_INVALID_OBJECT_STATE", "Medium", "Medium '"+m.Path+"' is locked for writing by another task")
		}
	}
	if size < d.MiB {
		return Answer{Exit: 1, Stderr: "0%...VBOX_E_NOT_SUPPORTED\nVBoxManage: error: Failed to resize medium\n" +
			"VBoxManage: error: Shrinking is not yet supported for medium '" + m.Path + "'\n" +
			"VBoxManage: error: Details: code VBOX_E_NOT_SUPPORTED (0x80bb0009), component MediumWrap, interface IMedium\n"}
	}
	d.MiB = size
	if err := writeVDI(m.Path, d); err != nil {
		return fail("VBOX_E_FILE_ERROR", "Medium", err.Error())
	}
	return progressed("")
}

func (c *call) cloneMedium(args []string) Answer {
	o := parse(args, map[string]int{"--format": 1, "--variant": 1})
	rest := slices.DeleteFunc(o.rest, func(s string) bool { return s == "disk" })
	if o.unknown != "" || len(rest) != 2 || o.values["--format"] != "VDI" {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	from, no := c.open(rest[0], "disk", "")
	if no != nil {
		return *no
	}
	to := c.abs(rest[1])
	if _, err := os.Stat(to); err == nil {
		return Answer{Exit: 1, Stderr: "0%...VBOX_E_FILE_ERROR\nVBoxManage: error: Failed to clone medium\n" +
			"VBoxManage: error: Could not create the clone medium '" + to + "'.\n" +
			"VBoxManage: error: VDI: cannot create image '" + to + "' (VERR_ALREADY_EXISTS)\n" +
			"VBoxManage: error: Details: code VBOX_E_FILE_ERROR (0x80bb0004), component MediumWrap, interface IMedium\n"}
	}
	d := vdi{UUID: computer.UUID(&c.state.Serial), MiB: 1, Of: filepath.Base(from.Path)}
	if err := writeVDI(to, d); err != nil {
		return fail("VBOX_E_FILE_ERROR", "Medium", err.Error())
	}
	c.state.Media = append(c.state.Media, &medium{d.UUID, "disk", to, "VDI"})
	return progressed("Clone medium created in format 'VDI'. UUID: " + d.UUID + "\n")
}

func (c *call) closeMedium(args []string) Answer {
	o := parse(args, map[string]int{"--delete": 0})
	if o.unknown != "" || len(o.rest) != 2 {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	m, no := c.open(o.rest[1], o.rest[0], "")
	if no != nil {
		return *no
	}
	users := c.state.users(m.UUID)
	for _, u := range users {
		if u.running() {
			return fail("VBOX_E_INVALID_OBJECT_STATE", "Medium", "Medium '"+m.Path+"' is locked for writing by another task")
		}
	}
	if len(users) > 0 {
		return fail("VBOX_E_OBJECT_IN_USE", "Medium", fmt.Sprintf("Medium '%s' cannot be closed because it is still attached to %d virtual machines", m.Path, len(users)))
	}
	c.state.Media = slices.DeleteFunc(c.state.Media, func(x *medium) bool { return x == m })
	if o.values["--delete"] != "" {
		if err := remove(m.Path); err != nil {
			return fail("VBOX_E_FILE_ERROR", "Medium", err.Error())
		}
		return progressed("")
	}
	return Answer{}
}

// convertFromRaw makes a disk without making it known.
func (c *call) convertFromRaw(args []string) Answer {
	o := parse(args, map[string]int{"--format": 1, "--variant": 1, "--uuid": 1})
	if o.unknown != "" || len(o.rest) != 2 || o.values["--format"] != "VDI" {
		return c.syntax(2, "Unknown option: %s", o.unknown)
	}
	from, to := c.abs(o.rest[0]), c.abs(o.rest[1])
	info, err := os.Stat(from)
	if err != nil {
		return plain(1, "Cannot open file \"%s\": VERR_FILE_NOT_FOUND", from)
	}
	if _, err := os.Stat(to); err == nil {
		return plain(1, "Cannot create the disk image \"%s\": VERR_ALREADY_EXISTS", to)
	}
	d := vdi{UUID: computer.UUID(&c.state.Serial), MiB: max(1, info.Size()>>20), Of: filepath.Base(from)}
	if err := writeVDI(to, d); err != nil {
		return plain(1, "%v", err)
	}
	return Answer{Stderr: fmt.Sprintf("Converting from raw image file=\"%s\" to file=\"%s\"...\nCreating dynamic image with size %d bytes (%dMB)...\n",
		from, to, info.Size(), info.Size()>>20)}
}

func (c *call) media(kind string) string {
	var b strings.Builder
	for _, m := range c.state.Media {
		if m.Kind != kind {
			continue
		}
		status, kindText := "created", "Type:           readonly\n"
		if kind == "disk" {
			kindText = "Type:           normal (base)\n"
		}
		if _, err := os.Stat(m.Path); err != nil {
			status = "inaccessible"
		}
		parent := ""
		if kind == "disk" {
			parent = "Parent UUID:    base\n"
		}
		fmt.Fprintf(&b, "UUID:           %s\n%sState:          %s\n%sLocation:       %s\nStorage format: %s\nCapacity:       0 MBytes\nEncryption:     disabled\n\n",
			m.UUID, parent, status, kindText, m.Path, m.Format)
	}
	return b.String()
}
