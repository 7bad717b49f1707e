package cli

import (
	"testing"

	"github.com/hostsmith/machine/drivers"
)

// TestOptionUsage: what a driver's own words say of an option is not said twice.
func TestOptionUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		option drivers.Option
		want   string
	}{
		{drivers.Option{Help: "size", Default: "small", OneOf: []string{"small", "large"}, Env: []string{"A", "B"}}, "size: small, large (default: small) [$A, $B]"},
		{drivers.Option{Help: "tag", Kind: drivers.Strings}, "tag; may be repeated"},
		{drivers.Option{Help: "tag: KEY=VALUE; may be repeated", Kind: drivers.Strings}, "tag: KEY=VALUE; may be repeated"},
		{drivers.Option{Help: "zone: 1, 2 or 3 (default: none)", OneOf: []string{"1", "2", "3"}}, "zone: 1, 2 or 3 (default: none)"},
		{drivers.Option{Help: "zone, at most 12 (default: none)", OneOf: []string{"1", "2"}}, "zone, at most 12: 1, 2 (default: none)"},
		{drivers.Option{Help: "zone (default: any)", Kind: drivers.Strings}, "zone; may be repeated (default: any)"},
		{drivers.Option{Help: "id", Required: true}, "id (required)"},
		{drivers.Option{Help: "all", Kind: drivers.Bool, Default: "false"}, "all"},
	} {
		if got := optionUsage(tt.option); got != tt.want {
			t.Errorf("Got %q, want %q", got, tt.want)
		}
	}
}
