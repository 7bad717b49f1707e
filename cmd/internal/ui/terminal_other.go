//go:build !windows

package ui

import "os"

// obeysSequences tells whether the terminal moves its cursor when told to.
func obeysSequences(*os.File) bool { return true }
