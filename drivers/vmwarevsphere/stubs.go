package vmwarevsphere

import (
	"context"

	"github.com/hostsmith/machine/drivers"
)

func (d *driver) bootISO(context.Context, *plan) (reference, error) {
	return reference{}, drivers.ErrUnsupported
}
func (d *driver) importOVA(context.Context, *plan) (reference, error) {
	return reference{}, drivers.ErrUnsupported
}
func (d *driver) deployItem(context.Context, *plan) (reference, error) {
	return reference{}, drivers.ErrUnsupported
}
func (d *driver) findItem(context.Context, *plan) (*source, error) {
	return nil, drivers.ErrUnsupported
}
