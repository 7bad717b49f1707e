package virtualbox

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// callError is a call of VBoxManage that failed.
type callError struct {
	args []string
	exit int
	code string // such as VBOX_E_OBJECT_NOT_FOUND; may be empty
	text string // VBoxManage's own words
	kind error  // what it means; may be nil
}

func (e *callError) Error() string {
	what := e.args[0]
	if len(e.args) > 1 && !strings.HasPrefix(e.args[1], "-") {
		what += " " + e.args[1]
	}
	in := []string{fmt.Sprintf("exit %d", e.exit)}
	if e.code != "" {
		in = append([]string{e.code}, in...)
	}
	text := e.text
	if text == "" {
		text = "said nothing"
	}
	return fmt.Sprintf("VBoxManage %s: %s (%s)", what, text, strings.Join(in, ", "))
}

func (e *callError) Unwrap() error { return e.kind }

var codeWord = regexp.MustCompile(`\b[Cc]ode ((?:VBOX_E|NS_ERROR|E)_[A-Z_]+) \(0x[0-9a-f]+\)`)

// newCallError reads what VBoxManage says of a failure. It prints the reason in
// lines of "VBoxManage: error: ...", then details and a context of its own source;
// before them perhaps how far it came, and after a wrong option all of its help.
func newCallError(args []string, a answer) error {
	e := &callError{args: args, exit: a.exit}
	var said []string
	for _, line := range splitLines(a.stderr + "\n" + a.stdout) {
		line = strings.TrimSpace(line)
		if m := codeWord.FindStringSubmatch(line); m != nil && e.code == "" {
			e.code = m[1]
		}
		text, ok := strings.CutPrefix(line, "VBoxManage: error: ")
		if !ok {
			if text, ok = strings.CutPrefix(line, "VBoxManage.exe: error: "); !ok {
				continue
			}
		}
		if strings.HasPrefix(text, "Details: ") || strings.HasPrefix(text, "Context: ") || strings.Contains(text, "/src/VBox/") {
			continue
		}
		if text = strings.TrimSuffix(text, "."); len(said) == 0 || said[len(said)-1] != text {
			said = append(said, text)
		}
	}
	e.text = strings.Join(said, "; ")
	if e.text == "" {
		e.text = strings.TrimSpace(firstLine(a.stderr))
	}
	var advice string
	if e.kind, advice = meaning(e.code, e.text+" "+a.stderr); advice != "" {
		return &drivers.HintError{Err: e, Advice: advice}
	}
	return e
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// meaning says what a failure means to callers, and what to do about it.
func meaning(code, text string) (kind error, advice string) {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("Could not find a registered machine", "Could not find file for the medium"):
		return drivers.ErrNotFound, ""
	case has("VERR_VMX_NO_VMX", "VERR_SVM_NO_SVM", "VERR_VMX_MSR_ALL_VMX_DISABLED", "VERR_VMX_MSR_VMX_DISABLED",
		"VERR_SVM_DISABLED", "VERR_VMX_MSR_LOCKED_OR_DISABLED", "VERR_NEM_NOT_AVAILABLE", "VERR_NEM_VM_CREATE_FAILED"):
		return drivers.ErrUnsupported, adviceVTx
	case has("VERR_VMX_IN_VMX_ROOT_MODE", "VERR_SVM_IN_USE"):
		return drivers.ErrInUse, "another hypervisor has the processor's virtualization, such as KVM or Hyper-V: stop its virtual machines, " +
			"on Linux unload its module (sudo modprobe -r kvm_intel or kvm_amd)"
	case has("VERR_VM_DRIVER_NOT_INSTALLED", "VERR_SUP_DRIVERLESS", "VERR_VM_DRIVER_VERSION_MISMATCH", "VERR_VM_DRIVER_LOAD_ERROR",
		"VERR_VM_DRIVER_NOT_ACCESSIBLE", "/dev/vboxnetctl", "/dev/vboxdrv", "rc=-1908"):
		return drivers.ErrUnsupported, adviceKernel
	case has("EnableStaticIPConfig") && code == "E_ACCESSDENIED":
		return drivers.ErrPermission, "VirtualBox refuses this range: allow it in /etc/vbox/networks.conf, or leave --virtualbox-hostonly-cidr out"
	case has("VERR_NO_MEMORY", "VERR_EM_NO_MEMORY", "VERR_GMM_HIT_VM_ACCOUNT_LIMIT"):
		return drivers.ErrCapacity, "give less with --virtualbox-memory, or stop other virtual machines"
	case has("VERR_DISK_FULL", "No space left"):
		return drivers.ErrCapacity, "free space on the disk that holds the machines' folder"
	case isLocked(text):
		return drivers.ErrInUse, adviceLocked
	}
	return nil, ""
}

const (
	adviceVTx = "switch on VT-x or AMD-V (SVM) in the firmware setup of this computer; in a virtual machine, nested virtualization at its host; " +
		"on Windows, if Hyper-V has it, switch on the feature Windows Hypervisor Platform, by which VirtualBox can run, use -d hyperv, " +
		"or switch Hyper-V off. --virtualbox-no-vtx-check goes on in spite of it"
	adviceKernel = "load VirtualBox's kernel modules: on Linux sudo /sbin/vboxconfig or sudo modprobe -a vboxdrv vboxnetadp vboxnetflt " +
		"(install virtualbox-dkms and the kernel's headers, and sign the modules for Secure Boot); on macOS allow Oracle's extension in Privacy & Security; on Windows repair the installation"
	adviceLocked = "close its window and its settings in VirtualBox, and try again"
)

// isLocked tells whether a session of somebody else has a virtual machine. There
// are three wordings of it.
func isLocked(text string) bool {
	for _, w := range []string{
		"is already locked by a session", "is already locked for a session", "while it is locked", "is locked for writing by another task",
		"is locked for reading by another task", "Failed to lock source media",
	} {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// callText returns what VBoxManage said, if err is from it.
func callText(err error) string {
	var e *callError
	if errors.As(err, &e) {
		return e.text
	}
	return ""
}

// callCode returns VirtualBox's code of an error, if it has one.
func callCode(err error) string {
	var e *callError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

// gone tells whether what a call was about does not exist.
func gone(err error) bool { return errors.Is(err, drivers.ErrNotFound) }

// notRunning tells whether a call was refused because the machine does not run.
func notRunning(err error) bool { return strings.Contains(callText(err), "is not currently running") }

// busy tells whether a call was refused because another session has the machine or
// the medium, which may end soon.
func busy(err error) bool {
	return errors.Is(err, drivers.ErrInUse) && isLocked(callText(err))
}
