//! Which CPython the app wants.
