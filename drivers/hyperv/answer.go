package hyperv

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// answer is a line from PowerShell.
type answer struct {
	ID    int             `json:"id"`
	OK    bool            `json:"ok"`
	Value json.RawMessage `json:"value"`
	Error *failure        `json:"error"`
}

// failure is what PowerShell knows of an error.
type failure struct {
	Kind     string `json:"kind"`     // the script's own word for it; may be empty
	Category string `json:"category"` // such as PermissionDenied
	FQID     string `json:"fqid"`     // such as AccessDenied,Microsoft.HyperV.PowerShell.Commands.GetVM
	Type     string `json:"type"`     // of the exception
	HResult  string `json:"hresult"`  // such as 800705AA
	Message  string `json:"message"`  // in the language of this Windows
}

// parseAnswer reads a line. Lines that are no answers are not ok.
func parseAnswer(line []byte) (a answer, ok bool) {
	if err := json.Unmarshal(line, &a); err != nil || a.ID == 0 {
		return answer{}, false
	}
	if a.OK {
		a.Error = nil
		return a, true
	}
	if a.Error == nil {
		a.Error = &failure{}
	}
	return a, true
}

// probe is what this computer is.
type probe struct {
	PowerShell  string `json:"powershell"`
	Windows     string `json:"windows"`
	Admin       bool   `json:"admin"`
	HyperVAdmin bool   `json:"hyperVAdmin"` // an administrator, or in the group Hyper-V Administrators
	Module      bool   `json:"module"`
	Service     string `json:"service"` // of vmms; empty: there is none
	Hypervisor  bool   `json:"hypervisor"`
	Processors  int    `json:"processors"`
	Memory      int64  `json:"memory"` // in bytes
}

// vm is a virtual machine.
type vm struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Status     string    `json:"status"`
	Generation int       `json:"generation"`
	Notes      string    `json:"notes"`
	Path       string    `json:"path"`
	Adapters   []adapter `json:"adapters"`
}

type adapter struct {
	MAC        string   `json:"mac"` // such as 00155D0A0B0C
	Switch     string   `json:"switch"`
	SwitchID   string   `json:"switchId"`
	Addresses  []string `json:"addresses"`  // that the guest tells
	Neighbours []string `json:"neighbours"` // that this computer has heard of
}

// vswitch is a virtual switch.
type vswitch struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Type      string   `json:"type"` // External, Internal or Private
	Notes     string   `json:"notes"`
	Addresses []string `json:"addresses"` // of this computer on it, with prefixes
}

// nat is a range whose addresses Windows translates.
type nat struct {
	Name   string `json:"name"`
	Subnet string `json:"subnet"`
}

// stateOf says what one of Hyper-V's states is.
func stateOf(state string) drivers.State {
	switch state {
	case "Running":
		return drivers.Running
	case "Off", "Hibernated":
		return drivers.Stopped
	case "Saved", "FastSaved":
		return drivers.Saved
	case "Paused":
		return drivers.Paused
	case "Starting", "Resuming", "Reset", "ForceReboot":
		return drivers.Starting
	case "Stopping", "Saving", "FastSaving", "Pausing", "ForceShutdown":
		return drivers.Stopping
	}
	return drivers.Error // the critical ones: its disk or its memory is out of reach
}

// address returns where a virtual machine is, by the adapter of a MAC address or the
// first one: as the guest tells, else as this computer heard. Empty: unknown.
func (v vm) address(mac string) string {
	for _, a := range v.Adapters {
		if mac != "" && !strings.EqualFold(a.MAC, mac) {
			continue
		}
		for _, list := range [][]string{a.Addresses, a.Neighbours} {
			for _, text := range list {
				if ip, err := netip.ParseAddr(text); err == nil && ip.Is4() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified() {
					return ip.String()
				}
			}
		}
	}
	return ""
}

// hasMAC tells whether an adapter of a virtual machine has a MAC address.
func (v vm) hasMAC(mac string) bool {
	for _, a := range v.Adapters {
		if strings.EqualFold(a.MAC, mac) {
			return true
		}
	}
	return false
}

// inFolder tells whether a path of Windows is folder or in it.
func inFolder(path, folder string) bool {
	p, f := plainPath(path), plainPath(folder)
	return f != "" && (p == f || strings.HasPrefix(p, f+"/"))
}

// plainPath writes a path of Windows such that equal ones are the same.
func plainPath(path string) string {
	return strings.TrimSuffix(strings.ToLower(strings.ReplaceAll(path, `\`, "/")), "/")
}
