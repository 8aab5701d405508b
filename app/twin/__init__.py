"""The static twin: the page's screens that need no server, as plain files for a static Space or a lecture."""
