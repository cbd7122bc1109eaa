//! bytes <-> Request and framing; no I/O, no clock, no Python.
