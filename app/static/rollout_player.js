/* Every method's rollout of one scene, side by side, on one play button; scenes where methods differ come first. */
wb.mounts.rolloutPlayer = (element, props, trigger, watch) => {
  const { make } = wb;
  let scene = 0;
  let videos = [];
  let shown = null;
  let camera = "exterior";  // videos show both cameras side by side; the page shows one half at a time, larger

  function build() {
    const data = props.value;
    if (!data || !data.scenes?.length) { element.replaceChildren(); shown = null; return; }
    if (shown !== data.key) { scene = 0; shown = data.key; }
    const chosen = data.scenes[scene];
    videos = data.methods.map((method, m) => make("video", { src: chosen.videos[m], muted: true, playsinline: true,
      preload: "auto", "aria-label": `${method.label}, scene ${chosen.number}` }));
    videos.forEach((video) => { video.muted = true; });
    const play = make("button", { type: "button", class: "wb-button wb-primary", "data-testid": "rollout-play" }, "Play");
    const bar = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Time" });
    element.replaceChildren(make("div", { class: "wb-rollouts", "data-testid": "rollout-player", "data-camera": camera },
      make("div", { class: "wb-rollouts-head" }, make("h2", {}, "The same scene, method by method"), cameras()),
      make("div", { class: "wb-scenes", role: "group", "aria-label": "Scene" }, ...data.scenes.map((entry, i) => sceneButton(data, entry, i))),
      make("div", { class: "wb-videos" }, ...data.methods.map((method, m) => make("figure", { "data-method": method.name },
        make("figcaption", {}, make("b", {}, method.label),
          make("span", { class: chosen.success[m] ? "wb-good" : "wb-bad" },
            chosen.success[m] ? `succeeds in ${chosen.seconds[m]} s` : "fails")),
        chosen.videos[m] ? videos[m] : make("div", { class: "wb-novideo" }, "No video kept")))),
      make("div", { class: "wb-controls" }, play, bar)));
    wire(play, bar);
  }

  function cameras() {
    const choose = (name) => {
      camera = name;
      element.querySelector(".wb-rollouts").dataset.camera = name;
      for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
    };
    const group = make("div", { class: "wb-segments", role: "group", "aria-label": "Camera" });
    for (const [name, label] of [["exterior", "Exterior"], ["wrist", "Wrist"]]) {
      group.append(make("button", { type: "button", "data-name": name, "aria-pressed": String(name === camera),
        onclick: () => choose(name) }, label));
    }
    return group;
  }

  function sceneButton(data, entry, i) {
    return make("button", { type: "button", "aria-pressed": String(i === scene), class: entry.differs ? "wb-differs" : "",
      title: `${entry.differs ? "The methods differ here" : "Same outcome for every method"} (seed ${entry.seed})`,
      onclick: () => { scene = i; build(); start(); } },
      make("span", {}, `Scene ${entry.number}`),
      make("span", { class: "wb-dots" }, ...entry.success.map((won, m) => make("i", { "data-method": data.methods[m].name,
        class: won ? "wb-won" : "", title: `${data.methods[m].label}: ${won ? "success" : "failure"}` }))));
  }

  const longest = () => videos.reduce((best, video) => (video.duration || 0) > (best?.duration || 0) ? video : best, null);

  function start() {
    for (const video of videos) {
      if (!video.src) continue;
      if (longest()?.ended || video.ended) video.currentTime = 0;
      video.play().catch(() => {});
    }
  }

  function wire(play, bar) {
    const label = () => { play.textContent = videos.some((video) => !video.paused && !video.ended) ? "Pause" : "Play"; };
    play.onclick = () => {
      if (videos.some((video) => !video.paused && !video.ended)) videos.forEach((video) => video.pause());
      else {
        if (longest()?.ended) videos.forEach((video) => { video.currentTime = 0; });
        videos.forEach((video) => { if (video.src && !video.ended) video.play().catch(() => {}); });
      }
    };
    for (const video of videos) {
      for (const name of ["play", "pause", "ended"]) video.addEventListener(name, label);
      video.addEventListener("timeupdate", () => {
        const last = longest();
        if (video === last) bar.value = 1000 * video.currentTime / (video.duration || 1);
      });
    }
    bar.oninput = () => {
      const to = (bar.value / 1000) * (longest()?.duration || 0);
      for (const video of videos) { video.pause(); video.currentTime = Math.min(to, video.duration || 0); }
    };
  }

  watch("value", build);
  build();
};
