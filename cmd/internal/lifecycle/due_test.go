package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/hostsmith/machine/certs"
)

func TestWarningsBeginThirtyDaysBefore(t *testing.T) {
	t.Parallel()
	m, _ := newManager(t)
	if _, err := m.ensureAuthority(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		age  time.Duration
		want []string
	}{
		{0, nil},
		{certs.LeafLifetime - 31*24*time.Hour, nil},
		{certs.LeafLifetime - 29*24*time.Hour, []string{"the client: certificate expires in 28 days"}},
		{certs.LeafLifetime + time.Hour, []string{"the client: certificate expired"}},
		{certs.CALifetime - 10*24*time.Hour, []string{"the authority: certificate expires in 9 days", "the client: certificate expired"}},
	} {
		m.Now = func() time.Time { return time.Now().Add(tt.age) }
		got := m.Warnings()
		if len(got) != len(tt.want) {
			t.Errorf("at age %s: %q, want %q", tt.age, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tt.want[i]) {
				t.Errorf("at age %s: %q, want %q", tt.age, got[i], tt.want[i])
			}
		}
	}
}
