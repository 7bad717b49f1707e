package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hostsmith/machine/drivers"
)

// context returns the endpoint of the docker client's current context. It is
// the zero value if that is the default one.
func (f finder) context() (Endpoint, error) {
	dir := f.config()
	name := f.getenv("DOCKER_CONTEXT")
	if name == "" && dir != "" {
		var config struct {
			CurrentContext string `json:"currentContext"`
		}
		// A client's configuration that is missing or broken names no context.
		if b, err := f.readFile(filepath.Join(dir, "config.json")); err == nil && json.Unmarshal(b, &config) == nil {
			name = config.CurrentContext
		}
	}
	if name == "" || name == "default" {
		return Endpoint{}, nil
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	b, err := f.readFile(filepath.Join(dir, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoContext
	}
	var meta struct {
		Endpoints struct {
			Docker struct{ Host string } `json:"docker"`
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &meta)
	}
	if err != nil {
		return Endpoint{}, &drivers.HintError{
			Err:    fmt.Errorf("read docker context %q: %w", name, err),
			Advice: "choose another with: docker context use default",
		}
	}
	ep, err := parseEndpoint(meta.Endpoints.Docker.Host, f.goos)
	if err != nil {
		return Endpoint{}, fmt.Errorf("read docker context %q: %w", name, err)
	}
	if tls := filepath.Join(dir, "contexts", "tls", id, "docker"); ep.scheme() == "tcp" && f.exists(filepath.Join(tls, "ca.pem")) {
		ep.CertPath = tls
	}
	return ep, nil
}
