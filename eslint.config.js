import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["app/static/**/*.js", "app/twin/*.js"],
    languageOptions: { globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-shadow": ["error", { hoist: "functions" }],
      "no-var": "error",
      "prefer-const": "error",
      "no-restricted-globals": ["error", "event", "name"],
    },
  },
  { files: ["tests/app/static/**/*.js"], languageOptions: { globals: globals.node } },
];
