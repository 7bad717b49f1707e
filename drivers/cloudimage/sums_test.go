package cloudimage

import (
	"strings"
	"testing"
)

func TestSumOf(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	long := strings.Repeat("0c", 64)
	tests := map[string]struct{ text, want string }{
		"text mode":        {a + "  x.img\n" + b + "  y.img\n", "sha256:" + a},
		"binary mode":      {b + " *y.img\r\n" + a + " *x.img\r\n", "sha256:" + a},
		"in this folder":   {a + "  ./x.img\n", "sha256:" + a},
		"sha512":           {long + "  x.img", "sha512:" + long},
		"upper case":       {strings.ToUpper(a) + "  x.img", "sha256:" + a},
		"bsd":              {"# x.img: 645988352 bytes\nSHA256 (y.img) = " + b + "\nSHA256 (x.img) = " + a + "\n", "sha256:" + a},
		"bsd 512":          {"MD5 (x.img) = " + a[:32] + "\nSHA256 (x.img) = " + a + "\nSHA512 (x.img) = " + long, "sha512:" + long},
		"openssl":          {"SHA256(x.img)= " + a + "\n", "sha256:" + a},
		"alone":            {a, "sha256:" + a},
		"alone, byte mark": {"\ufeff" + a + "\r\n", "sha256:" + a},
		"digests": {
			"# MD5 HASH\n" + a[:32] + "  x.img\n# SHA1 HASH\n" + a[:40] + "  x.img\n# SHA512 HASH\n" + long + "  x.img\n" + strings.Repeat("0d", 64) + "  x.img.CONTENTS\n",
			"sha512:" + long,
		},
		"signed": {
			"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n" + b + "  x.img\n\n" + a + "  x.img\n- -----dashes\n-----BEGIN PGP SIGNATURE-----\n\n" + b + "  x.img\n-----END PGP SIGNATURE-----\n",
			"sha256:" + a,
		},
		"twice the same": {a + "  x.img\n" + a + " *x.img\n", "sha256:" + a},

		"longer name":      {a + "  x.img.sig\n", "has no SHA-256"},
		"name with folder": {a + "  old/x.img\n", "has no SHA-256"},
		"other case":       {a + "  X.img\n", "has no SHA-256"},
		"other and alone":  {a + "\n" + b + "  y.img\n", "has no SHA-256"},
		"only md5":         {a[:32] + "  x.img\n", "has no SHA-256"},
		"two sums":         {a + "  x.img\n" + b + "  x.img\n", "two different sha256 sums"},
		"two alone":        {a + "\n" + b + "\n", "two different sha256 sums"},
		"page":             {"<!DOCTYPE html>\n<p>404", "has no SHA-256"},
		"empty":            {"", "has no SHA-256"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sumOf("x.img", []byte(tt.text))
			if !strings.Contains(got+errText(err), tt.want) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func FuzzSumOf(f *testing.F) {
	a := strings.Repeat("0a", 32)
	f.Add("x.img", a+"  x.img\n")
	f.Add("x.img", "SHA512 (x.img) = "+a+a)
	f.Add("x", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"+a+" *x\n-----BEGIN PGP SIGNATURE-----")
	f.Add("", a)
	f.Fuzz(func(t *testing.T, name, text string) {
		got, err := sumOf(name, []byte(text))
		if err != nil {
			return
		}
		kind, sum, _ := strings.Cut(got, ":")
		if length := map[string]int{"sha256": 64, "sha512": 128}[kind]; len(sum) != length || !hexadecimal.MatchString(sum) {
			t.Errorf("%q is no sum", got)
		}
		if !strings.Contains(strings.ToLower(text), sum) {
			t.Errorf("%q is not in the text", got)
		}
		if again, err := parseSum(got); err != nil || again != got {
			t.Errorf("%q is read as %q, %v", got, again, err)
		}
	})
}
