package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/hostsmith/machine/drivers"
)

//go:embed node
var nodeFiles embed.FS

// Repository is where node images are tagged.
const Repository = "machine-node"

// recipe is what a node image is built from.
type recipe struct {
	suite  string
	base   string // image
	engine string // packages; empty: none
}

// recipe returns what the configuration asks for.
func (c Config) recipe() recipe {
	r := recipe{suite: c.Suite, base: c.Base}
	if r.base == "" {
		r.base = "debian:" + c.Suite + "-slim"
	}
	if !c.NoEngine {
		r.engine = "docker.io"
		if c.Suite != "bookworm" {
			r.engine += " docker-cli" // a package of its own since
		}
	}
	return r
}

// flavour is a word for the recipe, in names and labels.
func (r recipe) flavour() string {
	if r.engine == "" {
		return r.suite + "-bare"
	}
	return r.suite + "-engine"
}

// tag returns the name of the image, which differs if anything that it is
// built from does.
func (r recipe) tag() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", r.base, r.engine)
	body, err := buildContext()
	if err != nil {
		return "", err
	}
	h.Write(body)
	return Repository + ":" + r.flavour() + "-" + hex.EncodeToString(h.Sum(nil))[:12], nil
}

// buildContext returns the node folder as the engine takes it. The same files
// give the same bytes.
func buildContext() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	entries, err := fs.ReadDir(nodeFiles, "node")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		content, err := nodeFiles.ReadFile("node/" + e.Name())
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if strings.HasSuffix(e.Name(), ".sh") {
			mode = 0o755 // an embedded file has no mode
		}
		if err := w.WriteHeader(&tar.Header{Name: e.Name(), Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ensureImage sees to it that the engine has the machine's image and returns its name.
func (d *driver) ensureImage(ctx context.Context, api *client.Client, ep Endpoint) (string, error) {
	name := d.cfg.Image
	fetch, step := d.pull, "pull "+name
	if name == "" {
		var err error
		if name, err = d.cfg.recipe().tag(); err != nil {
			return "", fmt.Errorf("read node image: %w", err)
		}
		fetch, step = d.build, "build the node image, once ("+name+")"
	}
	leave, err := d.gates.enter(ctx, "image "+ep.Host+" "+name)
	if err != nil {
		return "", err
	}
	defer leave()
	_, err = api.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return name, d.env.Step(ctx, step, func(ctx context.Context) error { return fetch(ctx, api, ep, name) })
	}
	return name, fault(ctx, ep, "inspect image "+name, err)
}

func (d *driver) pull(ctx context.Context, api *client.Client, ep Endpoint, name string) error {
	progress, err := api.ImagePull(ctx, name, client.ImagePullOptions{})
	if err == nil {
		err = errors.Join(progress.Wait(ctx), progress.Close())
	}
	if err == nil {
		return nil
	}
	return withAdvice(fault(ctx, ep, "pull image "+name, err),
		"see that this works: docker pull "+name+", or leave --docker-image out to have an image built")
}

// build builds the node image. Two that build it at once do double work and
// get the same image.
func (d *driver) build(ctx context.Context, api *client.Client, ep Endpoint, name string) error {
	r := d.cfg.recipe()
	what := "build image " + name
	body, err := buildContext()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	args := map[string]*string{"BASE": &r.base, "ENGINE": &r.engine}
	var passwords []string
	for k, v := range proxyArgs(d.env.Getenv) {
		args[k] = &v
		passwords = append(passwords, passwordOf(v))
	}
	result, err := api.ImageBuild(ctx, bytes.NewReader(body), client.ImageBuildOptions{
		Tags:        []string{name},
		BuildArgs:   args,
		Labels:      map[string]string{labelNode: r.flavour(), labelCreator: d.env.Creator},
		Remove:      true,
		ForceRemove: true,
	})
	if err != nil {
		return fault(ctx, ep, what, err)
	}
	defer result.Body.Close() //nolint:errcheck // only read from
	output, err := d.follow(result.Body, hide(passwords))
	if err == nil {
		return nil
	}
	if output != "" {
		err = fmt.Errorf("%w; the end of its output:\n%s", err, output)
	}
	return withAdvice(fault(ctx, ep, what, err), buildAdvice(r, err))
}

// follow logs what a build says, and returns the end of it if it fails. What
// apt says of a proxy may hold its password, so secrets are taken out.
func (d *driver) follow(body io.Reader, secrets *strings.Replacer) (string, error) {
	var out tail
	for dec := json.NewDecoder(body); ; {
		var m jsonstream.Message
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return "", nil
		} else if err != nil {
			return out.String(), fmt.Errorf("read output: %w", err)
		}
		if line := secrets.Replace(strings.TrimSpace(m.Stream)); line != "" {
			d.env.Log.Debug("build image", "output", line)
			_, _ = out.Write([]byte(line + "\n"))
		}
		if m.Error != nil {
			return lastLines(out.String(), 12), m.Error
		}
	}
}

// lastLines returns the end of s.
func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// buildAdvice is what to do when the node image cannot be built.
func buildAdvice(r recipe, err error) string {
	switch {
	case says(err, "temporary failure resolving", "failed to fetch", "unable to locate package", "no installation candidate"):
		return "the build reaches no Debian mirror from the engine's computer: set HTTP_PROXY, or name an image that is ready with --docker-image"
	case says(err, r.base, "pull access denied", "manifest", "registry", "dial tcp", "no such host", "client.timeout"):
		return "the engine cannot get " + r.base + ": see that docker pull " + r.base + " works, import a root file system of Debian under that name with docker import, or name another base with --docker-base"
	}
	return "name an image that is ready, with systemd and sshd in it, with --docker-image"
}

// withAdvice adds advice to an error that has none.
func withAdvice(err error, advice string) error {
	var hint interface{ Hint() string }
	if err == nil || errors.As(err, &hint) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &drivers.HintError{Err: err, Advice: advice}
}

// proxyArgs returns the proxies of the environment as build arguments, which
// engines know and keep out of images. A proxy on loopback is another one
// inside a build, so it is left out.
func proxyArgs(getenv func(string) string) map[string]string {
	args := map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY"} {
		value := getenv(name)
		if value == "" {
			value = getenv(strings.ToLower(name))
		}
		if value != "" && !onLoopback(value) {
			args[name] = value
		}
	}
	if len(args) > 0 {
		if value := getenv("NO_PROXY"); value != "" {
			args["NO_PROXY"] = value
		} else if value := getenv("no_proxy"); value != "" {
			args["NO_PROXY"] = value
		}
	}
	return args
}

func parseProxy(proxy string) (*url.URL, error) {
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	return url.Parse(proxy)
}

// passwordOf returns the password in a proxy's URL as it stands there; empty: none.
func passwordOf(proxy string) string {
	u, err := parseProxy(proxy)
	if err != nil || u.User == nil {
		return ""
	}
	_, password, _ := strings.Cut(u.User.String(), ":")
	return password
}

// hide returns a replacer that takes secrets out of a text.
func hide(secrets []string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "REDACTED")
		}
	}
	return strings.NewReplacer(pairs...)
}

func onLoopback(proxy string) bool {
	u, err := parseProxy(proxy)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && a.IsLoopback()
}
