package cloudinit

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"

	"github.com/hostsmith/machine/drivers"
)

// A part is one of the documents that user data may consist of.
type part struct {
	header textproto.MIMEHeader
	body   []byte
}

const (
	maxUserData = 16 << 20 // more fits no provider, however well it is compressed
	maxDepth    = 8        // archives in archives
	accepted    = "cloud-init takes what begins with #cloud-config, #!, #include, #include-once, #cloud-boothook, " +
		"#cloud-config-archive, #cloud-config-jsonp, #part-handler or ## template: jinja, " +
		"and a MIME archive of these; each may be compressed with gzip"
)

func newPart(kind string, body []byte) part {
	return part{textproto.MIMEHeader{"Content-Type": {kind}}, body}
}

// kindOf is what cloud-init takes data for by its first words.
func kindOf(data []byte) string {
	data = bytes.TrimLeft(data, " \t\r\n\v\f")
	start := strings.ToLower(string(data[:min(len(data), 32)]))
	for _, k := range [][2]string{ // those that begin another one come after it
		{"#cloud-config-archive", "text/cloud-config-archive"},
		{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
		{"## template: jinja", "text/jinja2"},
		{"#cloud-boothook", "text/cloud-boothook"},
		{"#include-once", "text/x-include-once-url"},
		{"#part-handler", "text/part-handler"},
		{"#cloud-config", "text/cloud-config"},
		{"#include", "text/x-include-url"},
		{"#!", "text/x-shellscript"},
	} {
		if strings.HasPrefix(start, k[0]) {
			return k[1]
		}
	}
	return ""
}

// known tells whether cloud-init has a handler for the type.
func known(kind string) bool {
	return slices.Contains([]string{
		"text/cloud-config", "text/cloud-config-archive", "text/cloud-config-jsonp", "text/cloud-boothook",
		"text/x-shellscript", "text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once",
		"text/x-include-url", "text/x-include-once-url", "text/jinja2", "text/part-handler",
		"application/gzip", "application/gzip-compressed", "application/gzipped", "application/x-compress",
		"application/x-compressed", "application/x-gunzip", "application/x-gzip", "application/x-gzip-compressed",
	}, kind)
}

// parts takes the owner's data apart.
func parts(data []byte) ([]part, error) {
	if kind := kindOf(data); kind != "" {
		return []part{newPart(kind, data)}, nil
	}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil || message.Header.Get("Mime-Version") == "" {
		return nil, unknown("user data", firstLine(data))
	}
	return unfold(textproto.MIMEHeader(message.Header), message.Body, maxDepth)
}

// unfold returns the parts in an archive, and in archives that are parts of it.
func unfold(header textproto.MIMEHeader, body io.Reader, depth int) ([]part, error) {
	kind, params, err := mime.ParseMediaType(cmp.Or(header.Get("Content-Type"), "text/plain"))
	if err != nil {
		return nil, fmt.Errorf("%w: user data: Content-Type %q: %w", drivers.ErrOption, header.Get("Content-Type"), err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		p, err := adopt(kind, header, body)
		return []part{p}, err
	}
	if depth == 0 {
		return nil, fmt.Errorf("%w: user data has archives in archives, more than %d deep", drivers.ErrOption, maxDepth)
	}
	var all []part
	for reader := multipart.NewReader(body, params["boundary"]); ; {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, broken(err)
		}
		inner, err := unfold(p.Header, p, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
}

// adopt keeps of a part what cloud-init reads: the type, the name, how to merge
// it and which instance it is for.
func adopt(kind string, header textproto.MIMEHeader, body io.Reader) (part, error) {
	content, err := io.ReadAll(decoder(header.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return part{}, broken(err)
	}
	if kind == "text/plain" || kind == "text/x-not-multipart" {
		kind = kindOf(content)
	}
	if !known(kind) {
		return part{}, unknown("a part of the user data's archive", cmp.Or(kind, firstLine(content)))
	}
	p := newPart(kind, content)
	for _, name := range []string{"Content-Disposition", "X-Merge-Type", "Merge-Type", "Launch-Index"} {
		if value := header.Get(name); value != "" && printable(value) {
			p.header.Set(name, value)
		}
	}
	return p, nil
}

func decoder(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// archive is a MIME archive of the parts. Its boundary is made of its content.
func archive(all []part) ([]byte, error) {
	sum := sha256.New()
	for _, p := range all {
		fmt.Fprintf(sum, "%q %q\n", p.header, p.body)
	}
	boundary := fmt.Sprintf("part-%x", sum.Sum(nil)[:16])

	var out bytes.Buffer
	fmt.Fprintf(&out, "Content-Type: multipart/mixed; boundary=\"%s\"\r\nMIME-Version: 1.0\r\n\r\n", boundary)
	w := multipart.NewWriter(&out)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, fmt.Errorf("write user data: %w", err)
	}
	for _, p := range all {
		if err := p.write(w); err != nil {
			return nil, fmt.Errorf("write user data: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write user data: %w", err)
	}
	return out.Bytes(), nil
}

// write encodes what is more than lines of ASCII: cloud-init reads no other
// text right that is not encoded.
func (p part) write(to *multipart.Writer) error {
	body := p.body
	if !plain(body) {
		p.header.Set("Content-Transfer-Encoding", "base64")
		body = fold(base64.StdEncoding.EncodeToString(body))
	}
	w, err := to.CreatePart(p.header)
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

// plain tells whether text travels in a message without a change.
func plain(text []byte) bool {
	line := 0
	for _, c := range text {
		line++
		switch {
		case c == '\n':
			line = 0
		case c == '\t':
		case c < ' ', c > '~':
			return false
		}
		if line > 998 {
			return false
		}
	}
	return true
}

func fold(encoded string) []byte {
	var out bytes.Buffer
	for line := range slices.Chunk([]byte(encoded), 76) {
		out.Write(line)
		out.WriteString("\r\n")
	}
	return out.Bytes()
}

func decompress(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: decompress user data: %w", drivers.ErrOption, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxUserData+1))
	if err != nil {
		return nil, fmt.Errorf("%w: decompress user data: %w", drivers.ErrOption, err)
	}
	if len(plain) > maxUserData {
		return nil, fmt.Errorf("%w: user data has more than %d bytes when it is decompressed", drivers.ErrOption, maxUserData)
	}
	return plain, nil
}

func unknown(what, begins string) error {
	return &drivers.HintError{
		Err:    fmt.Errorf("%w: %s is nothing that cloud-init knows: %q", drivers.ErrOption, what, begins),
		Advice: accepted,
	}
}

func broken(err error) error {
	return fmt.Errorf("%w: user data is a MIME archive that cannot be read: %w", drivers.ErrOption, err)
}

func firstLine(data []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(data[:min(len(data), 200)])), "\n")
	return line[:min(len(line), 40)]
}
