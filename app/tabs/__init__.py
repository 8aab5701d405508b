"""One module per step of the page: layout first, then wiring to the service."""
