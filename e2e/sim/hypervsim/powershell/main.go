//go:build unix

// powershell.exe in front of a simulated Hyper-V, the one in HYPERVSIM_HOME. If a
// process serves that folder, it does the work, with the hosts that it has; otherwise
// it is done here, and machines run in name only.
//
// It runs no PowerShell: it knows one script, and plays its part.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/hostsmith/machine/e2e/sim/computer"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Getenv("HYPERVSIM_HOME"))
	switch {
	case errors.Is(err, computer.ErrKilled):
		_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, home string) error {
	if home == "" {
		return errors.New("HYPERVSIM_HOME names no folder")
	}
	i := slices.Index(args, "-Command")
	if i < 0 || i+2 != len(args) || !strings.Contains(args[i+1], "OpenStandardInput") {
		return errors.New("this is no PowerShell: it knows only a command that reads a script from standard input")
	}
	if !slices.Contains(args, "-NoProfile") || !slices.Contains(args, "-NonInteractive") {
		return errors.New("a profile or a question would get in between")
	}
	if _, err := os.Stat(hypervsim.Socket(home)); err == nil {
		return through(ctx, hypervsim.Socket(home))
	}
	box, err := hypervsim.New(hypervsim.Config{
		Home: home, NoModule: os.Getenv("HYPERVSIM_NO_MODULE") != "", NoRights: os.Getenv("HYPERVSIM_NO_RIGHTS") != "",
		Stopped: os.Getenv("HYPERVSIM_STOPPED") != "", Server: os.Getenv("HYPERVSIM_SERVER") != "",
	})
	if err != nil {
		return err
	}
	defer box.Close()
	return box.Serve(ctx, os.Stdin, os.Stdout)
}

// through passes the conversation on to the process that serves the folder.
func through(ctx context.Context, socket string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, os.Stdin) // an end on either side is seen below
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSpace(line) == hypervsim.KillLine {
			return computer.ErrKilled
		}
		if _, werr := io.WriteString(os.Stdout, line); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
