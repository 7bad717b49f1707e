package swarmview

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/hostsmith/machine/cmd/internal/lifecycle"
)

// The measures of the picture, in its own units.
const (
	pageWidth  = 960
	margin     = 24
	cardWidth  = 292
	cardGap    = 18
	cardHead   = 64
	lineHeight = 22
	perRow     = 3
)

const svgStyle = `
text{font-family:system-ui,sans-serif;font-size:13px;fill:#1d2430}
.page{fill:#fff}.h1{font-size:20px;font-weight:600}.h2{font-size:15px;font-weight:600}.name{font-size:14px;font-weight:600}
.dim{fill:#566074}.card{fill:#f5f7fa;stroke:#c3cad6}.well{fill:#1a7f37}.busy{fill:#9a6700}.bad{fill:#cf222e}.idle{fill:#6e7781}
rect.bad{fill:#fff5f5;stroke:#cf222e}rect.busy{fill:#fffaef;stroke:#bf8700}
@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.page{fill:#12161d}.dim{fill:#9aa4b5}.card{fill:#1b212b;stroke:#3a4454}
.well{fill:#4ac26b}.busy{fill:#d4a72c}.bad{fill:#ff7b72}.idle{fill:#8b949e}rect.bad{fill:#2d1618;stroke:#ff7b72}rect.busy{fill:#2a2311;stroke:#d4a72c}}
`

// picture is an SVG in the making; y is where the next thing stands.
type picture struct {
	b bytes.Buffer
	y int
}

// SVG draws the swarm as one picture that needs nothing besides itself.
func SVG(v lifecycle.SwarmView) []byte {
	p := &picture{y: margin}
	for i, line := range strings.Split(v.Headline(), "\n") {
		if i == 0 {
			p.heading("h1", 24, line)
		} else {
			p.heading("dim", 20, line)
		}
	}
	p.y += 8
	var managers, workers []lifecycle.SwarmNode
	for _, n := range v.Nodes {
		if n.Role == "manager" {
			managers = append(managers, n)
		} else {
			workers = append(workers, n)
		}
	}
	p.cards(v, "Managers", managers)
	p.cards(v, "Workers", workers)
	p.waiting(v)
	p.services(v.Services)
	p.problems(v.Findings)
	var out bytes.Buffer
	height := p.y + margin
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`+"\n",
		pageWidth, height, pageWidth, height)
	fmt.Fprintf(&out, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n", escape("Swarm "+v.Name+": "+v.Health), escape(describe(v)))
	fmt.Fprintf(&out, "<style>%s</style>\n<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n", svgStyle, pageWidth, height)
	out.Write(p.b.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// describe says the picture in words, for those who do not see it.
func describe(v lifecycle.SwarmView) string {
	parts := []string{v.Headline()}
	for _, n := range v.Nodes {
		parts = append(parts, fmt.Sprintf("%s: %s, %d tasks", n.Name(), words(n), n.Tasks))
	}
	for _, s := range v.Services {
		parts = append(parts, fmt.Sprintf("service %s: %d of %d tasks run", s.Name, s.Running, s.Wanted))
	}
	return strings.Join(parts, ". ")
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}

// clip shortens what does not fit.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (p *picture) text(x, y int, class, s string) {
	fmt.Fprintf(&p.b, "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class, escape(s))
}

func (p *picture) heading(class string, height int, s string) {
	p.y += height
	p.text(margin, p.y-6, class, clip(s, 130))
}

// cards draws nodes, three in a row.
func (p *picture) cards(v lifecycle.SwarmView, title string, nodes []lifecycle.SwarmNode) {
	if len(nodes) == 0 {
		return
	}
	p.heading("h2", 30, fmt.Sprintf("%s (%d)", title, len(nodes)))
	for len(nodes) > 0 {
		row := nodes[:min(perRow, len(nodes))]
		nodes = nodes[len(row):]
		tallest := 0
		for i, n := range row {
			tallest = max(tallest, p.card(margin+i*(cardWidth+cardGap), n, v))
		}
		p.y += tallest + cardGap
	}
}

// card draws a node with its tasks and returns its height.
func (p *picture) card(x int, n lifecycle.SwarmNode, v lifecycle.SwarmView) int {
	var tasks []lifecycle.SwarmTask
	if n.ID != "" {
		tasks = tasksOn(v, n.ID)
	}
	height := cardHead + lineHeight*len(tasks)
	if n.Problem != "" {
		height += lineHeight
	}
	mood := moodOf(n)
	fmt.Fprintf(&p.b, "<g><title>%s</title>\n", escape(strings.TrimSpace(n.Name()+": "+words(n)+" "+n.Problem)))
	frame := "card"
	if mood == bad || mood == busy {
		frame = mood
	}
	fmt.Fprintf(&p.b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", frame, x, p.y, cardWidth, height)
	p.text(x+12, p.y+22, "name", clip(n.Name(), 24))
	p.text(x+12, p.y+40, mood, clip(words(n), 40))
	p.text(x+12, p.y+56, "dim", clip(strings.TrimSpace(n.Addr+"  "+n.Engine), 40))
	y := p.y + cardHead
	if n.Problem != "" {
		p.text(x+12, y+12, "busy", clip(n.Problem, 40))
		y += lineHeight
	}
	for _, t := range tasks {
		p.task(x+12, y, t)
		y += lineHeight
	}
	p.b.WriteString("</g>\n")
	return height
}

func (p *picture) task(x, y int, t lifecycle.SwarmTask) {
	mood := moodOfTask(t)
	fmt.Fprintf(&p.b, "<g><title>%s</title><circle class=\"%s\" cx=\"%d\" cy=\"%d\" r=\"5\"/>\n", escape(strings.TrimSpace(t.Name+": "+t.State+" "+t.Error)), mood, x+5, y+7)
	p.text(x+18, y+12, "", clip(t.Name+"  "+t.State, 36))
	p.b.WriteString("</g>\n")
}

// waiting draws the tasks that no node has.
func (p *picture) waiting(v lifecycle.SwarmView) {
	tasks := tasksOn(v, "")
	if len(tasks) == 0 {
		return
	}
	p.heading("h2", 30, fmt.Sprintf("Tasks without a node (%d)", len(tasks)))
	for _, t := range tasks {
		p.task(margin, p.y, t)
		p.text(margin+290, p.y+12, "dim", clip(t.Error, 90))
		p.y += lineHeight
	}
	p.y += 8
}

func (p *picture) services(list []lifecycle.SwarmService) {
	if len(list) == 0 {
		return
	}
	p.heading("h2", 30, fmt.Sprintf("Services (%d)", len(list)))
	for _, s := range list {
		p.y += lineHeight
		p.text(margin, p.y-8, "name", clip(s.Name, 36))
		p.text(margin+290, p.y-8, moodOfService(s), fmt.Sprintf("%d of %d tasks run", s.Running, s.Wanted))
		p.text(margin+440, p.y-8, "dim", clip(strings.TrimSpace(s.Mode+"  "+s.ShortImage()), 66))
	}
	p.y += 8
}

func (p *picture) problems(list []lifecycle.SwarmFinding) {
	if len(list) == 0 {
		return
	}
	p.heading("h2", 30, "What wants attention")
	for _, f := range list {
		mood := map[string]string{lifecycle.SeverityError: bad, lifecycle.SeverityWarning: busy}[f.Severity]
		text := f.Text
		if f.Subject != "" {
			text = f.Subject + ": " + text
		}
		p.y += lineHeight
		p.text(margin, p.y-8, mood, clip(text, 130))
		if f.Advice != "" {
			p.y += lineHeight - 4
			p.text(margin+16, p.y-8, "dim", clip(f.Advice, 126))
		}
	}
}
