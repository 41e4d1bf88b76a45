// The machine: its profile, and what verify proves of it.
runApp.parts.machine = (element) => {
  const app = window.runApp;
  const { el, t, facts } = app;
  const SIGNS = { FAIL: "failed", WARN: "warn", SKIP: "skip", OK: "done" };
  let timer = 0;
  let drawn = 0;

  const pairs = (list) => el("dl.ra-pairs", {}, list.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const { settings } = facts;
  const start = el("button.ra-primary", { type: "button", onclick: () => look(true) }, t("prove"));
  const going = el("p.ra-going", { role: "status", hidden: true }, el("span.ra-spin", { "aria-hidden": "true" }), el("span"));
  const sum = el("p.ra-sum");
  const problem = el("p.ra-problem", { role: "alert", hidden: true });
  const only = el("input", { type: "checkbox", id: "ra-only", onchange: () => result.classList.toggle("ra-only", only.checked) });
  const onlyBox = el("label.ra-tick", { for: "ra-only", hidden: true }, only, el("span", {}, t("only_trouble")));
  const result = el("div.ra-result");

  element.append(el("h2", {}, t("view_machine")),
    el("section.ra-card", { "aria-label": t("profile") }, el("h3", {}, t("profile")),
      pairs([
        [t("profile"), facts.profiles.join(", ") || t("no_profile")],
        [t("model"), settings.model],
        [t("device"), settings.device],
        [t("compute_type"), settings.compute_type],
        [t("batch_size"), app.number(settings.batch_size)],
        [t("threads"), app.number(settings.threads)],
        [t("resident"), t(settings.resident ? "yes" : "no")],
        [t("version"), `run-app ${facts.version}`],
      ]),
      facts.variables.length > 0 && el("details", {},
        el("summary", {}, t("variables", { n: facts.variables.length })),
        el("table.ra-small-table", {},
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, t("variable")), el("th", { scope: "col" }, t("value")))),
          el("tbody", {}, facts.variables.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, name)), el("td", {}, el("code", {}, value)))))))),
    el("section.ra-card", { "aria-label": t("proof") }, el("h3", {}, t("proof")),
      el("p.ra-hint", {}, t("proof_hint")),
      el("div.ra-status", {}, start, going), problem, sum, onlyBox, result));

  const row = (check) =>
    el("tr", { role: "row", class: `ra-check-${SIGNS[check.status]}` },
      el("td", { role: "cell", class: "ra-mark" }, el("span.ra-badge", { dataset: { state: SIGNS[check.status] } }, el("span.ra-sign", { "aria-hidden": "true" }), el("span", {}, check.status))),
      el("th", { role: "rowheader", scope: "row" }, check.subject),
      el("td", { role: "cell" }, el("p", {}, check.found), check.todo && el("p.ra-todo", {}, `→ ${check.todo}`, el("code", {}, check.id))));
  const draw = (last) => {
    app.write(problem, last.error || "");
    app.show(problem, Boolean(last.error));
    app.show(onlyBox, !last.error);
    result.replaceChildren();
    if (last.error) return app.write(sum, "");
    const count = {};
    for (const { status } of last.checks) count[status] = (count[status] || 0) + 1;
    const said = Object.keys(SIGNS).filter((status) => count[status]).map((status) => `${count[status]} ${status}`);
    app.write(sum, t("proved", { when: app.when(last.at), time: app.spell(last.seconds), counts: said.join(", ") }));
    for (const section of new Set(last.checks.map((check) => check.section))) {
      const title = app.has(`section_${section}`) ? t(`section_${section}`) : section;
      const checks = last.checks.filter((check) => check.section === section);
      const trouble = checks.some(({ status }) => status === "FAIL" || status === "WARN");
      result.append(el(`section.${trouble ? "ra-trouble" : "ra-fine"}`, {}, el("h4", {}, title),
        el("table.ra-table.ra-checks", { role: "table", "aria-label": title },
          el("thead.ra-unseen", { role: "rowgroup" }, el("tr", { role: "row" }, ["state", "subject", "found"].map((name) => el("th", { role: "columnheader", scope: "col" }, t(name))))),
          el("tbody", { role: "rowgroup" }, checks.map(row)))));
    }
  };

  const look = async (begin = false) => {
    clearTimeout(timer);
    const answer = await (begin ? app.ask("verify", { start: true }) : app.call("verify"));
    if (answer && !answer.error) {
      const running = answer.seconds !== null;
      start.disabled = running;
      app.show(going, running);
      if (running) app.write(going.lastChild, t("proving", { time: app.spell(answer.seconds) }));
      if (answer.last && answer.last.at !== drawn) {
        drawn = answer.last.at;
        draw(answer.last);
      }
      if (running || answer === null) timer = setTimeout(look, 1000);
    }
  };
  app.on("place", ({ view }) => {
    clearTimeout(timer);
    if (view === "machine") look();
  });
};
