"""A few labels of people, and what they say of all that a judge has scored."""
