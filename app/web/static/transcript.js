// What is said, line by line: heard, followed, corrected, and who says it.
runApp.transcript = ({ audio, speakers, speakerBox }) => {
  const app = window.runApp;
  const { el, t } = app;
  const CHUNK = 50;
  const COLOURS = 8;

  const box = el("div.ra-lines", { "aria-label": t("transcript"), role: "group" });
  const nothing = el("p.ra-hint");
  const hint = el("p.ra-hint.ra-keys", {}, t("lines_hint"), el("span.ra-for-keys", {}, ` ${t("keys_hint")}`));
  const follow = el("button.ra-plain.ra-follow", { type: "button", hidden: true, onclick: () => {
    following = true;
    app.show(follow, false);
    if (spoken) reveal(spoken.row);
  } }, t("follow"));
  const element = el("div.ra-transcript", {}, hint, nothing, box, follow);

  let key = "";
  let shown = "";
  let where = null;
  let lines = [];
  let order = [];
  let editable = false;
  let spoken = null;
  let following = true;
  let current = null;

  const clear = () => {
    key = shown = "";
    lines = [];
    order = [];
    spoken = current = null;
    following = true;
    box.replaceChildren();
    speakers.replaceChildren();
    app.show(speakerBox, false);
    app.show(follow, false);
  };

  // Another file, or another state of the same one: it is fetched. Corrections, also those of another tab, come with
  // every look.
  const draw = async (id, index, file, edits, job) => {
    const now = `${id}/${index}`;
    const then = `${now}/${file.state}/${file.duration}`;
    if (now !== key) {
      clear();
      key = now;
      where = { id, index };
    }
    editable = file.state === "done";
    app.write(nothing, lines.length ? "" : empty(file, job));
    app.show(nothing, !lines.length);
    app.show(hint, lines.length > 0);
    if (then !== shown) {
      shown = then;
      if (file.state === "waiting" && !file.duration) return;
      const answer = await app.call("lines", where);
      if (key !== now) return;
      if (!answer?.lines) {
        shown = "";
        return;
      }
      fill(answer.lines);
      app.write(nothing, lines.length ? "" : empty(file, job));
      app.show(nothing, !lines.length);
      app.show(hint, lines.length > 0);
    }
    if (edits) overlay(edits, index);
  };
  const empty = (file, job) => {
    if (file.state === "done") return t("no_speech");
    if (file.state === "failed" || job.state === "cancelled") return t("no_transcript");
    return t("not_yet");
  };

  const fill = (rows) => {
    const kept = document.activeElement?.closest?.(".ra-line")?.line?.at;
    order = [...new Set(rows.map((row) => row[2]).filter(Boolean))];
    lines = rows.map(([start, end, speaker, name, text, edited], at) => ({ at, start, end, speaker, name, text, edited, row: null }));
    current = spoken = null;
    const chunks = [];
    for (let at = 0; at < lines.length; at += CHUNK) {
      chunks.push(el("div.ra-chunk", {}, lines.slice(at, at + CHUNK).map(make)));
    }
    box.classList.toggle("ra-hours", lines.length > 0 && lines[lines.length - 1].start >= 3600);
    box.replaceChildren(...chunks);
    if (lines.length) stop(lines[kept ?? 0] ?? lines[0]);
    if (kept !== undefined) lines[kept]?.row.querySelector(".ra-at").focus();
    people();
  };

  const colour = (speaker) => `ra-who-${order.indexOf(speaker) % COLOURS}`;

  const make = (line) => {
    const turn = line.speaker && line.speaker !== lines[line.at - 1]?.speaker;
    const at = el("button.ra-at", { type: "button", tabindex: -1, onclick: () => play(line) }, app.clock(line.start));
    const text = el("span.ra-said", { onclick: () => getSelection().isCollapsed && play(line), ondblclick: () => correct(line) }, line.text);
    const pen = el("button.ra-pen", { type: "button", tabindex: -1, onclick: () => correct(line) }, "✎");
    const row = el("div.ra-line", { dataset: { key: line.at } }, turn && el("span.ra-name", { dataset: { speaker: line.speaker } }), at, text, pen);
    if (line.speaker) row.classList.add(colour(line.speaker));
    row.line = line;
    line.row = row;
    describe(line);
    return row;
  };
  const describe = (line) => {
    const [at, text, pen] = line.row.querySelectorAll(".ra-at, .ra-said, .ra-pen");
    const name = line.row.querySelector(".ra-name");
    if (name) app.write(name, line.name);
    if (text?.matches(".ra-said")) app.write(text, line.text || t("dropped"));
    line.row.classList.toggle("ra-dropped", !line.text);
    line.row.classList.toggle("ra-edited", line.edited);
    at.setAttribute("aria-label", [app.clock(line.start), line.name && `${line.name}:`, line.text].filter(Boolean).join(" "));
    (pen ?? line.row.querySelector(".ra-pen")).setAttribute("aria-label", t("correct_line", { time: app.clock(line.start) }));
    line.row.title = line.edited ? t("edited") : "";
  };

  // --- who speaks ----------------------------------------------------------------------------------------------------
  const people = () => {
    const seconds = new Map();
    for (const line of lines) seconds.set(line.speaker, (seconds.get(line.speaker) || 0) + line.end - line.start);
    app.show(speakerBox, order.length > 0);
    const nameOf = new Map(lines.filter((line) => line.speaker).map((line) => [line.speaker, line.name]));
    app.list(speakers, order, (speaker) => speaker, (speaker) => {
      const button = el("button.ra-speaker", { type: "button", onclick: () => rename(speaker, button) });
      return el("li", { class: colour(speaker) }, el("span.ra-swatch", { "aria-hidden": "true" }), button, el("span.ra-time"));
    }, (row, speaker) => {
      row.className = colour(speaker);
      const button = row.querySelector("button");
      if (button) {
        app.write(button, nameOf.get(speaker));
        button.setAttribute("aria-label", t("rename", { name: nameOf.get(speaker) }));
        button.disabled = !editable;
      }
      app.write(row.querySelector(".ra-time"), app.clock(seconds.get(speaker)));
    });
  };
  const rename = (speaker, button) => {
    const asked = where;
    app.editing(button, {
      value: button.textContent,
      label: t("new_name"),
      save: async (name) => {
        if (!name) return true;
        if (!(await app.ask("rename", { ...asked, speaker, name }))) return false;
        if (asked === where) called(speaker, name);
        app.write(button, name);
        return true;
      },
    });
  };
  const called = (speaker, name) => {
    let changed = false;
    for (const line of lines) {
      if (line.speaker !== speaker || line.name === name) continue;
      line.name = name;
      describe(line);
      changed = true;
    }
    if (changed) people();
  };

  // --- corrections ---------------------------------------------------------------------------------------------------
  const correct = (line) => {
    if (!editable) return app.say(t("not_editable"));
    const asked = where;
    const text = line.row.querySelector(".ra-said");
    if (!text) return;
    stop(line);
    line.row.classList.add("ra-writing");
    const before = line.text;
    const field = app.editing(text, {
      value: before,
      label: t("correct_line", { time: app.clock(line.start) }),
      many: true,
      save: async (wanted) => {
        const answer = await app.ask("correct", { ...asked, line: line.at, before: line.text, text: wanted });
        if (!answer) return false;
        if (answer.now !== undefined) {
          line.text = answer.now; // whoever saves now has seen it
          app.complain(t("changed_elsewhere", { text: answer.now }));
          return false;
        }
        line.text = wanted;
        line.edited = true;
        return true;
      },
    });
    new MutationObserver((_, watcher) => {
      if (field.isConnected) return;
      watcher.disconnect();
      line.row.classList.remove("ra-writing");
      describe(line);
    }).observe(line.row, { childList: true });
  };
  const overlay = (edits, index) => {
    for (const [speaker, name] of Object.entries(edits.names[index] || {})) called(speaker, name);
    for (const [place, text] of Object.entries(edits.texts[index] || {})) {
      const line = lines[Number(place)];
      if (!line || (line.text === text && line.edited) || line.row.classList.contains("ra-writing")) continue;
      line.text = text;
      line.edited = true;
      describe(line);
    }
  };

  // --- hearing and following -----------------------------------------------------------------------------------------
  const play = (line) => {
    following = true;
    app.show(follow, false);
    stop(line);
    audio.currentTime = line.start;
    audio.play().catch(() => {}); // a recording that can't be played is said to be so beside the player
    mark();
  };
  const spokenAt = (time) => {
    let low = 0;
    let high = lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (lines[middle].start <= time + 0.05) low = middle;
      else high = middle - 1;
    }
    return lines[low] && lines[low].start <= time + 0.05 ? lines[low] : null;
  };
  const mark = () => {
    const line = spokenAt(audio.currentTime);
    if (line === spoken) return;
    spoken?.row.classList.remove("ra-spoken");
    spoken?.row.removeAttribute("aria-current");
    spoken = line;
    if (!line) return;
    line.row.classList.add("ra-spoken");
    line.row.setAttribute("aria-current", "true");
    if (following && !audio.paused) reveal(line.row);
  };
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const reveal = (row) => {
    const { top, bottom } = row.getBoundingClientRect();
    const above = document.querySelector(".ra-player").getBoundingClientRect();
    const roof = getComputedStyle(document.querySelector(".ra-player")).position === "sticky" && above.width > innerWidth / 2 ? above.bottom : 0;
    if (top < roof + 40 || bottom > innerHeight - 80) row.scrollIntoView({ block: "center", behavior: still.matches ? "auto" : "smooth" });
  };
  const run = () => {
    mark();
    if (!audio.paused && element.isConnected) requestAnimationFrame(run);
  };
  audio.addEventListener("play", run);
  audio.addEventListener("seeked", mark);
  const wander = () => {
    if (audio.paused || !following || !lines.length) return;
    following = false;
    app.show(follow, true);
  };
  for (const name of ["wheel", "touchmove"]) window.addEventListener(name, wander, { passive: true });
  window.addEventListener("keydown", (event) => {
    if (["PageUp", "PageDown", "Home", "End"].includes(event.key) && !event.target.matches?.("input, textarea, select")) wander();
  });
  audio.addEventListener("pause", () => app.show(follow, false));
  audio.addEventListener("play", () => app.show(follow, !following));

  // --- the keyboard: one stop for Tab, arrows from line to line ------------------------------------------------------
  const stop = (line) => {
    for (const [each, index] of [[current, -1], [line, 0]]) {
      each?.row.querySelectorAll(".ra-at, .ra-pen").forEach((button) => button.setAttribute("tabindex", index));
    }
    current = line;
  };
  box.addEventListener("focusin", (event) => {
    const line = event.target.closest(".ra-line")?.line;
    if (line && line !== current) stop(line);
  });
  box.addEventListener("keydown", (event) => {
    const line = event.target.closest(".ra-line")?.line;
    if (!line || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowDown: line.at + 1, ArrowUp: line.at - 1, Home: 0, End: lines.length - 1 }[event.key];
    if (lines[to]) {
      event.preventDefault();
      lines[to].row.querySelector(".ra-at").focus();
    } else if (event.key === "e" || event.key === "F2") {
      event.preventDefault();
      correct(line);
    }
  });

  return { element, draw, clear };
};
