package plugin

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// peer is the other end of a connection, in the hands of a test.
type peer struct {
	t   *testing.T
	enc *gob.Encoder
	dec *gob.Decoder
	net.Conn
}

// newPeer returns both ends of a connection.
func newPeer(t *testing.T) (*conn, *peer) {
	t.Helper()
	l := listen(t)
	accepted := make(chan *peer, 1)
	go func() {
		stream, err := l.Accept()
		if err != nil {
			accepted <- nil
			return
		}
		in := bufio.NewReader(stream)
		if _, err = http.ReadRequest(in); err == nil {
			_, err = io.WriteString(stream, "HTTP/1.0 200 Connected to Go RPC\n\n")
		}
		if err != nil {
			accepted <- nil
			return
		}
		accepted <- &peer{t, gob.NewEncoder(stream), gob.NewDecoder(in), stream}
	}()
	c, err := dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := <-accepted
	if p == nil {
		t.Fatal("no connection")
	}
	t.Cleanup(func() { c.fail(net.ErrClosed); _ = p.Close() })
	return c, p
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// next reads a request.
func (p *peer) next() request {
	p.t.Helper()
	var head request
	if err := errors.Join(p.dec.Decode(&head), p.dec.DecodeValue(reflect.Value{})); err != nil {
		p.t.Fatal(err)
	}
	return head
}

func (p *peer) send(all ...any) {
	p.t.Helper()
	for _, v := range all {
		if err := p.enc.Encode(v); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestLateAnswer demands that the answer to a call that nobody waits for any more goes nowhere.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	c, p := newPeer(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	text, done := "before", make(chan error, 1)
	go func() { done <- c.call(ctx, "GetIP", struct{}{}, &text) }()
	head := p.next()
	// The connection has the answer's head once it has taken the call out of those that wait.
	p.send(response{ServiceMethod: head.ServiceMethod, Seq: head.Seq})
	for taken := false; !taken; {
		c.mu.Lock()
		taken = len(c.waiting) == 0
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	cancel(enough)
	if err := <-done; !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	p.send("late")
	n := 0
	go func() { done <- c.call(t.Context(), "GetSSHPort", struct{}{}, &n) }()
	head = p.next()
	p.send(response{ServiceMethod: head.ServiceMethod, Seq: head.Seq}, 22)
	if err := <-done; err != nil || n != 22 {
		t.Errorf("the next call: %d, %v", n, err)
	}
	if text != "before" {
		t.Errorf("the answer came to %q", text)
	}
}

// TestLongAnswer demands that memory is not the plugin's to fill.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	c, p := newPeer(t)
	done := make(chan error, 1)
	go func() {
		var raw []byte
		done <- c.call(t.Context(), "GetConfigRaw", struct{}{}, &raw)
	}()
	head := p.next()
	p.send(response{ServiceMethod: head.ServiceMethod, Seq: head.Seq})
	// Two gigabytes are announced; they come only as far as they are taken.
	go func() {
		_, _ = p.Write([]byte{0xfc, 0x7f, 0xff, 0xff, 0xff})
		chunk := make([]byte, 1<<20)
		for range 80 {
			if _, err := p.Write(chunk); err != nil {
				return
			}
		}
	}()
	if err := <-done; err == nil || !strings.Contains(err.Error(), errTooLong.Error()) {
		t.Errorf("got %v", err)
	}
}

// TestDialIsInterrupted demands that nobody has to wait for a plugin that takes a connection and says nothing.
func TestDialIsInterrupted(t *testing.T) {
	t.Parallel()
	l := listen(t)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		defer cancel(enough)
		stream, err := l.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = stream.Close() })
		_, _ = http.ReadRequest(bufio.NewReader(stream)) // it waits for the answer now
	}()
	if _, err := dial(ctx, l.Addr().String()); err == nil {
		t.Error("connected")
	}
}

// TestHeartbeatRefused demands that heartbeats go on to a plugin that answers one with an error: without, it would end.
func TestHeartbeatRefused(t *testing.T) {
	t.Parallel()
	c, other := newPeer(t)
	p := &process{conn: c, limits: Limits{}.complete(), gone: make(chan struct{})}
	goesOn := make(chan bool, 1)
	go func() { goesOn <- p.answers(t.Context()) }()
	head := other.next()
	other.send(response{ServiceMethod: head.ServiceMethod, Seq: head.Seq, Error: "not now"}, struct{}{})
	if !<-goesOn {
		t.Error("no more heartbeats")
	}
}
