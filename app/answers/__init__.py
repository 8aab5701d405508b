"""What questions are answered with, by subject: frozen dataclasses that views draw and scripts read."""
