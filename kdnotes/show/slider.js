for (const root of document.querySelectorAll(".kdnotes-temperature")) {
  if (root.kdnotesReady) continue;
  root.kdnotesReady = true;
  const z = JSON.parse(root.dataset.logits), top = Math.max(...z), input = root.querySelector("input");
  const bars = root.querySelectorAll(".bar"), values = root.querySelectorAll(".value");
  input.addEventListener("input", () => {
    const T = Math.exp(Number(input.value)), weights = z.map(x => Math.exp((x - top) / T));
    const sum = weights.reduce((a, b) => a + b, 0), p = weights.map(w => w / sum);
    const entropy = p.reduce((h, q) => q > 0 ? h - q * Math.log(q) : h, 0);
    p.forEach((q, c) => { bars[c].style.width = 100 * q + "%"; values[c].textContent = q.toFixed(4); });
    root.querySelector(".text").textContent = "T = " + T.toFixed(2) + ": entropy " + entropy.toFixed(3) +
      " of at most " + Math.log(z.length).toFixed(3) + " nats";
    input.setAttribute("aria-valuetext", "T = " + T.toFixed(2));
  });
  root.querySelector(".control").style.display = "";
}
