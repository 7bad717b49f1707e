"use strict";
// Asks for the swarm again and again and shows what came. All text is set as text: a hostname is never markup.
(() => {
  const byID = (id) => document.getElementById(id);
  let shown = "", failures = 0, picture = 0;

  // The address held a token that is void by now.
  history.replaceState(null, "", "/");

  const element = (tag, text, mood) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (mood) e.className = mood;
    return e;
  };
  const set = (id, text, mood) => {
    const e = byID(id);
    if (e.textContent !== text) e.textContent = text;
    if (mood !== undefined) e.className = mood;
  };
  const fill = (id, rows, columns, nothing) => {
    const body = byID(id).tBodies[0];
    if (!rows.length) {
      const cell = element("td", nothing);
      cell.colSpan = columns;
      rows = [[cell]];
    }
    body.replaceChildren(...rows.map((cells) => {
      const row = element("tr");
      row.append(...cells);
      return row;
    }));
  };
  const cell = (text, mood) => element("td", text === undefined || text === "" ? "-" : String(text), mood);

  const nodeMood = (n) => {
    if (["down", "no answer", "error", "locked"].includes(n.state) || n.reachability === "unreachable") return "bad";
    return n.problem || n.silent || n.failing ? "busy" : "well";
  };
  const taskMood = (t) => t.state === "running" || t.state === "complete" ? "well" : ["failed", "rejected", "orphaned"].includes(t.state) ? "bad" : "busy";
  const serviceMood = (s) => s.failing ? "bad" : s.running < s.wanted ? "busy" : "well";
  const healthMood = (h) => h === "healthy" ? "well" : h === "warning" ? "busy" : "bad";

  const problem = (f) => {
    const item = element("li", undefined, { error: "bad", warning: "busy" }[f.severity] || "");
    item.append(element("span", f.severity + ": ", "dim"));
    if (f.subject) item.append(element("strong", f.subject));
    item.append(element("span", f.text));
    if (f.advice) item.append(element("code", f.advice));
    return item;
  };
  const number = (name, value) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", String(value)));
    return box;
  };

  const show = (v, pictureURL) => {
    document.title = v.name + ": " + v.health;
    set("title", "Swarm " + v.name);
    set("health", v.health, "badge " + healthMood(v.health));
    byID("numbers").replaceChildren(
      number("managers", v.managers), number("reachable", v.reachable), number("needed", v.needed),
      v.canLose < 0 ? number("quorum", "lost") : number("may be lost", v.canLose));
    set("facts", v.askedVia ? `leader ${v.leader || "none"}, asked ${v.askedVia}, data path port ${v.dataPathPort}/udp, autolock ${v.autolock ? "on" : "off"}`
      : "No manager can speak for the swarm: each engine is shown as it sees itself.");
    const findings = v.findings || [];
    byID("problems").replaceChildren(...(findings.length ? findings.map(problem) : [element("li", "Nothing: all is well.")]));
    fill("nodes", v.nodes.map((n) => [
      cell(n.machine || n.hostname || n.id), cell(n.role), cell(n.state, nodeMood(n)), cell(n.availability),
      cell(n.leader ? "leader" : n.reachability), cell(n.addr), cell(n.engine), cell(n.tasks + (n.failing ? `, ${n.failing} failed` : "")),
      cell(n.certificate), cell(n.problem || n.silent)]), 10, "No node is known.");
    fill("services", v.services.map((s) => [
      cell(s.name), cell(s.mode), cell(`${s.running}/${s.wanted}`, serviceMood(s)), cell((s.image || "").split("@")[0]), cell(s.error)]), 5, "There are no services.");
    fill("tasks", v.taskList.map((t) => [
      cell(t.name), cell(t.node), cell(t.state, taskMood(t)), cell(t.since ? new Date(t.since).toLocaleString() : ""), cell(t.error)]), 5, "There are no tasks.");
    byID("graph").alt = `Picture of swarm ${v.name}, ${v.health}: the tables above say the same.`;
    byID("graph").src = pictureURL;
  };

  const connected = (at) => {
    failures = 0;
    document.body.classList.remove("stale");
    set("link", "live, " + at.toLocaleTimeString(), "link");
  };
  const lost = (why) => {
    failures++;
    document.body.classList.add("stale");
    set("link", "connection lost: " + why + "; this is what was last seen", "link lost");
  };

  const look = async () => {
    let pause = 1000;
    try {
      const answer = await fetch("status.json", { cache: "no-store", credentials: "same-origin" });
      if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
      const text = await answer.text();
      const said = JSON.parse(text);
      pause = said.every;
      if (said.error) throw new Error(said.error);
      const { askedAt, ...rest } = said.view;
      const now = JSON.stringify(rest);
      if (now !== shown) show(said.view, "graph.svg?" + ++picture);
      shown = now;
      connected(new Date(askedAt));
    } catch (e) {
      lost(e instanceof TypeError ? "machine swarm ui does not answer" : e.message);
      pause = Math.min(30000, 1000 * 2 ** Math.min(failures, 5));
    }
    setTimeout(look, pause);
  };
  look();
})();
