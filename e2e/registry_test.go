package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// registry serves one image, of one program, to the hosts of a test.
type registry struct {
	ref   string // of the image, for the hosts
	addr  string
	pulls atomic.Int32 // of the manifest
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// newRegistry builds a program of this module and serves it as image NAME:latest where hosts reach it.
func newRegistry(t *testing.T, name, pkg string) *registry {
	t.Helper()
	layer, diff := programLayer(t, name, pkg)
	config := encoded(t, map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/" + name}, "Env": []string{"SWARM_HOST=:2375"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diff}},
	})
	part := func(kind string, data []byte) map[string]any {
		return map[string]any{"mediaType": "application/vnd.docker." + kind, "size": len(data), "digest": digest(data)}
	}
	manifest := encoded(t, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": part("container.image.v1+json", config), "layers": []any{part("image.rootfs.diff.tar.gzip", layer)},
	})
	blobs := map[string][]byte{digest(config): config, digest(layer): layer}

	r := &registry{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		dir, last := filepath.Split(strings.TrimPrefix(req.URL.Path, "/v2/"))
		switch blob, ok := blobs[last]; {
		case dir == "" && last == "":
		case dir == name+"/manifests/":
			if req.Method == http.MethodGet {
				r.pulls.Add(1)
			}
			w.Header().Set("Content-Type", manifestType)
			w.Header().Set("Docker-Content-Digest", digest(manifest))
			w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
			_, _ = w.Write(manifest)
		case dir == name+"/blobs/" && ok:
			_, _ = w.Write(blob)
		default:
			http.NotFound(w, req)
		}
	}))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(outward(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	r.addr = l.Addr().String()
	r.ref = r.addr + "/" + name + ":latest"
	return r
}

// outward is the address of this computer on its way out. That of a bridge is no use: hosts have one with the same.
func outward(t *testing.T) string {
	t.Helper()
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", "198.51.100.1:9"); err == nil { // nothing is sent
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String()
	}
	interfaces, err := net.Interfaces() // without a way out one of the others does
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Name == "docker0" || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, addr := range addrs {
			if ip, ok := addr.(*net.IPNet); ok && ip.IP.To4() != nil {
				return ip.IP.String()
			}
		}
	}
	t.Fatal("this computer has no address that hosts reach")
	return ""
}

// programLayer is the layer with a program alone, and the digest of what it is when it is not compressed.
func programLayer(t *testing.T, name, pkg string) (layer []byte, diff string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(program) // a bytes.Buffer takes everything
	_ = w.Close()
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(plain.Bytes())
	_ = z.Close()
	return packed.Bytes(), digest(plain.Bytes())
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
