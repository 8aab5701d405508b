"""A policy for robots: openpi's websocket protocol, so that clients written for openpi run any policy of this place."""
