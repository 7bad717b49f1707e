package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"

	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

// seeds returns what is put into a container before it starts: who may log in,
// and the host key that it presents. It goes in as files, because everything
// else about a container can be read by whoever can inspect it.
func seeds(req drivers.CreateRequest) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// Writing to memory what has the size it says cannot fail.
	dir := func(name string, mode int64) {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode})
	}
	file := func(name string, content []byte) {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content))})
		_, _ = w.Write(content)
	}
	if req.AuthorizedKey != "" {
		dir("root/.ssh/", 0o700)
		file("root/.ssh/authorized_keys", []byte(strings.TrimSuffix(req.AuthorizedKey, "\n")+"\n"))
	}
	if len(req.HostKey) > 0 {
		dir("etc/ssh/", 0o755)
		file("etc/ssh/ssh_host_ed25519_key", req.HostKey)
	}
	_ = w.Close()
	return b.Bytes()
}

// plant puts the seeds into the container.
func (d *driver) plant(ctx context.Context, api *client.Client, ep Endpoint, seed []byte) error {
	_, err := api.CopyToContainer(ctx, d.state.Value.ID, client.CopyToContainerOptions{
		DestinationPath: "/", Content: bytes.NewReader(seed),
	})
	return fault(ctx, ep, "put keys into container "+d.state.Value.Container, err)
}
