package cluster

import (
	"cmp"
	"errors"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Source is a cluster file and what it is read with.
type Source struct {
	File    string // its name, for messages
	Dir     string // the folder that paths in it are relative to
	Data    []byte
	Project string                           // the project's name instead of the file's; may be empty
	Default string                           // the project's name where neither the file nor Project says one
	Lookup  func(name string) (string, bool) // the environment
}

// Parse reads a cluster file. The error joins an *Error for each mistake, not only the first; all wrap ErrFile.
func Parse(src Source) (*Spec, error) {
	b := &building{
		spec:    &Spec{File: src.File, Dir: src.Dir},
		reading: reading{file: src.File},
	}
	warned := map[string]bool{}
	b.vars = variables{lookup: src.Lookup, unset: func(name string) {
		if !warned[name] {
			warned[name] = true
			b.spec.Warnings = append(b.spec.Warnings, "variable "+name+" is not set: it is taken for an empty text")
		}
	}}
	v := b.document(src.Data)
	if v != nil {
		b.check(v, root(), "the file")
	}
	if len(b.errs) > 0 {
		return nil, b.failed()
	}
	b.build(v, src)
	if len(b.errs) > 0 {
		return nil, b.failed()
	}
	return b.spec, nil
}

// failed joins the errors in the order of the file.
func (r *reading) failed() error {
	InOrder(r.errs)
	said := map[string]bool{}
	r.errs = slices.DeleteFunc(r.errs, func(err error) bool { // an alias is read at each of its places
		again := said[err.Error()]
		said[err.Error()] = true
		return again
	})
	return errors.Join(r.errs...)
}

// InOrder puts errors into the order of their places.
func InOrder(errs []error) {
	slices.SortStableFunc(errs, func(a, b error) int {
		var x, y *Error
		if !errors.As(a, &x) || !errors.As(b, &y) {
			return 0
		}
		return cmp.Or(x.Pos.Line-y.Pos.Line, x.Pos.Column-y.Pos.Column)
	})
}

// building makes a Spec of checked values.
type building struct {
	reading
	spec *Spec
}

func (b *building) build(v *value, src Source) {
	s := b.spec
	s.Name = firstOf(src.Project, v.get("name").string(), src.Default)
	if !regexp.MustCompile(namePattern).MatchString(s.Name) {
		b.fail(v.get("name").at(), "give the file a name: key", "%q cannot be the name of a project", s.Name)
		return
	}
	swarm := v.get("swarm")
	s.Swarm = Swarm{
		Name: firstOf(swarm.get("name").string(), s.Name), AddrPool: swarm.get("addr-pool").strings(),
		SubnetSize: swarm.get("subnet-size").int(), DataPathPort: swarm.get("data-path-port").int(),
	}
	defaults := v.get("defaults")
	for _, f := range v.get("machines").fieldsOf() {
		if !extension(f.name) {
			s.Groups = append(s.Groups, b.group(f, merged(f.value, defaults)))
		}
	}
	for _, f := range v.get("stacks").fieldsOf() {
		if !extension(f.name) {
			s.Stacks = append(s.Stacks, b.stack(f))
		}
	}
	b.together(v)
}

// together checks what concerns several groups.
func (b *building) together(v *value) {
	s := b.spec
	owner := map[string]string{}
	roles := map[string]Pos{}
	for _, g := range s.Groups {
		for _, name := range g.Names {
			if other, ok := owner[name]; ok && other != g.Name {
				b.fail(g.Pos, "", "machine %q is in group %s already", name, other)
			}
			owner[name] = g.Name
		}
		if _, ok := roles[g.Role]; !ok && len(g.Names) > 0 {
			roles[g.Role] = g.Pos
		}
	}
	_, managers := roles[Manager]
	workers, needs := roles[Worker]
	switch {
	case managers:
	case needs:
		b.fail(workers, "give a group the role manager", "a swarm with workers and no manager")
	case len(s.Stacks) > 0:
		b.fail(s.Stacks[0].Pos, "give a group the role manager", "a stack is deployed on a swarm, and no group has the role manager")
	case v.get("swarm") != nil && !v.get("swarm").null() && len(v.get("swarm").fields) > 0:
		b.fail(v.get("swarm").pos, "give a group the role manager", "a swarm that no group is in")
	default:
		s.Swarm = Swarm{}
	}
}

func (b *building) group(f field, v *value) Group {
	g := Group{
		Name: f.name, Pos: f.pos, Names: v.get("names").strings(), Role: firstOf(v.get("role").string(), None),
		Driver: v.get("driver").string(), Labels: v.get("labels").pairs(), Availability: v.get("availability").string(),
		Advertise: v.get("advertise-addr").string(), Listen: v.get("listen-addr").string(), DataPath: v.get("data-path-addr").string(),
		Engine: engine(v.get("engine")), SANs: v.get("tls-san").strings(), UserData: v.get("userdata").string(),
		DockerContext: v.get("docker-context").bool(),
	}
	if v.get("names") == nil {
		count := 1
		if c := v.get("count"); c != nil {
			count = c.int()
		}
		g.Names = machineNames(b.spec.Name, g.Name, count)
	}
	for i, name := range g.Names {
		if slices.Contains(g.Names[:i], name) {
			b.fail(v.get("names").at(), "", "machine %q is named twice", name)
		}
		if len(name) > 63 {
			b.fail(f.pos, "", "machine name %q is longer than 63 characters", name)
		}
	}
	if g.Driver == "" {
		b.fail(f.pos, "give the group or the defaults a driver: key", "group %s: which driver makes its machines?", g.Name)
	}
	if g.Role == None {
		for _, k := range []string{"labels", "availability", "advertise-addr", "listen-addr", "data-path-addr"} {
			if own := f.value.get(k); own != nil && !own.null() {
				b.fail(own.pos, "give the group the role worker or manager", "%s: group %s is not in a swarm", k, g.Name)
			}
		}
		g.Labels, g.Availability, g.Advertise, g.Listen, g.DataPath = nil, "", "", "", ""
	}
	if e := g.Engine; e.Source == "script" && e.InstallURL == "" {
		b.fail(v.get("engine").at(), "", "engine source script needs an install-url")
	}
	for _, o := range v.get("options").fieldsOf() {
		if !extension(o.name) {
			g.Options = append(g.Options, option(o))
		}
	}
	return g
}

func option(f field) Option {
	o := Option{Name: f.name, Pos: f.pos, Literal: true}
	switch v := f.value; v.kind {
	case yaml.MappingNode:
		o.File, o.Literal = v.get("file").string(), false
	case yaml.SequenceNode:
		for _, e := range v.list {
			o.Values = append(o.Values, e.text)
			o.Literal = o.Literal && !e.dynamic
		}
	default:
		o.Values, o.Literal = []string{v.text}, !v.dynamic
	}
	return o
}

func engine(v *value) Engine {
	e := Engine{
		Version: v.get("version").string(), Source: v.get("source").string(), InstallURL: v.get("install-url").string(),
		RepoURL: v.get("repo-url").string(), Port: v.get("port").int(), Opts: v.get("opts").pairs(), Labels: v.get("labels").pairs(),
		Env: v.get("env").pairs(), InsecureRegistries: v.get("insecure-registries").strings(),
		RegistryMirrors: v.get("registry-mirrors").strings(), StorageDriver: v.get("storage-driver").string(),
		HTTPProxy: v.get("http-proxy").string(), HTTPSProxy: v.get("https-proxy").string(), NoProxy: v.get("no-proxy").string(),
	}
	if e.InstallURL != "" && e.Source == "" {
		e.Source = "script"
	}
	return e
}

func (b *building) stack(f field) Stack {
	s := Stack{
		Name: f.name, Pos: f.pos, Files: f.value.get("files").strings(), Env: f.value.get("env").pairs(),
		RegistryAuth: f.value.get("registry-auth").bool(), Prune: f.value.get("prune").bool(), ResolveImage: f.value.get("resolve-image").string(),
	}
	if len(s.Files) == 0 {
		b.fail(f.pos, "", "stack %s: no files", s.Name)
	}
	return s
}

// merged is a mapping with what it lacks of another one; mappings within are merged too.
func merged(v, defaults *value) *value {
	if defaults == nil || defaults.kind != yaml.MappingNode {
		return v
	}
	if v.kind != yaml.MappingNode {
		if v.null() {
			return defaults
		}
		return v
	}
	out := *v
	out.fields = slices.Clone(v.fields)
	for _, d := range defaults.fields {
		i := slices.IndexFunc(out.fields, func(f field) bool { return f.name == d.name })
		switch {
		case i < 0:
			out.fields = append(out.fields, d)
		case d.value.get("file") == nil && out.fields[i].value.get("file") == nil:
			out.fields[i].value = merged(out.fields[i].value, d.value)
		}
	}
	return &out
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Named is the group that a machine is in; nil: none.
func (s *Spec) Named(machine string) *Group {
	for i := range s.Groups {
		if slices.Contains(s.Groups[i].Names, machine) {
			return &s.Groups[i]
		}
	}
	return nil
}
