package provision

import (
	"encoding/json"
	"slices"
	"testing"
)

var someSettings = []setting{
	{key: "tlsverify", value: true},
	{key: "tlscacert", value: "/etc/docker/ca.pem"},
	{key: "labels", list: []string{"provider=test", "zone=b"}},
	{key: "insecure-registries", list: []string{"reg.lan:5000"}},
}

func TestMergeDaemonJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ current, want string }{
		"empty":    {" \n", "{\n  \"tlsverify\": true,\n  \"tlscacert\": \"/etc/docker/ca.pem\",\n  \"labels\": [\"provider=test\",\"zone=b\"],\n  \"insecure-registries\": [\"reg.lan:5000\"]\n}\n"},
		"verbatim": {`{"mtu" : 1.40e3, "x":{ "y" : [1 ,2]}, "h<>": "<&>"}`, "{\n  \"mtu\": 1.40e3,\n  \"x\": { \"y\" : [1 ,2]},\n  \"h<>\": \"<&>\",\n  \"tlsverify\": true,\n  \"tlscacert\": \"/etc/docker/ca.pem\",\n  \"labels\": [\"provider=test\",\"zone=b\"],\n  \"insecure-registries\": [\"reg.lan:5000\"]\n}\n"},
		"partly":   {`{"labels":["zone=b","rack=<7>"],"tlsverify":true}`, "{\n  \"labels\": [\"zone=b\",\"rack=<7>\",\"provider=test\"],\n  \"tlsverify\": true,\n  \"tlscacert\": \"/etc/docker/ca.pem\",\n  \"insecure-registries\": [\"reg.lan:5000\"]\n}\n"},
	} {
		file, rec, changed, err := mergeDaemonJSON([]byte(c.current), nil, someSettings)
		if err != nil || !changed || string(file) != c.want {
			t.Errorf("%s: changed %v, %v, got\n%s", name, changed, err, file)
			continue
		}
		// The user's later edits are kept, and are no reason to write the file again.
		o, _ := parseObject(file)
		labels, _ := o.get("labels")
		o = slices.Concat(object{{"added", json.RawMessage("1")}}, o.without("labels"), object{{"labels", labels}})
		edited := o.render()
		again, _, changed, err := mergeDaemonJSON(edited, rec, someSettings)
		if err != nil || changed || string(again) != string(edited) {
			t.Errorf("%s: edited: changed %v, %v, got\n%s", name, changed, err, again)
		}
		before, _ := parseObject([]byte(c.current))
		if rest := unmerge(o, parseRecord(rec)); !sameSettings(rest.without("added"), before) {
			t.Errorf("%s: taken out again it is\n%s", name, rest.render())
		}
	}
}

// TestUnmergeKeepsEdits: what someone has changed since is theirs.
func TestUnmergeKeepsEdits(t *testing.T) {
	t.Parallel()
	_, rec, _, err := mergeDaemonJSON([]byte(`{"labels":["rack=7"]}`), nil, someSettings)
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseObject([]byte(`{"tlscacert":"/pki/ca.pem","tlsverify":true,"labels":["rack=8","zone=b","zone=c"],"insecure-registries":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"tlscacert\": \"/pki/ca.pem\",\n  \"labels\": [\"rack=8\",\"zone=c\"],\n  \"insecure-registries\": \"x\"\n}\n"
	if got := unmerge(o, parseRecord(rec)).render(); string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func FuzzMergeDaemonJSON(f *testing.F) {
	f.Add(`{"labels":["a=b"],"log-opts":{"max-size":"1m"}}`, "provider=test")
	f.Add(`{}`, "a=b")
	f.Add(`{"labels":null,"tlsverify":true}`, "x=")
	f.Add(`{"labels":[]}`, "\xff=\u2028")
	f.Fuzz(func(t *testing.T, current, label string) {
		settings := []setting{{key: "tlsverify", value: true}, {key: "labels", list: []string{label}}}
		file, rec, changed, err := mergeDaemonJSON([]byte(current), nil, settings)
		if err != nil {
			return
		}
		if !json.Valid(file) || !json.Valid(rec) || !changed {
			t.Fatalf("changed %v, got %s, %s", changed, file, rec)
		}
		var got struct {
			TLS    bool     `json:"tlsverify"`
			Labels []string `json:"labels"`
		}
		if err := json.Unmarshal(file, &got); err != nil || !got.TLS {
			t.Fatalf("%v: %s", err, file)
		}
		if _, _, changed, err := mergeDaemonJSON(file, rec, settings); err != nil || changed && printable(label) {
			t.Errorf("a second time: changed %v, %v\n%s", changed, err, file)
		}
		before, _ := parseObject([]byte(current))
		after, _ := parseObject(file)
		for _, m := range before {
			if m.key != "labels" && m.key != "tlsverify" {
				if value, ok := after.get(m.key); !ok || !sameJSON(value, m.value) {
					t.Errorf("%q was %s and is %s", m.key, m.value, value)
				}
			}
		}
		rest := unmerge(after, parseRecord(rec))
		if len(rest) > len(before) {
			t.Errorf("left over: %s", rest.render())
		}
	})
}
