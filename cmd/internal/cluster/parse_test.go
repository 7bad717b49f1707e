package cluster

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite golden files")

func lookup(vars ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(vars); i += 2 {
			if vars[i] == name {
				return vars[i+1], true
			}
		}
		return "", false
	}
}

func source(text string) Source {
	return Source{
		File: "c.yaml", Dir: "/p", Data: []byte(text), Default: "folder",
		Lookup: lookup("N", "3", "NAME", "prod", "EMPTY", "", "TOKEN", "hunter2", "ROLE", "worker", "YES", "true"),
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

const whole = `
name: ${NAME}
x-anything: {a: [1, 2]}
x-engine: &engine
  version: 28.5
  registry-mirrors: ["https://mirror.example"]
defaults:
  driver: docker
  x-of-ours: 1
  options:
    docker-memory: 512
  engine:
    <<: *engine
    opts: {log-level: debug}
  labels: {site: a}
swarm:
  addr-pool: [10.20.0.0/16]
  subnet-size: 24
  data-path-port: 7789
machines:
  x-group: whatever
  manager:
    role: manager
    count: ${N}
    availability: drain
    engine:
      opts: ["log-level=info", "dns=192.0.2.1", "dns=192.0.2.2"]
      version: "27"
  worker:
    role: ${ROLE:-manager}
    names: [w1, w2]
    docker-context: ${YES}
    options:
      docker-memory: 1024
      docker-secret: ${TOKEN}
      docker-key: {file: key.txt}
      docker-flags: [a, 1, true]
      docker-plain: $$5
    labels:
    - disk=ssd
    tls-san: [api.example]
    userdata: init.yaml
  lone:
    driver: generic
    labels:
    options: {generic-ip-address: 192.0.2.7}
stacks:
  web:
    files: [compose.yaml, compose.prod.yaml]
    env: {TAG: 1.25}
    prune: true
    resolve-image: never
`

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := Parse(source(whole))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "whole.json", string(text)+"\n")
}

// example is a file and what is said of it; no errors: it is accepted.
type example struct {
	text     string
	errs     []string
	semantic bool // only Parse knows: several keys say it together, or variables
}

func examples() map[string]example {
	const ok = "machines:\n  a:\n    driver: d\n"
	in := func(lines string) string { return ok + lines }
	return map[string]example{
		"smallest":           {text: ok},
		"null group":         {text: "defaults: {driver: d}\nmachines: {a: }\n"},
		"no machines":        {text: "machines:\n"},
		"extension":          {text: in("    x-b: {c: 1}\nx-a: 1\n")},
		"counts":             {text: in("    count: 0\n")},
		"count by variable":  {text: in("    count: ${N}\n")},
		"labels as a list":   {text: in("    role: manager\n    labels: [a=b, c=]\n")},
		"labels as mapping":  {text: in("    role: manager\n    labels: {a: 1, b: true, c: x}\n")},
		"merge of several":   {text: "x-a: &a {driver: d}\nx-b: &b {count: 2}\nmachines: {a: {<<: [*a, *b]}}\n"},
		"alias":              {text: "x-a: &a {driver: d}\nmachines: {a: *a, b: *a}\n"},
		"dollars":            {text: in("    options: {o: a$$b}\n")},
		"empty":              {text: "", errs: []string{"c.yaml: the file is empty"}, semantic: true},
		"comment":            {text: "# nothing\n", errs: []string{"c.yaml: the file is empty"}, semantic: true},
		"two documents":      {text: ok + "---\na: 1\n", errs: []string{"c.yaml:4:1: a second document: a cluster file has one"}, semantic: true},
		"no YAML":            {text: "a: [\n", errs: []string{"c.yaml:1:1: no YAML: did not find expected node content"}, semantic: true},
		"tab":                {text: "machines:\n\ta: 1\n", errs: []string{"c.yaml:2:1: no YAML: found character that cannot start any token"}, semantic: true},
		"a list":             {text: "- a\n", errs: []string{"c.yaml:1:1: the file: want a mapping of keys to values, not a list"}},
		"unknown key":        {text: in("    cuont: 2\n"), errs: []string{`c.yaml:4:5: a: unknown key "cuont"`}},
		"unknown at the top": {text: in("machine: {}\n"), errs: []string{`c.yaml:4:1: the file: unknown key "machine"`}},
		"unknown in engine":  {text: in("    engine: {verison: 1}\n"), errs: []string{`c.yaml:4:14: engine: unknown key "verison"`}},
		"several mistakes": {text: "machines:\n  a:\n    drivr: d\n    count: x\n", errs: []string{
			`c.yaml:3:5: a: unknown key "drivr"`, "c.yaml:4:12: count: want a whole number, not a text",
		}},
		"missing machines":    {text: "name: a\n", errs: []string{`c.yaml:1:1: the file: key "machines" is missing`}},
		"no driver":           {text: "machines: {a: {count: 1}}\n", errs: []string{"c.yaml:1:12: group a: which driver makes its machines?"}, semantic: true},
		"both":                {text: in("    count: 1\n    names: [m]\n"), errs: []string{"c.yaml:3:5: a: count and names do not go together"}},
		"number as text":      {text: in("    count: \"3\"\n"), errs: []string{"c.yaml:4:12: count: want a whole number, not a text"}},
		"too many":            {text: in("    count: 1001\n"), errs: []string{"c.yaml:4:12: count: 1001 is not from 0 to 1000"}},
		"fraction":            {text: in("    count: 1.5\n"), errs: []string{"c.yaml:4:12: count: want a whole number, not a number"}},
		"variable no number":  {text: in("    count: ${NAME}\n"), errs: []string{"c.yaml:4:12: count: want a whole number, not what the variables make of it"}, semantic: true},
		"required variable":   {text: in("    count: ${NONE:?how many}\n"), errs: []string{"c.yaml:4:12: variable NONE: how many"}, semantic: true},
		"open variable":       {text: in("    userdata: ${N\n"), errs: []string{"c.yaml:4:15: ${ without its }"}, semantic: true},
		"lone dollar":         {text: in("    userdata: a$\n"), errs: []string{"c.yaml:4:15: a dollar sign that begins no variable: write $$ for a dollar sign"}, semantic: true},
		"wrong role":          {text: in("    role: mangaer\n"), errs: []string{`c.yaml:4:11: role: "mangaer" is none of manager, worker, none`}},
		"driver a number":     {text: "machines: {a: {driver: 1}}\n", errs: []string{"c.yaml:1:24: driver: want a text, not a number"}},
		"null driver":         {text: "machines: {a: {driver: }}\n", errs: []string{"c.yaml:1:24: driver: want a text, not nothing"}},
		"names a text":        {text: in("    names: m\n"), errs: []string{"c.yaml:4:12: names: want a list, not a text"}},
		"bad name":            {text: in("    names: [m_1]\n"), errs: []string{`c.yaml:4:13: names: "m_1" cannot be a name here`}},
		"bad group":           {text: "machines: {a_b: {driver: d}}\n", errs: []string{`c.yaml:1:12: machines: "a_b" cannot be a name here`}},
		"label no pair":       {text: in("    engine: {labels: [a]}\n"), errs: []string{"c.yaml:4:23: labels: want NAME=VALUE"}},
		"labels a text":       {text: in("    engine: {labels: a=b}\n"), errs: []string{"c.yaml:4:22: labels: want names to values, or a list of NAME=VALUE, not a text"}},
		"option a mapping":    {text: in("    options: {o: {flie: x}}\n"), errs: []string{`c.yaml:4:18: o: key "file" is missing`, `c.yaml:4:19: o: unknown key "flie"`}},
		"option null":         {text: in("    options: {o: }\n"), errs: []string{"c.yaml:4:18: o: want a single value, not nothing"}},
		"bool a text":         {text: in("    docker-context: \"true\"\n"), errs: []string{"c.yaml:4:21: docker-context: want true or false, not a text"}},
		"port":                {text: in("swarm: {data-path-port: 80}\n"), errs: []string{"c.yaml:4:25: data-path-port: 80 is not from 1024 to 49151"}},
		"twice":               {text: in("    driver: e\n"), errs: []string{`c.yaml:4:5: key "driver" stands here twice`}, semantic: true},
		"name twice":          {text: in("    names: [m, m]\n"), errs: []string{`c.yaml:4:12: machine "m" is named twice`}, semantic: true},
		"name in two groups":  {text: in("    names: [m]\n  b: {driver: d, names: [m]}\n"), errs: []string{`c.yaml:5:3: machine "m" is in group a already`}, semantic: true},
		"workers alone":       {text: in("    role: worker\n"), errs: []string{"c.yaml:2:3: a swarm with workers and no manager"}, semantic: true},
		"swarm of nobody":     {text: in("swarm: {name: s}\n"), errs: []string{"c.yaml:4:8: a swarm that no group is in"}, semantic: true},
		"stack without swarm": {text: in("stacks: {w: {files: [f]}}\n"), errs: []string{"c.yaml:4:10: a stack is deployed on a swarm, and no group has the role manager"}, semantic: true},
		"stack of nothing":    {text: in("    role: manager\nstacks: {w: {}}\n"), errs: []string{`c.yaml:5:13: w: key "files" is missing`}},
		"label of no node":    {text: in("    labels: {a: b}\n"), errs: []string{"c.yaml:4:13: labels: group a is not in a swarm"}, semantic: true},
		"script":              {text: in("    engine: {source: script}\n"), errs: []string{"c.yaml:4:13: engine source script needs an install-url"}, semantic: true},
		"endless":             {text: "x-a: &a [*a]\nmachines: {a: {driver: d}}\n", errs: []string{"c.yaml:1:6: an anchor that contains itself"}, semantic: true},
		"strange tag":         {text: in("    userdata: !env N\n"), errs: []string{"c.yaml:4:15: the tag !env is not known here"}, semantic: true},
		"merge of a text":     {text: in("    <<: a\n"), errs: []string{"c.yaml:4:9: << takes in a mapping, or a list of them"}, semantic: true},
		"project":             {text: "name: '-'\nmachines: {a: {driver: d}}\n", errs: []string{`c.yaml:1:7: name: "-" cannot be a name here`}},
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(source(e.text))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(e.errs) {
				t.Fatalf("Got %q, want %q", got, e.errs)
			}
			for i, want := range e.errs {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("Got %q, want %q", got[i], want)
				}
			}
		})
	}
}

// TestSchemaAgrees has the schema accept and refuse the same examples as Parse.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	published := compiled(t)
	all := examples()
	all["whole"] = example{text: whole}
	for name, e := range all {
		if e.semantic {
			continue
		}
		err := published.Validate(decoded(t, e.text))
		if (err == nil) != (len(e.errs) == 0) {
			t.Errorf("%s: the schema says %v, Parse %q", name, err, e.errs)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decoded is a file as an editor sees it, its variables not replaced.
func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestPublished holds the schema and the table of keys in the documentation to the parser.
func TestPublished(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "..", "docs")
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	published := filepath.Join(docs, "cluster.schema.json")
	if *update {
		if err := os.WriteFile(published, text, 0o644); err != nil { //nolint:gosec // it is published
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(published); err != nil || string(got) != string(text) {
		t.Errorf("docs/cluster.schema.json is not what the parser says (%v): go test ./cmd/internal/cluster -run Published -update", err)
	}
	page := filepath.Join(docs, "cluster-file.md")
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(docs, "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{string(got), string(readme)} {
		_, example, _ := strings.Cut(page, "```yaml\n")
		example, _, _ = strings.Cut(example, "```")
		if s, err := Parse(source(example)); err != nil || len(s.Groups) != 2 || len(s.Stacks) != 1 {
			t.Errorf("the page's example: %v\n%s", err, example)
		}
		if err := compiled(t).Validate(decoded(t, example)); err != nil {
			t.Errorf("the page's example: %v\n%s", err, example)
		}
	}
	const begin, end = "<!-- keys: generated -->\n", "<!-- end of keys -->"
	before, rest, ok := strings.Cut(string(got), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of keys", page)
	}
	want := before + begin + KeysTable() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // likewise
			t.Fatal(err)
		}
	} else if string(got) != want {
		t.Error("docs/cluster-file.md has other keys than the parser: go test ./cmd/internal/cluster -run Published -update")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	bomb := "x-a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		p := string(c - 1)
		bomb += "x-" + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+", ", 9) + "*" + p + "]\n"
	}
	for name, text := range map[string]string{
		"bomb": bomb + "machines: {a: {driver: d}}\n", "deep": "x-a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
		"large": "# " + strings.Repeat("x", maxFile) + "\n",
	} {
		if _, err := Parse(source(text)); err == nil || !strings.Contains(err.Error(), "too large or too deep") && !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	s, err := Parse(source("machines: {a: {driver: d, userdata: \"$NONE$NONE$EMPTY\", names: []}}"))
	if err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "NONE") {
		t.Errorf("Got %v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.text)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(source(text))
		if err != nil {
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a value of the environment is in the error: %v", err)
			}
			return
		}
		// What was understood can be written and is understood again.
		out, err := Write(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Groups) == 0 {
			return
		}
		again, err := Parse(source(string(out)))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for i := range again.Groups {
			if got, want := again.Groups[i].Names, s.Groups[i].Names; !slices.Equal(got, want) {
				t.Errorf("Got %q, want %q\n%s", got, want, out)
			}
		}
	})
}
