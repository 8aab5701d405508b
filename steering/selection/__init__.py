"""Selection: from relevance to a set of heads, by rule, by hand or as a control, and to and from files and links."""
