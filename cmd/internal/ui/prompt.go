package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Confirm asks a question and tells whether the answer begins with y or Y. Nothing to read is io.EOF. It
// does not wait for an answer when ctx has ended; what is typed after that is lost.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	if _, err := fmt.Fprint(out, question); err != nil {
		return false, err
	}
	line, err := await(ctx, func() (string, error) { return readLine(in) })
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y"), err
}

// Secret reads a line that nobody else is to see: a terminal is asked, and does not show what is typed. Nothing to read
// is io.EOF. It does not wait when ctx has ended, as Confirm.
func Secret(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	fd := -1
	if file, ok := in.(*os.File); ok {
		fd = int(file.Fd())
	}
	if !term.IsTerminal(fd) {
		line, err := await(ctx, func() (string, error) { return readLine(in) })
		return strings.TrimSuffix(line, "\r"), err
	}
	if _, err := fmt.Fprint(out, question); err != nil {
		return "", err
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	line, err := await(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	if ctx.Err() != nil {
		err = errors.Join(err, term.Restore(fd, before)) // who still reads has hidden what is typed
	}
	_, _ = fmt.Fprintln(out) // in the place of the one that was not shown
	return line, err
}

// await returns what read returns, or at once when ctx has ended.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := read()
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-answers:
		return a.line, a.err
	}
}

// readLine reads no more than the line: what follows is for somebody else.
func readLine(in io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				return string(line), nil
			}
			line = append(line, one[0])
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				return string(line), nil
			}
			return "", err
		}
	}
}
