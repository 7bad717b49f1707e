package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Shell runs commands by the local /bin/sh in dir, which is their home too.
func Shell(dir string) Handler {
	return func(ctx context.Context, x Exec) (int, string) {
		args := []string{"-c", x.Command}
		if x.Command == "" {
			args = []string{"-s"}
		}
		cmd := exec.CommandContext(ctx, "/bin/sh", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
		cmd.Stdout, cmd.Stderr = x.Stdout, x.Stderr
		ownGroup(cmd)
		// As a real server: the end of the command does not wait for the end of its input.
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			_, _ = fmt.Fprintln(x.Stderr, err)
			return 127, ""
		}
		go func() {
			_, _ = io.Copy(stdin, x.Stdin)
			_ = stdin.Close()
		}()
		over := make(chan struct{})
		defer close(over)
		go func() {
			for {
				select {
				case name, ok := <-x.Signals:
					if !ok {
						return
					}
					signalGroup(cmd, name)
				case <-over:
					return
				}
			}
		}()
		err = cmd.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return 0, ""
		case errors.As(err, &exit):
			return exit.ExitCode(), deathSignal(exit)
		}
		_, _ = fmt.Fprintln(x.Stderr, err)
		return 126, ""
	}
}
