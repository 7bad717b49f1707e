package lifecycle

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/swarmboot"
)

// guide is a manager that gives orders while nodes are worked on, and another one when it falls silent: the leader may be
// lost at any time. It implements swarmboot.Engine.
type guide struct {
	m       *Manager
	cluster store.Cluster
	not     []string // machines that are worked on: they are asked only if no other manager answers

	mu  sync.Mutex
	eng *engine
}

func (h *holding) guided(ctx context.Context, not ...string) (*guide, error) {
	g := &guide{m: h.m, cluster: *h.cluster, not: not}
	eng, err := g.choose(ctx)
	g.eng = eng
	return g, err
}

func (g *guide) choose(ctx context.Context) (*engine, error) {
	eng, via, err := g.m.aManager(ctx, g.cluster, "", g.not...)
	if errors.Is(err, swarmboot.ErrNoManager) && len(g.not) > 0 {
		eng, via, err = g.m.aManager(ctx, g.cluster, g.not[0]) // the only manager looks after itself
	}
	if err == nil {
		g.m.Log.Info("manager chosen", "via", via.rec.Name, "not", g.not)
	}
	return eng, err
}

// Do implements swarmboot.Engine. A call that a manager does not answer is made once more with another one if it changes
// nothing; otherwise the next call goes there.
func (g *guide) Do(ctx context.Context, method, path string, in, out any) error {
	eng := g.engine()
	err := eng.Do(ctx, method, path, in, out)
	var answer *APIError
	if err == nil || errors.As(err, &answer) || ctx.Err() != nil {
		return err
	}
	next, cerr := g.choose(ctx)
	if cerr != nil {
		g.m.Log.Warn("no other manager answers", "err", cerr)
		return err
	}
	g.mu.Lock()
	g.eng.close()
	g.eng = next
	g.mu.Unlock()
	if method != http.MethodGet {
		return err
	}
	return next.Do(ctx, method, path, in, out)
}

func (g *guide) engine() *engine {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.eng
}

func (g *guide) close() { g.engine().close() }
