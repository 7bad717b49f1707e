package hyperv

import (
	"cmp"
	"errors"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// callError is an operation that PowerShell refused.
type callError struct {
	op   string
	f    failure
	kind error // what it means; may be nil
}

func (e *callError) Error() string {
	in := []string{}
	// Of an error that the script itself tells, the id is the message again.
	for _, word := range []string{cmp.Or(e.f.Kind, e.f.FQID), e.f.Category, e.f.HResult} {
		if word != "" {
			in = append(in, word)
		}
	}
	text := strings.Join(strings.Fields(e.f.Message), " ")
	if text == "" {
		text = "no reason given"
	}
	if len(in) > 0 {
		text += " (" + strings.Join(in, ", ") + ")"
	}
	return "Hyper-V " + e.op + ": " + text
}

func (e *callError) Unwrap() error { return e.kind }

func newCallError(op string, f failure) error {
	e := &callError{op: op, f: f}
	var advice string
	if e.kind, advice = meaning(f); advice != "" {
		return &drivers.HintError{Err: e, Advice: advice}
	}
	return e
}

// meaning says what a failure means to callers, and what to do about it. Messages
// are in the language of this Windows, so they are looked at last.
func meaning(f failure) (kind error, advice string) {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(f.Message, w) {
				return true
			}
		}
		return false
	}
	code := func(codes ...string) bool {
		for _, c := range codes {
			if strings.EqualFold(f.HResult, c) || strings.Contains(strings.ToUpper(f.Message), "0X"+c) {
				return true
			}
		}
		return false
	}
	switch {
	case f.Kind == "notfound":
		return drivers.ErrNotFound, ""
	case f.Kind == "inuse":
		return drivers.ErrInUse, ""
	case strings.HasPrefix(f.FQID, "CommandNotFoundException"), strings.HasPrefix(f.FQID, "CouldNotAutoloadMatchingModule"):
		return drivers.ErrUnreachable, adviceModule
	case f.Kind == "denied", f.Category == "PermissionDenied", strings.HasPrefix(f.FQID, "AccessDenied"), code("80070005"),
		has("do not have the required permission", "Access is denied", "requires elevation"):
		return drivers.ErrPermission, adviceAdmin
	case f.FQID == "ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.GetVM", // it is asked for all, so nothing else can be missing
		has("Verify that the Virtual Machine Management service"):
		return drivers.ErrUnreachable, adviceService
	case code("C0351000"), has("hypervisor is not running"):
		return drivers.ErrUnsupported, adviceHypervisor
	case code("800705AA", "8007000E"), has("Not enough memory", "ran out of memory"):
		return drivers.ErrCapacity, "give less with --hyperv-memory, or stop other virtual machines and programs"
	case code("80070070"), has("not enough space on the disk"):
		return drivers.ErrCapacity, "free space on the drive that holds the machines' folder"
	case code("C03A001A"), has("must not be sparse", "virtual disk system limitation"):
		return drivers.ErrUnsupported, "Hyper-V takes no disks in compressed, encrypted or sparse files: switch NTFS compression and encryption off for the store's folder, or move the store with --storage-path"
	case f.Category == "ResourceBusy", has("being used by another process", "is currently in use"), code("80070020"):
		return drivers.ErrInUse, "close what has it open, such as the virtual machine's settings, a backup or a virus scanner, and try again"
	}
	return nil, ""
}

const (
	adviceModule = "switch Hyper-V on, with its PowerShell module: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All " +
		"as an administrator, on Windows Server Install-WindowsFeature Hyper-V -IncludeManagementTools, and restart Windows. " +
		"Windows Home has no Hyper-V: there, -d virtualbox or -d qemu"
	adviceAdmin = "run this as an administrator, or add yourself to the group Hyper-V Administrators once and sign in again: " +
		"Add-LocalGroupMember -SID S-1-5-32-578 -Member $env:USERNAME as an administrator"
	adviceService    = "start Hyper-V's service as an administrator: Start-Service vmms"
	adviceHypervisor = "switch on virtualization in the firmware setup of this computer and have Windows start the hypervisor: " +
		"bcdedit /set hypervisorlaunchtype auto as an administrator, then restart; in a virtual machine, its host must allow nested virtualization"
)

// gone tells whether what a call was about does not exist.
func gone(err error) bool { return errors.Is(err, drivers.ErrNotFound) }

// busy tells whether something is used by another program, which may end soon.
func busy(err error) bool { return errors.Is(err, drivers.ErrInUse) }

// message returns what Hyper-V said, if err is from it.
func message(err error) string {
	var e *callError
	if errors.As(err, &e) {
		return e.f.Message
	}
	return ""
}
