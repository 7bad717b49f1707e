// Package start has the program begin without garbage collections. What the
// providers' SDKs put into tables before main runs is never garbage, and to go
// over it twice took a fifth of the time of a short command. It imports only the
// standard library, so that it is initialised before those that fill the heap.
package start

import (
	"runtime/debug"
	"strconv"
)

var _ = debug.SetGCPercent(-1)

// usual is Go's pace of collections.
const usual = 100

// Over begins collections, at the pace that the environment variable GOGC asks for.
func Over(gogc string) {
	if gogc == "off" {
		return
	}
	percent, err := strconv.Atoi(gogc)
	if err != nil {
		percent = usual
	}
	debug.SetGCPercent(percent)
}
