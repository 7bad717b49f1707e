package lifecycle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/managerkey"
	"github.com/hostsmith/machine/provision/ssh"
)

const readKeyScript = `cat "$1/swarm/certificates/swarm-node.key"`

// writeKeyScript puts a manager's key in place while its engine is stopped, at once and readable for root alone.
const writeKeyScript = `
key=$1/swarm/certificates/swarm-node.key
engine_stop
umask 077
base64 -d >"$key.new" <<'END'
%sEND
mv "$key.new" "$key"
`

// unlockKeyFile decrypts a manager's key on its host: a new cluster is forced without a key, so the engine must be able to
// read its own. It is encrypted again by the manager once it leads. The key file passes through memory only.
func unlockKeyFile(ctx context.Context, conn *ssh.Client, root, unlockKey string) error {
	root = cmp.Or(root, engineRoot)
	var file bytes.Buffer
	if err := conn.Run(ctx, rootShell, strings.NewReader(rootScript(readKeyScript, root)), &file); err != nil {
		return fmt.Errorf("read the manager's key: %w", err)
	}
	if !managerkey.Encrypted(file.Bytes()) {
		return nil // decrypted by a command before this one
	}
	plain, err := managerkey.Unlock(file.Bytes(), unlockKey)
	if err != nil {
		return fmt.Errorf("unlock the manager's key: %w", err)
	}
	script := fmt.Sprintf(writeKeyScript, base64.StdEncoding.EncodeToString(plain)+"\n")
	if err := runRoot(ctx, conn, script, root); err != nil {
		return fmt.Errorf("write the manager's key: %w", err)
	}
	return nil
}
