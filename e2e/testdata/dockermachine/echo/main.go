// Command echo is all that docker-machine's own tests run of the image busybox.
package main

import (
	"os"
	"strings"
)

func main() { _, _ = os.Stdout.WriteString(strings.Join(os.Args[1:], " ") + "\n") }
