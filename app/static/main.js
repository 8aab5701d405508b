/* The page's scripts: every component by its name, as app/components.py mounts them. */
import { rolloutPlayer } from "./compare/rollout_player.js";
import { driving } from "./demonstrations/driving.js";
import { framePlayer } from "./demonstrations/frame_player.js";
import { uploader } from "./demonstrations/upload.js";
import { curves } from "./finetune/curves.js";
import { headMap } from "./heads/head_map.js";
import { inspector } from "./heads/inspector.js";
import { measures } from "./heads/measures.js";
import { whatIf } from "./heads/measures.js";
import { lead } from "./heads/lead.js";
import { download } from "./shared/download.js";
import { figure } from "./shared/figure.js";
import { panel } from "./shared/panel.js";
import "./shared/keyboard.js";
import "./shared/policies.js";
import "./finetune/form.js";
import { data, stored } from "./shared/page.js";

export { filled, ready } from "./shared/address.js";

const COMPONENTS = { curves, download, figure, framePlayer, headMap, inspector, measures, lead, panel, rolloutPlayer, driving, uploader, whatIf };

/* Loaded when they are first needed, not with the first screen (see LATER of app/components.py). */
const later = () => import("./learn/learn.js");
const LATER = { learn: async () => (await later()).learn };

/* Draw a component into `element`. markup: its value is markup that the server made, not data. */
export async function mount(name, markup, element, props, trigger, watch) {
  const component = COMPONENTS[name] ?? await LATER[name]();
  component(element, markup ? props : data(props), trigger, watch);
}

/* A teacher's link, or a lesson or a class that was on. */
const query = new URL(location.href).searchParams;
const asked = ["lesson", "hide", "lock", "class"].some((name) => query.has(name));
if (asked || stored("learning", {}).id || stored("class", null)) later().then(({ begin }) => begin());
