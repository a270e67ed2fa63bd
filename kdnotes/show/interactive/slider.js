// Sets up all sliders of the page that are not set up, so that any copy of this may run first.
// A copy without data is one of an untrusted cell: it stays a picture.
for (const root of document.querySelectorAll(".kdnotes-interactive")) {
  const source = root.querySelector('script[type="application/json"]');
  if (root.kdnotesReady || !source) continue;
  root.kdnotesReady = true;
  const { head, pool, frames, values } = JSON.parse(source.textContent);
  const inputs = [...root.querySelectorAll("input")], shown = root.querySelectorAll(".value");
  const sentence = root.querySelector(".said");
  const draw = () => {
    const at = inputs.reduce((all, one) => all * (Number(one.max) + 1) + Number(one.value), 0);
    const pieces = frames[at].map(index => pool[index]), said = pieces.pop();
    root.querySelector(".picture").innerHTML = head + pieces.join("") + "</svg>";
    sentence.textContent = said;
    sentence.style.minHeight = sentence.offsetHeight + "px"; // a shorter one moves nothing
    inputs.forEach((input, which) => {
      shown[which].textContent = values[which][input.value];
      input.setAttribute("aria-valuetext", values[which][input.value]);
    });
  };
  inputs.forEach(input => input.addEventListener("input", draw));
  root.querySelector(".hint").remove();
  root.querySelector(".controls").style.display = "";
  draw();
}
