package vmwarevsphere

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/batch"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

const (
	loginLimit = time.Minute
	callLimit  = 2 * time.Minute
)

// sessions are the log-ins of a process.
type sessions struct {
	mu   sync.Mutex
	open map[string]*center
}

// center is a vCenter that somebody is logged in to. It is shared by all
// machines of the process that have the same user there, and remembers what it
// looked up.
type center struct {
	url   *url.URL
	user  *url.Userinfo
	trust trust

	turn   chan struct{}             // taken by whoever logs in or fills in what follows
	client *vim25.Client             // nil until logged in
	rest   *rest.Client              // nil until needed
	tree   atomic.Pointer[inventory] // nil until needed

	status   *batch.Group[string, seen]
	whenOver sync.Once
}

// credentials returns the user and the password.
func (d *driver) credentials() (*url.Userinfo, error) {
	user, password := d.cfg.username(), d.cfg.Password.Reveal()
	if user == "" {
		user = d.env.Getenv("VSPHERE_USERNAME")
	}
	if password == "" {
		password = d.env.Getenv("VSPHERE_PASSWORD")
	}
	if user == "" || password == "" {
		return nil, &drivers.HintError{
			Err:    fmt.Errorf("log in at %s: %w: no user or no password", d.cfg.VCenter, drivers.ErrCredentials),
			Advice: "set VSPHERE_USERNAME and VSPHERE_PASSWORD, or give --vmwarevsphere-username and --vmwarevsphere-password",
		}
	}
	return url.UserPassword(user, password), nil
}

// connect returns the driver's vCenter, logged in.
func (d *driver) connect(ctx context.Context) (*center, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	u, err := d.cfg.endpoint()
	if err != nil {
		return nil, fmt.Errorf("find the vCenter: %q %w", d.cfg.VCenter, err)
	}
	user, err := d.credentials()
	if err != nil {
		return nil, err
	}
	c := d.sessions.of(u, user, d.trusted())
	c.whenOver.Do(func() { d.env.AtEnd(c.logout) })
	return c, c.login(ctx)
}

// of returns the session of a user at a vCenter, perhaps not yet logged in.
func (s *sessions) of(u *url.URL, user *url.Userinfo, t trust) *center {
	sum := sha256.Sum256([]byte(strings.Join([]string{u.String(), user.String(), fmt.Sprint(t)}, "\x00")))
	key := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[key]
	if c == nil {
		c = &center{url: u, user: user, trust: t, turn: make(chan struct{}, 1)}
		c.status = &batch.Group[string, seen]{Ask: c.look}
		s.open[key] = c
	}
	return c
}

// alone runs fn while no other machine changes the session.
func (c *center) alone(ctx context.Context, fn func() error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
		return fn()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// login logs in unless that was done.
func (c *center) login(ctx context.Context) error {
	return c.alone(ctx, func() error {
		if c.client != nil {
			return nil
		}
		ctx, cancel := wait.Within(ctx, loginLimit, "log in at "+c.url.Host)
		defer cancel()
		sc, err := c.trust.client(c.url)
		if err != nil {
			return err
		}
		client, err := vim25.NewClient(ctx, sc)
		if err != nil {
			return c.explain(ctx, "reach "+c.url.Host, err)
		}
		if err := session.NewManager(client).Login(ctx, c.user); err != nil {
			return c.explain(ctx, "log in at "+c.url.Host+" as "+c.user.Username(), err)
		}
		client.RoundTripper = &renewing{next: sc, again: func(ctx context.Context) error {
			plain := &vim25.Client{Client: sc, ServiceContent: client.ServiceContent, RoundTripper: sc}
			return session.NewManager(plain).Login(ctx, c.user)
		}}
		c.client = client
		return nil
	})
}

// logout ends the sessions, of which a vCenter has only so many: a script that
// asks often would use them all up before they expire.
func (c *center) logout(ctx context.Context) {
	_ = c.alone(ctx, func() error { // what cannot be ended expires
		if c.rest != nil {
			_ = c.rest.Logout(ctx)
		}
		if c.client != nil {
			_ = session.NewManager(c.client).Logout(ctx)
		}
		c.rest, c.client = nil, nil
		return nil
	})
}

// vapi returns the client of the REST interface, logged in. Its session ends after
// some minutes without calls, which a clone may take.
func (c *center) vapi(ctx context.Context) (*rest.Client, error) {
	err := c.alone(ctx, func() error {
		if c.rest != nil {
			if s, err := c.rest.Session(ctx); err == nil && s != nil {
				return nil
			}
		}
		r := rest.NewClient(c.client)
		if err := r.Login(ctx, c.user); err != nil {
			return c.explain(ctx, "log in at "+c.url.Host+" as "+c.user.Username(), err)
		}
		c.rest = r
		return nil
	})
	return c.rest, err
}

// renewing logs in again when the vCenter has ended the session, which it does
// after half an hour without calls.
type renewing struct {
	next  soap.RoundTripper
	again func(context.Context) error

	mu    sync.Mutex
	count int // of log-ins
}

// RoundTrip implements soap.RoundTripper.
func (r *renewing) RoundTrip(ctx context.Context, req, res soap.HasFault) error {
	r.mu.Lock()
	count := r.count
	r.mu.Unlock()
	err := r.next.RoundTrip(ctx, req, res)
	if err == nil || !fault.Is(err, &types.NotAuthenticated{}) {
		return err
	}
	if err := r.renew(ctx, count); err != nil {
		return err
	}
	return r.next.RoundTrip(ctx, req, emptied(res))
}

// renew logs in unless somebody did since the count was taken.
func (r *renewing) renew(ctx context.Context, count int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count != count {
		return nil
	}
	if err := r.again(ctx); err != nil {
		return err
	}
	r.count++
	return nil
}

// emptied returns res without what the first try left in it.
func emptied(res soap.HasFault) soap.HasFault {
	reflect.ValueOf(res).Elem().SetZero()
	return res
}
