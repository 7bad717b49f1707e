//go:build !windows

package cli

// parentShell is what is assumed when nothing tells.
func parentShell() string { return "sh" }
