package provision

import (
	"crypto/rand"
	_ "embed" // the scripts
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// The scripts are files of their own so that shell tools can read them.
var (
	//go:embed sh/base.sh
	baseScript string
	//go:embed sh/probe.sh
	probeScript string
	//go:embed sh/engine.sh
	engineScript string
	//go:embed sh/apt.sh
	aptScript string
	//go:embed sh/packages.sh
	packagesScript string
	//go:embed sh/candidate.sh
	candidateScript string
	//go:embed sh/install.sh
	installScript string
	//go:embed sh/run.sh
	runScript string
	//go:embed sh/evidence.sh
	evidenceScript string
)

// rootShell starts a root shell that reads its script from stdin. It is written so that any
// login shell, fish and csh among them, passes it on unchanged.
const rootShell = `sh -c 'test "$(id -u)" = 0 && exec sh; exec sudo -n sh'`

// wholeScript makes a script that runs all or nothing: a shell that gets only the beginning
// finds no end of the function, or no call of it.
func wholeScript(mark, functions, call string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine_main() {\nmachine_mark=%s\n", mark)
	b.WriteString(baseScript)
	b.WriteString(functions)
	fmt.Fprintf(&b, "\n%s\n}\nmachine_main </dev/null\nexit\n", call)
	return b.String()
}

// newMark returns a word that no output contains by chance or by malice.
func newMark() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return fmt.Sprintf("machine-%x", b), nil
}

// stepsScript is the script that does steps one after another and says on stdout how far it is.
func stepsScript(mark string, steps []Step) string {
	var calls strings.Builder
	calls.WriteString("begin\n")
	for i, s := range steps {
		fmt.Fprintf(&calls, "step_unless=%s\nstep_run=%s\n", document(mark, s.Unless), document(mark, s.Run))
		fmt.Fprintf(&calls, "step %d", i)
		if s.Stdin == nil {
			calls.WriteString(" </dev/null\n")
		} else {
			// base64 so that any bytes arrive, and so that no line of it ends the document.
			fmt.Fprintf(&calls, " decode <<'%s'\n%s%s\n", mark, base64Lines(s.Stdin), mark)
		}
	}
	calls.WriteString("finish")
	return wholeScript(mark, engineScript+installScript+aptScript+packagesScript+runScript, calls.String())
}

// document is a shell word that expands to text, whatever is in it.
func document(mark, text string) string {
	if text == "" {
		return "''"
	}
	return fmt.Sprintf("$(cat <<'%s'\n%s\n%s\n)", mark, text, mark)
}

func base64Lines(data []byte) string {
	var b strings.Builder
	s := base64.StdEncoding.EncodeToString(data)
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	if s != "" {
		b.WriteString(s + "\n")
	}
	return b.String()
}

// hostOf returns a URL's host, or the URL if it has none.
func hostOf(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return u.Host
	}
	return s
}
