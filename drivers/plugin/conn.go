package plugin

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// conn is a connection to a plugin, by package net/rpc's protocol over HTTP. Calls
// may be made at once.
type conn struct {
	stream  net.Conn
	service string

	sending sync.Mutex
	out     *bufio.Writer
	enc     *gob.Encoder

	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]*call
	broken  error // why there are no answers any more; nil: there are
}

type call struct {
	reply any // the answer's own place, which nobody else reads before it is done; nil: whatever comes is left aside
	done  chan error
}

// request and response are the headers of net/rpc.
type (
	request struct {
		ServiceMethod string
		Seq           uint64
	}
	response struct {
		ServiceMethod string
		Seq           uint64
		Error         string
	}
)

// errEnded says that a plugin closed the connection.
var errEnded = errors.New("connection closed")

// dial connects to a plugin that listens at address.
func dial(ctx context.Context, address string) (*conn, error) {
	stream, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	bound := &bounded{stream: stream}
	bound.allow()
	in := bufio.NewReader(bound)
	_, err = io.WriteString(stream, "CONNECT /_goRPC_ HTTP/1.0\n\n")
	var answer *http.Response
	if err == nil {
		answer, err = http.ReadResponse(in, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the answer to CONNECT has none
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("unexpected answer %q", answer.Status)
	}
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = stream.Close()
		return nil, err
	}
	c := &conn{stream: stream, service: Service, out: bufio.NewWriter(stream), waiting: map[uint64]*call{}}
	c.enc = gob.NewEncoder(c.out)
	go c.receive(gob.NewDecoder(in), bound.allow)
	return c, nil
}

// answerLimit is how long an answer may be.
const answerLimit = 64 << 20

var errTooLong = errors.New("the answer is too long")

// bounded reads no more than answerLimit before more is allowed.
type bounded struct {
	stream io.Reader
	left   int
}

func (b *bounded) allow() { b.left = answerLimit }

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.stream.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// call asks for a method and waits for the answer, which is put where reply points to. What the plugin answers as an
// error is a remoteError. Once ctx has ended nobody waits any more; the plugin may still be at it.
func (c *conn) call(ctx context.Context, method string, args, reply any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	w := &call{done: make(chan error, 1)}
	if reply != nil {
		w.reply = reflect.New(reflect.TypeOf(reply).Elem()).Interface()
	}
	c.mu.Lock()
	if c.broken != nil {
		defer c.mu.Unlock()
		return c.broken
	}
	c.seq++
	seq := c.seq
	c.waiting[seq] = w
	c.mu.Unlock()
	if err := c.send(request{c.service + "." + method, seq}, args); err != nil {
		c.fail(err)
	}
	select {
	case err := <-w.done:
		if err == nil && reply != nil {
			reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(w.reply).Elem())
		}
		return err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, seq)
		c.mu.Unlock()
		return context.Cause(ctx)
	}
}

func (c *conn) send(head request, args any) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.enc.Encode(head); err != nil {
		return err
	}
	if err := c.enc.Encode(args); err != nil {
		return err
	}
	return c.out.Flush()
}

// receive reads answers until there are no more, each after a call of allow.
func (c *conn) receive(dec *gob.Decoder, allow func()) {
	for {
		allow()
		var head response
		err := dec.Decode(&head)
		if err == nil {
			err = c.answer(head, dec)
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
				err = errEnded
			}
			c.fail(err)
			return
		}
	}
}

// answer reads the body of an answer. One that is no answer to a call of ours is skipped.
func (c *conn) answer(head response, dec *gob.Decoder) error {
	c.mu.Lock()
	w := c.waiting[head.Seq]
	delete(c.waiting, head.Seq)
	c.mu.Unlock()
	var into any
	if w != nil && head.Error == "" {
		into = w.reply
	}
	err := dec.Decode(into)
	switch {
	case w == nil:
	case err != nil:
		w.done <- err
	case head.Error != "":
		w.done <- remoteError(head.Error)
	default:
		w.done <- nil
	}
	return err
}

// fail ends all calls, those to come too.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.broken == nil {
		c.broken = err
	}
	all := c.waiting
	c.waiting = map[uint64]*call{}
	c.mu.Unlock()
	_ = c.stream.Close()
	for _, w := range all {
		w.done <- err
	}
}
