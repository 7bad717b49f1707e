package qemu

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// flash is a UEFI firmware and the variables that it begins with.
type flash struct{ code, vars string }

// flashes are where systems keep firmware for a guest, in the order of preference.
// binary is the path of QEMU.
func flashes(host, arch, binary string) []flash {
	all := besides(host, arch, binary)
	if host == "linux" {
		all = append(linuxFlashes(arch), all...)
	}
	return all
}

func linuxFlashes(arch string) []flash {
	if arch == "arm64" {
		return []flash{
			{"/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                     // Debian
			{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                                // Debian, Ubuntu
			{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"}, // Fedora, RHEL
			{"/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"},                    // Arch
			{"/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"},                // openSUSE
		}
	}
	return []flash{
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},             // Debian, Ubuntu
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},                   // earlier ones
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},         // Fedora, RHEL
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},     // Arch
		{"/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"}, // earlier ones
		{"/usr/share/edk2/OvmfX64/OVMF_CODE.fd", "/usr/share/edk2/OvmfX64/OVMF_VARS.fd"},   // Gentoo
		{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},   // openSUSE
	}
}

// besides is the firmware that comes with QEMU itself, where its installations put it.
func besides(host, arch, binary string) []flash {
	dir := folder(binary, host)
	var shares []string
	switch host {
	case "windows":
		shares = []string{dir + `\share`, `C:\Program Files\qemu\share`}
	case "darwin":
		shares = []string{dir + "/../share/qemu", "/opt/homebrew/share/qemu", "/usr/local/share/qemu", "/opt/local/share/qemu"}
	default:
		shares = []string{dir + "/../share/qemu", "/usr/share/qemu"}
	}
	separator := "/"
	if host == "windows" {
		separator = `\`
	}
	code, vars := "edk2-x86_64-code.fd", "edk2-i386-vars.fd"
	if arch == "arm64" {
		code, vars = "edk2-aarch64-code.fd", "edk2-arm-vars.fd"
	}
	var all []flash
	for _, s := range slices.Compact(shares) {
		if host != "windows" {
			s = filepath.Clean(s)
		}
		all = append(all, flash{s + separator + code, s + separator + vars})
	}
	return all
}

// folder is that of a path on a system that need not be this one.
func folder(path, host string) string {
	separators := "/"
	if host == "windows" {
		separators = `/\`
	}
	if i := strings.LastIndexAny(path, separators); i > 0 {
		return path[:i]
	}
	return "."
}

// findFlash returns the firmware that is there.
func findFlash(host, arch, binary string, exists func(string) bool) (flash, error) {
	all := flashes(host, arch, binary)
	for _, f := range all {
		if exists(f.code) && exists(f.vars) {
			return f, nil
		}
	}
	return flash{}, &drivers.HintError{
		Err:    fmt.Errorf("%w: there is no UEFI firmware for %s guests here, such as %s", drivers.ErrUnsupported, arch, all[0].code),
		Advice: "install it: " + firmwarePackage(host, arch),
	}
}

func firmwarePackage(host, arch string) string {
	switch {
	case host == "darwin":
		return "brew install qemu"
	case host == "windows":
		return "QEMU's installer has it, see https://www.qemu.org/download/#windows"
	case arch == "arm64":
		return "sudo apt-get install qemu-efi-aarch64, on Fedora sudo dnf install edk2-aarch64"
	}
	return "sudo apt-get install ovmf, on Fedora sudo dnf install edk2-ovmf"
}

// chooseFirmware says what boots an image that is known to boot with some. An
// image of one's own says nothing of it: most of today boot with UEFI.
func chooseFirmware(c Config, arch string, image []string, haveUEFI bool) string {
	switch {
	case c.Kernel != "":
		return kernel
	case c.Firmware != auto:
		return c.Firmware
	case arch == "arm64":
		return uefi
	case slices.Contains(image, bios):
		return bios
	case len(image) > 0, haveUEFI:
		return uefi
	}
	return bios
}
