package lifecycle

import (
	"fmt"
	"strings"
)

// Troubleshooting renders the table of reasons as the page docs/troubleshooting.md.
func Troubleshooting() string {
	var b strings.Builder
	b.WriteString(`# Troubleshooting

When a command fails, it prints one cause, a hint with the next thing to do, a
stable reason in capitals, the evidence that was collected, and the path of the
full log. With ` + "`--output json`" + ` or ` + "`--progress=json`" + ` the same is one JSON object
with the members ` + "`error`, `reason`, `hint` and `code`" + `.

This page is made from the table that the program itself uses.

| Reason | Exit code | What happened | What to do |
|---|---|---|---|
`)
	for _, r := range Reasons() {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", r.ID, r.Exit, r.Meaning, r.Fix)
	}
	b.WriteString(`
## Interrupted or killed commands

Nothing is lost: what a command had allocated is in the machine's record before
and after each allocation. ` + "`machine ls`" + ` shows such a machine as unfinished, with
the problem. The same ` + "`machine create`" + ` command continues where it stopped;
` + "`machine rm NAME`" + ` releases exactly what was made.

## More to see

` + "`machine --debug COMMAND`" + ` prints the debug log while it works. The log of each
command that changes something is kept in the store's ` + "`logs`" + ` folder; it holds no
private keys, tokens or passwords.
`)
	return b.String()
}
