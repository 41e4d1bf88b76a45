// What is to be transcribed, and how.
runApp.parts.form = (element) => {
  const app = window.runApp;
  const { el, t, facts } = app;
  let chosen = [];
  let sending = null;
  let submitting = false;

  // --- recordings ----------------------------------------------------------------------------------------------------
  const input = el("input.ra-unseen", { type: "file", multiple: true, id: "ra-files", "aria-describedby": "ra-limit" });
  const list = el("ul.ra-files", { "aria-label": t("chosen") });
  const drop = el("div.ra-drop", {},
    input,
    el("label", { for: "ra-files" },
      el("strong", {}, t("choose")),
      el("span", {}, t("or_drop"))),
    el("p.ra-hint", { id: "ra-limit" }, t("limit", { size: app.bytes(facts.max_upload) })));
  const recorder = app.recorder((file) => take([file]));

  const take = (files) => {
    complain("");
    for (const file of files) {
      if (file.size > facts.max_upload) {
        complain(t("too_large", { name: file.name, size: app.bytes(facts.max_upload) }));
      } else if (chosen.length === facts.most_files) {
        complain(t("too_many", { n: facts.most_files }));
        break;
      } else if (!chosen.some((one) => one.file.name === file.name && one.file.size === file.size && one.file.lastModified === file.lastModified)) {
        chosen.push({ file, key: crypto.randomUUID?.() ?? String(Math.random()), path: null });
      }
    }
    draw();
  };
  const draw = () => {
    app.list(list, chosen, (one) => one.key, (one) => {
      const bar = app.bar(t("sending", { name: one.file.name }));
      const row = el("li", {},
        el("span.ra-name", {}, one.file.name),
        el("span.ra-size", {}, app.bytes(one.file.size)),
        el("button.ra-x", {
          type: "button",
          "aria-label": t("take_out", { name: one.file.name }),
          onclick: () => {
            chosen = chosen.filter((other) => other !== one);
            draw();
            input.focus();
          },
        }, "×"),
        bar);
      one.bar = bar;
      return row;
    });
    app.show(list, chosen.length > 0);
    list.classList.toggle("ra-sending", sending !== null);
    app.write(go, sending ? t("stop_sending") : chosen.length > 1 ? t("go_many", { n: chosen.length }) : t("go"));
    go.classList.toggle("ra-primary", !sending);
    go.classList.toggle("ra-plain", Boolean(sending));
    rest.disabled = submitting;
    go.disabled = submitting && !sending;
  };
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("ra-over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("ra-over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!sending) take([...event.dataTransfer.files]);
  });

  // --- how -----------------------------------------------------------------------------------------------------------
  const field = (key, control, { hint = "" } = {}) => {
    control.id = `ra-${key}`;
    if (hint) control.setAttribute("aria-describedby", `ra-${key}-hint`);
    return el("div.ra-row", {}, el("label", { for: control.id }, t(key)), control,
      hint && el("p.ra-hint", { id: `ra-${key}-hint` }, hint));
  };
  const select = (choices) => el("select", {}, choices.map(([value, text]) => el("option", { value }, text)));
  const number = (value) => el("input", { type: "number", min: 1, max: facts.most_speakers, step: 1, value });
  const language = (code) => {
    const name = app.spoken(code);
    return name[0].toLocaleUpperCase(app.language()) + name.slice(1);
  };
  const languages = facts.languages.map((code) => [code, language(code)]);
  languages.sort((one, two) => one[1].localeCompare(two[1], app.language()));

  const model = select([["", t("model_profile", { model: facts.settings.model })], ...facts.models.map((each) => [each, each])]);
  const spoken = select([["", t("detect")], ...languages]);
  const translate = el("input", { type: "checkbox", id: "ra-translate" });
  const who = ["none", "apart"].map((value) =>
    el("input", { type: "radio", name: "ra-who", value, id: `ra-who-${value}`, checked: value === "none", onchange: () => fold() }));
  const count = select(["find", "exactly", "between"].map((each) => [each, t(`count_${each}`)]));
  count.addEventListener("change", () => fold());
  const exactly = number(2);
  const least = number(2);
  const most = number(4);
  const people = el("input", { type: "text", autocomplete: "off", placeholder: t("names_example") });
  const prompt = el("textarea", { rows: 2, maxlength: 2000 });
  const hotwords = el("input", { type: "text", maxlength: 2000, autocomplete: "off" });
  const formats = facts.formats.map((each) =>
    el("input", { type: "checkbox", value: each, id: `ra-format-${each}`, checked: facts.default_formats.includes(each) }));

  const exactRow = field("speakers_exactly", exactly);
  const betweenRow = el("div.ra-pair", {}, field("speakers_least", least), field("speakers_most", most));
  const apart = el("div.ra-fold", {},
    field("speakers_count", count), exactRow, betweenRow, field("speakers_names", people, { hint: t("names_hint") }));
  const fold = () => {
    app.show(apart, who[1].checked);
    app.show(exactRow, count.value === "exactly");
    app.show(betweenRow, count.value === "between");
  };

  const problem = el("p.ra-problem", { role: "alert", hidden: true });
  const complain = (text) => {
    app.write(problem, text);
    app.show(problem, Boolean(text));
  };
  const go = el("button.ra-primary.ra-go", { type: "submit" });
  const tick = (box, text) => el("label.ra-tick", { for: box.id }, box, el("span", {}, text));
  const rest = el("fieldset.ra-rest", {},
    el("legend.ra-unseen", {}, t("how")),
    field("spoken", spoken),
    tick(translate, t("translate")),
    field("model", model),
    el("fieldset.ra-who", {}, el("legend", {}, t("speakers")),
      el("div.ra-choice", {}, who.map((each) => tick(each, t(`speakers_${each.value}`)))), apart),
    el("details", {}, el("summary", {}, t("more")), el("div.ra-more-fields", {},
      field("prompt", prompt, { hint: t("prompt_hint") }),
      field("hotwords", hotwords, { hint: t("hotwords_hint") }),
      el("fieldset.ra-formats", {}, el("legend", {}, t("formats")),
        el("div.ra-choice", {}, formats.map((each) => tick(each, each.value))),
        el("p.ra-hint", {}, t("formats_hint"))))));
  const { settings } = facts;
  element.append(el("form.ra-card.ra-form", { "aria-labelledby": "ra-form-title", onsubmit: (event) => submit(event) },
    el("h2", { id: "ra-form-title" }, t("new")),
    drop, recorder, list, rest, problem, go,
    el("p.ra-hint.ra-chosen", {},
      t("chosen_by_profile", {
        profile: facts.profiles.join(", ") || t("no_profile"),
        model: settings.model,
        device: settings.device,
        type: settings.compute_type,
      }))));
  fold();
  draw();

  const options = () => {
    const said = {
      model: model.value,
      language: spoken.value,
      translate: translate.checked,
      prompt: prompt.value,
      hotwords: hotwords.value,
      formats: formats.filter((each) => each.checked).map((each) => each.value),
    };
    if (!who[1].checked) return said;
    const how = {
      find: {},
      exactly: { speakers: exactly.valueAsNumber },
      between: { min_speakers: least.valueAsNumber, max_speakers: most.valueAsNumber },
    };
    const called = people.value.split(",").map((name) => name.trim()).filter(Boolean);
    return { ...said, diarize: true, names: called, ...how[count.value] };
  };

  // --- sending -------------------------------------------------------------------------------------------------------
  // By a name of ours: what a person calls a file never becomes a path.
  const send = (one) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const body = new FormData();
      const ending = /\.[A-Za-z0-9]{1,8}$/.exec(one.file.name)?.[0] ?? "";
      body.append("files", one.file, `recording${ending}`);
      request.upload.onprogress = (event) => event.lengthComputable && one.bar.set(event.loaded / event.total);
      request.onload = () => {
        try {
          if (request.status !== 200) throw new Error(request.responseText);
          resolve(JSON.parse(request.responseText)[0]);
        } catch {
          reject(new Error(t("not_taken", { name: one.file.name, why: why(request) })));
        }
      };
      request.onerror = () => reject(new Error(t("not_taken", { name: one.file.name, why: t("no_answer") })));
      request.onabort = () => reject(new Error(""));
      request.open("POST", `${app.root}gradio_api/upload`);
      request.send(body);
      sending = request;
      draw();
    });
  const why = (request) => {
    try {
      return JSON.parse(request.responseText).detail || request.status;
    } catch {
      return request.responseText.slice(0, 200) || request.status;
    }
  };
  const submit = async (event) => {
    event.preventDefault();
    if (sending) {
      sending.abort();
      return;
    }
    if (submitting) return;
    if (recorder.recording()) await recorder.end();
    if (!chosen.length) {
      complain(t("nothing_chosen"));
      input.focus();
      return;
    }
    const numbers = { exactly: [exactly], between: [least, most] }[who[1].checked && count.value] || [];
    const wrong = numbers.find((each) => !each.checkValidity() || Number.isNaN(each.valueAsNumber));
    if (wrong) {
      complain(t("bad_number", { n: facts.most_speakers }));
      wrong.focus();
      return;
    }
    if (!formats.some((each) => each.checked)) {
      complain(t("no_format"));
      formats[0].closest("details").open = true;
      formats[0].focus();
      return;
    }
    if (who[1].checked && count.value === "between" && least.valueAsNumber > most.valueAsNumber) {
      complain(t("bad_range"));
      least.focus();
      return;
    }
    complain("");
    const asked = options();
    const batch = [...chosen]; // more may be chosen, or recorded, meanwhile
    submitting = true;
    try {
      for (const one of batch) one.path ??= await send(one);
      sending = null;
      draw();
      const files = batch.map((one) => ({ upload: one.path, name: one.file.name }));
      const answer = await app.call("submit", { files, options: asked });
      if (answer === null) throw new Error(t("no_answer"));
      if (answer.error) {
        if (answer.lost) for (const one of batch) one.path = null;
        throw new Error(answer.error);
      }
      app.say(t("queued_now", { name: batch[0].file.name }));
      app.tell("submitted", answer.id);
      chosen = chosen.filter((one) => !batch.includes(one));
      app.soon();
    } catch (error) {
      complain(error.message);
    } finally {
      sending = null;
      submitting = false;
      draw();
    }
  };
  window.addEventListener("beforeunload", (event) => {
    if (chosen.length || recorder.recording() || document.querySelector(".ra-writing")) event.preventDefault();
  });
};
