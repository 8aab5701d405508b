"""How the embedded policy was made: data, vision tower, grounding, behaviour cloning, corrections."""
