package swarmboot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// client is an engine over HTTP.
type client struct {
	http *http.Client
	base string
}

type answer struct {
	code int
	text string
}

func (a answer) Error() string   { return fmt.Sprintf("%d: %s", a.code, a.text) }
func (a answer) StatusCode() int { return a.code }
func (a answer) Message() string { return a.text }

func (c client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		var msg struct{ Message string }
		if err := json.NewDecoder(res.Body).Decode(&msg); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return answer{res.StatusCode, msg.Message}
	}
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(out)
}
