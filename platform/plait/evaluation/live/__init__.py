"""Answers that a server gave to its users: what is kept of them, what people and judges say of them, data from them."""
