"""The evidence: figures of the method on this bench, made by commands and kept with what made them."""
