"""A comparison as one HTML page that needs nothing else: the verdict, what it rests on, and how to repeat it."""
