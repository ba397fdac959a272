/* The code of digits, moved by beta. Frames come from landing_frames.js, which the build writes. */
(() => {
  const stage = document.getElementById("landing-code");
  const slider = document.getElementById("landing-beta");
  const colors = ["#0072B2", "#B87700", "#009E73", "#C05A96", "#2E8FC4", "#D55E00", "#777777", "#9A8A00", "#882255", "#444466"];
  const darkColors = ["#56B4E9", "#E69F00", "#2BD9A5", "#F2A3CF", "#9AD0F5", "#FF8A3D", "#BBBBBB", "#F0E442", "#D98AA8", "#A9A9E0"];
  const { digits, frames } = LANDING;
  const context = stage.getContext("2d");

  function at(position) {
    const low = Math.floor(position), high = Math.min(low + 1, frames.length - 1), t = position - low;
    const mix = (a, b) => a + (b - a) * t;
    const [a, b] = [frames[low], frames[high]];
    return {
      beta: Math.exp(mix(Math.log(a.beta), Math.log(b.beta))),
      rate: mix(a.rate, b.rate),
      accuracy: mix(a.accuracy, b.accuracy),
      confidence: mix(a.confidence, b.confidence),
      radius: mix(a.radius, b.radius),
      z: a.z.map((value, k) => mix(value, b.z[k])),
      sigma: a.sigma.map((value, k) => mix(value, b.sigma[k])),
    };
  }

  function draw() {
    const frame = at(Number(slider.value));
    const ratio = window.devicePixelRatio || 1, width = stage.clientWidth, height = stage.clientHeight;
    stage.width = width * ratio;
    stage.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const dark = document.documentElement.dataset.theme === "dark";
    const unit = Math.min(width, height) / 2.2 / frame.radius;
    const place = (k) => [width / 2 + frame.z[2 * k] * unit, height / 2 - frame.z[2 * k + 1] * unit];
    // the prior: circles of one and two standard deviations
    context.strokeStyle = dark ? "#888" : "#999";
    for (const radius of [1, 2]) {
      context.beginPath();
      context.arc(width / 2, height / 2, radius * unit, 0, 2 * Math.PI);
      context.stroke();
    }
    context.fillStyle = dark ? "rgba(255,255,255,.012)" : "rgba(0,0,0,.009)";
    digits.forEach((_, k) => {
      const [x, y] = place(k);
      context.beginPath();
      context.ellipse(x, y, frame.sigma[0] * unit, frame.sigma[1] * unit, 0, 0, 2 * Math.PI);
      context.fill();
    });
    context.font = "bold 13px sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    digits.forEach((digit, k) => {
      context.fillStyle = (dark ? darkColors : colors)[digit];
      context.fillText(digit, ...place(k));
    });
    const show = (id, text) => { document.getElementById(id).textContent = text; };
    show("landing-beta-value", frame.beta < 0.01 ? frame.beta.toExponential(1) : frame.beta.toFixed(2));
    show("landing-rate", `${frame.rate.toFixed(1)} nats`);
    show("landing-bits", `${(frame.rate / Math.LN2).toFixed(1)} bits`);
    show("landing-accuracy", `${(100 * frame.accuracy).toFixed(1)} %`);
    show("landing-confidence", `${(100 * frame.confidence).toFixed(0)} %`);
    slider.setAttribute("aria-valuetext", `beta ${frame.beta.toPrecision(2)}`);
  }

  slider.max = frames.length - 1;
  slider.value = 20;
  slider.addEventListener("input", draw);
  window.addEventListener("resize", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  draw();
})();
