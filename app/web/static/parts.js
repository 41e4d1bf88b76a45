// The small things that parts are made of. Text becomes text: nothing is ever read as HTML.
(() => {
  const app = window.runApp;

  // el("button.quiet", {type: "button", onclick: f}, "Open", …): null and false among the children are left out.
  app.el = (what, settings = {}, ...children) => {
    const [tag, ...classes] = what.split(".");
    const svg = ["svg", "path", "line", "rect", "text", "g", "title"].includes(tag);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    if (classes.length) made.setAttribute("class", classes.join(" "));
    for (const [name, value] of Object.entries(settings)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "dataset") Object.assign(made.dataset, value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    for (const child of children.flat()) if (child !== null && child !== false && child !== undefined) made.append(child);
    return made;
  };
  const { el, t } = app;

  // Only what differs is written: a screen reader and a selection are left in peace.
  app.write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  app.show = (element, visible) => {
    if (element.hidden === visible) element.hidden = !visible;
  };

  app.link = (text, place, settings = {}) =>
    el("a", {
      href: app.address(place),
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        app.go(place);
      },
      ...settings,
    }, text);

  // Rows for values, by key, in their order; those that stay are the same elements as before.
  app.list = (parent, values, key, make, update) => {
    const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
    let at = parent.firstElementChild;
    for (const value of values) {
      const name = String(key(value));
      let row = there.get(name);
      there.delete(name);
      if (!row) {
        row = make(value);
        row.dataset.key = name;
      }
      if (row === at) at = at.nextElementSibling;
      else parent.insertBefore(row, at);
      update?.(row, value);
    }
    for (const row of there.values()) row.remove();
  };

  app.bar = (label) => {
    const fill = el("span.ra-bar-fill");
    const bar = el("span.ra-bar", { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
    bar.set = (part) => { // null: nobody knows how far it is
      bar.classList.toggle("ra-unknown", part === null);
      if (part === null) {
        bar.removeAttribute("aria-valuenow");
        fill.style.width = "";
        return;
      }
      const percent = Math.round(part * 100);
      if (bar.getAttribute("aria-valuenow") === String(percent)) return;
      bar.setAttribute("aria-valuenow", percent);
      fill.style.width = `${percent}%`;
    };
    bar.set(0);
    return bar;
  };

  // queued, running, done, failed, cancelled: a sign and a word, so that no colour is needed to tell them apart.
  app.badge = (state = "queued") => {
    const badge = el("span.ra-badge", {}, el("span.ra-sign", { "aria-hidden": "true" }), el("span"));
    badge.set = (now, job = {}) => {
      badge.dataset.state = now;
      const partly = now === "failed" && job.done > 0;
      app.write(badge.lastChild, partly ? t("some_done", { done: job.done, n: job.files }) : t(`state_${now}`));
    };
    badge.set(state);
    return badge;
  };

  // What is being done, in words: a stage, the loading of its model, or what goes before.
  app.doing = (job) => {
    if (job.state !== "running") return "";
    if (!job.stage || job.stage === "starting the worker") return t("starting");
    if (job.stage === "finding the models") return t("finding");
    const fetched = /^(downloading|waiting for|checking) (.+)$/.exec(job.stage);
    if (fetched) return t(`fetch_${fetched[1].split(" ")[0]}`, { name: fetched[2] });
    const key = `stage_${job.stage}`;
    if (!app.has(key)) return job.stage;
    return job.index === null ? t("loading_for", { stage: t(key) }) : t(key);
  };

  // --- one line that screen readers say, and one that everybody sees for a while ------------------------------------
  const said = el("div.ra-unseen", { role: "status", "aria-live": "polite" });
  const toast = el("div.ra-toast", { role: "alert", hidden: true });
  app.say = (text) => {
    said.textContent = text;
  };
  let until = 0;
  app.complain = (text) => {
    const close = el("button.ra-x", { type: "button", "aria-label": t("close"), onclick: () => app.show(toast, false) }, "×");
    toast.replaceChildren(el("span", {}, text), close);
    app.show(toast, true);
    clearTimeout(until);
    until = setTimeout(() => app.show(toast, false), 12000);
  };
  app.notices = () => [said, toast];

  // Whether a person really means it.
  app.sure = (text, yes) =>
    new Promise((resolve) => {
      const dialog = el("dialog.ra-dialog", { "aria-label": text }, el("p", {}, text),
        el("div.ra-actions", {},
          el("button.ra-plain", { type: "button", onclick: () => dialog.close("") }, t("keep")),
          el("button.ra-danger", { type: "button", onclick: () => dialog.close("yes") }, yes)));
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes");
      });
      document.querySelector(".ra-part").append(dialog);
      dialog.showModal();
    });

  // A text that becomes a field: Enter and leaving it saves, Escape undoes. `save` returns whether it was taken.
  app.editing = (shown, { value, label, many = false, save }) => {
    const field = many
      ? el("textarea.ra-field", { "aria-label": label, rows: 1, spellcheck: "true" })
      : el("input.ra-field", { "aria-label": label, maxlength: 80, spellcheck: "false" });
    field.value = value;
    const fit = () => {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight + 2}px`;
    };
    let over = false;
    const end = async (keep) => {
      if (over) return;
      over = true;
      const changed = field.value.trim() !== value.trim();
      const focused = document.activeElement === field;
      if (keep && changed) {
        field.readOnly = true;
        if (!(await save(field.value.trim()))) {
          over = field.readOnly = false;
          field.focus();
          return;
        }
      }
      field.replaceWith(shown);
      if (focused) (shown.matches("button, [tabindex]") ? shown : shown.closest("[data-key]")?.querySelector("button"))?.focus();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") end(false);
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        end(true);
      }
    });
    field.addEventListener("blur", () => end(true));
    shown.replaceWith(field);
    field.focus();
    if (many) {
      field.addEventListener("input", fit);
      fit();
    } else field.select();
    return field;
  };

  // What a person may do with a job, as buttons.
  app.actions = (job, { deleted = () => {} } = {}) => {
    const name = job.name;
    const button = (key, does, kind = "ra-plain") =>
      el(`button.${kind}`, { type: "button", "aria-label": t(`${key}_of`, { name }), onclick: does, dataset: { action: key } }, t(key));
    const over = job.state !== "queued" && job.state !== "running";
    return [
      !over && button("cancel", () => app.ask("cancel", { id: job.id })),
      (job.state === "failed" || job.state === "cancelled") && button("again", () => app.ask("again", { id: job.id })),
      over && button("delete", async () => {
        if ((await app.sure(t("delete_sure", { name }), t("delete"))) && (await app.ask("remove", { id: job.id }))) deleted();
      }),
    ].filter(Boolean);
  };
})();
