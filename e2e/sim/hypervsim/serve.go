package hypervsim

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/hostsmith/machine/e2e/sim/computer"
)

// Socket is where the programs in front of a folder find the process that has its
// hosts.
func Socket(home string) string { return computer.Socket(home, "hypervsim") }

// KillLine is what comes through the socket instead of an answer if the process that
// asked is to be killed.
const KillLine = `{"kill":true}`

// Listen answers the programs that come through l, until it is closed.
func (b *Box) Listen(ctx context.Context, l net.Listener) error {
	return computer.Accept(l, func(conn net.Conn) {
		go func() {
			defer conn.Close()
			err := b.Serve(ctx, conn, conn)
			if errors.Is(err, computer.ErrKilled) {
				_, _ = io.WriteString(conn, KillLine+"\n") // the one who asked may be gone
			}
		}()
	})
}
