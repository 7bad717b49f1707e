package lifecycle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hostsmith/machine/drivers"
	"github.com/hostsmith/machine/drivers/drivertest/fake"
	"github.com/hostsmith/machine/provision/ssh/sshtest"
	"github.com/hostsmith/machine/swarmboot"
	"github.com/hostsmith/machine/swarmboot/swarmboottest"
)

// host is a Debian with an engine, as far as the scripts of provision can tell. The scripts are
// not run: the host recognises them and does to its files what they would do. A command or a
// function that it does not know fails with 127, so a script that changes is noticed.
type host struct {
	w     *world
	name  string
	index int
	sshd  *sshtest.Server
	front *httptest.Server // of the engine's TLS port

	port, sshPort int // taken for good, unlike those of servers that are stopped and started

	mu      sync.Mutex
	id      string // at the provider; empty: there is no host
	up      bool
	peer    string
	births  int
	boots   int
	own     bool // the user's, and none of the provider's
	engine  *swarmboottest.Engine
	files   map[string]string
	serving *tls.Config // what the engine has read at its last start; nil: it does not listen
	due     bool        // the engine was not restarted since its files changed
	enabled bool
	version string // of the engine's package
	newest  string // in the package source
	did     []string
	starts  int            // of the engine
	fail    map[string]int // exit code by the first words of a step
	blocked bool           // for other hosts
	unit    string         // what systemd says of the engine
	slow    bool           // it is emulated
	seals   int            // how often what is its own was taken out
	abrupt  bool           // the connection breaks before the next seal is answered
	orders  bool           // orders to the engine are events
	opened  []drivers.Port // at the provider, after it was made
	closed  error          // why no port can be opened there
	raftLog string         // what it tells of it

	backupOf *swarmboottest.Engine // whose data are in a backup that is put here
	aside    bool                  // the engine was started without what it knew of being in a swarm
	ahead    time.Duration         // of the clock

	nodeCert []byte // in the swarm, PEM

	plain    bool // the engine runs, and nobody has given it TLS
	noSocket bool // the login may not use the engine's socket
}

func newHost(w *world, name string, index int) *host {
	h := &host{w: w, name: name, index: index, version: "28.5.2", newest: "28.5.2", fail: map[string]int{}}
	h.sshd = sshtest.New(w.t, sshtest.Options{User: "root", Handler: h.run})
	h.sshPort = h.relay()
	h.front = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		engine, orders := h.engine, h.orders
		h.mu.Unlock()
		if orders && r.Method == http.MethodPost && w.event("engine of "+name+" is called: "+r.URL.Path) != nil {
			panic(http.ErrAbortHandler)
		}
		if orders && r.Method == http.MethodPost {
			rec := httptest.NewRecorder()
			engine.ServeHTTP(rec, r)
			if w.event("engine of "+name+" has answered") != nil {
				panic(http.ErrAbortHandler)
			}
			rw.WriteHeader(rec.Code)
			_, _ = rec.Body.WriteTo(rw)
			return
		}
		engine.ServeHTTP(rw, r)
	}))
	h.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.front.Listener = gate{h.front.Listener, h}
	h.front.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.serving == nil {
			return nil, net.ErrClosed
		}
		return h.serving, nil
	}}
	h.front.StartTLS()
	h.port = h.front.Listener.Addr().(*net.TCPAddr).Port
	w.t.Cleanup(h.front.Close)
	return h
}

// relay listens for SSH clients and passes them on while the host is up.
func (h *host) relay() int {
	l, err := (&net.ListenConfig{}).Listen(h.w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		h.w.t.Fatal(err)
	}
	var running sync.WaitGroup
	h.w.t.Cleanup(func() {
		_ = l.Close()
		h.sshd.DropAll()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			up := h.up
			h.mu.Unlock()
			if !up {
				_ = client.Close()
				continue
			}
			server, err := net.Dial("tcp", net.JoinHostPort(h.sshd.Host, strconv.Itoa(h.sshd.Port)))
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			running.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// gate closes connections to an engine that does not listen.
type gate struct {
	net.Listener
	h *host
}

func (g gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g.h.mu.Lock()
		open := g.h.serving != nil
		g.h.mu.Unlock()
		if open {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (h *host) locate(st *drivers.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st.Host, st.SSHPort, st.EnginePort, st.Peer, st.User = "127.0.0.1", h.sshPort, h.port, h.peer, "root"
}

// become makes the host what the provider says: id is another one when it was made anew.
func (h *host) become(id string, up bool, r fake.Resource) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id != h.id {
		h.id, h.files, h.due, h.enabled, h.did = id, map[string]string{}, false, false, nil
		h.halt()
		if id != "" {
			h.births++
			h.peer = fmt.Sprintf("10.0.%d.%d", h.births, h.index+1)
			h.engine = h.w.net.Engine(h.name, h.peer)
			h.engine.SetVersion(h.version)
			h.sshd.Authorize(r.AuthorizedKey)
			if r.HostKey != "" && !strings.Contains(r.UserData, "other host key") {
				h.sshd.SetHostKeys([]byte(r.HostKey))
			}
		}
	}
	if up && !h.up {
		h.up = true
		if h.enabled {
			h.start()
		}
	}
	if !up {
		h.halt()
	}
}

// halt pulls the plug.
func (h *host) halt() {
	h.up = false
	h.sshd.DropAll()
	h.stop()
}

func (h *host) stop() {
	h.serving = nil
	if h.engine != nil {
		h.engine.SetDown(true)
	}
	h.front.CloseClientConnections()
}

// start makes the engine read its files; it does not start with files that do not fit.
func (h *host) start() bool {
	cert, err := tls.X509KeyPair([]byte(h.files["/etc/docker/server.pem"]), []byte(h.files["/etc/docker/server-key.pem"]))
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM([]byte(h.files["/etc/docker/ca.pem"])) || h.files["/etc/docker/daemon.json"] == "" {
		h.stop()
		return false
	}
	h.stop()
	h.serving = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	h.engine.SetVersion(h.version)
	h.engine.SetDown(false)
	h.due = false
	h.starts++
	return true
}

// SetEngine stops the engine or starts it, as an operator on the host would.
func (h *host) setEngine(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if on {
		h.start()
	} else {
		h.stop()
	}
}

func (h *host) set(fn func(h *host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn(h)
}

// done returns what was done by scripts since the last call.
func (h *host) done() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	did := h.did
	h.did = nil
	return did
}

func (h *host) run(_ context.Context, x sshtest.Exec) (int, string) {
	if strings.HasPrefix(x.Command, "command -v docker") {
		return 0, ""
	}
	if strings.HasSuffix(x.Command, dialStdio) {
		if h.noSocket && !strings.HasPrefix(x.Command, "sudo") {
			return 1, ""
		}
		h.mu.Lock()
		engine := h.engine
		h.mu.Unlock()
		l := &oneConn{conn: stdio{x.Stdin, x.Stdout}, ended: make(chan struct{})}
		_ = (&http.Server{Handler: h.withContainers(engine), ConnState: l.state}).Serve(l) // it ends with the connection
		return 0, ""
	}
	stdin, err := io.ReadAll(x.Stdin)
	if err != nil {
		return 1, ""
	}
	script := string(stdin)
	mark := ""
	if m := regexp.MustCompile(`(?m)^machine_mark=(\S+)$`).FindStringSubmatch(script); m != nil {
		mark = m[1]
	}
	apply := mark != "" && strings.Contains(script, "\nbegin\n")
	if !apply && h.w.event("ssh "+h.name) != nil {
		return sshtest.Silent, ""
	}
	switch {
	case apply:
		return h.apply(mark, script, x.Stdout), ""
	case strings.HasSuffix(script, "\nprobe\n}\nmachine_main </dev/null\nexit\n"):
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprintf(x.Stdout, "%s begin\n", mark)
		for _, fact := range append(h.facts(), h.candidate(script)...) {
			fmt.Fprintf(x.Stdout, "%s %s\n", fact[0], base64.StdEncoding.EncodeToString([]byte(fact[1])))
		}
		fmt.Fprintf(x.Stdout, "%s end\n", mark)
		return 0, ""
	case mark != "" && strings.Contains(script, "\nevidence "):
		fmt.Fprintln(x.Stdout, "docker.service: fake evidence of "+h.name)
		return 0, ""
	case strings.Contains(x.Command, "-p ActiveState"):
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprintf(x.Stdout, "ActiveState=%s\n", cmp.Or(h.unit, "inactive"))
		return 0, ""
	case strings.Contains(x.Command, "boot_id"):
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprintf(x.Stdout, "boot %d\n", h.boots)
		return 0, ""
	case strings.Contains(x.Command, "/var/lib/docker/swarm/certificates/swarm-node.crt"):
		h.mu.Lock()
		defer h.mu.Unlock()
		_, _ = x.Stdout.Write(h.nodeCert)
		return 0, ""
	case strings.Contains(x.Command, "systemctl reboot"):
		h.mu.Lock()
		defer h.mu.Unlock()
		h.boots++
		h.stop()
		if h.enabled {
			h.start()
		}
		h.sshd.DropAll()
		return sshtest.Silent, ""
	case strings.Contains(script, "'/var/lib/docker'/swarm/certificates/swarm-node.key"):
		h.mu.Lock()
		defer h.mu.Unlock()
		kind := ""
		if h.engine.Needs() != "" {
			kind = "ENCRYPTED "
		}
		fmt.Fprintf(x.Stdout, "-----BEGIN %sPRIVATE KEY-----\nkek-version: %x\n", kind, sha256.Sum256([]byte(h.engine.Needs())))
		return 0, ""
	case strings.Contains(x.Command, "base64 -d"): // stdin has the data
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stop()
		h.engine.Restore(h.backupOf)
		return 0, ""
	case strings.Contains(script, "machine-engine-rescue"):
		return h.copySwarm(x.Stdout), ""
	case strings.Contains(script, "rl end "):
		h.mu.Lock()
		defer h.mu.Unlock()
		fmt.Fprintf(x.Stdout, "%srl end here\n", h.raftLog)
		return 0, ""
	case strings.Contains(script, "$state.aside"):
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.aside {
			h.stop()
			h.aside = true
			h.engine.SetState("inactive", "")
		}
		if h.w.event("ssh "+h.name+" set aside") != nil {
			return sshtest.Silent, ""
		}
		h.start()
		return 0, ""
	case strings.Contains(x.Command, swarmboot.ListDir):
		return h.list(x.Command, script, x.Stdout), ""
	case strings.Contains(script, "pf clock"):
		return h.preflight(script, x.Stdout), ""
	}
	fmt.Fprintln(x.Stderr, "unknown command: "+x.Command)
	return 127, ""
}
