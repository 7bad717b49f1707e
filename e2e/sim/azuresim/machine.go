package azuresim

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hostsmith/machine/e2e/sim/host"
)

var (
	computerName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$`)
	userName     = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$`)
)

// checkMachine completes a virtual machine, or refuses it.
func (c *Cloud) checkMachine(k *call, m model, old *record) *armError {
	vm := m.(*virtualMachine)
	p := vm.Properties
	if p == nil {
		return missing("properties", vm.ID)
	}
	if old != nil {
		return c.checkChange(vm, old.model.(*virtualMachine))
	}
	switch {
	case p.HardwareProfile == nil || p.HardwareProfile.VMSize == "":
		return required("hardwareProfile.vmSize")
	case p.StorageProfile == nil || p.StorageProfile.ImageReference == nil:
		return required("storageProfile.imageReference")
	case p.OSProfile == nil:
		return required("osProfile")
	case p.NetworkProfile == nil || len(p.NetworkProfile.NetworkInterfaces) == 0:
		return required("networkProfile.networkInterfaces")
	case len(p.StorageProfile.DataDisks) > 0 || len(p.OSProfile.Secrets) > 0 || len(vm.Resources) > 0:
		return notSimulated("data disks, secrets or extensions of a virtual machine")
	}
	p.VMID, p.TimeCreated, p.InstanceView = newID(), now(), nil
	for _, check := range []func(*call, *virtualMachine) *armError{c.checkOS, c.checkSize, c.checkImage, c.checkSecurity, c.checkOSDisk, c.checkPlacement, c.checkSpot, c.checkInterfaces} {
		if err := check(k, vm); err != nil {
			return err
		}
	}
	return nil
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z07:00") }

func required(what string) *armError {
	e := refuse(400, "InvalidParameter", "Required parameter '%s' is missing (null).", what)
	e.Target = what
	return e
}

func invalid(what, format string, args ...any) *armError {
	e := refuse(400, "InvalidParameter", format, args...)
	e.Target = what
	return e
}

// checkChange allows a machine that exists to be put again with other tags alone.
func (c *Cloud) checkChange(vm, was *virtualMachine) *armError {
	p, w := vm.Properties, was.Properties
	switch {
	case p.HardwareProfile != nil && !strings.EqualFold(p.HardwareProfile.VMSize, w.HardwareProfile.VMSize):
		return notSimulated("a change of a virtual machine's size")
	case p.OSProfile != nil && p.OSProfile.CustomData != "" && p.OSProfile.CustomData != w.OSProfile.CustomData:
		return unchangeable("customData")
	case p.OSProfile != nil && p.OSProfile.AdminUsername != w.OSProfile.AdminUsername:
		return unchangeable("osProfile.adminUsername")
	case p.StorageProfile != nil && p.StorageProfile.ImageReference != nil && p.StorageProfile.ImageReference.SKU != w.StorageProfile.ImageReference.SKU:
		return unchangeable("imageReference")
	case p.NetworkProfile != nil && (len(p.NetworkProfile.NetworkInterfaces) != 1 || !strings.EqualFold(p.NetworkProfile.NetworkInterfaces[0].ID, w.NetworkProfile.NetworkInterfaces[0].ID)):
		return notSimulated("a change of a virtual machine's network interfaces")
	}
	vm.Properties, vm.Zones, vm.Plan = copyOf(was).Properties, was.Zones, was.Plan
	return nil
}

func unchangeable(what string) *armError {
	e := refuse(http.StatusConflict, "PropertyChangeNotAllowed", "Changing property '%s' is not allowed.", what)
	e.Target = what
	return e
}

// checkOS checks names, keys and custom data.
func (c *Cloud) checkOS(_ *call, vm *virtualMachine) *armError {
	o := vm.Properties.OSProfile
	l := o.LinuxConfiguration
	switch {
	case !computerName.MatchString(o.ComputerName) || strings.Trim(o.ComputerName, "0123456789") == "":
		return invalid("osProfile.computerName", "Linux host name cannot exceed 64 characters in length or contain the following characters: ` ~ ! @ # $ %% ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?.")
	case !userName.MatchString(o.AdminUsername):
		return invalid("adminUsername", "The Admin Username specified is not allowed.")
	case slices.Contains([]string{"admin", "administrator", "root", "test", "guest", "user", "user1", "user2", "a", "1", "123", "aspnet", "backup", "console", "david", "john", "owner", "server", "sql", "support", "sys", "test1", "test2", "test3", "actuser", "adm", "admin1", "admin2", "support_388945a0"}, lower(o.AdminUsername)):
		return invalid("adminUsername", "The Admin Username specified is not allowed.")
	case o.AdminPassword != "" || l == nil || !l.DisablePasswordAuthentication:
		return notSimulated("log-in with a password")
	case l.SSH == nil || len(l.SSH.PublicKeys) == 0:
		return invalid("linuxConfiguration.ssh.publicKeys", "Authentication using either SSH or by user name and password must be enabled in Linux profile.")
	case o.RequireGuestProvisionSignal != nil && !*o.RequireGuestProvisionSignal:
		return notSimulated("requireGuestProvisionSignal false")
	}
	for _, key := range l.SSH.PublicKeys {
		if want := "/home/" + o.AdminUsername + "/.ssh/authorized_keys"; key.Path != want {
			return invalid("linuxConfiguration.ssh.publicKeys.path", "Destination path for SSH public keys is currently limited to its default value %s  due to a known issue in Linux provisioning agent.", want)
		}
		if !acceptsKey(key.KeyData) {
			return invalid("linuxConfiguration.ssh.publicKeys.keyData", "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.")
		}
	}
	if data, err := base64.StdEncoding.DecodeString(o.CustomData); err != nil || len(data) > 65535 {
		return invalid("customData", "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.")
	}
	return nil
}

// acceptsKey tells whether Azure takes a key: RSA of 2048 bits at least, or Ed25519.
func acceptsKey(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "ssh-rsa" && fields[0] != "ssh-ed25519" {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	return err == nil && (fields[0] == "ssh-ed25519" && len(blob) == 51 || len(blob) > 4+7+4+1+4+255)
}

// checkInterfaces checks that a machine may have its interface, and that no other has it.
func (c *Cloud) checkInterfaces(k *call, vm *virtualMachine) *armError {
	refs := vm.Properties.NetworkProfile.NetworkInterfaces
	if len(refs) > 1 {
		return notSimulated("several network interfaces of a virtual machine")
	}
	nic, err := linked[*networkInterface](c, k, &vm.header, refs[0].ID, "join")
	if err != nil {
		return err
	}
	if other := c.machineWith(nic.ID); other != nil {
		return refuse(http.StatusConflict, "NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", nic.ID, other.ID)
	}
	if p := refs[0].Properties; p != nil && !oneOf(p.DeleteOption, "", "Delete", "Detach") {
		return invalid("deleteOption", "The value '%s' of parameter 'deleteOption' is invalid.", p.DeleteOption)
	}
	if size, _ := sizeOf(vm.Properties.HardwareProfile.VMSize); nic.Properties.EnableAcceleratedNetworking && !size.accelerated {
		return refuse(http.StatusConflict, "VMSizeIsNotPermittedToEnableAcceleratedNetworking", "VM size %s specified for VM %s is not permitted to enable accelerated networking on network interface %s.", size.name, vm.ID, nic.ID)
	}
	return nil
}

func oneOf(s string, of ...string) bool { return slices.Contains(of, s) }

// launchMachine boots a machine that is new or that failed to, and settles others.
func (c *Cloud) launchMachine(k *call, rec *record, isNew bool) *operation {
	if !isNew && rec.power != "" {
		return c.begin(k, rec, "Put", nil, c.settle(rec))
	}
	vm := rec.model.(*virtualMachine)
	spec := c.spec(vm)
	code := c.scarce[lower(vm.Properties.HardwareProfile.VMSize)]
	c.makeDisk(vm)
	rec.power = "starting"
	return c.begin(k, rec, "Put", func(ctx context.Context) error {
		if code != "" {
			return allocationFailed(code)
		}
		return c.config.Hosts.Launch(ctx, spec)
	}, func(err *armError) {
		if rec.power = "running"; err != nil {
			rec.power = ""
		}
		c.settle(rec)(err)
		c.fail(vm.ID, err)
	})
}

func allocationFailed(code string) *armError {
	text := "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance"
	if code == "ZonalAllocationFailed" {
		text = "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance"
	}
	return refuse(http.StatusConflict, code, "%s", text)
}

// spec tells what the host behind a machine is like.
func (c *Cloud) spec(vm *virtualMachine) host.Spec {
	o := vm.Properties.OSProfile
	data, _ := base64.StdEncoding.DecodeString(o.CustomData) // was checked
	s := host.Spec{ID: vm.Properties.VMID, Hostname: o.ComputerName, User: o.AdminUsername, UserData: data}
	for _, key := range o.LinuxConfiguration.SSH.PublicKeys {
		s.Keys = append(s.Keys, strings.TrimSpace(key.KeyData))
	}
	nic, _, _ := lookup[*networkInterface](c, vm.Properties.NetworkProfile.NetworkInterfaces[0].ID)
	s.Private, _ = netip.ParseAddr(nic.Properties.primary().Properties.PrivateIPAddress)
	s.Public = c.publicOf(nic)
	return s
}

// removeMachine deletes a machine with those of its parts that are to go with it.
func (c *Cloud) removeMachine(k *call, rec *record) *operation {
	vm := rec.model.(*virtualMachine)
	id := vm.Properties.VMID
	return c.begin(k, rec, "Delete", func(ctx context.Context) error {
		return c.config.Hosts.Remove(ctx, id)
	}, func(err *armError) {
		if err != nil {
			c.settle(rec)(err)
			return
		}
		c.erase(rec)
	})
}

// eraseParts takes the parts of a machine out of the store that are to go with
// it, and lets go of the others.
func (c *Cloud) eraseParts(vm *virtualMachine) {
	for _, r := range vm.Properties.NetworkProfile.NetworkInterfaces {
		if rec := c.store[lower(r.ID)]; rec != nil && r.Properties != nil && r.Properties.DeleteOption == "Delete" {
			c.erase(rec)
			c.eraseAddresses(rec.model.(*networkInterface))
		}
	}
	d := vm.Properties.StorageProfile.OSDisk
	rec := c.store[lower(d.ManagedDisk.ID)]
	switch {
	case rec == nil:
	case d.DeleteOption == "Delete":
		c.erase(rec)
	default:
		disk := rec.model.(*disk)
		disk.ManagedBy, disk.Properties.DiskState = "", "Unattached"
	}
}
