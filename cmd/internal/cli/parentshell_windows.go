package cli

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// parentShell asks Windows which shell started this program; cmd if it is none that is known.
func parentShell() string {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return "cmd"
	}
	defer windows.CloseHandle(snapshot) //nolint:errcheck // read only
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	parent := uint32(os.Getppid())
	for err := windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if entry.ProcessID != parent {
			continue
		}
		name := strings.ToLower(windows.UTF16ToString(entry.ExeFile[:]))
		for _, known := range []string{"powershell", "pwsh", "bash", "zsh", "fish"} {
			if strings.HasPrefix(name, known) {
				return known
			}
		}
	}
	return "cmd"
}
