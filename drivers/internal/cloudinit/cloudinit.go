// Package cloudinit makes the user data that a cloud image reads at its first
// boot: https://cloudinit.readthedocs.io
package cloudinit

// Seed is what a host gets at birth, besides what its owner adds.
type Seed struct {
	Hostname string   // empty: the provider's
	User     string   // a login user with sudo rights, made if the image has none of the name; empty: the image's default user
	Keys     []string // authorized_keys lines that may log in as User
	HostKey  []byte   // the SSH host key to present, an OpenSSH private key in PEM; nil: the host makes its own
}

// UserData returns user data with what s asks for, merged with the owner's own,
// which may be anything that cloud-init takes: a cloud-config, a script, an
// include, a MIME archive, compressed or not. What both ask for is s's to say;
// lists of keys add up. user may be nil.
func UserData(s Seed, user []byte) ([]byte, error) { panic("unwritten") }

// Fit returns data, compressed if it is longer than limit bytes and cloud-init's
// own decompression brings it below; otherwise an error that tells both lengths.
func Fit(data []byte, limit int) ([]byte, error) { panic("unwritten") }
