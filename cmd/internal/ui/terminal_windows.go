package ui

import (
	"os"

	"golang.org/x/sys/windows"
)

// obeysSequences asks the console to obey control sequences, which those of Windows 10 and later do.
func obeysSequences(f *os.File) bool {
	handle := windows.Handle(f.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(handle, &mode); err != nil {
		return false
	}
	return windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
