// What the worker took over time, with the stages behind it: a picture, and the same as a table.
runApp.memory = () => {
  const app = window.runApp;
  const { el, t } = app;
  const HEIGHT = 190;
  const EDGE = { left: 72, right: 8, top: 26, bottom: 24 };

  const picture = el("div.ra-plot");
  const legend = el("p.ra-legend");
  const rows = el("tbody");
  const columns = ["stage", "lasted", "rss", "vram"];
  const heads = columns.map((name) => el("th", { scope: "col" }, t(`memory_${name}`)));
  const table = el("table.ra-small-table", {}, el("caption.ra-unseen", {}, t("memory")), el("thead", {}, el("tr", {}, heads)), rows);
  const element = el("section.ra-card.ra-memory", { "aria-label": t("memory"), hidden: true }, el("h3", {}, t("memory")), legend, picture, table);

  let key = "";
  let state = "";
  let asked = 0;
  let curve = null;

  const draw = async (id, job) => {
    if (id !== key) {
      key = id;
      state = "";
      curve = null;
      app.show(element, false);
    }
    const running = job.state === "running";
    if (job.state === "queued" || (state === job.state && (!running || performance.now() - asked < 2000))) return;
    state = job.state;
    asked = performance.now();
    const answer = await app.call("memory", { id });
    if (key !== id || !answer?.curve) return;
    curve = answer.curve;
    app.show(element, true);
    plot();
  };

  // The stages as spans: {stage, from, to}.
  const spans = () => {
    const last = curve.seconds[curve.seconds.length - 1];
    return curve.stages
      .map(([from, stage], at) => ({ stage, from, to: curve.stages[at + 1]?.[0] ?? last }))
      .filter((span) => span.stage && span.to > span.from);
  };
  const name = (stage) => (app.has(`stage_${stage}`) ? t(`stage_${stage}`) : stage);
  const nice = (most) => {
    const power = 10 ** Math.floor(Math.log10(most || 1));
    return [1, 2, 2.5, 5, 10].map((times) => times * power).find((step) => most / step <= 4) ?? power * 10;
  };

  const plot = () => {
    const width = Math.max(260, picture.clientWidth || 600);
    const onCards = curve.vram.some((value) => value > 0);
    const end = Math.max(1, curve.seconds[curve.seconds.length - 1]);
    const highest = Math.max(1, ...curve.rss, ...curve.vram);
    const unit = highest > 1536 ? 1024 : 1;
    const step = nice(highest / unit) * unit;
    const most = Math.ceil(highest / step) * step;
    const x = (seconds) => EDGE.left + (seconds / end) * (width - EDGE.left - EDGE.right);
    const y = (mib) => HEIGHT - EDGE.bottom - (mib / most) * (HEIGHT - EDGE.top - EDGE.bottom);
    const line = (values) => values.map((value, at) => `${at ? "L" : "M"}${x(curve.seconds[at]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const bands = spans().flatMap(({ stage, from, to }, at) => {
      const [left, right] = [x(from), x(to)];
      const label = name(stage);
      return [
        el("rect", { class: `ra-band ra-band-${at % 2}`, x: left, y: EDGE.top, width: right - left, height: HEIGHT - EDGE.top - EDGE.bottom }),
        right - left > label.length * 6.4 + 8 && el("text", { class: "ra-band-name", x: (left + right) / 2, y: EDGE.top - 9, "text-anchor": "middle" }, label),
      ];
    });
    const grid = [];
    for (let mib = 0; mib <= most; mib += step) {
      grid.push(el("line", { class: "ra-grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(mib), y2: y(mib) }),
        el("text", { class: "ra-tick-text", x: EDGE.left - 8, y: y(mib) + 4, "text-anchor": "end" }, `${app.number(mib / unit, 1)} ${unit > 1 ? "GiB" : "MiB"}`));
    }
    for (const part of [0, 0.5, 1]) {
      grid.push(el("text", { class: "ra-tick-text", x: x(end * part), y: HEIGHT - 6, "text-anchor": ["start", "middle", "end"][part * 2] }, app.clock(end * part)));
    }
    const words = t("memory_said", { rss: app.mib(Math.max(...curve.rss)), vram: app.mib(Math.max(0, ...curve.vram)) });
    picture.replaceChildren(el("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": words },
      bands, grid,
      el("path", { class: "ra-line-rss", d: line(curve.rss) }),
      onCards && el("path", { class: "ra-line-vram", d: line(curve.vram) })));
    legend.replaceChildren(el("span.ra-key-rss", {}, t("memory_rss")), onCards ? el("span.ra-key-vram", {}, t("memory_vram")) : "");
    peaks(onCards);
  };

  const peaks = (onCards) => {
    const found = new Map();
    for (const { stage, from, to } of spans()) {
      const one = found.get(stage) ?? { stage, lasted: 0, rss: 0, vram: 0 };
      one.lasted += to - from;
      curve.seconds.forEach((at, place) => {
        if (at < from || at > to) return;
        one.rss = Math.max(one.rss, curve.rss[place]);
        one.vram = Math.max(one.vram, curve.vram[place]);
      });
      found.set(stage, one);
    }
    app.show(heads[3], onCards);
    app.show(table, found.size > 0);
    rows.replaceChildren(...[...found.values()].map((one) => el("tr", {},
      el("th", { scope: "row" }, name(one.stage)),
      el("td", {}, `${app.number(one.lasted, 1)} s`),
      el("td", {}, one.rss ? app.mib(one.rss) : "–"),
      onCards && el("td", {}, app.mib(one.vram)))));
  };
  new ResizeObserver(() => {
    if (curve && !element.hidden && picture.firstChild?.getAttribute("width") !== String(picture.clientWidth)) plot();
  }).observe(picture);
  return { element, draw };
};
