/* Words that the server knows: the glossary {key: [name, meaning]} and the names of places {group: words}, as data in the page. */
const told = JSON.parse(document.getElementById("wb-words")?.textContent ?? "{}");
export const glossary = told.glossary ?? {};
export const PLACES = told.places ?? {};
