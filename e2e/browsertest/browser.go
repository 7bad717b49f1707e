// Package browsertest drives a headless Chromium through a pipe, for tests of pages.
package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Browser is a running Chromium.
type Browser struct {
	t    testing.TB
	cmd  *exec.Cmd
	to   *os.File
	from *os.File
	said bytes.Buffer // on stderr

	writing sync.Mutex
	mu      sync.Mutex
	serial  int
	waiting map[int]chan answer
	gone    error
	entries []string // what pages complained of
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// patience is how long a single command may take, on a slow computer with much else to do.
const patience = 2 * time.Minute

// Open starts Chromium, or skips the test where there is none. Names in hosts lead to 127.0.0.1.
func Open(t testing.TB, hosts ...string) *Browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	dir, err := os.MkdirTemp("", "browser") // not the test's own: Chromium may write while it ends
	if err != nil {
		t.Fatal(err)
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir=" + dir,
	}
	for _, name := range hosts {
		args = append(args, "--host-resolver-rules=MAP "+name+" 127.0.0.1")
	}
	b := &Browser{t: t, cmd: exec.CommandContext(t.Context(), program, append(args, "about:blank")...), to: to, from: from, waiting: map[int]chan answer{}}
	b.cmd.ExtraFiles = []*os.File{in, out}
	b.cmd.Env = append(os.Environ(), "HOME="+dir)
	b.cmd.Stderr = &b.said
	b.cmd.WaitDelay = 5 * time.Second
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read()
	}()
	t.Cleanup(func() {
		_ = to.Close() // ends it
		timer := time.AfterFunc(10*time.Second, func() { _ = b.cmd.Process.Kill() })
		_ = b.cmd.Wait()
		timer.Stop()
		<-read
		_ = from.Close()
		if t.Failed() {
			t.Logf("chromium said:\n%s", b.said.String())
		}
		for range 50 { // children of it may still be ending
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
		t.Logf("left behind: %v", err)
	})
	return b
}

// read hands out answers, which end with a zero byte each.
func (b *Browser) read() {
	r := bufio.NewReaderSize(b.from, 1<<20)
	for {
		data, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.gone = fmt.Errorf("chromium has ended: %w", err)
			for _, c := range b.waiting {
				close(c)
			}
			b.waiting = nil
			return
		}
		var m struct {
			ID     int
			Method string
			Params struct {
				Entry            struct{ Level, Text string }
				Type             string
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
			}
			answer
		}
		if json.Unmarshal(bytes.TrimRight(data, "\x00"), &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0 && b.waiting[m.ID] != nil:
			b.waiting[m.ID] <- m.answer
			delete(b.waiting, m.ID)
		case m.Method == "Log.entryAdded" && m.Params.Entry.Level == "error":
			b.entries = append(b.entries, m.Params.Entry.Text)
		case m.Method == "Runtime.exceptionThrown":
			b.entries = append(b.entries, m.Params.ExceptionDetails.Text+" "+m.Params.ExceptionDetails.Exception.Description)
		}
		b.mu.Unlock()
	}
}

// Complaints returns, once, what pages have complained of: exceptions, and what was refused or not found.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.entries
	b.entries = nil
	return out
}

func (b *Browser) call(session, method string, params any, out any) error {
	b.mu.Lock()
	if b.gone != nil {
		defer b.mu.Unlock()
		return b.gone
	}
	b.serial++
	id, c := b.serial, make(chan answer, 1)
	b.waiting[id] = c
	b.mu.Unlock()
	m := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		m["sessionId"] = session
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b.writing.Lock()
	_, err = b.to.Write(append(data, 0))
	b.writing.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			return errors.New("chromium has ended")
		case a.Error != nil:
			return errors.New(a.Error.Message)
		case out != nil:
			return json.Unmarshal(a.Result, out)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: no answer within %s", method, patience)
	}
}

// Page is a tab with cookies of its own.
type Page struct {
	b       *Browser
	session string
}

// Page opens a tab that shares nothing with others.
func (b *Browser) Page() *Page {
	b.t.Helper()
	var jar struct{ BrowserContextID string }
	var target struct{ TargetID string }
	var session struct{ SessionID string }
	p := &Page{b: b}
	for _, step := range []func() error{
		func() error { return b.call("", "Target.createBrowserContext", map[string]any{}, &jar) },
		func() error {
			return b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": jar.BrowserContextID}, &target)
		},
		func() error {
			return b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
		},
		func() error {
			p.session = session.SessionID
			return b.call(p.session, "Log.enable", map[string]any{}, nil)
		},
		func() error { return b.call(p.session, "Runtime.enable", map[string]any{}, nil) },
	} {
		if err := step(); err != nil {
			b.t.Fatal(err)
		}
	}
	return p
}

// Open goes to an address. What becomes of it the page shows.
func (p *Page) Open(url string) {
	p.b.t.Helper()
	p.Do("Page.navigate", map[string]any{"url": url}, nil)
}

// Do gives the tab an order of the DevTools protocol.
func (p *Page) Do(method string, params map[string]any, out any) {
	p.b.t.Helper()
	if err := p.b.call(p.session, method, params, out); err != nil {
		p.b.t.Fatalf("%s: %v", method, err)
	}
}

// Eval evaluates JavaScript in the page; its value as JSON goes into out.
func (p *Page) Eval(js string, out any) error {
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.b.call(p.session, "Runtime.evaluate", map[string]any{"expression": js, "returnByValue": true, "awaitPromise": true}, &r)
	switch {
	case err != nil:
		return err
	case r.ExceptionDetails != nil:
		return errors.New(r.ExceptionDetails.Text + " " + r.ExceptionDetails.Exception.Description)
	case len(r.Result.Value) == 0:
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// Text is what an element shows; empty where there is none.
func (p *Page) Text(selector string) string {
	var text string
	quoted, _ := json.Marshal(selector)
	if err := p.Eval("(document.querySelector("+string(quoted)+")||{innerText:''}).innerText", &text); err != nil {
		return "" // the page is being loaded
	}
	return strings.TrimSpace(text)
}

// Rows are the cells of the rows in a table's body.
func (p *Page) Rows(selector string) (rows [][]string) {
	quoted, _ := json.Marshal(selector + " tbody tr")
	if err := p.Eval("[...document.querySelectorAll("+string(quoted)+")].map(r => [...r.cells].map(c => c.textContent))", &rows); err != nil {
		return nil
	}
	return rows
}

// Until waits for the page to become as it should; ok says what is still wrong.
func (p *Page) Until(limit time.Duration, ok func() error) {
	p.b.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.b.t.Fatalf("not within %s: %v\nthe page shows:\n%s", limit, err, p.Text("body"))
		}
		<-time.After(100 * time.Millisecond)
	}
}
