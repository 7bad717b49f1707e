package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/provision/ssh"
)

// rootShell starts a root shell that reads its script from stdin.
const rootShell = `sh -c 'test "$(id -u)" = 0 && exec sh; exec sudo -n sh'`

// rootScript is a whole script with its positional parameters: a shell that gets only the beginning runs nothing of it.
func rootScript(script string, words ...string) string {
	var b strings.Builder
	b.WriteString("machine_main() {\nset -eu\nset --")
	for _, w := range words {
		b.WriteString(" '" + strings.ReplaceAll(w, "'", `'\''`) + "'")
	}
	b.WriteString("\n" + engineControl + script + "\n}\nmachine_main\nexit\n")
	return b.String()
}

// engineControl has functions that stop the engine, its socket first because that would start it again, and start it.
const engineControl = `
engine_socket() { systemctl cat docker.socket >/dev/null 2>&1; }
engine_stop() {
	if engine_socket; then systemctl stop docker.socket; fi
	systemctl stop docker.service
}
engine_start() {
	if engine_socket; then systemctl start docker.socket; fi
	systemctl reset-failed docker.service 2>/dev/null || true
	systemctl start docker.service
}
`

// asideScript may be run again after it was interrupted anywhere.
const asideScript = `
state=$1/swarm/docker-state.json
if [ -f "$state" ]; then
	engine_stop
	mv "$state" "$state.aside"
fi
engine_start
`

// setAside has an engine start without knowing that it is in a swarm. What it knows of the swarm stays in its folder.
func setAside(ctx context.Context, conn *ssh.Client, root string) error {
	if err := runRoot(ctx, conn, asideScript, cmp.Or(root, engineRoot)); err != nil {
		return fmt.Errorf("set the engine's state aside: %w", err)
	}
	return nil
}
