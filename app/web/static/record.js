// The microphone, as a WAV file: browsers record webm without a length, in which no player can find a place.
(() => {
  const app = window.runApp;
  const WORKLET = `registerProcessor("ra-tap", class extends AudioWorkletProcessor {
    process(inputs) {
      const sound = inputs[0][0];
      if (sound) {
        const whole = new Int16Array(sound.length);
        for (let at = 0; at < sound.length; at++) whole[at] = Math.max(-1, Math.min(1, sound[at])) * 32767;
        this.port.postMessage(whole, [whole.buffer]);
      }
      return true;
    }
  });`;

  const wav = (chunks, rate) => {
    const size = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    const head = new DataView(new ArrayBuffer(44));
    const text = (at, word) => [...word].forEach((letter, place) => head.setUint8(at + place, letter.charCodeAt(0)));
    text(0, "RIFF");
    head.setUint32(4, 36 + size, true);
    text(8, "WAVEfmt ");
    head.setUint32(16, 16, true);
    head.setUint16(20, 1, true); // PCM
    head.setUint16(22, 1, true); // mono
    head.setUint32(24, rate, true);
    head.setUint32(28, rate * 2, true);
    head.setUint16(32, 2, true);
    head.setUint16(34, 16, true);
    text(36, "data");
    head.setUint32(40, size, true);
    return new Blob([head, ...chunks], { type: "audio/wav" });
  };

  // A button; `done` is given the recording as a File.
  app.recorder = (done) => {
    const { el, t } = app;
    const label = el("span", {}, t("record"));
    const time = el("span.ra-time");
    const problem = el("p.ra-problem", { role: "alert", hidden: true });
    const button = el("button.ra-plain.ra-record", { type: "button", "aria-pressed": "false", onclick: () => (open ? end() : begin()) },
      el("span.ra-dot", { "aria-hidden": "true" }), label, time);
    const box = el("div.ra-recorder", {}, button, problem);
    let open = null;

    const complain = (text) => {
      app.write(problem, text);
      app.show(problem, Boolean(text));
    };
    const begin = async () => {
      complain("");
      if (!navigator.mediaDevices?.getUserMedia) return complain(t("no_secure"));
      button.disabled = true;
      let stream = null;
      try {
        stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
        const context = new AudioContext();
        const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
        await context.audioWorklet.addModule(code);
        URL.revokeObjectURL(code);
        const tap = new AudioWorkletNode(context, "ra-tap", { numberOfOutputs: 0 });
        const chunks = [];
        tap.port.onmessage = ({ data }) => chunks.push(data);
        context.createMediaStreamSource(stream).connect(tap);
        open = { stream, context, chunks, began: new Date(), tick: setInterval(tell, 500) };
        tell();
      } catch (error) {
        stream?.getTracks().forEach((track) => track.stop());
        complain(t(error.name === "NotAllowedError" ? "no_permission" : "no_microphone"));
      } finally {
        button.disabled = false;
      }
    };
    const tell = () => {
      button.classList.toggle("ra-on", Boolean(open));
      button.setAttribute("aria-pressed", Boolean(open));
      app.write(label, t(open ? "record_end" : "record"));
      app.write(time, open ? app.clock((Date.now() - open.began) / 1000) : "");
    };
    const end = async () => {
      const { stream, context, chunks, began, tick } = open;
      open = null;
      clearInterval(tick);
      stream.getTracks().forEach((track) => track.stop());
      const rate = context.sampleRate;
      await context.close();
      tell();
      const two = (value) => String(value).padStart(2, "0");
      const day = `${began.getFullYear()}-${two(began.getMonth() + 1)}-${two(began.getDate())}`;
      const name = `${t("recording")} ${day} ${two(began.getHours())}.${two(began.getMinutes())}.${two(began.getSeconds())}.wav`;
      done(new File([wav(chunks, rate)], name, { type: "audio/wav", lastModified: Date.now() }));
    };
    box.recording = () => open !== null;
    box.end = end;
    return box;
  };
})();
