package vboxsim

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

// Socket is where the programs in front of a home find the process that has its
// hosts.
func Socket(home string) string { return computer.Socket(home, "vboxsim") }

// question is a call that another process makes.
type question struct {
	Dir  string   `json:"dir"`
	Args []string `json:"args"`
}

// Serve answers the calls that come through l, until it is closed.
func (b *Box) Serve(ctx context.Context, l net.Listener) error {
	return computer.Accept(l, func(conn net.Conn) { b.Go(func() { b.answer(ctx, conn) }) })
}

// answer does one call. It is done to its end even if the one who made it goes away,
// as VirtualBox's own server does.
func (b *Box) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	var q question
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(b.Run(ctx, q.Dir, q.Args)) // the one who asked may be gone
}

// Ask has the process that serves a home do a call.
func Ask(ctx context.Context, home, dir string, args []string) (Answer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", Socket(home))
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(question{dir, args}); err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", Socket(home), err)
	}
	var a Answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", Socket(home), err)
	}
	return a, nil
}
