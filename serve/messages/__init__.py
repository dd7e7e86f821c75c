"""What deployments say to each other: calls and events, their arguments, and the log of requests. The ground floor."""
