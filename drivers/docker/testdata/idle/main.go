// Command idle is the only process of a container until it is told to end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.Signal(37)) // SIGRTMIN+3
	<-told
}
