package vmwarevsphere

import (
	"net/netip"
	"testing"
)

// TestFixed says which addresses can be chosen, and whose they are.
func TestFixed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ip, gateway, dns []string
		refuse           string
		front, back      string
	}{
		"none":            {},
		"one":             {ip: []string{"192.0.2.10/24"}, gateway: []string{"192.0.2.1"}, dns: []string{"192.0.2.53"}, front: "192.0.2.10/24"},
		"both families":   {ip: []string{"2001:db8::1/64", "192.0.2.10/24"}, gateway: []string{"fe80::1", "192.0.2.1"}, front: "192.0.2.10/24"},
		"both networks":   {ip: []string{"192.0.2.10/24", "back=10.0.0.1/24"}, front: "192.0.2.10/24", back: "10.0.0.1/24"},
		"the second":      {ip: []string{"back=10.0.0.1/24"}, gateway: []string{"10.0.0.254"}, back: "10.0.0.1/24"},
		"gateway outside": {ip: []string{"192.0.2.10/32"}, gateway: []string{"198.51.100.1"}, front: "192.0.2.10/32"},
		"no prefix":       {ip: []string{"192.0.2.10"}, refuse: "vmwarevsphere-ip"},
		"no such network": {ip: []string{"side=192.0.2.10/24"}, refuse: "vmwarevsphere-ip"},
		"lone gateway":    {gateway: []string{"192.0.2.1"}, refuse: "vmwarevsphere-gateway"},
		"far gateway":     {ip: []string{"192.0.2.10/24"}, gateway: []string{"198.51.100.1"}, refuse: "vmwarevsphere-gateway"},
		"other family":    {ip: []string{"192.0.2.10/24"}, gateway: []string{"fe80::1"}, refuse: "vmwarevsphere-gateway"},
		"two gateways":    {ip: []string{"192.0.2.10/24"}, gateway: []string{"192.0.2.1", "192.0.2.2"}, refuse: "vmwarevsphere-gateway"},
		"lone dns":        {dns: []string{"192.0.2.53"}, refuse: "vmwarevsphere-dns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{Networks: []string{"/DC/network/front", "back"}, IP: tt.ip, Gateway: tt.gateway, DNS: tt.dns}
			refused := ""
			c.validateAddress(func(option string, err error, _ string) {
				if err != nil {
					refused += Name + "-" + option
				}
			})
			if refused != tt.refuse {
				t.Errorf("refused %q, want %q", refused, tt.refuse)
			}
			text := func(p netip.Prefix) string {
				if !p.IsValid() {
					return ""
				}
				return p.String()
			}
			if front, back := text(c.fixedFor("")), text(c.fixedFor("back")); tt.refuse == "" && (front != tt.front || back != tt.back) {
				t.Errorf("got %q and %q", front, back)
			}
		})
	}
}
