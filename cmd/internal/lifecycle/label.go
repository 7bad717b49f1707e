package lifecycle

import (
	"context"
	"fmt"

	"github.com/hostsmith/machine/drivers"
)

// Label sets labels of a machine's host at the provider; others stay. ErrNoLabels if its driver cannot. Nothing is
// recorded and no lock is needed: a removal is not kept waiting.
func (m *Manager) Label(ctx context.Context, name string, labels map[string]string) error {
	x, err := m.view(name)
	if err != nil {
		return err
	}
	l, ok := x.drv.(drivers.Labeler)
	if !ok {
		return fmt.Errorf("label %q: driver %s: %w", name, x.rec.DriverName, ErrNoLabels)
	}
	ctx, cancel := within(OnMachine(ctx, name), 0, askDeadline, "label the host")
	defer cancel()
	if err := l.Label(ctx, labels); err != nil {
		return x.advise(fmt.Errorf("label %q: %w", name, err))
	}
	return nil
}
