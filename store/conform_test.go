package store_test

import (
	"path/filepath"
	"testing"

	"github.com/hostsmith/machine/store"
	"github.com/hostsmith/machine/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Place {
		root := filepath.Join(t.TempDir(), "store")
		return func() *store.Store { return store.Open(root) }
	})
}
