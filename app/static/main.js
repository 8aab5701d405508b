/* The page's scripts: every component by its name, as app/components.py mounts them. */
import { rolloutPlayer } from "./compare/rollout_player.js";
import { driving } from "./demonstrations/driving.js";
import { framePlayer } from "./demonstrations/frame_player.js";
import { uploader } from "./demonstrations/upload.js";
import { curves } from "./finetune/curves.js";
import { headMap } from "./heads/head_map.js";
import { inspector } from "./heads/inspector.js";
import { laboratory } from "./heads/laboratory.js";
import { whatIf } from "./heads/laboratory.js";
import { lead } from "./heads/lead.js";
import { learn } from "./learn/lessons.js";
import { download } from "./shared/download.js";
import { figure } from "./shared/figure.js";
import { panel } from "./shared/panel.js";
import "./shared/keyboard.js";
import "./shared/policies.js";
import "./finetune/form.js";
import { data } from "./shared/page.js";

export { ready } from "./shared/address.js";

const COMPONENTS = { curves, download, figure, framePlayer, headMap, inspector, laboratory, lead, learn, panel, rolloutPlayer, driving, uploader, whatIf };

/* Draw a component into `element`. markup: its value is markup that the server made, not data. */
export function mount(name, markup, element, props, trigger, watch) {
  COMPONENTS[name](element, markup ? props : data(props), trigger, watch);
}
