// Package etcd keeps a store in etcd, for a team: the files of the store are keys
// under a prefix, and a folder of this computer is a copy of them, for the programs that
// need files. Private keys and secrets are encrypted there for the team's recipients.
//
//	<prefix>/id, certs/..., machines/NAME/..., swarms/...    as in a folder
//	<prefix>/locks/KEY                                       who holds a lock, with a lease
//	<prefix>/recipients                                      whom secrets are encrypted for
//
// It knows nothing of what the files are for.
package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/hostsmith/machine/store"
)

// patience is how long one question or write may take, tries again included.
const patience = 10 * time.Second

// Config is how to reach a shared store.
type Config struct {
	Location Location
	Dir      string // of the copy on this computer
	Identity string // file with the user's age identity; it need not exist
	User     string // of this computer, told to others that meet a lock

	EtcdUser, EtcdPassword string // none: no authentication but by certificate
	CACert, Cert, Key      string // files; one of them switches TLS on
	Plain                  bool   // reach other computers without TLS

	// Lost is told, with an error that wraps store.ErrLockLost, that a lock went to others, or could
	// have. What its holder writes is refused from then on, and what else it does is better ended.
	// nil: nobody is told.
	Lost func(error)

	Patience time.Duration // with a store that does not answer; 0: 10 s
}

// Backend is a store.Backend. Nothing is asked of etcd before it is used.
type Backend struct {
	config Config
	base   context.Context // outlives the command: what is half done can be recorded
	copy   *store.Folder
	slow   time.Duration

	mu     sync.Mutex
	client *clientv3.Client
	own    []age.Identity

	fresh freshness
	disk  sync.Mutex // of this process on the copy
}

// New returns a backend. ctx gives values only. An unsafe configuration is an error.
func New(ctx context.Context, config Config) (*Backend, error) {
	l := config.Location
	l.TLS = l.TLS || config.CACert != "" || config.Cert != ""
	config.Location = l
	if !l.TLS && !config.Plain && !l.local() {
		return nil, &store.HintError{
			Err:    fmt.Errorf("%w: %s: another computer is only reached over TLS", store.ErrLocation, l),
			Advice: "begin the location with etcds://, with --etcd-cacert FILE if the authority is your own; --etcd-plain goes without, for a network that nobody else is on",
		}
	}
	if (config.Cert == "") != (config.Key == "") {
		return nil, fmt.Errorf("%w: a client certificate and its key go together", store.ErrLocation)
	}
	if config.Patience == 0 {
		config.Patience = patience
	}
	return &Backend{
		config: config,
		base:   context.WithoutCancel(ctx),
		copy:   store.NewFolder(config.Dir),
		slow:   config.Patience,
	}, nil
}

// Dir returns the folder of this computer's copy.
func (b *Backend) Dir() string { return b.copy.Dir() }

// Location returns where the store is.
func (b *Backend) Location() Location { return b.config.Location }

// Close ends the connection.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client == nil {
		return nil
	}
	err := b.client.Close()
	b.client = nil
	return err
}

func (b *Backend) key(path string) string { return b.config.Location.Prefix + "/" + path }

func (b *Backend) path(key []byte) string {
	return strings.TrimPrefix(string(key), b.config.Location.Prefix+"/")
}

// within bounds one question or write.
func (b *Backend) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.slow, errors.New("no answer within "+b.slow.String()))
}

// kv returns the connection, which is made when it is first needed.
func (b *Backend) kv() (*clientv3.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil {
		return b.client, nil
	}
	security, err := b.security()
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if security != nil {
		scheme = "https://"
	}
	var hosts []string
	for _, host := range b.config.Location.Hosts {
		hosts = append(hosts, scheme+host)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   hosts,
		Context:     b.base,
		TLS:         security,
		Username:    b.config.EtcdUser,
		Password:    b.config.EtcdPassword,
		DialTimeout: b.slow,
		// Says why there is no connection, where a question would just end.
		DialOptions:          []grpc.DialOption{grpc.WithReturnConnectionError()}, //nolint:staticcheck // supported for as long as 1.x
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               zap.NewNop(),
	})
	if err != nil {
		return nil, b.failed("connect", err)
	}
	b.client = client
	return client, nil
}

// security returns nil for a connection without TLS.
func (b *Backend) security() (*tls.Config, error) {
	if !b.config.Location.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := b.config.CACert; file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the authority of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read the authority of etcd: %s has no certificate", file)
		}
	}
	if b.config.Cert != "" {
		pair, err := tls.LoadX509KeyPair(b.config.Cert, b.config.Key)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate for etcd: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// failed says what etcd, or the way to it, answered.
func (b *Backend) failed(op string, err error) error {
	where := strings.Join(b.config.Location.Hosts, ",")
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return nil
	case is(rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound,
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthNotEnabled, rpctypes.ErrInvalidAuthMgmt):
		return &store.HintError{
			Err:    fmt.Errorf("%s at %s: %w: %w", op, where, store.ErrRefused, err),
			Advice: "see MACHINE_ETCD_USER and MACHINE_ETCD_PASSWORD (or --etcd-password-file), and that the user's role may read and write " + b.config.Location.Prefix + "/",
		}
	case is(rpctypes.ErrNoSpace):
		return &store.HintError{
			Err:    fmt.Errorf("%s at %s: %w: %w", op, where, store.ErrFull, err),
			Advice: "compact and defragment etcd, or raise its quota, then run: etcdctl alarm disarm",
		}
	case is(rpctypes.ErrRequestTooLarge):
		return fmt.Errorf("%s at %s: it is larger than etcd takes: %w", op, where, err)
	}
	return &store.HintError{
		Err:    fmt.Errorf("%s at %s: %w: %w", op, where, store.ErrUnreachable, &silence{err}),
		Advice: "see that etcd runs there, and that it is reached from here: etcdctl --endpoints " + where + " endpoint health",
	}
}

// permanent tells whether another try would get the same answer.
func permanent(err error) bool {
	return errors.Is(err, store.ErrRefused) || errors.Is(err, store.ErrFull) || errors.Is(err, rpctypes.ErrRequestTooLarge)
}

// read asks several things at one moment, again while there is no answer.
func (b *Backend) read(what string, ops ...clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, stop := b.within(b.base)
	defer stop()
	client, err := b.kv()
	for err == nil {
		var resp *clientv3.TxnResponse
		resp, err = client.Txn(ctx).Then(ops...).Commit()
		if err == nil {
			return resp, nil
		}
		if err = b.failed(what, err); !permanent(err) && pause(ctx) {
			err = nil
		}
	}
	return nil, err
}

// pause waits a moment before another try; false if there is no time for one.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// DefaultDir returns the folder of the copy that belongs to a location, below a folder.
func DefaultDir(below string, l Location) string { return filepath.Join(below, l.ID()) }
