"""Work outside the browser process: a queue in SQLite, one warm worker process, and the client that watches them."""
