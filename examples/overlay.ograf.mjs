// The page overlay.html as an EBU OGraf graphic: its own script, taken out of it, so that there is one source.
const page = await (await fetch(new URL("overlay.html", import.meta.url))).text();
const script = new DOMParser().parseFromString(page, "text/html").querySelector("#graphic").textContent;
const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
const graphic = (await import(url)).default;
URL.revokeObjectURL(url);
export default class DanceGraphic extends graphic {}
