package provision

import (
	"bytes"
	"context"
	"strconv"
	"strings"
)

// Evidence collects why an engine does not answer: unit state, last journal
// lines, listeners, conflicting configuration. It never fails.
func Evidence(ctx context.Context, r Runner, engine Engine) []string {
	mark, err := newMark()
	if err != nil {
		return []string{"no evidence: " + err.Error()}
	}
	const login = `sh -c 'test "$(id -u)" = 0 && exec sh; sudo -n true 2>/dev/null && exec sudo -n sh; exec sh'`
	var out bytes.Buffer
	script := wholeScript(mark, evidenceScript, "evidence "+strconv.Itoa(engine.port()))
	err = r.Run(ctx, login, strings.NewReader(script), &out)
	var lines []string
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimRight(line, " \r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	if err != nil {
		lines = append(lines, "no further evidence: "+err.Error())
	}
	return lines
}
