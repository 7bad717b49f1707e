package e2e_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hostsmith/machine"

// layers says which packages of ours a package may import, the first entry that
// matches counts. A pattern ends in /... to take in everything below.
var layers = []struct {
	pkg string
	may []string
}{
	{"certs", nil},
	{"store", nil},
	{"store/etcd", []string{"store"}},
	{"store/storetest", []string{"store"}},
	{"swarmboot", nil},
	{"provision/ssh/sshtest", []string{"provision/ssh"}},
	{"provision/...", nil},
	{"drivers/all", []string{"drivers/..."}},
	{"drivers/drivertest/...", []string{"drivers", "drivers/drivertest/..."}},
	{"drivers", nil},
	{"drivers/cloudimage", []string{"drivers", "drivers/internal/lockfile"}},
	{"drivers/...", []string{"drivers", "drivers/cloudimage", "drivers/internal/...", "drivers/drivertest"}},
	{"cmd/internal/cluster", []string{"drivers"}},
	{"cmd/internal/managerkey", nil},
	{"cmd/internal/agefile", nil},
	{"cmd/internal/swarmfile", []string{"cmd/internal/agefile"}},
	{"cmd/internal/bundle", []string{"cmd/internal/agefile"}},
	{"cmd/internal/lifecycle", []string{"cmd/internal/cluster", "certs", "store", "store/etcd", "swarmboot", "provision/...", "drivers", "drivers/plugin", "drivers/cloudimage", "cmd/internal/managerkey", "cmd/internal/swarmfile", "cmd/internal/agefile", "cmd/internal/bundle"}},
	{"cmd/internal/ui", []string{"cmd/internal/lifecycle"}},
	{"cmd/internal/swarmview", []string{"cmd/internal/lifecycle"}},
	{"cmd/internal/cli", []string{"cmd/internal/agefile", "cmd/internal/cluster", "cmd/internal/lifecycle", "cmd/internal/swarmview", "cmd/internal/ui", "drivers", "drivers/plugin", "provision/ssh", "store"}},
	{"cmd/machine", []string{"cmd/internal/...", "drivers/all"}},
	{"e2e/sim/...", []string{"e2e/sim/..."}},
	{"e2e/...", nil},
}

// homes says where alone a package of others may be imported.
var homes = []struct {
	pkg string
	in  []string
}{
	{"github.com/cloudflare/cfssl/...", []string{"certs"}},
	{"go.yaml.in/yaml/...", []string{"cmd/internal/cluster"}},
	{"github.com/santhosh-tekuri/jsonschema/...", nil}, // tests only
	{"github.com/urfave/cli/...", []string{"cmd/internal/cli"}},
	{"golang.org/x/crypto/ssh/...", []string{"provision/ssh/..."}},
	{"github.com/moby/moby/...", []string{"drivers/docker"}},
	{"github.com/aws/...", []string{"drivers/amazonec2"}},
	{"github.com/Azure/...", []string{"drivers/azure", "e2e/sim/azuresim"}},
	{"github.com/vmware/govmomi/...", []string{"drivers/vmwarevsphere", "e2e/sim/vspheresim"}},
	{"github.com/gofrs/flock", []string{"store", "store/etcd", "drivers/drivertest/fake", "drivers/internal/lockfile", "e2e/sim/..."}},
	{"github.com/diskfs/go-diskfs/...", []string{"drivers/internal/seed", "e2e/sim/..."}},
	{"go.etcd.io/...", []string{"store/etcd"}},
	{"go.uber.org/...", []string{"store/etcd"}},
	{"google.golang.org/...", []string{"store/etcd"}},
	{"filippo.io/age/...", []string{"store/etcd", "cmd/internal/agefile", "cmd/internal/swarmfile", "cmd/internal/bundle"}},
	{"github.com/ulikunitz/xz/...", []string{"drivers/cloudimage"}},
	{"os/signal", []string{"cmd/...", "e2e/..."}},
	{"log", []string{"certs", "e2e/..."}}, // certs quiets a logger of cfssl's with it
	{"io/ioutil", nil},
	{"github.com/stretchr/testify/...", nil},
}

// calls says what is not called, outside of which kind of file.
var calls = []struct {
	fn     string
	except string // "main": package main, "test": test files; comma-separated
}{
	{"time.Sleep", "test"},
	{"os.Exit", "main,test"},
	{"fmt.Print", "main,test"},
	{"fmt.Printf", "main,test"},
	{"fmt.Println", "main,test"},
	{"context.Background", "main,test"},
	{"context.TODO", ""},
	{"context.WithTimeout", "main,test"}, // WithTimeoutCause says what timed out
	{"golang.org/x/crypto/ssh.InsecureIgnoreHostKey", ""},
}

func matches(pattern, pkg string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	return pkg == pattern
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// breaches returns what the file, at name from the root, does against the
// architecture.
func breaches(name string, src []byte) ([]string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var found []string
	report := func(at token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(format, args...)))
	}
	pkg := path.Dir(name)
	isTest := strings.HasSuffix(name, "_test.go")
	isMain := file.Name.Name == "main"

	local := map[string]string{} // name in this file to import path
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if spec.Name != nil {
			local[spec.Name.Name] = imported
		} else {
			local[path.Base(imported)] = imported
		}
		if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
			if ours != pkg && !mayImport(pkg, ours, isTest) {
				report(spec.Pos(), "%s imports %s, which its layer may not", pkg, ours)
			}
			continue
		}
		for _, home := range homes {
			if matches(home.pkg, imported) && !matchesAny(home.in, pkg) && !isTest {
				report(spec.Pos(), "%s is imported outside %v", imported, home.in)
			}
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Name.Name == "init" && decl.Recv == nil {
				report(decl.Pos(), "func init")
			}
		case *ast.GenDecl:
			if decl.Tok == token.VAR && !isTest {
				for _, spec := range decl.Specs {
					if spec := spec.(*ast.ValueSpec); !constant(decl, spec, pkg, isMain) {
						report(spec.Pos(), "package variable %s", spec.Names[0].Name)
					}
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		for _, c := range calls {
			if local[x.Name]+"."+sel.Sel.Name != c.fn {
				continue
			}
			if isTest && strings.Contains(c.except, "test") || isMain && strings.Contains(c.except, "main") {
				continue
			}
			report(sel.Pos(), "%s", c.fn)
		}
		return true
	})
	return found, nil
}

func mayImport(pkg, ours string, isTest bool) bool {
	if isTest {
		for _, part := range strings.Split(ours, "/") {
			if strings.HasSuffix(part, "test") { // fakes live beside what they fake
				return true
			}
		}
		if matches("drivers/...", pkg) && matches("e2e/sim/...", ours) { // the providers that drivers are tried on
			return true
		}
		if matches("cmd/internal/lifecycle", pkg) && matches("drivers/...", ours) { // its tests need real drivers
			return true
		}
	}
	for _, layer := range layers {
		if matches(layer.pkg, pkg) {
			return matchesAny(layer.may, ours)
		}
	}
	return false
}

// constant tells whether a package variable never changes: a sentinel error, a
// compiled pattern, an embedded file, or a check that a type has an interface. A
// simulator may have a lock of variables that are another's.
func constant(decl *ast.GenDecl, spec *ast.ValueSpec, pkg string, isMain bool) bool {
	if kind, ok := spec.Type.(*ast.SelectorExpr); ok && matches("e2e/sim/...", pkg) && kind.Sel.Name == "Mutex" {
		return true
	}
	for _, doc := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed") }) {
			return true
		}
	}
	for i, name := range spec.Names {
		if name.Name == "_" || isMain && (name.Name == "version" || name.Name == "commit") { // set by the linker
			continue
		}
		if i >= len(spec.Values) {
			return false
		}
		if pointer, ok := spec.Values[i].(*ast.UnaryExpr); ok && pointer.Op == token.AND && strings.HasPrefix(strings.ToLower(name.Name), "err") {
			continue // a sentinel with data
		}
		call, ok := spec.Values[i].(*ast.CallExpr)
		if !ok {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, _ := sel.X.(*ast.Ident)
		if x == nil || !slices.Contains([]string{"errors.New", "regexp.MustCompile", "sync.OnceFunc"}, x.Name+"."+sel.Sel.Name) {
			return false
		}
	}
	return true
}

// TestArchitecture holds the arrows of docs/ARCHITECTURE.md and the house rules
// that a parser can see, for all files of the module.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	var files int
	root := ".."
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		found, err := breaches(filepath.ToSlash(rel), src)
		for _, b := range found {
			t.Error(b)
		}
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d files were looked at", files)
	}
}

// TestArchitectureNotices shows that each rule can be broken.
func TestArchitectureNotices(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ file, src, want string }{
		"leaf imports leaf":    {"certs/x.go", `package certs; import _ "` + module + `/store"`, "certs imports store"},
		"leaf imports cmd":     {"store/x.go", `package store; import _ "` + module + `/cmd/internal/ui"`, "store imports cmd/internal/ui"},
		"driver imports leaf":  {"drivers/docker/x.go", `package docker; import _ "` + module + `/provision"`, "drivers/docker imports provision"},
		"driver imports other": {"drivers/docker/x.go", `package docker; import _ "` + module + `/drivers/none"`, "drivers/docker imports drivers/none"},
		"unlisted package":     {"util/x.go", `package util; import _ "` + module + `/store"`, "util imports store"},
		"e2e imports ours":     {"e2e/x_test.go", `package e2e_test; import _ "` + module + `/store"`, "e2e imports store"},
		"cfssl elsewhere":      {"store/x.go", `package store; import _ "github.com/cloudflare/cfssl/csr"`, "cfssl/csr is imported outside"},
		"cli elsewhere":        {"cmd/machine/x.go", `package main; import _ "github.com/urfave/cli/v2"`, "urfave/cli/v2 is imported outside"},
		"ssh elsewhere":        {"drivers/x.go", `package drivers; import _ "golang.org/x/crypto/ssh/agent"`, "ssh/agent is imported outside"},
		"init":                 {"store/x.go", `package store; func init() {}`, "func init"},
		"package variable":     {"store/x.go", `package store; var cache = map[string]int{}`, "package variable cache"},
		"lock":                 {"store/x.go", `package store; import "sync"; var mu sync.Mutex`, "package variable mu"},
		"unset variable":       {"store/x.go", `package store; var now func()`, "package variable now"},
		"sleep":                {"store/x.go", `package store; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		"exit":                 {"store/x.go", `package store; import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		"print":                {"store/x.go", `package store; import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		"background":           {"store/x.go", `package store; import "context"; var _ = context.Background()`, "context.Background"},
		"host key unchecked":   {"provision/ssh/x_test.go", `package ssh; import gossh "golang.org/x/crypto/ssh"; var f = gossh.InsecureIgnoreHostKey`, "InsecureIgnoreHostKey"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := breaches(tt.file, []byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !strings.Contains(found[0], tt.want) {
				t.Errorf("Got %q, want one breach with %q", found, tt.want)
			}
		})
	}
	clean := "package store\n" + `import ("errors"; "regexp"; _ "embed")
var ErrX, ErrY = errors.New("x"), errors.New("y")
var name = regexp.MustCompile("x")
var _ error = (*T)(nil)
//go:embed x.txt
var doc string
func f(time T) { time.Sleep(1) }`
	found, err := breaches("store/x.go", []byte(clean))
	if err != nil || len(found) != 0 {
		t.Errorf("Got %q, %v, want no breach", found, err)
	}
}
