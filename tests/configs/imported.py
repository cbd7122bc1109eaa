"""Is imported beside the app."""
