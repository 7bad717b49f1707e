package hyperv

import (
	"errors"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
)

// TestMeaning has failures as PowerShell tells them, also in the language of another
// Windows, where only the codes are known.
func TestMeaning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f      failure
		kind   error
		advice string
	}{
		"no module": {failure{Category: "ObjectNotFound", FQID: "CommandNotFoundException", Message: "The term 'Get-VM' is not recognized"}, drivers.ErrUnreachable, "Enable-WindowsOptionalFeature"},
		"no module, by loading": {failure{Category: "ObjectNotFound", FQID: "CouldNotAutoloadMatchingModule", Message: "The 'Get-VM' command was found in the module 'Hyper-V', but the module could not be loaded."},
			drivers.ErrUnreachable, "Enable-WindowsOptionalFeature"},
		"no rights": {failure{Category: "PermissionDenied", FQID: "AccessDenied,Microsoft.HyperV.PowerShell.Commands.GetVM", Message: "Sie verfügen nicht über die erforderliche Berechtigung"},
			drivers.ErrPermission, "S-1-5-32-578"},
		"no rights, and nothing shown": {failure{Kind: "denied", Message: "Hyper-V shows no virtual machines to this user."}, drivers.ErrPermission, "S-1-5-32-578"},
		"no rights, cim":               {failure{Category: "PermissionDenied", FQID: "Windows System Error 5,New-NetNat", Message: "Zugriff verweigert "}, drivers.ErrPermission, "administrator"},
		"service stopped":              {failure{Category: "ObjectNotFound", FQID: "ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.GetVM", Message: "Das Objekt wurde nicht gefunden."}, drivers.ErrUnreachable, "Start-Service vmms"},
		"hypervisor":                   {failure{FQID: "OperationFailed,Microsoft.HyperV.PowerShell.Commands.StartVM", Message: "Virtual machine 'm1' could not be started because the hypervisor is not running."}, drivers.ErrUnsupported, "hypervisorlaunchtype"},
		"hypervisor, by code": {failure{FQID: "OperationFailed,Microsoft.HyperV.PowerShell.Commands.StartVM", Message: "m1 konnte nicht gestartet werden (0xC0351000)."},
			drivers.ErrUnsupported, "hypervisorlaunchtype"},
		"memory": {failure{Message: "'m1' failed to start. Not enough memory in the system to start the virtual machine m1."}, drivers.ErrCapacity, "--hyperv-memory"},
		"memory, by code": {failure{Message: "Nicht genügend Systemressourcen (0x800705AA)."},
			drivers.ErrCapacity, "--hyperv-memory"},
		"disk full": {failure{Message: "There is not enough space on the disk. (0x80070070)"}, drivers.ErrCapacity, "free space"},
		"sparse": {failure{Message: "The requested operation could not be completed due to a virtual disk system limitation. Virtual hard disk files must be uncompressed and unencrypted and must not be sparse. (0xC03A001A)"},
			drivers.ErrUnsupported, "compression"},
		"used":          {failure{Message: "The process cannot access the file because it is being used by another process. (0x80070020)"}, drivers.ErrInUse, "virus scanner"},
		"gone":          {failure{Kind: "notfound", Message: "Hyper-V was unable to find a virtual machine with id x."}, drivers.ErrNotFound, ""},
		"switch used":   {failure{Kind: "inuse", Message: "The switch is used."}, drivers.ErrInUse, ""},
		"anything else": {failure{Category: "ObjectNotFound", FQID: "ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.StartVM", Message: "?"}, nil, ""},
	} {
		err := newCallError("op", c.f)
		if hint := vmtest.HintOf(err); c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(hint, c.advice) || c.advice == "" && hint != "" {
			t.Errorf("%s: got %v (%s), want %v", name, err, hint, c.kind)
		}
		if c.kind == nil && errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("%s: taken for gone", name)
		}
		if !strings.Contains(err.Error(), strings.TrimSpace(c.f.Message)) || !strings.Contains(err.Error(), c.f.FQID) {
			t.Errorf("%s: %q lacks Hyper-V's own words", name, err)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]drivers.State{
		"Running": drivers.Running, "Off": drivers.Stopped, "Saved": drivers.Saved, "FastSaved": drivers.Saved, "Paused": drivers.Paused,
		"Starting": drivers.Starting, "Stopping": drivers.Stopping, "Saving": drivers.Stopping, "Resuming": drivers.Starting,
		"RunningCritical": drivers.Error, "OffCritical": drivers.Error, "Other": drivers.Error, "": drivers.Error,
	} {
		if got := stateOf(state); got != want {
			t.Errorf("%q is %s, want %s", state, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	v := vm{Adapters: []adapter{
		{MAC: "00155D000001", Addresses: []string{"192.0.2.1"}},
		{MAC: "00155D000002", Addresses: []string{"fe80::1", "169.254.7.7", "x"}, Neighbours: []string{"192.0.2.2", "192.0.2.3"}},
	}}
	for mac, want := range map[string]string{"": "192.0.2.1", "00155d000002": "192.0.2.2", "00155D000003": ""} {
		if got := v.address(mac); got != want {
			t.Errorf("%q is at %q, want %q", mac, got, want)
		}
	}
}

func TestMAC(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "00:15:5d:01:02:0a": "00155D01020A", "00-15-5D-01-02-0a": "00155D01020A", "00155d01020a": "00155D01020A", "0015.5d01.020a": "00155D01020A",
		"00155d01020": "?", "01155d01020a": "?", "00:00:00:00:00:00": "?", "$(x)": "?",
	} {
		got, err := parseMAC(text)
		if err != nil {
			got = "?"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := localvm.Colons(localvm.NewMAC("00155D")); !strings.HasPrefix(got, "00:15:5d:") || len(got) != 17 {
		t.Errorf("%q", got)
	}
}
