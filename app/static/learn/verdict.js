/* Texts of lessons with the facts in them, and whether a prediction was right. Nothing here touches the page. */

export const filled = (text, known) => text.replaceAll(/\{(\w+)\}/g, (_, name) => String(known[name] ?? "unknown"));

export const words = (lesson, name) => lesson.choices.find((one) => one.name === name)?.words ?? name;

/* {title, why}: whether a prediction was right, and what speaks against it where not. */
export function verdict(lesson, { predicted, revealed: known }) {
  const own = lesson.choices.find((one) => one.name === predicted);
  if (known.answer === null) return { title: "Your data do not settle it.", why: "" };
  if (known.answer === predicted) return { title: "You were right.", why: "" };
  return { title: `Not so: ${words(lesson, known.answer).toLowerCase()}.`, why: filled(own?.why ?? "", known) };
}
