"""Work outside the browser process: a queue in SQLite, a main and a side worker process, and the client of both."""
