package cluster

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// Write returns the cluster file that asks for what a Spec says. comments stand at its head, one line each.
func Write(s *Spec, comments ...string) ([]byte, error) {
	doc := mapping{}
	doc.put("name", s.Name)
	if s.Swarm.Name != "" {
		swarm := mapping{}
		swarm.put("name", s.Swarm.Name)
		swarm.put("addr-pool", s.Swarm.AddrPool)
		swarm.put("subnet-size", s.Swarm.SubnetSize)
		swarm.put("data-path-port", s.Swarm.DataPathPort)
		doc.put("swarm", swarm)
	}
	machines := mapping{}
	for _, g := range s.Groups {
		machines.put(g.Name, g.mapping())
	}
	doc.put("machines", machines)
	var buf bytes.Buffer
	for _, c := range comments {
		buf.WriteString("# " + c + "\n")
	}
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(doc.node()); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// Value is what Write writes as a value to be encoded as JSON, which is a cluster file too.
func Value(s *Spec) (any, error) {
	text, err := Write(s)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	err = yaml.Unmarshal(text, &v)
	return v, err
}

func (g Group) mapping() mapping {
	m := mapping{}
	if g.Role != None {
		m.put("role", g.Role)
	}
	m.put("names", g.Names)
	if len(g.Names) == 0 {
		m.content = append(m.content, &yaml.Node{Kind: yaml.ScalarNode, Value: "count"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "0"})
	}
	m.put("driver", g.Driver)
	options := mapping{}
	for _, o := range g.Options {
		if len(o.Values) == 1 {
			options.put(o.Name, o.Values[0])
		} else {
			options.put(o.Name, o.Values)
		}
	}
	m.put("options", options)
	m.put("labels", pairMapping(g.Labels))
	m.put("availability", g.Availability)
	m.put("advertise-addr", g.Advertise)
	m.put("listen-addr", g.Listen)
	m.put("data-path-addr", g.DataPath)
	m.put("engine", g.Engine.mapping())
	m.put("tls-san", g.SANs)
	if g.DockerContext {
		m.put("docker-context", true)
	}
	return m
}

func (e Engine) mapping() mapping {
	m := mapping{}
	m.put("version", e.Version)
	m.put("source", e.Source)
	m.put("install-url", e.InstallURL)
	m.put("repo-url", e.RepoURL)
	m.put("port", e.Port)
	m.put("opts", Texts(e.Opts))
	m.put("labels", Texts(e.Labels))
	m.put("env", Texts(e.Env))
	m.put("insecure-registries", e.InsecureRegistries)
	m.put("registry-mirrors", e.RegistryMirrors)
	m.put("storage-driver", e.StorageDriver)
	m.put("http-proxy", e.HTTPProxy)
	m.put("https-proxy", e.HTTPSProxy)
	m.put("no-proxy", e.NoProxy)
	return m
}

// escaped keeps a dollar sign from beginning a variable.
func escaped(s string) string { return string(bytes.ReplaceAll([]byte(s), []byte("$"), []byte("$$"))) }

// mapping is a YAML mapping in order; what is empty is not put into it.
type mapping struct{ content []*yaml.Node }

func (m *mapping) put(name string, v any) {
	n := &yaml.Node{}
	switch x := v.(type) {
	case mapping:
		if len(x.content) == 0 {
			return
		}
		n = x.node()
	case string:
		if x == "" {
			return
		}
		n.SetString(escaped(x))
		n.Tag = "!!str"
	case []string:
		if len(x) == 0 {
			return
		}
		n.Kind = yaml.SequenceNode
		for _, s := range x {
			e := &yaml.Node{}
			e.SetString(escaped(s))
			n.Content = append(n.Content, e)
		}
	case int:
		if x == 0 {
			return
		}
		_ = n.Encode(x) // an int always can be
	case bool:
		_ = n.Encode(x)
	}
	key := &yaml.Node{}
	key.SetString(name)
	m.content = append(m.content, key, n)
}

func (m mapping) node() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Content: m.content} }

func pairMapping(all []Pair) mapping {
	m := mapping{}
	for _, p := range all {
		n := &yaml.Node{}
		n.SetString(escaped(p.Value))
		key := &yaml.Node{}
		key.SetString(p.Key)
		m.content = append(m.content, key, n)
	}
	return m
}
