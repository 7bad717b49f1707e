package drivers_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hostsmith/machine/drivers"
)

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	const hush = "hush-hush"
	s := drivers.Secret(hush)
	if s.Reveal() != hush {
		t.Fatalf("got %q, want the secret", s.Reveal())
	}
	type holder struct {
		Secret drivers.Secret
		Many   []drivers.Secret
		ByName map[string]drivers.Secret
		Ptr    *drivers.Secret
	}
	h := holder{s, []drivers.Secret{s}, map[string]drivers.Secret{"s": s}, &s}

	shown := map[string]string{"String": s.String(), "GoString": s.GoString(), "error": errors.New(s.String()).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "% x", "%T|%v"} {
		if strings.Contains(verb, "%T") {
			shown[verb] = fmt.Sprintf(verb, s, s)
			continue
		}
		shown[verb] = fmt.Sprintf(verb, s)
		shown[verb+" of struct"] = fmt.Sprintf(verb, h)
		shown[verb+" of pointer"] = fmt.Sprintf(verb, &h)
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	shown["json"] = string(j)
	x, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"x"`
		S       drivers.Secret
	}{S: s})
	if err != nil {
		t.Fatal(err)
	}
	shown["xml"] = string(x)
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("opened", "secret", s, "holder", h, "group", slog.GroupValue(slog.Any("s", s)))
	}
	shown["slog"] = log.String()

	for how, text := range shown {
		for _, form := range []string{hush, "hus", fmt.Sprintf("%x", hush), fmt.Sprintf("%X", hush), fmt.Sprintf("% x", hush)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret: %s", how, text)
			}
		}
	}
	if got := s.String() + fmt.Sprintf("%v", s); got != "REDACTEDREDACTED" {
		t.Errorf("got %q", got)
	}
}

func TestSecretStaysOutOfConfig(t *testing.T) {
	t.Parallel()
	config, secrets, err := newToy().Configure(drivers.Values{"url": {"u"}, "toy-token": {"hush-hush"}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(config), "hush") || strings.Contains(string(config), "Token") {
		t.Errorf("configuration holds the secret: %s", config)
	}
	values, err := newToy().(drivers.Describer).Describe(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := values["toy-token"]; ok {
		t.Error("the description has the secret option")
	}
	d, err := newToy().Open(config, secrets, nil, nil, drivers.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.(*toy).config.Token.Reveal(); got != "hush-hush" {
		t.Errorf("opened with %q, want the secret", got)
	}
}

func TestOverlaySecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stored, over, want string }{
		{``, ``, ``}, {`null`, `{}`, ``},
		{`{"a":"1","b":"2"}`, `{"b":"3","c":"4"}`, `{"a":"1","b":"3","c":"4"}`},
		{`{"a":"1","b":"2"}`, `{"a":""}`, `{"b":"2"}`},
		{`{"a":"1"}`, `{"a":""}`, ``}, {``, `{"a":"","b":"2"}`, `{"b":"2"}`},
	} {
		if got, err := drivers.OverlaySecrets(json.RawMessage(c.stored), json.RawMessage(c.over)); err != nil || string(got) != c.want {
			t.Errorf("%s over %s: got %s, %v; want %s", c.over, c.stored, got, err, c.want)
		}
	}
	for _, bad := range []string{`{"a":["hush"]}`, `"hush"`, `{"hush`} {
		for _, parts := range [][2]string{{bad, `{}`}, {``, bad}} {
			if _, err := drivers.OverlaySecrets(json.RawMessage(parts[0]), json.RawMessage(parts[1])); err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("%q: got %v", parts, err)
			}
		}
	}
}
