// Classicswarm stands in for the image of classic standalone Swarm, which no
// registry of a test computer has: it takes the arguments that the real one
// takes and no others, wants the certificates that the real one needs, and
// its manager reads lists of members and asks their engines over TLS. It
// schedules nothing.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--experimental" {
		args = args[1:]
	}
	if len(args) == 0 {
		log.Fatal("no command")
	}
	switch args[0] {
	case "manage":
		manage(args[1:])
	case "join":
		join(args[1:])
	default:
		log.Fatalf("no such command: %s", args[0])
	}
}

var hostPort = regexp.MustCompile(`^[0-9a-zA-Z._-]+:[0-9]{1,5}$`)

// parse reads flags and the discovery URL behind them.
func parse(flags *flag.FlagSet, args []string) (discovery string) {
	_ = flags.Parse(args) // it ends the program
	if flags.NArg() != 1 || !strings.Contains(flags.Arg(0), "://") {
		log.Fatalf("discovery required: %q", flags.Args())
	}
	return flags.Arg(0)
}

func join(args []string) {
	flags := flag.NewFlagSet("join", flag.ExitOnError)
	advertise := flags.String("advertise", "", "address of the engine")
	heartbeat := flags.Duration("heartbeat", time.Minute, "between registrations")
	flags.Duration("ttl", 0, "of a registration")
	flags.Duration("delay", 0, "before the first")
	discovery := parse(flags, args)
	if !hostPort.MatchString(*advertise) {
		log.Fatal("--advertise should be of the form ip:port or hostname:port")
	}
	for tick := time.Tick(*heartbeat); ; <-tick {
		log.Printf("Registering on the discovery service every %s... addr=%s discovery=%s", *heartbeat, *advertise, discovery)
		if strings.HasPrefix(discovery, "file://") || strings.HasPrefix(discovery, "nodes://") {
			log.Print("not implemented in this discovery service")
		}
	}
}

// manager knows what engines there are.
type manager struct {
	client *http.Client
	tls    *tls.Config

	mu    sync.Mutex
	nodes []string
}

func manage(args []string) {
	flags := flag.NewFlagSet("manage", flag.ExitOnError)
	verify := flags.Bool("tlsverify", false, "")
	ca, cert, key := flags.String("tlscacert", "", ""), flags.String("tlscert", "", ""), flags.String("tlskey", "", "")
	host := flags.String("H", "", "")
	strategy := flags.String("strategy", "", "")
	advertise := flags.String("advertise", "", "")
	heartbeat := flags.Duration("heartbeat", time.Minute, "")
	replication := flags.Bool("replication", false, "")
	discovery := parse(flags, args)
	listen, err := url.Parse(*host)
	switch {
	case !*verify:
		log.Fatal("no --tlsverify")
	case !slices.Contains([]string{"spread", "binpack", "random"}, *strategy):
		log.Fatal("unsupported strategy")
	case *heartbeat < time.Second:
		log.Fatal("--heartbeat should be at least one second")
	case !hostPort.MatchString(*advertise):
		log.Fatal("--advertise should be of the form ip:port or hostname:port")
	case *replication:
		log.Fatal("Leader election is only supported with consul, etcd and zookeeper discovery.")
	case err != nil || listen.Scheme != "tcp" || !strings.HasSuffix(*advertise, ":"+listen.Port()):
		log.Fatalf("listens at %s and advertises %s", *host, *advertise)
	}
	conf := loadTLS(*ca, *cert, *key)
	m := &manager{tls: conf, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}}
	go m.watch(discovery, *heartbeat)
	mux := http.NewServeMux()
	mux.HandleFunc("/", m.answer)
	server := &http.Server{Addr: listen.Host, Handler: mux, TLSConfig: conf, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServeTLS("", ""))
}

// loadTLS refuses a certificate that is not good for both: to serve clients, and to be the engines' client.
func loadTLS(ca, cert, key string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			log.Fatalf("certificate: usage %d: %v", usage, err)
		}
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
}

func (m *manager) watch(discovery string, every time.Duration) {
	for tick := time.Tick(every); ; <-tick {
		nodes, err := fetch(discovery)
		if err != nil {
			log.Print(err)
		} else {
			m.mu.Lock()
			m.nodes = nodes
			m.mu.Unlock()
		}
	}
}

func fetch(discovery string) (nodes []string, err error) {
	text := ""
	if file, ok := strings.CutPrefix(discovery, "file://"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("failed to read '%s': %w", file, err)
		}
		text = string(data)
	} else if list, ok := strings.CutPrefix(discovery, "nodes://"); ok {
		text = strings.ReplaceAll(list, ",", "\n")
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			nodes = append(nodes, line)
		}
	}
	return nodes, nil
}

// answer answers what a docker client asks first of all.
func (m *manager) answer(w http.ResponseWriter, r *http.Request) {
	path := regexp.MustCompile(`^/v1\.[0-9]+`).ReplaceAllString(r.URL.Path, "")
	switch path {
	case "/_ping":
		fmt.Fprint(w, "OK")
	case "/version":
		reply(w, map[string]string{"Version": "swarm/1.2.9", "ApiVersion": "1.22", "GoVersion": "go1.11", "Os": "linux", "Arch": "amd64"})
	case "/info":
		reply(w, m.info(r.Context()))
	default:
		http.NotFound(w, r)
	}
}

// info tells of each engine that answers, as a label, its address and its name.
func (m *manager) info(ctx context.Context) any {
	m.mu.Lock()
	nodes := slices.Clone(m.nodes)
	m.mu.Unlock()
	var labels []string
	cpus := 0
	for _, addr := range nodes {
		var said struct {
			Name string
			NCPU int
		}
		if err := m.ask(ctx, addr, &said); err != nil {
			log.Printf("node %s: %v", addr, err)
			labels = append(labels, "pending="+addr)
			continue
		}
		labels = append(labels, "node="+said.Name)
		cpus += said.NCPU
	}
	return map[string]any{"Name": "stand-in", "ServerVersion": "swarm/1.2.9", "Labels": labels, "NCPU": cpus}
}

func (m *manager) ask(ctx context.Context, addr string, out any) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/info", nil)
	if err != nil {
		return err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(out)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
