package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hostsmith/machine/swarmboot"
)

// ownService splits the URL of a token service that somebody runs, token://HOST/PATH/TOKEN; false: it is none.
func ownService(discovery string) (base, token string, ok bool) {
	rest, ok := strings.CutPrefix(discovery, "token://")
	i := strings.LastIndexByte(rest, '/')
	if !ok || i <= 0 || i == len(rest)-1 {
		return "", "", false
	}
	return "https://" + rest[:i], rest[i+1:], true
}

// askService asks a token service for the members of a swarm, as the manager does.
func askService(ctx context.Context, client *http.Client, base, token string) ([]string, error) {
	ctx, cancel := within(ctx, 0, versionDeadline, "ask the discovery service")
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/clusters/"+token, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the discovery service: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the discovery service: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the discovery service: %w: it answers %s", swarmboot.ErrClassic, resp.Status)
	}
	var members []string
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&members); err != nil {
		return nil, fmt.Errorf("ask the discovery service: %w", err)
	}
	return members, nil
}
