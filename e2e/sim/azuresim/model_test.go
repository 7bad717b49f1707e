package azuresim

import (
	"encoding/json"
	"testing"
)

// What is shown has to be in the SDK's words too.
func (c *Cloud) strangeWords(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rec := range c.sorted() {
		if rec.kind.sdk == nil {
			continue
		}
		text, err := json.Marshal(c.show(rec))
		if err != nil {
			t.Fatal(err)
		}
		var said any
		if err := json.Unmarshal(text, &said); err != nil {
			t.Fatal(err)
		}
		if err := known(text, said, rec.kind.sdk()); err != nil {
			t.Errorf("%s: %v in %s", rec.kind.typ, err, text)
		}
	}
}

// CheckWords is strangeWords for the tests outside of the package.
func CheckWords(t *testing.T, c *Cloud) { c.strangeWords(t) }
