package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// patient returns the engine for calls that are answered only once long work is done. It waits for an answer as long as the
// context lets it.
func (e *engine) patient() *engine {
	transport := e.client.Transport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 0
	return &engine{name: e.name, base: e.base, client: &http.Client{Transport: transport}}
}

// Stream implements swarmboot.Streamer.
func (e *engine) Stream(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		var ue *url.Error // repeats the method and the whole URL
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%s %s of %s: %w", method, path, e.name, err)
	}
	if resp.StatusCode < 400 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s %s of %s: %w", method, path, e.name, err)
	}
	return nil, e.refusal(resp.StatusCode, method, path, data)
}

// refusal is what an answer of 400 or above says.
func (e *engine) refusal(status int, method, path string, data []byte) error {
	var msg struct{ Message string }
	if json.Unmarshal(data, &msg) != nil || msg.Message == "" {
		msg.Message = strings.TrimSpace(string(data[:min(len(data), 512)]))
	}
	return &APIError{Status: status, Text: msg.Message, Request: method + " " + path + " of " + e.name}
}
