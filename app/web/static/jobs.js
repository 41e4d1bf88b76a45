// The table of jobs, the newest first.
runApp.parts.jobs = (element) => {
  const app = window.runApp;
  const { el, t } = app;
  const STEP = 50;
  let shown = STEP;
  let fresh = "";

  const title = el("h2", { id: "ra-jobs-title" }, t("jobs"));
  const empty = el("div.ra-empty", { hidden: true }, el("p", {}, t("no_jobs")), el("p.ra-hint", {}, t("no_jobs_hint")));
  const rows = el("tbody", { role: "rowgroup" });
  const columns = ["recording", "state", "time", "actions"];
  const table = el("table.ra-table", { role: "table", "aria-labelledby": "ra-jobs-title", hidden: true },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns.map((name) =>
      el("th", { role: "columnheader", scope: "col", class: `ra-c-${name}` }, name === "actions" ? el("span.ra-unseen", {}, t(name)) : t(name))))),
    rows);
  const more = el("button.ra-plain.ra-more", { type: "button", hidden: true, onclick: () => {
    shown += STEP;
    draw();
  } });
  element.append(el("section.ra-jobs", { "aria-labelledby": "ra-jobs-title" }, title, empty, table, more));

  const make = (job) => {
    const cell = (name, ...inside) => el("td", { role: "cell", class: `ra-c-${name}` }, inside);
    const row = el("tr", { role: "row" });
    const link = app.link(job.name, { job: job.id }, { class: "ra-open" });
    const parts = {
      link,
      about: el("span.ra-about"),
      badge: app.badge(),
      doing: el("span.ra-doing"),
      bar: app.bar(t("progress_of", { name: job.name })),
      time: el("span"),
      error: el("p.ra-why"),
      actions: el("div.ra-actions"),
    };
    row.append(
      cell("recording", parts.link, parts.about, parts.error),
      cell("state", el("div.ra-status", {}, parts.badge, parts.doing), parts.bar),
      cell("time", el("span.ra-label", { "aria-hidden": "true" }, t("time")), parts.time),
      cell("actions", parts.actions));
    row.parts = parts;
    if (job.id === fresh) {
      row.classList.add("ra-fresh");
      row.addEventListener("animationend", () => row.classList.remove("ra-fresh"), { once: true });
    }
    return row;
  };

  const update = (row, job) => {
    if (row.job === job) return;
    const { parts } = row;
    const percent = Math.round(job.progress * 100);
    app.write(parts.about, [job.files > 1 && t("files_done", { n: job.files, done: job.done }), app.when(job.created)].filter(Boolean).join(" · "));
    parts.badge.set(job.state, job);
    const running = job.state === "running";
    app.write(parts.doing, running && job.progress ? `${app.doing(job)} · ${percent} %` : app.doing(job));
    app.show(parts.bar, running);
    if (running) parts.bar.set(job.progress || null);
    const worked = job.seconds > 0 || job.state === "done";
    app.write(parts.time, worked ? app.spell(job.seconds) : "–");
    parts.time.parentElement.classList.toggle("ra-none", !worked);
    app.write(parts.error, job.state === "failed" ? job.error : "");
    app.show(parts.error, job.state === "failed" && Boolean(job.error));
    if (row.job?.state !== job.state) {
      const focused = row.contains(document.activeElement) && document.activeElement.dataset.action;
      parts.actions.replaceChildren(...app.actions(job));
      if (focused) (parts.actions.querySelector("button") ?? parts.link).focus();
    }
    row.job = job;
  };

  const draw = () => {
    const all = [...app.jobs.values()].sort((one, two) => two.number - one.number);
    const hasFocus = rows.contains(document.activeElement);
    app.list(rows, all.slice(0, shown), (job) => job.id, make, update);
    if (hasFocus && !rows.contains(document.activeElement)) (rows.querySelector("a") ?? title).focus();
    app.show(table, all.length > 0);
    app.show(empty, all.length === 0);
    app.show(more, all.length > shown);
    if (all.length > shown) app.write(more, t("show_more", { n: Math.min(STEP, all.length - shown), all: all.length }));
    element.dataset.drawn = "";
    const row = rows.querySelector(".ra-fresh");
    if (row && row.getBoundingClientRect().top > innerHeight) row.scrollIntoView({ block: "center" }); // on a phone
  };
  app.on("submitted", (id) => {
    fresh = id;
  });
  app.on("look", ({ changed }) => {
    if (changed || element.dataset.drawn === undefined) draw();
  });
};
