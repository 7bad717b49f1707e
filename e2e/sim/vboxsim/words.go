package vboxsim

import "fmt"

// The ways in which VBoxManage says no. The lines of a context name a place in its
// source; they are of some call of 7.2, not of each.

func fail(code, component, text string) Answer {
	hex := map[string]string{
		"VBOX_E_OBJECT_NOT_FOUND": "0x80bb0001", "VBOX_E_INVALID_VM_STATE": "0x80bb0002", "VBOX_E_FILE_ERROR": "0x80bb0004",
		"VBOX_E_IPRT_ERROR": "0x80bb0005", "VBOX_E_INVALID_OBJECT_STATE": "0x80bb0007", "VBOX_E_NOT_SUPPORTED": "0x80bb0009",
		"VBOX_E_OBJECT_IN_USE": "0x80bb000c", "NS_ERROR_FAILURE": "0x80004005", "NS_ERROR_INVALID_ARG": "0x80070057",
		"E_ACCESSDENIED": "0x80070005",
	}[code]
	return Answer{Exit: 1, Stderr: fmt.Sprintf("VBoxManage: error: %s\nVBoxManage: error: Details: code %s (%s), component %sWrap, interface I%s, callee nsISupports\n"+
		"VBoxManage: error: Context: \"...\" at line 1 of file VBoxManage.cpp\n", text, code, hex, component, component)}
}

// plain is a refusal without a code.
func plain(exit int, format string, args ...any) Answer {
	return Answer{Exit: exit, Stderr: "VBoxManage: error: " + fmt.Sprintf(format, args...) + "\n"}
}

// syntax is a refusal of the command line itself.
func (c *call) syntax(exit int, format string, args ...any) Answer {
	what := fmt.Sprintf(format, args...)
	return Answer{Exit: exit, Stderr: "Oracle VirtualBox Command Line Management Interface Version 7.2.22\n" +
		"Copyright (C) 2005-2026 Oracle and/or its affiliates\n\nVBoxManage: error: " + what + "\nUsage - ...\n\nVBoxManage: error: " + what + "\n"}
}

func noMachine(id string) Answer {
	return fail("VBOX_E_OBJECT_NOT_FOUND", "VirtualBox", "Could not find a registered machine named '"+id+"'")
}

func lockedFor(m *machine) Answer {
	return fail("VBOX_E_INVALID_OBJECT_STATE", "Machine", "The machine '"+m.Name+"' is already locked for a session (or being unlocked)")
}

func noFile(path string) Answer {
	return fail("VBOX_E_FILE_ERROR", "Medium", "Could not find file for the medium '"+path+"' (VERR_FILE_NOT_FOUND)")
}

func done(out string) Answer { return Answer{Stdout: out} }

func progressed(out string) Answer {
	return Answer{Stdout: out, Stderr: "0%...10%...20%...30%...40%...50%...60%...70%...80%...90%...100%\n"}
}
