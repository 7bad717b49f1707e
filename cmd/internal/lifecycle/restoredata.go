package lifecycle

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hostsmith/machine/cmd/internal/swarmfile"
	"github.com/hostsmith/machine/provision/ssh"
	"github.com/hostsmith/machine/swarmboot"
)

// place puts the data on the host and starts the engine, which does not know of them yet.
func (r *restore) place(ctx context.Context) error {
	conn, err := r.x.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // all has ended
	if !r.op.State.Placed {
		if err := r.m.Step(ctx, "put the swarm's data in place", func(ctx context.Context) error { return r.send(ctx, conn) }); err != nil {
			return err
		}
		r.op.State.Placed = true
		if err := r.op.save(); err != nil {
			return err
		}
	}
	return r.m.Step(ctx, "start the engine", func(ctx context.Context) error {
		if r.backup.UnlockKey != "" {
			if err := unlockKeyFile(ctx, conn, r.root, r.backup.UnlockKey); err != nil {
				return err
			}
		}
		if err := setAside(ctx, conn, r.root); err != nil {
			return err
		}
		ctx, cancel := r.x.within(ctx, r.m.Wait.Engine, engineGone, "wait for the engine")
		defer cancel()
		return poll(ctx, func(ctx context.Context) (bool, error) {
			asking, cancel := within(ctx, 0, 5*time.Second, "ask the engine")
			defer cancel()
			return swarmboot.Inspect(asking, r.eng).Reachable, nil
		})
	})
}

// placeScript takes the archive from standard input. The engine stays stopped: it must not find half of the data.
const placeScript = `
root=$1
engine_stop
rm -rf "$root/swarm.restoring"
mkdir -m 700 "$root/swarm.restoring"
tar -C "$root/swarm.restoring" -xzf -
test -f "$root/swarm.restoring/swarm/certificates/swarm-node.key"
if [ -d "$root/swarm" ]; then mv "$root/swarm" "$root/swarm.before-$(date +%Y%m%dT%H%M%S)"; fi
mv "$root/swarm.restoring/swarm" "$root/swarm"
rmdir "$root/swarm.restoring"
`

// send streams the folder to the host. No plain file of it is made on this side.
func (r *restore) send(ctx context.Context, conn *ssh.Client) error {
	pr, pw := io.Pipe()
	go func() {
		b, err := openBackup(r.req, func(file io.Reader, with swarmfile.Identities) (*swarmfile.Backup, error) {
			b, err := swarmfile.Open(file, with)
			if err == nil {
				err = b.Folder(pw)
			}
			return b, err
		})
		_, _ = b, pw.CloseWithError(err) // always nil
	}()
	// The script is in the command, because standard input has the data; base64 passes any login shell.
	script := base64.StdEncoding.EncodeToString([]byte(rootScript(placeScript, r.root)))
	run := `sh -c "$(echo ` + script + ` | base64 -d)"`
	cmd := `sh -c 'if test "$(id -u)" = 0; then exec ` + run + `; else exec sudo -n ` + run + `; fi'`
	err := conn.Run(ctx, cmd, pr, nil)
	_ = pr.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // always nil
	if err != nil {
		return fmt.Errorf("put the swarm's data in place: %w", err)
	}
	return nil
}
