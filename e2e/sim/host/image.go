package host

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
)

// What a host's image is built from.
//
//go:embed image
var imageFiles embed.FS

// Image returns the name of the hosts' image, which has what it is built from in
// it, and builds it if it is not there.
func Image(ctx context.Context) (string, error) {
	files, err := fs.Sub(imageFiles, "image")
	if err != nil {
		return "", err
	}
	var source bytes.Buffer
	w := tar.NewWriter(&source)
	if err := w.AddFS(files); err != nil {
		return "", fmt.Errorf("pack the image's files: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("pack the image's files: %w", err)
	}
	name := fmt.Sprintf("machine-e2e-cloud:%x", sha256.Sum256(source.Bytes()))[:30]
	if _, err := docker(ctx, nil, "image", "inspect", name); err == nil {
		return name, nil
	}
	_, err = docker(ctx, source.Bytes(), "build", "-t", name, "-")
	return name, err
}

// seedArchive is what cloud-init finds on a host at its first boot, relative to /.
func seedArchive(s Spec) ([]byte, error) {
	const seed = "var/lib/cloud/seed/nocloud/"
	user := s.User
	if user == "" {
		user = "debian"
	}
	meta, err := json.Marshal(map[string]any{"instance-id": s.ID, "local-hostname": s.Hostname, "public-keys": append([]string{}, s.Keys...)})
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	config, err := json.Marshal(map[string]any{"system_info": map[string]any{"default_user": map[string]any{"name": user}}})
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range []struct {
		name string
		body []byte
	}{
		{seed + "meta-data", meta},
		{seed + "user-data", s.UserData},
		{"etc/cloud/cloud.cfg.d/96-user.cfg", config},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.body))}); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the seed: %w", err)
	}
	return out.Bytes(), nil
}
