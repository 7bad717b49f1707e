package drivers_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestCatalog demands that a table's drivers come first, and that what neither has is told by who looked last.
func TestCatalog(t *testing.T) {
	t.Parallel()
	other := newToy()
	asked := ""
	c := drivers.Catalog{Table: drivers.Table{newToy()}, Find: func(name string) (drivers.Factory, error) {
		asked = name
		if name == "other" {
			return other, nil
		}
		return nil, fmt.Errorf("%w %q: no program", drivers.ErrUnknown, name)
	}}
	if f, err := c.Lookup("toy"); err != nil || f != c.Table[0] || asked != "" {
		t.Errorf("a driver of the table: %v, %v, asked for %q", f, err, asked)
	}
	if f, err := c.Lookup("other"); err != nil || f != other {
		t.Errorf("another driver: %v, %v", f, err)
	}
	_, err := c.Lookup("tyo")
	var hint interface{ Hint() string }
	if !errors.Is(err, drivers.ErrUnknown) || err.Error() != `unknown driver "tyo": no program` || !errors.As(err, &hint) || hint.Hint() != "did you mean toy?" {
		t.Errorf("a mistyped name: %v", err)
	}
	if _, err := (drivers.Catalog{Table: c.Table}).Lookup("other"); !errors.Is(err, drivers.ErrUnknown) {
		t.Errorf("nothing but a table: %v", err)
	}
}
