package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/wait"
)

// host is the machine that is served. Its methods are called with mu held.
type host struct {
	mu     sync.Mutex
	server *Server
	ctx    context.Context // of all calls; it ends with the caller
	name   string          // of the driver, in the caller's words
	log    *slog.Logger

	base baseDriver
	own  *Record                    // nil: nothing was configured yet
	rest map[string]json.RawMessage // of the record, neither of the two above

	secrets   json.RawMessage // that no file has yet
	inherited json.RawMessage // secrets that docker-machine recorded
	drv       drivers.Driver  // nil: not open
	seen      drivers.Status
	seenAt    time.Time // zero: not, or not since something was done to the host
	endings   []func(context.Context)
}

func (s *Server) host(ctx context.Context) *host {
	log := s.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &host{server: s, ctx: ctx, name: cmp.Or(s.Name, s.Factory.Name()), log: log}
}

// end waits for a call that is under way, as long as it may take, and has the driver end its business.
func (h *host) end(ctx context.Context, grace time.Duration) {
	over := make(chan struct{})
	go func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		defer close(over)
		ctx, cancel := wait.Within(ctx, grace, "end the driver's business")
		defer cancel()
		for _, fn := range h.endings {
			fn(ctx)
		}
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
		h.log.Warn("a call is left behind")
	}
}

// machineName is what docker-machine accepts: such a name is one folder, below that of the machines.
var machineName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9\-.]*$`)

// dir is the machine's folder.
func (h *host) dir() (string, error) {
	switch {
	case h.base.StorePath == "":
		return "", errors.New("find the machine's folder: the caller did not say where its store is")
	case !machineName.MatchString(h.base.MachineName):
		return "", fmt.Errorf("find the machine's folder: invalid name %q", h.base.MachineName)
	}
	dir, err := filepath.Abs(filepath.Join(h.base.StorePath, "machines", h.base.MachineName))
	if err != nil {
		return "", fmt.Errorf("find the machine's folder: %w", err)
	}
	return dir, nil
}

var errNotConfigured = errors.New("the machine has no configuration yet")

// driver opens the driver, once.
func (h *host) driver(ctx context.Context) (drivers.Driver, error) {
	if h.drv != nil {
		return h.drv, nil
	}
	if h.own == nil {
		return nil, errNotConfigured
	}
	dir, err := h.dir()
	if err != nil {
		return nil, err
	}
	id, err := h.server.StoreID(ctx, h.base.StorePath)
	if err != nil {
		return nil, err
	}
	secrets, err := h.allSecrets()
	if err != nil {
		return nil, err
	}
	h.drv, err = h.server.Factory.Open(h.own.Config, secrets, h.own.State, h.save, drivers.Env{
		Machine: h.base.MachineName,
		Dir:     dir,
		Cache:   filepath.Join(filepath.Dir(filepath.Dir(dir)), "cache"),
		StoreID: id,
		Creator: h.server.Creator,
		Getenv:  h.server.Getenv,
		Log:     h.log,
		Step:    h.step,
		Note:    func(_ context.Context, text string) { h.say(text) },
		AtEnd:   func(fn func(context.Context)) { h.endings = append(h.endings, fn) },
	})
	return h.drv, err
}

// longestLine is what a line of output may have: docker-machine stops reading at one of 64 KiB.
const longestLine = 4 << 10

// say prints a line that the caller shows to a person.
func (h *host) say(text string) {
	line := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if len(line) > longestLine {
		line = strings.ToValidUTF8(line[:longestLine], "") + "..."
	}
	if line != "" {
		_, _ = fmt.Fprintln(h.server.Stdout, line)
	}
}

// step tells that a piece of work begins. That it ended well is told by the next one.
func (h *host) step(ctx context.Context, name string, fn func(context.Context) error) error {
	h.say(name + "...")
	start := time.Now()
	err := fn(ctx)
	h.log.Debug("step", "name", name, "took", time.Since(start), "err", err)
	return err
}

const (
	statusLimit = time.Minute
	runLimit    = 10 * time.Minute
	createLimit = 30 * time.Minute
	fresh       = 30 * time.Second
)

// status asks the driver. What it says is remembered for the calls that need no more than an address.
func (h *host) status(ctx context.Context) (drivers.Status, error) {
	d, err := h.driver(ctx)
	if err != nil {
		return drivers.Status{}, err
	}
	ctx, cancel := wait.Within(ctx, statusLimit, "ask for the host's state")
	defer cancel()
	st, err := d.Status(ctx)
	if err != nil {
		h.seenAt = time.Time{}
		return st, err
	}
	h.seen, h.seenAt = st, time.Now()
	if st.Host != "" {
		h.base.IPAddress, h.base.SSHUser, h.base.SSHPort = st.Host, cmp.Or(st.User, "root"), cmp.Or(st.SSHPort, 22)
	}
	return st, nil
}

// address is status for callers that do not need to know the very moment: one that provisions a host asks for
// the address before each of its commands.
func (h *host) address(ctx context.Context) (drivers.Status, error) {
	if !h.seenAt.IsZero() && time.Since(h.seenAt) < fresh && h.seen.State == drivers.Running && h.seen.Host != "" {
		return h.seen, nil
	}
	return h.status(ctx)
}

// errNotRunning is in words that docker-machine compares with.
var errNotRunning = errors.New("Host is not running") //nolint:staticcheck // it begins with a capital there

func (h *host) state(ctx context.Context) (int, error) {
	if h.own == nil {
		return numberOf(drivers.None), nil
	}
	st, err := h.status(ctx)
	if err != nil {
		return numberOf(drivers.Error), err
	}
	return numberOf(st.State), nil
}

// url is where the engine answers. That a host runs is asked anew: it is what callers ask this for.
func (h *host) url(ctx context.Context) (string, error) {
	d, err := h.driver(ctx)
	if err != nil {
		return "", err
	}
	if u, ok := d.(drivers.Unmanaged); ok {
		return u.EngineURL(), nil
	}
	st, err := h.status(ctx)
	switch {
	case err != nil:
		return "", err
	case st.State != drivers.Running:
		return "", errNotRunning
	case st.Host == "":
		return "", errNoAddress
	}
	return engineURL(st), nil
}

var errNoAddress = errors.New("IP address is not set")

func (h *host) ip(ctx context.Context) (string, error) {
	if h.own == nil {
		return h.known()
	}
	st, err := h.address(ctx)
	switch {
	case err != nil:
		return "", err
	case h.unmanaged():
		return unmanagedAddress(st), nil
	case st.Host != "":
		return st.Host, nil
	case st.State != drivers.Running:
		return "", errNotRunning
	}
	return "", errNoAddress
}

// known is the address in the record.
func (h *host) known() (string, error) {
	if h.base.IPAddress == "" {
		return "", errNoAddress
	}
	return h.base.IPAddress, nil
}

func (h *host) ipv6(ctx context.Context) (string, error) {
	text, err := h.ip(ctx)
	if err != nil {
		return "", err
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Is6() && !a.Is4In6() {
		return text, nil
	}
	return "", nil
}

func (h *host) unmanaged() bool {
	_, ok := h.drv.(drivers.Unmanaged)
	return ok
}

// The calls about SSH are of no use without an engine's host: docker-machine's own driver of mere URLs returns
// nothing either.

func (h *host) sshHost(ctx context.Context) (string, error) {
	text, err := h.ip(ctx)
	if h.unmanaged() {
		return "", nil
	}
	return text, err
}

func (h *host) sshPort(ctx context.Context) (int, error) {
	if _, err := h.sshHost(ctx); err != nil && h.base.SSHPort == 0 {
		return 0, err
	}
	if h.unmanaged() {
		return 0, nil
	}
	return cmp.Or(h.base.SSHPort, 22), nil
}

func (h *host) sshUser(ctx context.Context) (string, error) {
	if _, err := h.sshHost(ctx); err != nil && h.base.SSHUser == "" {
		h.log.Debug("login not known yet", "err", err)
	}
	if h.unmanaged() {
		return "", nil
	}
	return cmp.Or(h.base.SSHUser, "root"), nil
}

// numberOf is a state as GetState answers it.
func numberOf(s drivers.State) int { return max(0, slices.Index(states(), s)) }
