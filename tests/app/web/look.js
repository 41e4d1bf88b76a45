// What a person, or a screen reader, would stumble over; as lines of text, none where all is well.
() => {
  const faults = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const named = (element) => `${element.tagName.toLowerCase()}.${element.className || ""} ${(element.textContent || element.value || "").trim().slice(0, 30)}`;

  // --- names, and what they refer to ---
  const ids = new Map();
  for (const element of document.querySelectorAll(".ra-part [id]")) {
    if (ids.has(element.id)) faults.push(`twice: id ${element.id}`);
    ids.set(element.id, element);
  }
  for (const element of document.querySelectorAll(".ra-part *")) {
    for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
      for (const id of (element.getAttribute(attribute) || "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${named(element)}: ${attribute} of nothing: ${id}`);
      }
    }
  }
  const text = (element) => (element ? (element.getAttribute("aria-label") || element.textContent).trim() : "");
  for (const control of document.querySelectorAll(".ra-part :is(input, select, textarea, button, a, audio, summary, [role=progressbar], svg)")) {
    if (!shown(control) && control.type !== "file") continue;
    const labelled = (control.getAttribute("aria-labelledby") || "").split(" ").map((id) => text(document.getElementById(id))).join("");
    const label = [...(control.labels || [])].map(text).join("");
    const own = /^(BUTTON|A|SUMMARY)$/.test(control.tagName) ? control.textContent.trim() : "";
    if (!(control.getAttribute("aria-label") || labelled || label || own)) faults.push(`no name: ${named(control)}`);
  }
  let level = 1;
  for (const heading of document.querySelectorAll(".ra-part :is(h1, h2, h3, h4)")) {
    if (!shown(heading)) continue;
    const now = Number(heading.tagName[1]);
    if (now > level + 1) faults.push(`a heading of level ${now} after ${level}: ${heading.textContent}`);
    level = now;
  }

  // --- contrast: WCAG 2.1, AA ---
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const layer = rgba(getComputedStyle(each).backgroundColor);
      layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const bad = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !shown(element) || element.closest("[disabled], option, .ra-unseen, .ra-pen")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [one, two] = [light(over(rgba(ink), below)), light(below)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.add(`contrast ${ratio.toFixed(2)}: ${named(element)} ${ink}`);
  }
  faults.push(...bad);

  // --- width ---
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  for (const element of document.querySelectorAll(".ra-part *")) {
    if (!shown(element) || element.closest(".ra-unseen, .ra-log, .ra-skip, svg")) continue;
    const { left, right } = element.getBoundingClientRect();
    if (left < -1 || right > innerWidth + 1) faults.push(`out of the window: ${named(element)} ${left} ${right}`);
  }
  return faults;
};
