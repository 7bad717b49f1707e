package generic

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hostsmith/machine/drivers"
)

// dialing returns a driver whose connections end as fn says.
func dialing(t *testing.T, fn func(context.Context) error) *driver {
	t.Helper()
	config, _, err := New().Configure(drivers.Values{"generic-ip-address": {"192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New().Open(config, nil, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d.(*driver).dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: fn(ctx)}
	}
	return d.(*driver)
}

func TestStatusByError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		state drivers.State
		want  error
	}{
		"refused":        {os.NewSyscallError("connect", syscall.ECONNREFUSED), drivers.Stopped, nil},
		"no route":       {os.NewSyscallError("connect", syscall.EHOSTUNREACH), drivers.Stopped, nil},
		"unknown name":   {&net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}, drivers.Running, drivers.ErrUnreachable},
		"too many files": {os.NewSyscallError("socket", syscall.EMFILE), drivers.Running, drivers.ErrUnreachable},
	} {
		s, err := dialing(t, func(context.Context) error { return c.err }).Status(t.Context())
		if !errors.Is(err, c.want) || err == nil && s.State != c.state {
			t.Errorf("%s: got %s, %v, want %s, %v", name, s.State, err, c.state, c.want)
		}
	}
}

// silence is a host that answers nothing at all.
func silence(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestStatusOfSilentHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, err := dialing(t, silence).Status(t.Context())
		if err != nil || s.State != drivers.Stopped || time.Since(began) != knock {
			t.Errorf("got %s, %v after %v, want Stopped after %v", s.State, err, time.Since(began), knock)
		}
	})
}

func TestStatusEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if s, err := dialing(t, silence).Status(ctx); !errors.Is(err, cause) {
			t.Errorf("got %+v, %v, want %v", s, err, cause)
		}
	})
}

// TestStatusClosesItsConnection guards against the leak of a file per question.
func TestStatusClosesItsConnection(t *testing.T) {
	t.Parallel()
	d := dialing(t, nil)
	ours, theirs := net.Pipe()
	d.dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	if s, err := d.Status(t.Context()); err != nil || s.State != drivers.Running {
		t.Errorf("got %+v, %v, want Running", s, err)
	}
	_ = theirs.SetReadDeadline(time.Now().Add(time.Second)) // refused where the other end is closed
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v from the other end, want EOF", err)
	}
}
