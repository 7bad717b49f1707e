package lifecycle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hostsmith/machine/provision/ssh"
)

// nodeCert is when a node's certificate for its swarm is valid, or why that is not known.
type nodeCert struct {
	From, Until time.Time
	Err         string
}

const (
	engineRoot = "/var/lib/docker"
	certLimit  = 8 * time.Second // to read a certificate over SSH
	rootLimit  = 3 * time.Second // for the engine to tell its folder, once there is a connection
)

// readNodeCert reads the certificate of a machine's node: no call of the Engine tells when it ends. The key
// is in another file, which is not touched. root tells the engine's folder, when the engine has answered.
func (x *machine) readNodeCert(ctx context.Context, root <-chan string) nodeCert {
	ctx, cancel := x.within(ctx, 0, certLimit, "read the node certificate")
	defer cancel()
	c, err := x.fetchNodeCert(ctx, root)
	if err != nil {
		return nodeCert{Err: err.Error()}
	}
	return c
}

func (x *machine) fetchNodeCert(ctx context.Context, root <-chan string) (c nodeCert, err error) {
	if err := x.managed("log in"); err != nil {
		return c, err
	}
	if x.rec.Address.Host == "" {
		return c, ErrNotRunning
	}
	conn, err := ssh.Dial(ctx, x.target())
	if err != nil {
		return c, err
	}
	defer conn.Close()
	dir := engineRoot
	soon := time.NewTimer(rootLimit)
	defer soon.Stop()
	select {
	case <-soon.C: // where engines mostly are
	case told := <-root:
		if told != "" {
			dir = told
		}
	case <-ctx.Done():
		return c, context.Cause(ctx)
	}
	file := "'" + strings.ReplaceAll(path.Join(dir, "swarm/certificates/swarm-node.crt"), "'", `'\''`) + "'"
	var out bytes.Buffer
	cmd := `if [ "$(id -u)" = 0 ]; then cat ` + file + `; else sudo -n cat ` + file + `; fi`
	if err := conn.Run(ctx, cmd, nil, &out); err != nil {
		return c, err
	}
	return parseNodeCert(out.Bytes())
}

// parseNodeCert reads the first certificate of a chain, the node's own.
func parseNodeCert(chain []byte) (nodeCert, error) {
	block, _ := pem.Decode(chain)
	if block == nil || block.Type != "CERTIFICATE" {
		return nodeCert{}, errors.New("no certificate in the node's file")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nodeCert{}, fmt.Errorf("parse node certificate: %w", err)
	}
	return nodeCert{From: leaf.NotBefore, Until: leaf.NotAfter}, nil
}

// A node has its certificate renewed at a moment between half and four fifths of its life. One that lives on
// beyond that has failed to; one that is switched off cannot, and is warned of when a third is left.
const (
	renewalFailed = 5 // a fifth of its life is left
	renewalAwaits = 3 // a third is left, of a node that does not run
)

// judge tells how a certificate stands: expired, failing to be renewed, in need of a node that runs, or well.
func (c nodeCert) judge(now time.Time, runs bool) (kind string) {
	life := c.Until.Sub(c.From)
	left := c.Until.Sub(now)
	switch {
	case c.Until.IsZero():
		return ""
	case left <= 0:
		return certExpired
	case runs && left < life/renewalFailed:
		return certRenewal
	case !runs && left < life/renewalAwaits:
		return certAwaits
	}
	return ""
}
