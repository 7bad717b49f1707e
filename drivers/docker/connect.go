package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/hostsmith/machine/drivers"
)

// minAPI is the oldest version of the API that has all that hosts need, of Engine 20.10.
const minAPI = "1.41"

// answerWithin bounds how long an engine may take to say that it is there.
const answerWithin = 15 * time.Second

// answerStarts bounds how long an engine may take to begin an answer; builds begin theirs at
// once. An engine that hangs would otherwise keep a command for ever, and nobody would know why.
const answerStarts = 4 * time.Minute

// connect returns a client for the engine at ep, which has answered. The
// client's own negotiation refuses engines that are old but good enough, so
// the version is chosen here.
func connect(ctx context.Context, ep Endpoint) (*client.Client, error) {
	probe, err := newClient(ep)
	if err != nil {
		return nil, err
	}
	defer probe.Close() //nolint:errcheck // closes idle connections only
	pctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer within %v", answerWithin))
	defer cancel()
	pong, err := probe.Ping(pctx, client.PingOptions{})
	if err != nil {
		return nil, unreachable(ctx, pctx, ep, err)
	}
	if versions.LessThan(pong.APIVersion, minAPI) {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("use engine at %s: it speaks version %q of the API, and %s is needed: %w", ep.Host, pong.APIVersion, minAPI, drivers.ErrUnsupported),
			Advice: "upgrade it to Docker Engine 20.10 or later, or name another with --docker-engine",
		}
	}
	version := client.MaxAPIVersion
	if versions.LessThan(pong.APIVersion, version) {
		version = pong.APIVersion
	}
	return newClient(ep, client.WithAPIVersion(version))
}

// newClient returns a client for ep that has not spoken with it.
func newClient(ep Endpoint, opts ...client.Opt) (*client.Client, error) {
	// A client of our own, so that no proxy of the environment comes between.
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: answerStarts}
	own := client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect})
	all := []client.Opt{own, client.WithHost(ep.Host)}
	if ep.scheme() == "ssh" {
		target, err := parseSSH(ep.Host)
		if err != nil {
			return nil, fmt.Errorf("connect to engine: %w: %w", drivers.ErrOption, err)
		}
		all = []client.Opt{
			own,
			client.WithHost("tcp://" + client.DummyHost),
			client.WithDialContext(target.dial),
			client.WithScheme("http"),
		}
		defer func() { transport.Proxy = nil }()
	}
	if ep.CertPath != "" {
		all = append(all, client.WithTLSClientConfig(
			filepath.Join(ep.CertPath, "ca.pem"), filepath.Join(ep.CertPath, "cert.pem"), filepath.Join(ep.CertPath, "key.pem")))
	}
	c, err := client.New(append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to engine at %s: %w: %w", ep.Host, drivers.ErrUnreachable, err)
	}
	return c, nil
}

// unreachable says why nobody answers at ep; pctx is what bounded the attempt.
func unreachable(ctx, pctx context.Context, ep Endpoint, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("connect to engine at %s: %w", ep.Host, context.Cause(ctx))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(pctx)
	}
	return &drivers.HintError{
		Err:    fmt.Errorf("connect to engine at %s: %w: %w", ep.Host, drivers.ErrUnreachable, err),
		Advice: reachAdvice(ep, err),
	}
}
