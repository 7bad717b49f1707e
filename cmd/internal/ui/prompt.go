package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Confirm asks a question and tells whether the answer begins with y or Y. Nothing to read is io.EOF. It
// does not wait for an answer when ctx has ended; what is typed after that is lost.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	if _, err := fmt.Fprint(out, question); err != nil {
		return false, err
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := readLine(in)
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case a := <-answers:
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.line)), "y"), a.err
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
