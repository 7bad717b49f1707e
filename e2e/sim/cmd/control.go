package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/hostsmith/machine/e2e/sim"
	"github.com/hostsmith/machine/e2e/sim/host"
)

// control serves what tests need to see and to do beside the provider's
// interface. Bodies and answers are JSON; what went wrong is plain text.
//
//	GET    /ledger        what exists and was not there in the beginning: a list of sim.Resource
//	GET    /calls         how often each action was called; the sum has the empty name
//	GET    /held          whether a fault holds a call now: true or false
//	POST   /faults        arms a sim.Fault
//	DELETE /faults        disarms all
//	POST   /vanish        {"kind": K, "id": I} deletes a resource
//	GET    /admits        whether a host lets a packet in, by its provider's books: true or
//	                      false; asked with ?host=ID&from=ADDRESS&protocol=tcp&port=N
//	POST   /set           {NAME: VALUE, ...} sets knobs: see provider.go
//	GET    /console/{id}  what a host printed on its console, as text
func control(p *provider, hosts host.Hosts) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, r *http.Request) {
		all, err := p.ledger(r.Context())
		if all == nil {
			all = []sim.Resource{}
		}
		found(w, all, err)
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		n, err := p.counts()
		found(w, n, err)
	})
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.held()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		asked(w, r, func(f sim.Fault) error {
			if f.Mode == "" {
				return errors.New("a fault needs a mode")
			}
			return p.inject(f)
		})
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.clear(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /vanish", func(w http.ResponseWriter, r *http.Request) {
		asked(w, r, func(which struct{ Kind, ID string }) error { return p.vanish(r.Context(), which.Kind, which.ID) })
	})
	mux.HandleFunc("GET /admits", func(w http.ResponseWriter, r *http.Request) { admits(w, p, r.URL.Query()) })
	mux.HandleFunc("POST /set", func(w http.ResponseWriter, r *http.Request) {
		asked(w, r, func(knobs map[string]json.RawMessage) error {
			for name, value := range knobs {
				if err := p.set(name, value); err != nil {
					return fmt.Errorf("set %s: %w", name, err)
				}
			}
			return nil
		})
	})
	mux.HandleFunc("GET /console/{id}", func(w http.ResponseWriter, r *http.Request) {
		text, err := hosts.Console(r.Context(), r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(text) // the client may be gone
	})
	return mux
}

func admits(w http.ResponseWriter, p *provider, q url.Values) {
	var firewall sim.Firewall
	c, ok := p.world.(cloud)
	if ok {
		firewall, ok = c.Provider.(sim.Firewall)
	}
	from, err := netip.ParseAddr(q.Get("from"))
	port, perr := strconv.Atoi(q.Get("port"))
	if err := errors.Join(err, perr); err != nil || !ok {
		http.Error(w, fmt.Sprintf("no firewall, or not a packet: %v", err), http.StatusBadRequest)
		return
	}
	admitted, err := firewall.Admits(q.Get("host"), sim.Packet{From: from, Protocol: q.Get("protocol"), Port: port})
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	answer(w, admitted)
}

// found answers with something unless that was not found.
func found(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, v)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// asked does what a request's body asks for.
func asked[T any](w http.ResponseWriter, r *http.Request, do func(T) error) {
	var v T
	d := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	if err == nil {
		err = do(v)
	}
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, sim.ErrUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
