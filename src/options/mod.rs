//! What the user asked for. (Filled in by the options branch.)
