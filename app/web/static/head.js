// The head of the page: where one is, and what the models take.
runApp.parts.head = (element) => {
  const app = window.runApp;
  const { el, t } = app;

  const tabs = ["home", "machine"].map((view) => app.link(t(`view_${view}`), { view }, { dataset: { view } }));
  const models = el("span.ra-models");
  const light = el("span.ra-light", { "aria-hidden": "true" });
  const free = el("button.ra-plain.ra-small", {
    type: "button",
    hidden: true,
    onclick: async () => {
      const answer = await app.ask("free");
      if (answer) app.say(t(answer.freed ? "freed" : "not_freed"));
    },
  }, t("free"));
  const person = el("span.ra-person", { hidden: true });
  const down = el("p.ra-down", { role: "alert", hidden: true }, t("down"));

  element.append(
    el("a.ra-skip", { href: "#ra-main", onclick: (event) => skip(event) }, t("skip")),
    el("header.ra-head", {},
      app.link("run-app", {}, { class: "ra-brand" }),
      el("nav", { "aria-label": t("views") }, tabs),
      el("div.ra-worker", { role: "group", "aria-label": t("models") }, light, models, free),
      person),
    down,
    ...app.notices(),
  );

  function skip(event) {
    event.preventDefault();
    const view = document.documentElement.dataset.view;
    const part = document.querySelector(`[data-part="${view === "home" ? "form" : view}"]`);
    part.querySelector("input, button, a, [tabindex]")?.focus();
  }

  let since = performance.now();
  const tell = () => {
    const { state, rss, vram, idle_s, unload_s } = app.worker;
    light.dataset.state = state;
    const taken = vram ? t("takes_both", { rss: app.mib(rss), vram: app.mib(vram) }) : app.mib(rss);
    const left = Math.max(0, unload_s - idle_s - (performance.now() - since) / 1000);
    app.write(models, t(`models_${state}`, { taken, left: app.clock(left) }));
    app.show(free, state === "idle");
  };
  app.on("look", () => {
    since = performance.now();
    tell();
    app.show(person, Boolean(app.visitor));
    if (app.visitor && !person.firstChild) {
      person.append(el("span", {}, app.visitor), el("a", { href: `${app.root}logout` }, t("log_out")));
    }
  });
  setInterval(() => {
    if (app.worker?.state === "idle" && !document.hidden) tell();
  }, 1000);
  app.on("down", (is) => app.show(down, is));
  app.on("place", ({ view }) => {
    const here = view === "machine" ? "machine" : "home";
    for (const tab of tabs) {
      if (tab.dataset.view === here) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
  });

  // What changed is said, and stands in the tab's title.
  app.on("look", ({ before }) => {
    for (const job of app.jobs.values()) {
      const old = before.get(job.id);
      if (old && old.state !== job.state) app.say(t("now_is", { name: job.name, state: t(`state_${job.state}`) }));
    }
    const open = app.jobs.get(app.place().job);
    const running = open?.state === "running" ? open : [...app.jobs.values()].find((job) => job.state === "running");
    const shown = open ? `${open.name} · run-app` : "run-app";
    document.title = running?.progress ? `${Math.round(running.progress * 100)} % · ${shown}` : shown;
  });
};
