"""Robotic Steering: which attention heads of a vision-language-action policy carry a task?

And is it enough to train only those?
"""

__version__ = "0.1.0"
