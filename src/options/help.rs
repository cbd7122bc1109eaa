//! What the table says, for people: `--help`, `--show-config`, docs/options.md.
