package provision

import (
	"fmt"
	"net/url"
	"strings"
)

// planPackages decides how the engine that is asked for comes to the host; no steps if it is there.
func planPackages(f Facts, e Engine) ([]Step, error) {
	plan := planChange
	switch {
	case f.Unfinished:
		plan = planRepair
	case f.Dockerd == "":
		plan = planInstall
	}
	steps, err := plan(f, e)
	if proxies := e.proxies(); len(proxies) > 0 {
		for i := range steps {
			steps[i].Run = "use_proxies\n" + steps[i].Run
			steps[i].Stdin = []byte(strings.Join(proxies, "\n") + "\n")
		}
	}
	return steps, err
}

// proxies are the variables by which tools that fetch packages know their proxy.
func (e Engine) proxies() []string {
	var env []string
	for _, p := range []struct{ name, value string }{{"http_proxy", e.HTTPProxy}, {"https_proxy", e.HTTPSProxy}, {"no_proxy", e.NoProxy}} {
		if p.value != "" {
			env = append(env, p.name+"="+p.value)
		}
	}
	return env
}

// planRepair installs the engine again where an installation was cut off, from where it was
// coming unless another source is asked for by name. What is there of it cannot be relied on.
func planRepair(f Facts, e Engine) ([]Step, error) {
	if e.Source == SourceAuto || e.Source == SourceKeep {
		e.Source = changeSource(f, Engine{InstallURL: e.InstallURL})
	}
	f.Dockerd, f.Version, f.PackageVersion = "", "", ""
	return planInstall(f, e)
}

const ownEngineAdvice = "install an engine on the host by its own means and run the command again: it is kept and secured"

// planInstall brings an engine to a host that has none.
func planInstall(f Facts, e Engine) ([]Step, error) {
	d, known := distributionOf(f)
	if e.asksForScript() {
		e.Source = SourceScript
	}
	switch {
	case e.Source == SourceKeep:
		return nil, refuse(ErrNoPackage, "install an engine on the host, or choose another source", "the host has no engine to keep")
	case e.Source == SourceScript:
		return []Step{scriptStep(e)}, nil
	case d.fixed != "":
		return nil, refuse(ErrUnsupportedOS, "use an image of it that has the engine", "%s has no engine, and %s", f.name(), d.fixed)
	case !known || f.Packager == "":
		return nil, refuse(ErrUnsupportedOS, ownEngineAdvice+"; or give an install script with --engine-install-url", "%s: no engine is installed, and none can be", f.name())
	}
	if e.Source == SourceAuto {
		e.Source = SourceDistro
		if distro, _ := d.repoFolder(f); distro != "" {
			e.Source = SourceRepo
		}
	}
	return sourceSteps(f, e, d, "install")
}

// planChange brings the installed engine to the version that is asked for, if it is another.
func planChange(f Facts, e Engine) ([]Step, error) {
	if e.Source == SourceKeep {
		return nil, nil
	}
	d, known := distributionOf(f)
	source := changeSource(f, e)
	convert := f.Package != "" && known && (source == SourceRepo && f.Package != repoPackage || source == SourceDistro && f.Package != d.pkg && f.Packager != "apk")
	fits := e.Version == "" || f.has(e.Version)
	if fits && !convert && (!e.Upgrade || exact(e.Version) || f.isNewest(source)) {
		return nil, nil
	}
	if e.Version != "" && !fits && compareVersions(e.Version, f.Version) < 0 && !e.AllowDowngrade {
		return nil, refuse(ErrDowngrade, adviceOn(ErrDowngrade), "%s is installed, %s is asked for", f.Version, e.Version)
	}
	if source == SourceScript {
		return []Step{scriptStep(e)}, nil
	}
	if d.fixed != "" {
		return nil, refuse(ErrUnsupportedOS, "update the system image, or accept the engine that it has", "%s has engine %s, and %s", f.name(), f.Version, d.fixed)
	}
	if !known || f.Packager == "" || f.Package == "" {
		return nil, refuse(ErrUnsupportedOS, "change the engine by the host's own means, or accept the one that it has with --engine-source keep",
			"%s: engine %s was not installed from a package that can be changed", f.name(), f.Version)
	}
	e.Source = source
	return sourceSteps(f, e, d, "change the engine to")
}

// has tells whether the installed engine is what is asked for.
func (f Facts) has(want string) bool {
	if strings.ContainsAny(want, ":~-") && f.PackageVersion != "" {
		return f.PackageVersion == want // of the package, to the letter
	}
	return satisfies(f.Version, want)
}

// isNewest tells whether the package source is known to have nothing newer than what is installed.
func (f Facts) isNewest(source Source) bool {
	return f.Candidate != "" && f.Candidate == f.PackageVersion && (source == SourceDistro || source == SourceRepo && f.RepoListed)
}

// repoPackage is the engine in Docker's repository.
const repoPackage = "docker-ce"

// changeSource decides where an engine that is installed gets another version: where it came
// from, unless another source is asked for by name.
func changeSource(f Facts, e Engine) Source {
	switch {
	case e.Source != SourceAuto:
		return e.Source
	case e.asksForScript():
		return SourceScript
	case f.Package == repoPackage:
		return SourceRepo
	}
	return SourceDistro
}

// sourceSteps are the steps that get the engine from a package source.
func sourceSteps(f Facts, e Engine, d distribution, verb string) ([]Step, error) {
	limit := int(limitLock.Seconds())
	fresh := "fresh"
	if f.Dockerd != "" {
		fresh = "present"
	}
	downgrade := "up"
	if e.AllowDowngrade {
		downgrade = "any"
	}
	tool := strings.TrimSuffix(f.Packager, "-get")
	if tool == "yum" {
		tool = "dnf"
	}
	if e.Source == SourceDistro {
		if d.pkg == "" {
			return nil, refuse(ErrNoPackage, "leave the source to Docker's repository", "%s has no engine package of its own", f.name())
		}
		want, label := e.Version, d.pkg
		if want != "" {
			label += " " + want
		}
		return []Step{{
			Name:  verb + " " + label,
			Run:   fmt.Sprintf("%s_engine distro %s %s %s %s %d", tool, shellQuote(d.pkg), shellQuote(want), fresh, downgrade, limit),
			Limit: limitPackages,
		}}, nil
	}
	folder, release := d.repoFolder(f)
	if folder == "" || tool != "apt" && tool != "dnf" {
		return nil, refuse(ErrNoPackage, "choose --engine-source distro", "Docker's repository has no packages for %s on %s", f.name(), f.Arch)
	}
	var steps []Step
	if !f.RepoListed {
		steps = append(steps, Step{
			Name:  "add package source " + e.repoURL() + "/" + folder,
			Run:   fmt.Sprintf("%s_repository %s %s %s %d", tool, shellQuote(e.repoURL()), folder, shellQuote(release), limit),
			Limit: limitPackages,
			Hint:  "check that the host reaches " + e.repoURL() + "; or name a mirror with --engine-repo-url, or choose --engine-source distro",
		})
	}
	want := e.Version
	label := want
	switch {
	case want == "" && e.Upgrade:
		label = "newest"
	case want == "":
		want, label = DefaultVersion+"?", DefaultVersion // the newest if the release has no such version
	}
	return append(steps, Step{
		Name:  verb + " " + repoPackage + " " + label,
		Run:   fmt.Sprintf("%s_engine repo %s %s %s %s %d", tool, repoPackage, shellQuote(want), fresh, downgrade, limit),
		Limit: limitPackages,
	}), nil
}

// scriptStep fetches an install script, looks at it, and runs it.
func scriptStep(e Engine) Step {
	return Step{
		Name:  "run install script " + withoutSecrets(e.installURL()),
		Run:   fmt.Sprintf("run_install_script %s %s %d", shellQuote(e.installURL()), shellQuote(e.Version), int(limitLock.Seconds())),
		Limit: limitPackages,
	}
}

// withoutSecrets names a URL without the parts that may hold a password or a token.
func withoutSecrets(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "of an unreadable URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
