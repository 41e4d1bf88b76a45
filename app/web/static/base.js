// What all parts share: words, places in the address, what the server is asked. Nothing here knows how anything looks.
window.runApp = (() => {
  const root = new URL(window.gradio_config?.root || ".", location.href).pathname.replace(/\/?$/, "/");
  const parts = {};
  const listeners = {};
  const app = { root, parts, facts: null, jobs: new Map(), worker: null, visitor: "", open: null };

  // --- words ---------------------------------------------------------------------------------------------------------
  // gradio has chosen the language by now: the lang of the document is the one of its own words.
  const tables = window.gradio_config?.i18n_translations || {};
  app.language = () => {
    const asked = (document.documentElement.lang || navigator.language || "en").split("-")[0];
    return asked in tables ? asked : "en";
  };
  app.has = (key) => key in tables[app.language()];
  // t("files", {n: 2}): the words, with {n} replaced; of "files.one" and "files.other" the one that fits n.
  app.t = (key, values = {}) => {
    const table = tables[app.language()];
    let text = table[key];
    if (text === undefined && "n" in values) {
      text = table[`${key}.${new Intl.PluralRules(app.language()).select(values.n)}`] ?? table[`${key}.other`];
    }
    if (text === undefined) throw new Error(`no words for ${key}`);
    return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
  };
  app.spoken = (code) => {
    const known = new Intl.DisplayNames([app.language()], { type: "language", fallback: "none" });
    return known.of(code === "jw" ? "jv" : code) ?? (app.has(`language_${code}`) ? app.t(`language_${code}`) : code);
  };
  app.number = (value, digits = 0) =>
    new Intl.NumberFormat(app.language(), { maximumFractionDigits: digits }).format(value);
  app.bytes = (size) => {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let at = 0;
    for (; size >= 1000 && at < units.length - 1; at++) size /= 1000;
    return `${app.number(size, size < 10 && at > 1 ? 1 : 0)} ${units[at]}`;
  };
  app.mib = (value) => (value >= 1024 ? `${app.number(value / 1024, 1)} GiB` : `${app.number(value)} MiB`);
  const two = (value) => String(value).padStart(2, "0");
  app.clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };
  app.spell = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  };
  app.when = (time) => {
    const date = new Date(time * 1000);
    const today = date.toDateString() === new Date().toDateString();
    const format = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
    return new Intl.DateTimeFormat(app.language(), format).format(date);
  };

  // --- news: on("look", f), tell("look", value) ----------------------------------------------------------------------
  app.on = (name, listener) => (listeners[name] ??= []).push(listener);
  app.tell = (name, value) => {
    for (const listener of listeners[name] || []) listener(value);
  };

  // --- the address: ?job=ID, ?view=machine ---------------------------------------------------------------------------
  app.place = () => {
    const query = new URLSearchParams(location.search);
    const job = query.get("job") || "";
    return { job, file: Number(query.get("file") || 0), view: job ? "job" : query.get("view") === "machine" ? "machine" : "home" }; // gradio has views too
  };
  app.address = ({ job = "", file = 0, view = "home" } = {}) => {
    const query = new URLSearchParams(location.search);
    for (const name of ["job", "file", "view"]) query.delete(name);
    if (job) query.set("job", job);
    if (job && file) query.set("file", file);
    if (!job && view !== "home") query.set("view", view);
    const text = query.toString();
    return location.pathname + (text ? `?${text}` : "");
  };
  const arrive = () => {
    const place = app.place();
    document.documentElement.dataset.view = place.view;
    app.tell("place", place);
    app.soon();
  };
  app.go = (place, { replace = false } = {}) => {
    history[replace ? "replaceState" : "pushState"](null, "", app.address(place));
    arrive();
    if (!replace) window.scrollTo(0, 0);
  };
  window.addEventListener("popstate", arrive);

  // --- the server ----------------------------------------------------------------------------------------------------
  let server = null;
  let down = false;
  // What the server answers, {"error": …} and {"gone": true} included; null where it does not.
  app.call = async (name, asked = {}) => {
    const answer = (await server?.[name](asked)) ?? null;
    if (answer === null && !down) {
      down = true;
      app.tell("down", true);
    } else if (answer !== null && down) {
      down = false;
      app.tell("down", false);
    }
    return answer;
  };
  // The same for what a person has asked for: what went wrong is said, and null.
  app.ask = async (name, asked = {}) => {
    const answer = await app.call(name, asked);
    if (answer === null) app.complain(app.t("no_answer"));
    else if (answer.gone) app.complain(app.t("job_gone"));
    else if (answer.error) app.complain(answer.error);
    app.soon();
    return answer === null || answer.gone || answer.error ? null : answer;
  };

  let version = null;
  let marks = {};
  let timer = 0;
  let looking = false;
  let again = false;
  const isBusy = () => [...app.jobs.values()].some((job) => job.state === "queued" || job.state === "running");
  const pause = () => {
    if (down) return 2000;
    if (document.hidden) return isBusy() ? 5000 : 30000;
    return isBusy() || app.worker?.state === "loading" || app.busy ? 1000 : 4000;
  };
  const look = async () => {
    clearTimeout(timer);
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    const { job } = app.place();
    const known = app.open?.id === job ? marks : {};
    try {
      const answer = await app.call("look", { version, job, ...known });
      if (answer && !answer.error) take(answer, job);
      else if (answer === null) await knock();
    } finally {
      looking = false;
      timer = setTimeout(look, again ? 0 : pause());
      again = false;
    }
  };
  const take = (answer, job) => {
    const before = new Map(app.jobs);
    version = answer.version;
    if (answer.all) app.jobs.clear();
    for (const each of answer.jobs) app.jobs.set(each.id, each);
    for (const id of answer.gone) app.jobs.delete(id);
    app.worker = answer.worker;
    app.visitor = answer.visitor;
    if (app.place().job === job) {
      if (!job) app.open = null;
      else if (!answer.job) app.open = { id: job, gone: true };
      else {
        const old = app.open?.id === job && !app.open.gone ? app.open : {};
        app.open = { ...old, ...answer.job };
        marks = answer.job.marks;
      }
    }
    app.tell("look", { before, changed: answer.all || answer.jobs.length > 0 || answer.gone.length > 0 });
  };
  // Nothing came back: the server is not there, or has forgotten who we are.
  const knock = async () => {
    try {
      const answer = await fetch(`${root}gradio_api/login_check`, { credentials: "same-origin" });
      if (answer.status === 401) location.reload();
    } catch {
      // Not there. We go on asking.
    }
  };
  app.soon = () => {
    if (server) look();
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) app.soon();
  });

  // --- beginning: gradio shows each part when it is ready, in any order ----------------------------------------------
  const waiting = [];
  app.fill = (name, element, functions, facts) => {
    element.lang = app.language();
    waiting.push([name, element]);
    if (facts) {
      app.facts = facts;
      server = functions;
    }
    if (!app.facts) return;
    for (const [each, where] of waiting.splice(0)) parts[each](where);
    arrive();
  };
  return app;
})();
