package hyperv

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/internal/localvm"
	"github.com/hostsmith/machine/drivers/internal/localvm/vmtest"
	"github.com/hostsmith/machine/drivers/internal/wait"
	"github.com/hostsmith/machine/e2e/sim/hypervsim"
)

// puppet is a PowerShell that a test plays. reply gets each request and writes what
// it likes; false: the process ends.
func puppet(starts *atomic.Int32, reply func(start int, q hypervsim.Request, out io.Writer) bool) func() (*process, error) {
	return func() (*process, error) {
		n := int(starts.Add(1))
		inReader, in := io.Pipe()
		out, outWriter := io.Pipe()
		kill := func() {
			_ = inReader.CloseWithError(errors.New("killed"))
			_ = outWriter.CloseWithError(io.EOF)
		}
		go func() {
			defer kill()
			lines := bufio.NewReader(inReader)
			first, _ := lines.ReadString('\n')
			for range must(strconv.Atoi(strings.TrimSpace(first))) {
				_, _ = lines.ReadString('\n')
			}
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				var q hypervsim.Request
				if json.Unmarshal([]byte(line), &q) != nil || !reply(n, q, outWriter) {
					return
				}
			}
		}()
		return &process{in: in, out: out, kill: kill, wait: func() error { return errors.New("its last words") }}, nil
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func ok(out io.Writer, id int, value string) {
	fmt.Fprintf(out, `{"id":%d,"ok":true,"value":%s}`+"\n", id, value)
}

func TestSessionDeath(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	s := newSession(puppet(&starts, func(start int, q hypervsim.Request, out io.Writer) bool {
		if start > 1 {
			ok(out, q.ID, `7`)
		}
		return start > 1
	}))
	err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, nil)
	vmtest.Refused(t, err, nil, "PowerShell ended before it answered probe: its last words", "Get-VM")
	var n int
	if err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, &n); err != nil || n != 7 || starts.Load() != 2 {
		t.Errorf("%v, %d, started %d times", err, n, starts.Load())
	}
	s.close()
	if err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, &n); err != nil || starts.Load() != 3 {
		t.Errorf("after the end of an idle one: %v, started %d times", err, starts.Load())
	}
}

func TestSessionLimit(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	s := newSession(puppet(&starts, func(_ int, q hypervsim.Request, out io.Writer) bool {
		if q.Op == "convertDisk" {
			return true // for ever
		}
		ok(out, q.ID, `{}`)
		return true
	}))
	if err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, nil); err != nil {
		t.Fatal(err)
	}
	var late *wait.LateError
	if err := s.call(t.Context(), quiet(), 20*time.Millisecond, "convertDisk", none{}, nil); !errors.As(err, &late) {
		t.Errorf("got %v", err)
	}
	if err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, nil); err != nil || starts.Load() != 2 {
		t.Errorf("%v, started %d times", err, starts.Load())
	}
}

// TestSessionCancelled demands that the next request waits for the end of one that
// nobody waits for any more, and gets its own answer.
func TestSessionCancelled(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	asked, go1 := make(chan struct{}), make(chan struct{})
	var order []string
	s := newSession(puppet(&starts, func(_ int, q hypervsim.Request, out io.Writer) bool {
		if q.Op == "first" {
			close(asked)
			<-go1
		}
		order = append(order, q.Op)
		fmt.Fprintln(out, "WARNING: something that is no answer")
		ok(out, q.ID, `"`+q.Op+`"`)
		return true
	}))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-asked
		cancel(cause)
	}()
	if err := s.call(ctx, quiet(), time.Minute, "first", none{}, nil); !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	waiting, give := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, cause)
	defer give()
	if err := s.call(waiting, quiet(), time.Minute, "never", none{}, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	close(go1)
	var got string
	if err := s.call(t.Context(), quiet(), time.Minute, "second", none{}, &got); err != nil || got != "second" {
		t.Errorf("got %q, %v", got, err)
	}
	if want := []string{"first", "second"}; !slices.Equal(order, want) || starts.Load() != 1 {
		t.Errorf("PowerShell did %q, want %q; it was started %d times", order, want, starts.Load())
	}
}

func TestSessionStart(t *testing.T) {
	t.Parallel()
	s := newSession(func() (*process, error) { return nil, os.ErrPermission })
	for range 2 {
		if err := s.call(t.Context(), quiet(), time.Minute, "probe", none{}, nil); !errors.Is(err, os.ErrPermission) {
			t.Errorf("got %v", err)
		}
	}
}

// nasty is what would be something else in a script, on a command line or in another
// code page.
const nasty = `it's "quoted" $(Remove-Item x) ` + "`n" + `; & | %PATH% {0} Größe 機械 😀 ` + "\n\t" + `<#'@`

func TestHandover(t *testing.T) {
	t.Parallel()
	text := handover("a\r\nb\n")
	if text != "2\na\nb\n" {
		t.Errorf("%q", text)
	}
	if first, _, _ := strings.Cut(script, "\n"); first != "# machine-hyperv session 1" {
		t.Errorf("the script begins with %q", first)
	}
	if strings.ContainsAny(bootstrap, `"%^`+"\n") {
		t.Errorf("a program on the way may change %s", bootstrap)
	}
	if strings.Contains(bootstrap, "$input") {
		t.Error("PowerShell would read the requests itself")
	}
	for _, r := range script {
		if r > 0x7e {
			t.Fatalf("the script has %q, which Windows PowerShell reads by its code page", r)
		}
	}
}

// TestScript demands what can be seen of the script without a PowerShell: that it
// serves each operation by a function that there is, and that its brackets match.
func TestScript(t *testing.T) {
	t.Parallel()
	for _, op := range []string{
		"probe", "listMachines", "listSwitches", "nameServers", "makeNat", "removeNat", "newFixedDisk", "convertDisk", "growDisk",
		"newMachine", "configureMachine", "connectMachine", opStart, opResume, opShutDown, opTurnOff, opRemove,
	} {
		_, after, found := strings.Cut(script, "'"+op+"' { return ")
		name, _, _ := strings.Cut(after, " ")
		if !found || !strings.Contains(script, "function "+name+"($a) {") {
			t.Errorf("the script does not serve %s", op)
		}
	}
	if n := strings.Count(script, "Get-VM)"); n != 1 {
		t.Errorf("%d places ask for virtual machines without regard to the user's rights", n-1)
	}
	for _, word := range []string{"Invoke-Expression", "iex ", "Invoke-Command", "ScriptBlock"} {
		if strings.Contains(script, word) {
			t.Errorf("the script has %q: data could become code", word)
		}
	}
	var open []rune
	for i, line := range strings.Split(script, "\n") {
		if at := strings.Index(line, "#"); at == 0 || at > 0 && strings.TrimSpace(line[:at]) == "" {
			continue
		}
		quote := rune(0)
		for _, r := range line {
			switch {
			case quote != 0:
				if r == quote {
					quote = 0
				}
			case r == '\'' || r == '"':
				quote = r
			case strings.ContainsRune("({[", r):
				open = append(open, r)
			case strings.ContainsRune(")}]", r):
				if len(open) == 0 || strings.IndexRune("({[", open[len(open)-1]) != strings.IndexRune(")}]", r) {
					t.Fatalf("line %d: %c closes nothing", i+1, r)
				}
				open = open[:len(open)-1]
			}
		}
		if quote != 0 {
			t.Errorf("line %d: a text does not end", i+1)
		}
	}
	if len(open) > 0 {
		t.Errorf("%c are not closed", open)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"id":1,"ok":true,"value":{"machines":[{"id":"a","state":"Running","adapters":[{"mac":"00155D010203","addresses":["172.20.16.20"]}]}]}}`))
	f.Add([]byte(`{"id":2,"ok":false,"error":{"kind":"","category":"PermissionDenied","fqid":"AccessDenied,x","message":"no"}}`))
	f.Add([]byte(`{"id":2,"ok":false}`))
	f.Add([]byte("WARNING: \xff"))
	f.Fuzz(func(t *testing.T, line []byte) {
		a, ok := parseAnswer(line)
		switch {
		case !ok && (a.ID != 0 || a.Error != nil):
			t.Errorf("%q is no answer, and yet %+v", line, a)
		case !ok:
			return
		case a.OK == (a.Error != nil):
			t.Errorf("%q is neither a success nor a failure: %+v", line, a)
		case a.Error != nil:
			if err := newCallError("x", *a.Error); err.Error() == "" {
				t.Error("an error without words")
			}
		}
		var found struct {
			Machines []vm `json:"machines"`
		}
		if a.Value != nil && json.Unmarshal(a.Value, &found) == nil {
			for _, v := range found.Machines {
				_ = v.address("")
				_ = localvm.ParseMarks(v.Notes)
				if stateOf(v.State) == drivers.None {
					t.Errorf("%q is no state", v.State)
				}
			}
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add("0123", "m 1 = x", "1.0")
	f.Fuzz(func(t *testing.T, store, name, creator string) {
		got := localvm.ParseMarks("a note of mine\n" + localvm.Marks(localvm.MarkStore, store, localvm.MarkName, name, localvm.MarkCreator, creator))
		if got[localvm.MarkStore] != store || got[localvm.MarkName] != name || got[localvm.MarkCreator] != creator {
			t.Errorf("got %q of %q, %q, %q", got, store, name, creator)
		}
	})
}
