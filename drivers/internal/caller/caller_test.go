package caller

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status     int
		body, want string
		err        string
	}{
		"v4":      {200, "192.0.2.7\n", "192.0.2.7/32", ""},
		"v6":      {200, "2001:db8::1", "2001:db8::1/128", ""},
		"mapped":  {200, "::ffff:192.0.2.7", "192.0.2.7/32", ""},
		"a page":  {200, "<html>log in</html>", "", "ParseAddr"},
		"refused": {503, "192.0.2.7", "", "503"},
		"endless": {200, strings.Repeat("1", 10000), "", "ParseAddr"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))
			defer s.Close()
			got, err := Ask(t.Context(), s.Client(), s.URL)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), s.URL) {
					t.Errorf("got %v, want an error with %q and the service", err, tt.err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestTowards(t *testing.T) {
	t.Parallel()
	got, err := Towards(t.Context(), "https://127.0.0.1:4566/x")
	if err != nil || got.String() != "127.0.0.1/32" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "https://", "::"} {
		if got, err := Towards(t.Context(), bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	got, err := Prefixes([]string{"192.0.2.7", "198.51.100.0/24", "0.0.0.0/0", "2001:db8::/32"})
	if fmt.Sprint(got) != "[192.0.2.7/32 198.51.100.0/24 0.0.0.0/0 2001:db8::/32]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "x", "192.0.2.7/24", "192.0.2.0/33", "192.0.2.0/"} {
		if got, err := Prefixes([]string{bad}); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
