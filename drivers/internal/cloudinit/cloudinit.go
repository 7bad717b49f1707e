// Package cloudinit makes the user data that a cloud image reads at its first
// boot: https://cloudinit.readthedocs.io
package cloudinit

import (
	"bytes"
	"compress/gzip"
	"fmt"

	"github.com/hostsmith/machine/drivers"
)

// Seed is what a host gets at birth, besides what its owner adds.
type Seed struct {
	Hostname string   // empty: the provider's
	User     string   // a login user with sudo rights, made if the image has none of the name; empty: the image's default user
	Keys     []string // authorized_keys lines that may log in as User
	HostKey  []byte   // the SSH host key to present, an OpenSSH private key in PEM; nil: the host makes its own
	Busybox  bool     // the image has no bash, no sudo but doas, and its sshd no PAM, as Alpine
}

// UserData returns user data with what s asks for, merged with the owner's own,
// which may be anything that cloud-init takes: a cloud-config, a script, an
// include, a MIME archive, compressed or not. What both ask for is s's to say;
// the keys of the image's default user add up. user may be nil.
//
// The same input gives the same bytes, so that a request can be repeated.
func UserData(s Seed, user []byte) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	user, err := decompress(user)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(user)) == 0 {
		return s.document()
	}
	owned, err := parts(user)
	if err != nil {
		return nil, err
	}
	return s.after(owned)
}

// Archive returns our cloud-config after the owner's user data, for systems that
// know only cloud-configs and scripts. Where both speak, ours is the last word. user
// may be nil.
func Archive(ours, user []byte) ([]byte, error) {
	user, err := decompress(user)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(user)) == 0 {
		return ours, nil
	}
	owned, err := parts(user)
	if err != nil {
		return nil, err
	}
	for _, p := range owned {
		if kind := p.header.Get("Content-Type"); kind != "text/cloud-config" && kind != "text/x-shellscript" {
			return nil, fmt.Errorf("%w: user data of type %s: this image takes only cloud-configs and scripts", drivers.ErrOption, kind)
		}
	}
	return archive(append(owned, newPart("text/cloud-config", ours)))
}

// Fit returns data, compressed if it is longer than limit bytes and cloud-init's
// own decompression brings it below; otherwise an error that tells both lengths.
func Fit(data []byte, limit int) ([]byte, error) {
	if len(data) <= limit {
		return data, nil
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if packed.Len() > limit {
		return nil, fmt.Errorf("%w: user data has %d bytes, compressed %d, and may have %d", drivers.ErrOption, len(data), packed.Len(), limit)
	}
	return packed.Bytes(), nil
}
