//go:build unix

// VBoxManage in front of a simulated VirtualBox, the one in VBOX_USER_HOME. If a
// process serves that home, it does the call, with the hosts that it has; otherwise
// it is done here, and machines run in name only.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hostsmith/machine/e2e/sim/vboxsim"
)

func main() {
	a, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "VBoxManage: error: the simulator:", err)
		os.Exit(1)
	}
	if a.Kill {
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
		os.Exit(1)
	}
	fmt.Fprint(os.Stdout, a.Stdout)
	fmt.Fprint(os.Stderr, a.Stderr)
	os.Exit(a.Exit)
}

func run(ctx context.Context, args []string) (vboxsim.Answer, error) {
	home := os.Getenv("VBOX_USER_HOME")
	if home == "" {
		home = filepath.Join(os.Getenv("HOME"), ".config", "VirtualBox")
	}
	dir, err := os.Getwd()
	if err != nil {
		return vboxsim.Answer{}, err
	}
	if _, err := os.Stat(vboxsim.Socket(home)); err == nil {
		return vboxsim.Ask(ctx, home, dir, args)
	}
	box, err := vboxsim.New(vboxsim.Config{Home: home, NoVTx: os.Getenv("VBOXSIM_NO_VTX") != "", NoKernel: os.Getenv("VBOXSIM_NO_KERNEL") != ""})
	if err != nil {
		return vboxsim.Answer{}, err
	}
	return box.Run(ctx, dir, args), nil
}
