package virtualbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestErrors reads all refusals that were recorded.
func TestErrors(t *testing.T) {
	t.Parallel()
	want := map[string]struct {
		kind error
		text string
	}{
		"errors/showvminfo nosuch": {drivers.ErrNotFound, "Could not find a registered machine named 'nosuch' (VBOX_E_OBJECT_NOT_FOUND, exit 1)"},
		"errors/storageattach other --storagectl SATA --port 0 --device 0 --type dvddrive --medium /nonexistent.iso": {drivers.ErrNotFound, `Could not find file for the medium '/nonexistent.iso' (VERR_FILE_NOT_FOUND); Invalid UUID or filename "/nonexistent.iso" (VBOX_E_FILE_ERROR, exit 1)`},
		"errors/storagectl default":                                              {nil, "Storage controller named 'SATA' already exists (VBOX_E_OBJECT_IN_USE"},
		"errors/modifyvm default --bogus":                                        {nil, "Unknown option: --bogus (exit 1)"},
		"errors/modifyvm default --cpus 65":                                      {nil, "Invalid virtual CPU count: 65 (must be in range [1, 64])"},
		"errors/createmedium disk":                                               {nil, "Failed to create medium; Could not create the medium storage unit"},
		"errors/startvm other":                                                   {nil, "opening image file '/home/user/.docker/machine/machines/default/tmp.iso' (VERR_FILE_NOT_FOUND)"},
		"errors/bogus":                                                           {nil, "Invalid command 'bogus' (exit 2)"},
		"errors/createvm":                                                        {nil, "VBoxManage createvm: said nothing (exit 1)"},
		"running-state/startvm default":                                          {drivers.ErrInUse, "is already locked by a session (or being locked or unlocked)"},
		"running-state/modifyvm default":                                         {drivers.ErrInUse, "is already locked for a session"},
		"running-state/unregistervm default":                                     {drivers.ErrInUse, "Cannot unregister the machine 'default' while it is locked"},
		"running-state/closemedium":                                              {drivers.ErrInUse, "is locked for writing by another task"},
		"running-state/clonemedium":                                              {drivers.ErrInUse, "Failed to lock source media"},
		"running-state/controlvm default poweroff":                               {nil, "Machine 'default' is not currently running (exit 1)"},
		"startvm-driverless/startvm default":                                     {drivers.ErrUnsupported, "Driverless mode (VERR_SUP_DRIVERLESS)"},
		"hostonly-nodriver/hostonlyif create":                                    {drivers.ErrUnsupported, "failed to open /dev/vboxnetctl"},
		"hostonly-nodriver/dhcpserver remove":                                    {nil, "Failed to find DHCP server for network"},
		"hostonly-nodriver/dhcpserver add":                                       {nil, "DHCP server already exists (exit 2)"},
		"settings-and-extradata/unregistervm":                                    {nil, "The object is not ready (E_ACCESSDENIED"},
		"settings-and-extradata/showvminfo 11111111-2222-4333-8444-777777777777": {nil, "The object functionality is limited (E_ACCESSDENIED"},
	}
	seen := map[string]bool{}
	for file, all := range recordings(t) {
		for _, r := range all {
			exit, err := strconv.Atoi(r.exit)
			if err != nil || exit == 0 || strings.HasPrefix(r.command, "help") {
				continue
			}
			e := newCallError(strings.Fields(r.command), answer{r.stdout, r.stderr, exit})
			if text := e.Error(); strings.Contains(text, "Details:") || strings.Contains(text, "Context:") || strings.Contains(text, "\n") || len(text) > 700 {
				t.Errorf("%s: %s", r.command, text)
			}
			for key, w := range want {
				if !strings.HasPrefix(file+"/"+r.command, key) {
					continue
				}
				if strings.Contains(e.Error(), w.text) && (w.kind == nil || errors.Is(e, w.kind)) {
					seen[key] = true
				}
			}
		}
	}
	for key, w := range want {
		if !seen[key] {
			t.Errorf("%s: no refusal says %q and is %v", key, w.text, w.kind)
		}
	}
}

// TestHints demands advice with what a user can do something about.
func TestHints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stderr string
		kind   error
		advice string
	}{
		{"VBoxManage: error: VT-x is disabled in the BIOS for all CPU modes (VERR_VMX_MSR_ALL_VMX_DISABLED)", drivers.ErrUnsupported, "VT-x"},
		{"VBoxManage: error: AMD-V is being used by another hypervisor (VERR_SVM_IN_USE).", drivers.ErrInUse, "KVM"},
		{"VBoxManage: error: The virtual machine kernel module is not loaded (VERR_VM_DRIVER_NOT_INSTALLED)", drivers.ErrUnsupported, "vboxconfig"},
		{"VBoxManage: error: Code E_ACCESSDENIED (0x80070005) - Access denied (extended info not available)\nVBoxManage: error: Context: \"EnableStaticIPConfig(Bstr(pszIp).raw(), Bstr(pszNetmask).raw())\" at line 242", drivers.ErrPermission, "/etc/vbox/networks.conf"},
		{"VBoxManage: error: The machine 'm' is already locked for a session (or being unlocked)", drivers.ErrInUse, "close its window"},
		{"VBoxManage: error: Write failed (VERR_DISK_FULL)", drivers.ErrCapacity, "free space"},
		{"VBoxManage.exe: error: Could not find a registered machine named 'x'\r\nVBoxManage.exe: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component VirtualBoxWrap\r\n", drivers.ErrNotFound, ""},
	} {
		err := fmt.Errorf("make: %w", newCallError([]string{"x"}, answer{stderr: c.stderr, exit: 1}))
		var hint *drivers.HintError
		errors.As(err, &hint)
		if !errors.Is(err, c.kind) || (hint == nil) != (c.advice == "") || hint != nil && !strings.Contains(hint.Advice, c.advice) {
			t.Errorf("%s: got %v with advice %v", c.stderr, err, hint)
		}
	}
}
