"""Views: pure functions from a dataclass to markup or to the data that a component of static/ draws."""
