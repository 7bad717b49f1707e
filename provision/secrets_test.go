package provision

import "testing"

func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://get.docker.com":                            "https://get.docker.com",
		"https://ada:s3cret@files.example/i.sh?token=abc#x": "https://files.example/i.sh",
		"http://192.0.2.7:8080/install.sh":                  "http://192.0.2.7:8080/install.sh",
	} {
		if got := withoutSecrets(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}
