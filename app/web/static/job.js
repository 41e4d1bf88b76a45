// One job: its recordings, what became of each, and what it took.
runApp.parts.job = (element) => {
  const app = window.runApp;
  const { el, t } = app;
  let id = "";
  let drawn = "";
  let cameFromHere = false;

  const back = app.link(`← ${t("all_jobs")}`, {}, { class: "ra-back" });
  const title = el("h2", { tabindex: -1 });
  const badge = app.badge();
  const about = el("span.ra-about");
  const actions = el("div.ra-actions");
  const doing = el("p.ra-doing", { "aria-live": "polite" });
  const percent = el("span.ra-percent");
  const bar = app.bar(t("progress"));
  const progress = el("div.ra-progress", {}, el("div.ra-status", {}, doing, percent), bar);
  const problem = el("div.ra-alert", { role: "alert", hidden: true });
  const notes = el("ul.ra-notes", { "aria-label": t("notes") });
  const files = el("ul.ra-list");
  const fileBox = el("nav.ra-card", { "aria-label": t("recordings") }, el("h3", {}, t("recordings")), files);
  const audio = el("audio", { controls: true, preload: "metadata" });
  const silent = el("p.ra-hint", { hidden: true }, t("cannot_play"));
  const player = el("div.ra-card.ra-player", {}, el("h3.ra-unseen", {}, t("player")), audio, silent);
  const downloads = el("div.ra-chips");
  const all = el("a.ra-chip", { download: "" });
  const downloadBox = el("section.ra-card", { "aria-label": t("downloads") }, el("h3", {}, t("downloads")), downloads);
  const speakers = el("ul.ra-speakers");
  const speakerBox = el("section.ra-card", { "aria-label": t("speakers") }, el("h3", {}, t("speakers")), speakers,
    el("p.ra-hint", {}, t("rename_hint")));
  const memory = app.memory();
  const log = el("pre.ra-log", { tabindex: 0, "aria-label": t("log") });
  const logBox = el("section.ra-card", { "aria-label": t("log") }, el("h3", {}, t("log")), log);
  const quiet = el("p.ra-hint", {}, t("nothing_yet"));
  const transcript = app.transcript({ audio, speakers, speakerBox });
  const gone = el("div.ra-empty", { hidden: true }, el("p", {}, t("job_gone")));
  // What is said, and what happens: the one that matters now is shown, until a person chooses.
  const panels = {
    text: el("div.ra-panel", { role: "tabpanel", id: "ra-panel-text", "aria-labelledby": "ra-tab-text" }, notes, transcript.element),
    work: el("div.ra-panel", { role: "tabpanel", id: "ra-panel-work", "aria-labelledby": "ra-tab-work" }, quiet, memory.element, logBox),
  };
  const tabs = Object.keys(panels).map((name) =>
    el("button.ra-tab", { type: "button", role: "tab", id: `ra-tab-${name}`, "aria-controls": `ra-panel-${name}`, onclick: () => turn(name) }, t(`tab_${name}`)));
  let chosen = "";
  const turn = (name, by = "person") => {
    if (by === "person") chosen = name;
    tabs.forEach((tab, at) => {
      const on = Object.keys(panels)[at] === name;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      app.show(Object.values(panels)[at], on);
    });
  };
  const tabList = el("div.ra-tabs", { role: "tablist", "aria-label": t("tabs"), onkeydown: (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs.find((tab) => tab !== event.target);
    other.click();
    other.focus();
  } }, tabs);
  const body = el("div.ra-columns", {},
    el("div.ra-side", {}, player, fileBox, speakerBox, downloadBox),
    el("div.ra-text", {}, tabList, Object.values(panels)));
  element.append(back, gone, el("article.ra-job", {},
    el("header", {}, el("div.ra-title", {}, title, el("div.ra-status", {}, badge, about)), actions),
    progress, problem, body));
  const article = element.lastElementChild;

  audio.addEventListener("error", () => app.show(silent, true));
  audio.addEventListener("loadedmetadata", () => app.show(silent, false));

  const leave = () => {
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
    transcript.clear();
    id = drawn = chosen = "";
  };

  app.on("place", (place) => {
    if (place.job !== id) {
      cameFromHere = app.worker !== null;
      leave();
      id = place.job;
      app.show(article, false);
      app.show(gone, false);
    } else if (id) draw();
  });

  const draw = () => {
    const open = app.open;
    const job = app.jobs.get(id);
    if (!id || !open || open.id !== id) return;
    app.show(gone, Boolean(open.gone));
    app.show(article, !open.gone && Boolean(job));
    if (open.gone) {
      audio.pause();
      return;
    }
    if (!job || !open.detail) return;
    const { detail } = open;
    const index = Math.min(app.place().file, detail.files.length - 1);
    const file = detail.files[index];
    const many = detail.files.length > 1;

    app.write(title, many ? t("job_of", { name: job.name, n: detail.files.length - 1 }) : job.name);
    badge.set(job.state, job);
    app.write(about, [
      job.state === "queued" && (open.ahead ? t("ahead", { n: open.ahead }) : t("next")),
      (job.seconds > 0 || job.state === "done") && t(job.state === "running" ? "so_far" : "took", { time: app.spell(job.seconds) }),
      file.duration > 0 && t("length", { time: app.clock(file.duration) }),
      file.language && app.spoken(file.language),
      app.when(job.created),
    ].filter(Boolean).join(" · "));
    if (actions.dataset.state !== job.state) {
      actions.dataset.state = job.state;
      actions.replaceChildren(...app.actions(job, { deleted: () => app.go({}) }));
    }

    const running = job.state === "running";
    app.show(progress, running);
    if (running) {
      const of = many && job.index !== null ? t("of_files", { at: job.index + 1, n: detail.files.length, name: detail.files[job.index].name }) : "";
      app.write(doing, [app.doing(job), of].filter(Boolean).join(" · "));
      app.write(percent, job.progress ? `${Math.round(job.progress * 100)} %` : "");
      bar.set(job.progress || null);
    }

    const errors = [file.error || (job.done ? "" : job.error)].filter(Boolean);
    const shownError = errors.join("\n");
    if (problem.dataset.text !== shownError) {
      problem.dataset.text = shownError;
      problem.replaceChildren(...errors.map((line) => el("p", {}, line)));
    }
    app.show(problem, errors.length > 0);
    const over = job.state !== "queued" && job.state !== "running";
    const there = file.state === "done" || (over && file.duration > 0);
    const said = there && file.state !== "done" ? [t("partial"), ...file.notes] : file.notes;
    app.list(notes, said, (note) => note, (note) => el("li", {}, note));
    app.show(notes, said.length > 0);

    app.show(fileBox, many);
    if (many) {
      app.list(files, detail.files.map((each, at) => ({ ...each, at })), (each) => each.at, (each) =>
        el("li", {}, app.link("", { job: id, file: each.at })), (row, each) => {
        const link = row.firstElementChild;
        if (!link.firstElementChild) link.append(el("span.ra-sign", { "aria-hidden": "true" }), el("span.ra-name", {}, each.name), el("span.ra-unseen"));
        link.dataset.state = { waiting: "queued", running: "running", done: "done", failed: "failed" }[each.state];
        app.write(link.lastChild, t(`file_${each.state}`));
        if (each.at === index) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    }

    const media = `${app.root}jobs/${id}/${index}/media`;
    if (audio.getAttribute("src") !== media) {
      app.show(silent, false);
      audio.setAttribute("src", media);
      audio.setAttribute("aria-label", t("play_of", { name: file.name }));
    }

    app.show(downloadBox, there || job.done > 0);
    if (there) {
      app.list(downloads, app.facts.formats, (form) => form, (form) => el("a.ra-chip", { download: "" }, form), (link, form) => {
        link.href = `${app.root}jobs/${id}/${index}/transcript.${form}`;
        link.setAttribute("aria-label", t("download_as", { name: file.name, form }));
      });
    } else downloads.replaceChildren();
    if (there || job.done > 0) {
      all.href = `${app.root}jobs/${id}/all.zip`;
      app.write(all, t("zip"));
      downloads.append(all);
    }

    transcript.draw(id, index, file, open.edits, job);
    const text = detail.lines.join("\n");
    app.write(log, text);
    app.show(logBox, Boolean(text));
    memory.draw(id, job);
    app.show(quiet, !text && memory.element.hidden);
    const hasText = file.state === "done" || file.duration > 0;
    if (!chosen) turn(hasText || job.state === "queued" || job.state === "cancelled" ? "text" : "work", "us");
    if (drawn !== id && document.activeElement === document.body && cameFromHere) title.focus();
    drawn = id;
  };
  app.on("look", draw);
};
